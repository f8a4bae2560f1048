"""The CloudIndex client: the API's calls as methods. Thin over pure functions and ``transport``, which does the I/O.

Decides nothing about requests (``build``), answers (``parse``, ``document_stream``) or errors (``error_mapping``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from cloudindex_provider.api import build, error_mapping, parse
from cloudindex_provider.api.build import Call
from cloudindex_provider.api.connection import DEFAULT_AUTH_SCHEME, authorization, check_base_url
from cloudindex_provider.api.document_stream import DocumentStream, check_beginning
from cloudindex_provider.api.error_mapping import Answer
from cloudindex_provider.api.limits import check_files
from cloudindex_provider.api.models import DocumentDetails, FilePart, QueryResult, UploadResult
from cloudindex_provider.api.multipart import Multipart, json_field
from cloudindex_provider.api.network import Network
from cloudindex_provider.api.observer import Observer
from cloudindex_provider.api.ratelimit import Pacer
from cloudindex_provider.api.redact import secret_values
from cloudindex_provider.api.transport import HttpExchanges, ListPage
from cloudindex_provider.errors import ConfigurationError, NotFoundError

__all__ = ["CloudIndexClient"]

T = TypeVar("T")


class CloudIndexClient:
    """One project key's view of the service. Thread-safe; close it, or use it as a context manager.

    :param base_url: with scheme and path, see ``normalize_base_url``
    :param project_id: for calls that don't name one
    :param auth_scheme: one of ``AUTH_SCHEMES``
    :param new_key: asked for the API key as it is now where the one at hand is refused (401); the request is sent once
        more where it is another one
    :param network: certificates and proxy; default: as the environment says
    :param max_concurrency: requests under way at a time; the list's body is read outside of this count
    :param pacer: spaces requests; without one only a 429 makes the client wait
    :param max_wait: seconds that in-place retries of one call may wait in all
    :param transport: an ``httpx.BaseTransport``, for tests
    :param observer: told how requests fare
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        project_id: str | None = None,
        auth_scheme: str = DEFAULT_AUTH_SCHEME,
        new_key: Callable[[], str | None] = lambda: None,
        network: Network | None = None,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        max_concurrency: int = 5,
        pacer: Pacer | None = None,
        max_wait: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
        transport: Any = None,
        observer: Observer | None = None,
    ) -> None:
        if max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency is {max_concurrency!r}.", hint="Use 1 or more.")
        self.base_url = check_base_url(base_url)
        self.project_id = project_id
        self._http = HttpExchanges(
            self.base_url,
            authorization(api_key, auth_scheme),
            renew=lambda: authorization(key, auth_scheme) if (key := new_key()) else None,
            secrets=(api_key.strip(),) if api_key else (),
            network=network or Network(),
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_concurrency=max_concurrency,
            pacer=pacer,
            max_wait=max_wait,
            sleep=sleep,
            transport=transport,
            observer=observer,
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
        """Requests sent so far, also those that were repeated or redirected."""
        return self._http.request_count

    @property
    def spacing(self) -> float:
        """Seconds that a request costs by the rate limit just now; 0 while none is known."""
        return self._http.spacing

    def upload_documents(
        self,
        files: Sequence[FilePart],
        *,
        metadata: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        at_turn: Callable[[], None] | None = None,
    ) -> UploadResult:
        """Uploads the files of one request. What a part's iterator raises comes out unchanged; nothing was stored.

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
        answer = self._http.exchange(call, Multipart(files, fields=fields), at_turn=at_turn)[0]
        if answer.status in call.verdicts:
            refused = parse.parse_refusal(answer.body, names, answer.request_id)
            if refused is None:
                raise self._http.refusal(call, answer)
            return refused
        return _parsed(call, answer, lambda data: parse.parse_upload(data, names, answer.request_id))

    def iter_documents(self, *, project_id: str | None = None) -> DocumentStream:
        """All documents of a project, as a stream that asks at its first step."""
        project_id = project_id or self.project_id
        build.list_documents(project_id)  # a missing project is said here, not at the first step

        def open_page(params: Mapping[str, str | int]) -> ListPage:
            call = build.list_documents(project_id, params)
            return ListPage(call, self._http.exchange(call, read=False), self._http.broken)

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
            self._http.exchange(call, at_turn=at_turn)
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
        """Nothing, when host, key and project work together; else the typed error. One GET, of which the beginning is
        read: as far as the first document, or that there is none.

        :raises InvalidAnswerError: what answers is not the API, though it says 2xx
        """
        call = build.check(project_id or self.project_id)
        page = ListPage(call, self._http.exchange(call, read=False), self._http.broken)
        try:
            if page.is_web_page:
                raise page.invalid("it is a web page")
            check_beginning(page)
        finally:
            page.close()

    def _send(self, call: Call, *, secrets: Sequence[str] = ()) -> Answer:
        """The 2xx answer, read whole."""
        return self._http.exchange(call, secrets=secrets)[0]


def _parsed(call: Call, answer: Answer, read: Callable[[Any], T]) -> T:
    try:
        return read(parse.decode(answer.body))
    except ValueError as error:
        reason = str(error)
    raise error_mapping.invalid_answer(call, reason, answer)
