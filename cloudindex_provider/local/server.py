"""The embedded server: the application, its data directory and a uvicorn in a thread of this process.

Starting binds the port before the thread runs, so ``url`` is true at once. Stopping waits for nobody: connections are
cut and running requests cancelled, for a client under test must not be able to hang the test.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from cloudindex_provider.local import documents, render
from cloudindex_provider.local.app import create_app
from cloudindex_provider.local.faults import Faults
from cloudindex_provider.local.processing import Processor
from cloudindex_provider.local.service import BASE_PATH, Request, Service
from cloudindex_provider.local.settings import Settings
from cloudindex_provider.local.store import Store

__all__ = ["LocalCloudIndex"]

_START_TIMEOUT = 10.0  # seconds


class LocalCloudIndex:
    """A running CloudIndex on a port of its own.

    ``settings`` and ``faults`` may be changed while it runs; ``requests`` is the log so far.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        settings: Settings | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        control: bool = True,
    ) -> None:
        self.settings = settings or Settings()
        self.faults = Faults()
        self._socket = _listen(host, port)
        try:
            self._store = Store(Path(data_dir))
        except BaseException:
            self._socket.close()
            raise
        self._service = Service(self._store, self.settings, self.faults, Processor(self._store, self.settings))
        bound = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.root_url = f"http://{shown}:{bound}"
        self.url = self.root_url + BASE_PATH
        self._server = _Server(self._service, self._socket, with_control=control)
        self._service.processor.start()
        self._server.start()

    @property
    def api_key(self) -> str:
        """The first of the keys."""
        return next(iter(self.settings.api_keys))

    @property
    def project_id(self) -> str:
        """The first of the projects."""
        return self.settings.projects[0]

    @property
    def requests(self) -> list[Request]:
        """The requests to the public API so far, oldest first."""
        return list(self._service.requests)

    def documents(self, project_id: str | None = None) -> list[dict[str, Any]]:
        """The live documents straight from the store, in upload order, whatever the dialect: every field of the API,
        and ``sha256``, ``status`` and ``metadata``."""
        plain = Settings(nulls=True, return_metadata=True)
        rows = documents.listing(self._store, project_id)
        return [render.document(row, plain) | {"sha256": row["content_hash"], "status": row["status"]} for row in rows]

    def content(self, document_id: str) -> bytes:
        """The bytes of a document's newest version; ``KeyError`` if it isn't live."""
        return documents.content(self._store, document_id)

    def close(self) -> None:
        """Stop within moments. Processing that is left goes on when a server starts on the same directory."""
        self._server.stop()
        self._service.processor.stop()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers and its patience."""

    def __init__(self, service: Service, listener: socket.socket, *, with_control: bool) -> None:
        app = create_app(service, self._find, with_control=with_control)
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=60,  # a client under test sees a connection die only when a fault says so
        )
        super().__init__(config)
        self._listener = listener
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cloudindex-server", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt = asyncio.Event()

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT):
            raise RuntimeError("The embedded server did not start")

    def stop(self) -> None:
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._halt.set)
            self._thread.join()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.on_tick(0)
        self._ready.set()
        while not self._halt.is_set():
            try:
                await asyncio.wait_for(self._halt.wait(), timeout=1.0)
            except TimeoutError:
                await self.on_tick(0)  # renews the Date header

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if transport := _transport_of(connection):
                transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1.0)

    def _run(self) -> None:
        asyncio.run(self.serve(sockets=[self._listener]))

    def _find(self, client: tuple[str, int]) -> asyncio.Transport | None:
        for connection in self.server_state.connections:
            if getattr(connection, "client", None) == client:
                return _transport_of(connection)
        return None


def _transport_of(connection: object) -> asyncio.Transport | None:
    transport = getattr(connection, "transport", None)
    return transport if isinstance(transport, asyncio.Transport) else None


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's delay (40 ms an answer) off only where it is.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener
