"""The CloudIndex client: thin I/O over pure functions. The only module that imports httpx.

Owns connections, concurrency, and the loop of attempts; decides nothing about requests (``build``), repeats
(``attempts``), answers (``parse``, ``listing``) or errors (``faults``). Invariants: the Authorization header never goes
to another origin; an upload is never repeated when it may have taken effect; no exception holds, or is chained to
anything that holds, a request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from cloudindex_provider import __version__
from cloudindex_provider.api import build, parse
from cloudindex_provider.api import error_mapping as faults
from cloudindex_provider.api.attempts import next_wait
from cloudindex_provider.api.build import Call
from cloudindex_provider.api.connection import authorization, check_base_url, normalize_base_url
from cloudindex_provider.api.document_stream import DocumentStream
from cloudindex_provider.api.error_mapping import Answer
from cloudindex_provider.api.limits import check_files
from cloudindex_provider.api.models import DocumentDetails, FilePart, QueryResult, UploadResult
from cloudindex_provider.api.multipart import BodyStream, Multipart, json_field
from cloudindex_provider.api.ratelimit import Pacer, parse_rate_limit
from cloudindex_provider.api.redact import secret_values
from cloudindex_provider.errors import CloudIndexError, ConfigurationError, InvalidAnswerError, NotFoundError

__all__ = ["CloudIndexClient", "DocumentStream", "normalize_base_url"]

MAX_ANSWER = 64 << 20  # bytes of an answer that is read whole; the list of documents is streamed instead
MAX_ERROR = 64 << 10  # bytes of an error's body; a proxy's page can be any size
MAX_REDIRECTS = 3
KEEP_ALIVE = 3.0  # seconds; Express closes idle connections after 5, and an upload must not meet that moment

log = logging.getLogger(__name__)

T = TypeVar("T")


class CloudIndexClient:
    """One project key's view of the service. Thread-safe; close it, or use it as a context manager.

    :param base_url: with scheme and path, see ``normalize_base_url``
    :param project_id: for calls that don't name one
    :param auth_scheme: ``ApiKey`` (newest documents) or ``Bearer`` (older guides)
    :param max_concurrency: requests under way at a time; the list's body is read outside of this count
    :param pacer: spaces requests; without one only a 429 makes the client wait
    :param max_wait: seconds that in-place retries of one call may wait in all
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        project_id: str | None = None,
        auth_scheme: str = "ApiKey",
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        max_concurrency: int = 5,
        pacer: Pacer | None = None,
        max_wait: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency is {max_concurrency!r}.", hint="Use 1 or more.")
        self.base_url = check_base_url(base_url)
        self.project_id = project_id
        self._secrets = (api_key.strip(),) if api_key else ()
        self._pacer = pacer
        self._max_wait = max_wait
        self._sleep = sleep
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._lock = threading.Lock()
        self._requests = 0
        self._http = httpx.Client(
            headers={
                "Authorization": authorization(api_key, auth_scheme),
                "Accept": "application/json",
                "User-Agent": f"airflow-provider-cloudindex/{__version__}",
            },
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
            # no ceiling: the semaphore is one, and a list being read must not block the requests it leads to
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=max_concurrency, keepalive_expiry=KEEP_ALIVE
            ),
            follow_redirects=False,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, project_id={self.project_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def request_count(self) -> int:
        """Requests sent so far, of all kinds, repeats included."""
        with self._lock:
            return self._requests

    @property
    def spacing(self) -> float:
        """Seconds that a request costs by the rate limit just now; 0 while none is known."""
        return self._pacer.spacing if self._pacer is not None else 0.0

    def upload_documents(
        self,
        files: Sequence[FilePart],
        *,
        metadata: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        at_turn: Callable[[], None] | None = None,
    ) -> UploadResult:
        """Uploads 1 to 20 files in one request. What a part's iterator raises comes out unchanged; nothing was stored.

        :param at_turn: called before each attempt, when it has waited for the rate limit and goes next; what it raises
            comes out unchanged, and nothing is sent
        :raises CloudIndexError: with ``outcome_unknown`` where the files may have arrived; list before sending again
        """
        check_files(files)
        fields = {
            name: json_field(value)
            for name, value in (("metadata", metadata), ("options", options))
            if value is not None
        }
        call = build.upload_documents(project_id or self.project_id)
        names = [part.file_name for part in files]
        answer = self._exchange(call, Multipart(files, fields=fields), at_turn=at_turn)[0]
        return _parsed(call, answer, lambda data: parse.parse_upload(data, names, answer.request_id))

    def iter_documents(self, *, project_id: str | None = None) -> DocumentStream:
        """All documents of a project, as a stream that asks at its first step."""
        project_id = project_id or self.project_id
        build.list_documents(project_id)  # a missing project is said here, not at the first step

        def open_page(params: Mapping[str, str | int]) -> _Page:
            call = build.list_documents(project_id, params)
            return _Page(call, self._exchange(call, read=False), self._broken)

        return DocumentStream(open_page)

    def get_document(self, document_id: str, *, project_id: str | None = None) -> DocumentDetails:
        call = build.get_document(project_id or self.project_id, document_id)
        return _parsed(call, self._send(call), parse.parse_details)

    def document_versions(
        self, document_id: str, *, limit: int | None = None, offset: int | None = None, project_id: str | None = None
    ) -> tuple[Mapping[str, Any], ...] | None:
        """The versions as the service wrote them; ``None`` where it doesn't offer them (404)."""
        call = build.document_versions(project_id or self.project_id, document_id, limit, offset)
        try:
            answer = self._send(call)
        except NotFoundError:
            return None
        return _parsed(call, answer, parse.parse_versions)

    def delete_document(
        self, document_id: str, *, project_id: str | None = None, at_turn: Callable[[], None] | None = None
    ) -> bool:
        """Deletes for good, with all versions; false where it was not there, also by an earlier try of this call.

        :param at_turn: as of ``upload_documents``
        """
        call = build.delete_document(project_id or self.project_id, document_id)
        try:
            self._exchange(call, at_turn=at_turn)
        except NotFoundError:
            return False
        return True

    def query(
        self, query: str, *, filters: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
    ) -> QueryResult:
        call = build.query(query, filters, options)
        return _parsed(call, self._send(call), parse.parse_query)

    def configure_integration(
        self, *, type: str, credentials: Mapping[str, Any], settings: Mapping[str, Any], path: str
    ) -> Mapping[str, Any]:
        """Posts an integration's settings to ``path`` under the base URL; the API's documents name no such path."""
        call = build.configure_integration(type, credentials, settings, path)
        answer = self._send(call, secrets=secret_values(credentials))
        return _parsed(call, answer, parse.parse_object) if answer.body.strip() else {}

    def check(self, *, project_id: str | None = None) -> None:
        """Nothing, when host, key and project work together; else the typed error. One GET, whose body is not read."""
        call = build.list_documents(project_id or self.project_id)
        answer, response = self._exchange(call, read=False)
        response.close()
        if answer.headers.get("content-type", "").startswith("text/html"):
            raise faults.invalid_answer(call, "it is a web page", answer)

    def _send(self, call: Call, *, secrets: Sequence[str] = ()) -> Answer:
        """The 2xx answer, read whole."""
        return self._exchange(call, secrets=secrets)[0]

    def _exchange(
        self,
        call: Call,
        payload: Multipart | None = None,
        *,
        secrets: Sequence[str] = (),
        read: bool = True,
        at_turn: Callable[[], None] | None = None,
    ) -> _Exchange:
        """A 2xx answer, its body unread unless ``read``. Hiccups are tried again, everything else raises its error."""
        waited, attempts = 0.0, 0
        while True:
            attempts += 1
            began = time.monotonic()
            outcome = self._attempt(call, payload, (*self._secrets, *secrets), read, at_turn)
            if not isinstance(outcome, CloudIndexError):
                return outcome
            took = time.monotonic() - began
            wait = next_wait(
                outcome, attempt=attempts, repeat=call.repeat, waited=waited, took=took, max_wait=self._max_wait
            )
            if wait is None:
                raise outcome
            log.debug("%s: attempt %d: %s, next in %.1f s", call.operation, attempts, type(outcome).__name__, wait)
            waited += wait
            self._sleep(wait)

    def _attempt(
        self,
        call: Call,
        payload: Multipart | None,
        secrets: Sequence[str],
        read: bool,
        at_turn: Callable[[], None] | None,
    ) -> _Exchange | CloudIndexError:
        """One attempt, paced and logged. Errors are returned, so that they are raised where no cause clings to them."""
        with self._slots:
            if self._pacer is not None:
                self._pacer.before(call.operation)
            began = time.monotonic()
            head = Answer(0)
            try:
                if at_turn is not None:
                    at_turn()
                outcome = self._talk(call, payload, read)
                if not isinstance(outcome, CloudIndexError):
                    head = outcome[0]
            finally:
                self._note(call, head, secrets, time.monotonic() - began)
        if isinstance(outcome, CloudIndexError) or 200 <= head.status < 300:
            return outcome
        if head.status < 400:
            return faults.redirect_error(call, head, self.base_url)
        return faults.answer_error(call, head, secrets)

    def _note(self, call: Call, head: Answer, secrets: Sequence[str], took: float) -> None:
        if self._pacer is not None:
            refusal = faults.answer_error(call, head, secrets) if head.status == 429 else None
            wait, code = (refusal.retry_after, refusal.code) if refusal else (None, None)
            self._pacer.after(parse_rate_limit(head.headers), status=head.status, retry_after=wait, code=code)
        ms = round(took * 1000)
        log.debug("%s %s: %s in %d ms, request %s", call.method, call.operation, head.status, ms, head.request_id)

    def _talk(self, call: Call, payload: Multipart | None, read: bool) -> _Exchange | CloudIndexError:
        """One request and its answer of any status, or the error that came instead of one."""
        body = payload.stream() if payload is not None else None
        error: CloudIndexError | None = None
        try:
            response = self._follow(call, self._request(call, payload, body))
            content = _read(response) if read or not response.is_success else b""
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as cause:
            if body is not None and body.failure is cause:  # a part that itself reads by httpx
                raise
            error = self._broken(call, cause)
        finally:
            if body is not None:
                body.close()
        if body is not None and body.failure is not None:
            raise body.failure  # swallowed on the way: httpcore does that to its own WriteError
        if error is not None:
            return error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, content), response

    def _request(self, call: Call, payload: Multipart | None, body: BodyStream | None) -> httpx.Request:
        headers: dict[str, str] = {}
        content: bytes | BodyStream | None = call.json
        if call.json is not None:
            headers["Content-Type"] = "application/json"
        if payload is not None:
            headers = {"Content-Type": payload.content_type, "Content-Length": str(payload.content_length)}
            content = body
        return self._http.build_request(
            call.method, self.base_url + call.path, params=call.params or None, headers=headers, content=content
        )

    def _follow(self, call: Call, request: httpx.Request) -> httpx.Response:
        """The answer; a GET follows redirects that stay on the same origin."""
        hops = MAX_REDIRECTS if call.method == "GET" else 0
        while True:
            with self._lock:
                self._requests += 1
            response = self._http.send(request, stream=True)
            target = _same_origin_target(response) if hops else None
            if target is None:
                return response
            hops -= 1
            response.close()
            request = self._http.build_request("GET", target)

    def _broken(self, call: Call, cause: Exception) -> CloudIndexError:
        """The error of an exchange without a whole answer."""
        if isinstance(cause, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return ConfigurationError("The base URL can't be used.", hint="Check the connection's host.")
        if isinstance(cause, _NOTHING_SENT):
            return faults.connect_error(call, self.base_url, cause, self._connect_timeout)
        if isinstance(cause, httpx.DecodingError):
            return faults.invalid_answer(call, "its compression is broken")
        if isinstance(cause, _TooLargeError):
            return faults.invalid_answer(call, f"it has more than {MAX_ANSWER} bytes")
        timeout = self._read_timeout if isinstance(cause, httpx.TimeoutException) else None
        return faults.interrupted(call, self.base_url, type(cause).__name__, timeout)


_Exchange = tuple[Answer, httpx.Response]
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class _TooLargeError(httpx.StreamError):
    """An answer larger than is read whole."""


class _Page:
    """One answer of the list, for ``listing``."""

    def __init__(self, call: Call, exchange: _Exchange, broken: Callable[[Call, Exception], CloudIndexError]) -> None:
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

    def close(self) -> None:
        self._response.close()

    def invalid(self, reason: str) -> InvalidAnswerError:
        return faults.invalid_answer(self._call, reason, self._head)


def _parsed(call: Call, answer: Answer, read: Callable[[Any], T]) -> T:
    try:
        return read(parse.decode(answer.body))
    except ValueError as error:
        reason = str(error)
    raise faults.invalid_answer(call, reason, answer)


def _read(response: httpx.Response) -> bytes:
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
