"""A server per test, and a client that speaks to it as the documents say."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloudindex_provider.local.server import LocalCloudIndex

# One for all clients: httpx would load the certificates (30 ms) for each, and nothing here speaks TLS.
TLS = ssl.create_default_context()


@dataclass(slots=True)
class Client:
    """The endpoints as methods; answers are httpx responses."""

    server: LocalCloudIndex
    http: httpx.Client

    @property
    def documents_path(self) -> str:
        return f"/projects/{self.server.project_id}/documents"

    def upload(self, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
        parts = [("documents", file) for file in files]
        return self.http.post(self.documents_path, files=parts, data=fields)

    def upload_raw(self, dispositions: list[bytes], body: bytes = b"text") -> httpx.Response:
        """One part for each value of Content-Disposition, sent byte for byte."""
        parts = [b"--x\r\nContent-Disposition: " + value + b"\r\n\r\n" + body + b"\r\n" for value in dispositions]
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return self.http.post(self.documents_path, content=b"".join([*parts, b"--x--\r\n"]), headers=headers)

    def get(self, document: str) -> httpx.Response:
        return self.http.get(f"{self.documents_path}/{document}")

    def delete(self, document: str) -> httpx.Response:
        return self.http.delete(f"{self.documents_path}/{document}")

    def query(self, query: Any, **rest: Any) -> httpx.Response:
        return self.http.post("/query", json={"query": query, **rest})

    def texts(self, query: str, **rest: Any) -> list[str]:
        """The texts that a query finds, best first."""
        return [chunk["text"] for chunk in self.query(query, **rest).json()["scored_chunks"]]

    def settled(self) -> list[dict[str, Any]]:
        """The documents once all of them are processed or failed."""
        wait_for(lambda: all(d["status"] in ("processed", "failed") for d in self.server.documents()))
        return self.server.documents()

    # The last one: below it, a list[...] in this class would be this.
    def list(self, **params: Any) -> httpx.Response:
        return self.http.get(self.documents_path, params=params)


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as the condition holds; fail if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalCloudIndex]:
    with LocalCloudIndex(tmp_path / "data") as running:
        yield running


@pytest.fixture
def client(server: LocalCloudIndex) -> Iterator[Client]:
    with connect(server) as http:
        yield Client(server, http)


def connect(server: LocalCloudIndex, **headers: str) -> httpx.Client:
    """An HTTP client with the server's key."""
    headers = {"Authorization": f"ApiKey {server.api_key}", **headers}
    return httpx.Client(base_url=server.url, headers=headers, timeout=5, trust_env=False, verify=TLS)


@pytest.fixture
def connection() -> Callable[[LocalCloudIndex], httpx.Client]:
    """How to open another connection to a server."""
    return connect


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """How to wait for a condition."""
    return wait_for
