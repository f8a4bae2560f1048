"""A stateful fake of the service behind a real socket, and the connection that leads to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from cloudindex_provider.local.server import LocalCloudIndex

KEY = "key-that-must-never-be-seen"
PROJECT = "project-1"
BASE = f"/public/v1/projects/{PROJECT}/documents"


@dataclass
class Answer:
    """One prepared answer, given before anything else is looked at."""

    status: int
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass
class Service:
    """What the fake holds and saw. Tests set and read it directly."""

    key: str = KEY
    project: str = PROJECT
    url: str = ""
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    prepared: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    refuse: dict[str, dict[str, Any]] = field(default_factory=dict)  # file name -> fields of its error
    chunk: dict[str, Any] = field(default_factory=dict)  # fields of the hit that every question gets
    looks_until_processed: int = 0  # how many GETs of a document still say "processing"

    def add(self, document_id: str, status: str = "processed", **fields: Any) -> str:
        self.documents[document_id] = {"id": document_id, "fileName": f"{document_id}.txt", "status": status} | fields
        return document_id

    def prepare(self, status: int, body: Any = None, **more: Any) -> None:
        self.prepared.append(Answer(status, {} if body is None else body, **more))

    def stay(self, status: int, body: Any = None, **more: Any) -> None:
        self.always = Answer(status, {} if body is None else body, **more)

    def paths(self, method: str) -> list[str]:
        return [path for verb, path, _ in self.requests if verb == method]

    def answer(self, method: str, path: str, body: bytes, authorization: str) -> Answer:
        self.requests.append((method, path, body))
        if self.prepared:
            return self.prepared.pop(0)
        if self.always:
            return self.always
        if authorization != f"ApiKey {self.key}":
            return Answer(401, {"error": "Unauthorized", "code": "api_key/invalid"})
        if path.startswith(BASE):
            return self._documents(method, path[len(BASE) :].strip("/"), body)
        return self._elsewhere(path, body)

    def _elsewhere(self, path: str, body: bytes) -> Answer:
        if path == "/public/v1/query":
            return Answer(200, {"scored_chunks": [_CHUNK | self.chunk], "metadata": {}})
        if path == "/public/v1/integrations":
            return Answer(200, {"id": "int-1", "status": "active", "credentials": json.loads(body)["credentials"]})
        return Answer(404, {"error": "Project not found", "code": "project/not_found"})

    def _documents(self, method: str, document_id: str, body: bytes) -> Answer:
        if method == "POST":
            return self._upload(body)
        if not document_id:
            return Answer(200, list(self.documents.values()))
        if document_id not in self.documents:
            return Answer(404, {"error": "Document not found"})
        if method == "DELETE":
            del self.documents[document_id]
            return Answer(200, {"message": "deleted"})
        document = dict(self.documents[document_id])
        if self.looks_until_processed:
            self.looks_until_processed -= 1
            document["status"] = "processing"
        return Answer(200, {"document": document, "processingJobs": []})

    def _upload(self, body: bytes) -> Answer:
        names = [part.split(b'"', 1)[0].decode() for part in body.split(b'filename="')[1:]]
        taken = [name for name in names if name not in self.refuse]
        for name in taken:
            self.add(f"id-of-{name}", "pending", fileName=name)
        return Answer(
            200,
            {
                "documents": [self.documents[f"id-of-{name}"] for name in taken],
                "errors": [{"fileName": name} | self.refuse[name] for name in names if name in self.refuse],
                "batch": {"id": "b", "status": "pending", "totalFiles": len(names), "progress": 0},
            },
        )


_CHUNK = {
    "id": "c-1",
    "text": "found",
    "score": 0.9,
    "document_id": "d-1",
    "document_name": "one.txt",
    "document_metadata": {"page": 1},
}


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            answer = service.answer(self.command, path, body, self.headers.get("Authorization", ""))
            sent = answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {
                "Content-Type": answer.content_type,
                "Content-Length": str(len(sent)),
                **answer.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_DELETE = do_PUT = _serve  # noqa: N815 - the names are http.server's

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def service() -> Iterator[Service]:
    """A running fake, empty."""
    service = Service()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service))
    service.url = f"http://127.0.0.1:{server.server_address[1]}/public/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connect(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Defines the connection ``cloudindex_default``; keyword arguments replace its fields or extras."""

    def define(conn_id: str = "cloudindex_default", **changes: Any) -> None:
        fields: dict[str, Any] = {"conn_type": "cloudindex", "host": service.url, "password": KEY}
        extra: dict[str, Any] = {"project_id": PROJECT}
        for name, value in changes.items():
            if name == "extra" and not isinstance(value, dict):
                extra = value
            else:
                (fields if name in ("host", "password", "schema", "port", "login", "conn_type") else extra)[name] = (
                    value
                )
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields | {"extra": extra}))

    define()
    return define


@pytest.fixture(autouse=True)
def state_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the state is, or will be: a test's own."""
    path = tmp_path / "state" / "state.db"
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", str(path))
    return path


@pytest.fixture
def try_number() -> Callable[[int], dict[str, Any]]:
    """The context of a try of one and the same task instance."""

    def context(number: int, run_id: str = "r") -> dict[str, Any]:
        ti = SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1, try_number=number, max_tries=3)
        return {"ti": ti}

    return context


@pytest.fixture
def ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloudIndex]:
    """The embedded CloudIndex behind the connection ``cloudindex_default``."""
    with LocalCloudIndex(tmp_path / "cloudindex") as server:
        fields = {"conn_type": "cloudindex", "host": server.url, "password": server.api_key}
        extra = {"project_id": server.project_id, "read_timeout": 5}
        monkeypatch.setenv("AIRFLOW_CONN_CLOUDINDEX_DEFAULT", json.dumps(fields | {"extra": extra}))
        yield server
