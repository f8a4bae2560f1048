"""A client over real sockets, and tiny servers for what only sockets can show."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cloudindex_provider.api.client import CloudIndexClient
from tests.support.waits import Waits

KEY = "key-0123456789"


@pytest.fixture
def waits() -> Waits:
    return Waits()


class Peer:
    """A server whose every connection is handled by a function of a socket."""

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        self._finished = threading.Semaphore(0)
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the test is over
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(5)
                self._handle(connection)
            except OSError:  # the client went away, which some tests want
                pass
            finally:
                self._finished.release()

    def wait(self) -> None:
        """Until one more connection was handled to its end."""
        assert self._finished.acquire(timeout=5)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], Peer]]:
    peers: list[Peer] = []

    def make(handle: Callable[[socket.socket], None]) -> Peer:
        peers.append(Peer(handle))
        return peers[-1]

    yield make
    for item in peers:
        item.close()


@pytest.fixture
def connect(waits: Waits) -> Iterator[Callable[..., CloudIndexClient]]:
    """A client over real sockets, whatever proxies this machine's environment names."""
    clients: list[CloudIndexClient] = []

    def make(base_url: str, **settings: Any) -> CloudIndexClient:
        defaults: dict[str, Any] = {
            "project_id": "p1",
            "sleep": waits,
            "transport": httpx.HTTPTransport(),
            "read_timeout": 5.0,
        }
        settings = defaults | settings
        clients.append(CloudIndexClient(base_url, KEY, **settings))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
