"""The default way: the keys go to Airflow as events of the asset ``s3://bucket/prefix``, whose DAG syncs exactly them.

Over Airflow's REST API, with a token (``POST /auth/token`` where there is only a login), or by Amazon MWAA's own call,
which needs no login but the function's role. Sending twice is harmless: a key that is in step costs a look.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from cloudindex_provider.aws_lambda.environment import AirflowPlace
from cloudindex_provider.errors import HandOverError
from cloudindex_provider.s3.error_mapping import redacted
from cloudindex_provider.sync.events.gather import Place

__all__ = ["AirflowAssets", "Answer", "MwaaApi", "RestApi", "open_api"]

_MOST_KEYS = 500  # of one event, which Airflow keeps as one row
_PAGE = 100  # assets
_TIMEOUT = 15.0  # seconds
_EVENTS = "/assets/events"
# Of a connection that was kept while Lambda had the function frozen, and that somebody on the way has closed since.
_BROKEN_OFF = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and the JSON of an answer."""

    status: int
    body: Any = None


class Api(Protocol):
    """What is used of Airflow's stable REST API. Paths are below ``/api/v2``. Answers count ``until`` then, by the
    monotonic clock."""

    until: float

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Answer: ...


@dataclass(slots=True)
class RestApi:
    """An API server at a URL. A token that has run out is got anew, where there is a login."""

    place: AirflowPlace
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_TIMEOUT))
    until: float = math.inf
    _token: str = field(default="", repr=False)

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Answer:
        """The answer, whatever it says.

        :raises HandOverError: where none comes, or the login is refused
        """
        had = self._token
        self._token = self._token or self.place.token or self._login()
        answer = self._send(method, f"/api/v2{path}", query, body, self._token)
        if answer.status == 401 and had and not self.place.token:
            self._token = self._login()
            answer = self._send(method, f"/api/v2{path}", query, body, self._token)
        if answer.status == 401:
            self._token = ""
        return answer

    def _login(self) -> str:
        body = {"username": self.place.username, "password": self.place.password}
        answer = self._send("POST", "/auth/token", None, body, "")
        token = answer.body.get("access_token") if isinstance(answer.body, Mapping) else None
        if not isinstance(token, str) or not token:
            raise HandOverError(
                f"Airflow at {self.place.url} gives no token to {self.place.username!r} ({answer.status}).",
                status=answer.status,
                hint="Check CLOUDINDEX_AIRFLOW_USERNAME and CLOUDINDEX_AIRFLOW_PASSWORD.",
            )
        return token

    def _send(self, method: str, path: str, query: Any, body: Any, token: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = self._exchange(method, self.place.url + path, params=query, json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # What httpx can't send it repeats, and that may be the token.
            said = "" if isinstance(error, httpx.LocalProtocolError) else redacted(error).rstrip(".")
            raise HandOverError(
                f"Airflow at {self.place.url} gives no answer: {said or type(error).__name__}.",
                hint="Check CLOUDINDEX_AIRFLOW_URL, and that the function's network leads there.",
            ) from None
        try:
            return Answer(answer.status_code, answer.json())
        except ValueError:
            return Answer(answer.status_code)

    def _exchange(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            return self.client.request(method, url, timeout=_seconds_until(self.until), **request)
        except _BROKEN_OFF:
            return self.client.request(method, url, timeout=_seconds_until(self.until), **request)


@dataclass(slots=True)
class MwaaApi:
    """An environment of Amazon MWAA, by the call InvokeRestApi of its boto3 client."""

    client: Any
    environment: str
    until: float = math.inf

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Answer:
        """The answer, whatever it says.

        :raises HandOverError: where AWS refuses, or none comes
        """
        from botocore.exceptions import BotoCoreError, ClientError

        given = {"QueryParameters": query, "Body": body}
        request = {name: value for name, value in given.items() if value is not None}
        _seconds_until(self.until)
        try:
            answer = self.client.invoke_rest_api(Name=self.environment, Method=method, Path=path, **request)
        except (ClientError, BotoCoreError) as error:
            found = getattr(error, "response", {})
            if "RestApiStatusCode" in found:  # Airflow's own refusal
                return Answer(int(found["RestApiStatusCode"]), _json(found.get("RestApiResponse")))
            raise HandOverError(
                f"The MWAA environment {self.environment!r} gives no answer: {redacted(error).rstrip('.')}.",
                hint="Check CLOUDINDEX_MWAA_ENVIRONMENT, and give the function's role airflow:InvokeRestApi on it.",
            ) from None
        return Answer(int(answer.get("RestApiStatusCode", 0)), _json(answer.get("RestApiResponse")))


def open_api(place: AirflowPlace) -> Api:
    """The API of that Airflow."""
    if not place.mwaa_environment:
        return RestApi(place)
    import boto3  # the runtime's own
    from botocore.config import Config

    return MwaaApi(boto3.client("mwaa", config=Config(connect_timeout=10, read_timeout=30)), place.mwaa_environment)


def _seconds_until(end: float) -> float:
    """How long a request may take.

    :raises HandOverError: where it is too late for one
    """
    if (left := end - time.monotonic()) > 0:
        return min(_TIMEOUT, left)
    raise HandOverError(
        "The function's time is over before Airflow has taken every key.",
        hint="Give the function a timeout of a minute.",
    )


@dataclass(slots=True)
class AirflowAssets:
    """The assets that DAGs are scheduled on, by their URIs; each is looked up once."""

    api: Api
    _ids: dict[str, int] = field(default_factory=dict)

    def tell(self, place: Place, keys: Sequence[str]) -> None:
        """Let the DAGs of this place's asset sync these keys.

        :raises HandOverError: where Airflow refuses, or has no such asset
        """
        uri = f"s3://{place.bucket}/{place.prefix}"
        for at in range(0, len(keys), _MOST_KEYS):
            extra = {"keys": list(keys[at : at + _MOST_KEYS])}
            answer = self._post(uri, extra)
            if answer.status == 404:  # of an asset that was made anew since
                self._ids.pop(uri, None)
                answer = self._post(uri, extra)
            # A login page of a proxy has the status 200, too.
            if answer.status not in (200, 201) or not isinstance(answer.body, Mapping):
                raise _refused(f"takes no event of {uri}", answer, "create", "Assets")

    def _post(self, uri: str, extra: Mapping[str, Any]) -> Answer:
        return self.api.ask("POST", _EVENTS, body={"asset_id": self._id(uri), "extra": extra})

    def _id(self, uri: str) -> int:
        if uri not in self._ids:
            self._ids[uri] = self._find(uri)
        return self._ids[uri]

    def _find(self, uri: str) -> int:
        """Airflow stores a URI without slashes at its end, and searches by a pattern that others may match, too."""
        wanted, offset = uri.rstrip("/"), 0
        while True:
            query = {"uri_pattern": wanted, "limit": _PAGE, "offset": offset}
            answer = self.api.ask("GET", "/assets", query=query)
            rows = answer.body.get("assets") if isinstance(answer.body, Mapping) else None
            if answer.status != 200 or not isinstance(rows, list):
                raise _refused("doesn't list its assets", answer, "read", "Assets")
            for row in rows:
                if str(row.get("uri", "")).rstrip("/") == wanted:
                    return int(row["id"])
            offset += len(rows)
            if len(rows) < _PAGE:
                raise HandOverError(
                    f"Airflow has no asset {uri}, so no DAG would hear of its keys.",
                    hint=f"Schedule an unpaused DAG on Asset({uri!r}).",
                )


def _refused(what: str, answer: Answer, right: str, resource: str) -> HandOverError:
    detail = answer.body.get("detail") if isinstance(answer.body, Mapping) else None
    said = f": {redacted(detail)}" if isinstance(detail, str) else ""
    hints: dict[int, str] = {
        200: "What answered is no Airflow, perhaps the login page of a proxy: check CLOUDINDEX_AIRFLOW_URL.",
        401: "Check the token or the login.",
        403: f"Give the login the right to {right} {resource}.",
        404: "Check CLOUDINDEX_AIRFLOW_URL: the address of an API server of Airflow 3, without /api/v2.",
    }
    return HandOverError(
        f"Airflow {what} ({answer.status}{said}).", status=answer.status, hint=hints.get(answer.status)
    )


def _json(value: Any) -> Any:
    """MWAA gives a document, or its text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None
