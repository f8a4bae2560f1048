"""The HTTP side of the client: one exchange with the service, paced, repeated where that is safe. Alone imports httpx.

Owns connections, concurrency, and the loop of attempts; decides nothing about requests (``build``), repeats
(``attempts``), the way (``network``) or errors (``error_mapping``, ``connecting``). Invariants: the Authorization
header never goes to another origin; an upload is never repeated when it may have taken effect; no exception holds, or
is chained to anything that holds, a request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import httpx

from cloudindex_provider import __version__
from cloudindex_provider.api import connecting, error_mapping
from cloudindex_provider.api.attempts import next_wait
from cloudindex_provider.api.build import Call
from cloudindex_provider.api.connecting import Progress
from cloudindex_provider.api.error_mapping import Answer
from cloudindex_provider.api.multipart import BodyStream, Multipart
from cloudindex_provider.api.network import Network
from cloudindex_provider.api.observer import Observer
from cloudindex_provider.api.proxy import Route
from cloudindex_provider.api.ratelimit import Pacer, parse_rate_limit
from cloudindex_provider.errors import AuthenticationError, CloudIndexError, ConfigurationError, InvalidAnswerError

__all__ = ["Exchange", "HttpExchanges", "ListPage"]

MAX_ANSWER = 64 << 20  # bytes of an answer that is read whole; the list of documents is streamed instead
MAX_ERROR = 64 << 10  # bytes of an error's body; a proxy's page can be any size
MAX_REDIRECTS = 3
KEEP_ALIVE = 3.0  # seconds; Express closes idle connections after 5, and an upload must not meet that moment

log = logging.getLogger(__name__)


class HttpExchanges:
    """Requests and answers over one pool of connections. Thread-safe; ``close`` it.

    :param authorization: the header's value; it is in no message, log or ``repr``
    :param renew: asked at a 401 for the header's value as it is now; ``None``: as before
    :param secrets: what must not be repeated of an answer
    :param max_concurrency: requests under way at a time; the list's body is read outside of this count
    :param pacer: spaces requests; without one only a 429 makes the client wait
    :param max_wait: seconds that in-place retries of one call may wait in all
    :param observer: told how requests fare
    """

    def __init__(
        self,
        base_url: str,
        authorization: str,
        *,
        renew: Callable[[], str | None],
        secrets: Sequence[str],
        network: Network,
        connect_timeout: float,
        read_timeout: float,
        max_concurrency: int,
        pacer: Pacer | None,
        max_wait: float,
        sleep: Callable[[float], None],
        transport: httpx.BaseTransport | None,
        observer: Observer | None = None,
    ) -> None:
        self._base_url = base_url
        self._authorization = authorization
        self._renew = renew
        self._renewing = threading.Lock()
        self._shows_certificate = network.certificate is not None
        self._route = network.route(base_url) if transport is None else None
        self._secrets = (*secrets, *(self._route.secrets if self._route else ()))
        self._pacer = pacer
        self._observer = observer
        self._max_wait = max_wait
        self._sleep = sleep
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._lock = threading.Lock()
        self._requests = 0
        # no ceiling: the semaphore is one, and a list being read must not block the requests it leads to
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=max_concurrency, keepalive_expiry=KEEP_ALIVE
        )
        self._http = httpx.Client(
            headers={"Accept": "application/json", "User-Agent": f"airflow-provider-cloudindex/{__version__}"},
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
            follow_redirects=False,
            transport=transport or _transport(base_url, network, self._route, limits),
            trust_env=False,  # what the environment says was read above, by name
        )

    def close(self) -> None:
        self._http.close()

    @property
    def request_count(self) -> int:
        """Requests sent so far, also those that were repeated or redirected."""
        with self._lock:
            return self._requests

    @property
    def spacing(self) -> float:
        """Seconds that a request costs by the rate limit just now; 0 while none is known."""
        return self._pacer.spacing if self._pacer is not None else 0.0

    def exchange(
        self,
        call: Call,
        payload: Multipart | None = None,
        *,
        secrets: Sequence[str] = (),
        read: bool = True,
        at_turn: Callable[[], None] | None = None,
    ) -> Exchange:
        """A 2xx answer, its body unread unless ``read``; or one of the call's ``verdicts``, see ``refusal``.

        Hiccups are tried again, everything else raises its error.
        """
        waited, attempts, renewed = 0.0, 0, False
        while True:
            attempts += 1
            began = time.monotonic()
            used = self._authorization
            outcome = self._attempt(call, payload, used, (*self._secrets, *secrets), read, at_turn)
            if not isinstance(outcome, CloudIndexError):
                return outcome
            if isinstance(outcome, AuthenticationError) and not renewed and self._has_another_key(used):
                renewed = True
                continue
            took = time.monotonic() - began
            wait = next_wait(
                outcome, attempt=attempts, repeat=call.repeat, waited=waited, took=took, max_wait=self._max_wait
            )
            if wait is None:
                raise outcome
            log.debug("%s: attempt %d: %s, next in %.1f s", call.operation, attempts, type(outcome).__name__, wait)
            if self._observer is not None:
                self._observer.repeated(call.operation)
            waited += wait
            self._sleep(wait)

    def refusal(self, call: Call, answer: Answer) -> CloudIndexError:
        """The error of an answer that turned out to hold no verdict."""
        return error_mapping.answer_error(call, answer, self._secrets)

    def _has_another_key(self, refused: str) -> bool:
        """Whether the header that was refused is no longer the one to send; asks anew where nobody has yet."""
        with self._renewing:
            if self._authorization != refused:
                return True  # another thread has asked meanwhile
            found = self._renew()
            if found is None or found == refused:
                return False
            self._authorization = found
            self._secrets = (*self._secrets, found.partition(" ")[2])
            return True

    def _attempt(
        self,
        call: Call,
        payload: Multipart | None,
        authorization: str,
        secrets: Sequence[str],
        read: bool,
        at_turn: Callable[[], None] | None,
    ) -> Exchange | CloudIndexError:
        """One attempt, paced and logged. Errors are returned, so that they are raised where no cause clings to them."""
        with self._slots:
            if self._pacer is not None:
                self._pacer.before(call.operation)
            began = time.monotonic()
            head = Answer(0)
            try:
                if at_turn is not None:
                    at_turn()
                outcome = self._talk(call, payload, authorization, read)
                if not isinstance(outcome, CloudIndexError):
                    head = outcome[0]
            finally:
                self._note(call, head, secrets, time.monotonic() - began)
        if isinstance(outcome, CloudIndexError) or 200 <= head.status < 300 or head.status in call.verdicts:
            return outcome
        if head.status < 400:
            return error_mapping.redirect_error(call, head, self._base_url)
        error = error_mapping.answer_error(call, head, secrets)
        if self._route is None or self._base_url.startswith("https:"):
            return error
        return connecting.answered_on_the_way(call, error, self._route)

    def _note(self, call: Call, head: Answer, secrets: Sequence[str], took: float) -> None:
        if self._pacer is not None:
            refusal = error_mapping.answer_error(call, head, secrets) if head.status == 429 else None
            wait, code = (refusal.retry_after, refusal.code) if refusal else (None, None)
            self._pacer.after(parse_rate_limit(head.headers), status=head.status, retry_after=wait, code=code)
        if self._observer is not None:
            self._observer.answered(call.operation, head.status, took)
        ms = round(took * 1000)
        log.debug("%s %s: %s in %d ms, request %s", call.method, call.operation, head.status, ms, head.request_id)

    def _talk(
        self, call: Call, payload: Multipart | None, authorization: str, read: bool
    ) -> Exchange | CloudIndexError:
        """One request and its answer of any status, or the error that came instead of one."""
        body = payload.stream() if payload is not None else None
        error: CloudIndexError | None = None
        progress = Progress()
        try:
            response = self._follow(call, self._request(call, payload, body, authorization, progress))
            content = _read_body(response) if read or not response.is_success else b""
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as cause:
            if body is not None and body.failure is cause:  # a part that itself reads by httpx
                raise
            error = self.broken(call, cause, progress)
        except Exception as cause:
            # httpcore lets everything out that its SOCKS library says of bytes which are no SOCKS
            if self._route is None or not self._route.is_socks or progress.sent:
                raise
            error = self.broken(call, cause, progress)
        finally:
            if body is not None:
                body.close()
        if body is not None and body.failure is not None:
            raise body.failure  # swallowed on the way: httpcore does that to its own WriteError
        if error is not None:
            return error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, content), response

    def _request(
        self, call: Call, payload: Multipart | None, body: BodyStream | None, authorization: str, progress: Progress
    ) -> httpx.Request:
        headers = {"Authorization": authorization}
        content: bytes | BodyStream | None = call.json
        if call.json is not None:
            headers["Content-Type"] = "application/json"
        if payload is not None:
            headers |= {"Content-Type": payload.content_type, "Content-Length": str(payload.content_length)}
            content = body
        return self._http.build_request(
            call.method,
            self._base_url + call.path,
            params=call.params or None,
            headers=headers,
            content=content,
            extensions={"trace": progress},
        )

    def _follow(self, call: Call, request: httpx.Request) -> httpx.Response:
        """The answer; a GET follows redirects that stay on the same origin."""
        hops = MAX_REDIRECTS if call.method == "GET" and call.follow else 0
        while True:
            with self._lock:
                self._requests += 1
            response = self._http.send(request, stream=True)
            target = _same_origin_target(response) if hops else None
            if target is None:
                return response
            hops -= 1
            response.close()
            headers = {"Authorization": request.headers["Authorization"]}
            request = self._http.build_request("GET", target, headers=headers, extensions=request.extensions)

    def broken(self, call: Call, cause: Exception, progress: Progress | None = None) -> CloudIndexError:
        """The error of an exchange without a whole answer.

        :param progress: how far the request came; without it, beyond the head of the answer
        """
        if isinstance(cause, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return ConfigurationError("The base URL can't be used.", hint="Check the connection's host.")
        on_the_way = self._route is not None and progress is not None and not progress.sent
        if self._route is not None and progress is not None and on_the_way and not progress.through:
            return connecting.proxy_error(call, self._base_url, self._route, progress, cause)
        if on_the_way or isinstance(cause, _NOTHING_SENT):
            return connecting.connect_error(
                call, self._base_url, cause, self._connect_timeout, shown=self._shows_certificate
            )
        if isinstance(cause, httpx.DecodingError):
            return error_mapping.invalid_answer(call, "its compression is broken")
        if isinstance(cause, _TooLargeError):
            return error_mapping.invalid_answer(call, f"it has more than {MAX_ANSWER} bytes")
        timeout = self._read_timeout if isinstance(cause, httpx.TimeoutException) else None
        return connecting.interrupted(call, self._base_url, cause, timeout, shown=self._shows_certificate)


Exchange = tuple[Answer, httpx.Response]
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


def _transport(base_url: str, network: Network, route: Route | None, limits: httpx.Limits) -> httpx.HTTPTransport:
    """Connections straight to the service or over a proxy.

    :raises ConfigurationError: naming the extra or the variable that can't be used
    """
    if not _leads_somewhere(base_url):
        raise ConfigurationError("The base URL can't be used.", hint="Check the connection's host.")
    context = network.tls(base_url)
    if route is None:
        return httpx.HTTPTransport(verify=context, limits=limits)
    if not _leads_somewhere(route.url):
        raise ConfigurationError(
            f"{route.named_by} can't be used as a proxy.", hint="Write it like http://user:password@host:port."
        )
    to_proxy = network.tls(route.url, to_proxy=True) if route.url.startswith("https:") else None
    return httpx.HTTPTransport(verify=context, limits=limits, proxy=httpx.Proxy(route.url, ssl_context=to_proxy))


def _leads_somewhere(url: str) -> bool:
    """Whether httpx, its IDNA library and Python's sockets can make a host of it; those raise on the way only."""
    try:
        parts = httpx.URL(url)
        return bool(parts.host and parts.raw_host.decode("ascii").encode("idna"))
    except (httpx.InvalidURL, UnicodeError):  # whose texts repeat the URL
        return False


class _TooLargeError(httpx.StreamError):
    """An answer larger than is read whole."""


class ListPage:
    """One answer of the list, for ``document_stream``."""

    def __init__(self, call: Call, exchange: Exchange, broken: Callable[[Call, Exception], CloudIndexError]) -> None:
        self._call = call
        self._head, self._response = exchange
        self._broken = broken

    def chunks(self) -> Iterator[bytes]:
        body = self._response.iter_bytes()
        while True:
            error: CloudIndexError | None = None
            try:
                chunk = next(body, None)
            except (httpx.HTTPError, httpx.StreamError) as cause:
                error = self._broken(self._call, cause)
            if error is not None:  # raised here, so that no cause clings to it
                raise error
            if chunk is None:
                return
            yield chunk

    @property
    def is_web_page(self) -> bool:
        return self._head.headers.get("content-type", "").lower().startswith("text/html")

    def close(self) -> None:
        self._response.close()

    def invalid(self, reason: str) -> InvalidAnswerError:
        return error_mapping.invalid_answer(self._call, reason, self._head)


def _read_body(response: httpx.Response) -> bytes:
    """The body, up to a bound; of an error's body, whatever came is enough."""
    limit = MAX_ANSWER if response.is_success else MAX_ERROR
    found = bytearray()
    try:
        for chunk in response.iter_bytes():
            found += chunk
            if len(found) > limit:
                break
    except httpx.HTTPError:
        if response.is_success:
            raise
    finally:
        response.close()
    if response.is_success and len(found) > limit:
        raise _TooLargeError("too large")
    return bytes(found[:limit])


def _same_origin_target(response: httpx.Response) -> httpx.URL | None:
    location = response.headers.get("location")
    if not response.is_redirect or not location:
        return None
    here = response.request.url
    try:
        target = here.join(location)
    except httpx.InvalidURL:
        return None
    same = (target.scheme, target.host, target.port) == (here.scheme, here.host, here.port)
    return target if same and not target.userinfo else None
