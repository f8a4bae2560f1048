"""Small real proxies on 127.0.0.1: one of HTTP and one of SOCKS 5, which fail as they are told to."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["LocalProxy", "LocalSocks"]

_PAGE = b"<html><title>Proxy says no to %b</title></html>"  # as careless ones do: with all that it was asked


class LocalProxy:
    """Tunnels by CONNECT and forwards plain http. A context manager; ``asked`` holds the first line of every request.

    :param refuse: the status that it answers instead of doing its work; 0: it closes the connection; -1: says nothing
    :param login: ``user:password`` that it wants, else 407
    """

    def __init__(self, *, refuse: int | None = None, login: str | None = None) -> None:
        self.refuse = refuse
        self.login = login
        self.asked: list[str] = []
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handle)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.login + '@' if self.login else ''}{self.address}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, client: socket.socket) -> None:
        client.settimeout(5)
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(65536)
            if not more:
                return
            head += more
            if not head[:1].isalpha():  # no HTTP
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
        lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        self.asked.append(lines[0])
        status = self._status(lines)
        if status == -1:
            self._stopped.wait(5)
        elif status:
            page = _PAGE % b" ".join(head.split())
            start = b"HTTP/1.1 %d No\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % (status, len(page))
            client.sendall(start + page)
        elif status is None:
            self._lead(client, lines[0], head)

    def _status(self, lines: list[str]) -> int | None:
        if self.login and self.refuse is None:
            wanted = "proxy-authorization: basic " + base64.b64encode(self.login.encode()).decode().lower()
            if wanted not in [line.lower() for line in lines]:
                return 407
        return self.refuse

    def _lead(self, client: socket.socket, first: str, head: bytes) -> None:
        method, target, _ = first.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
        else:
            parts = urlsplit(target)
            host, port = parts.hostname or "", str(parts.port or 80)
        with socket.create_connection((host, int(port)), timeout=5) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(head.replace(target.encode(), (urlsplit(target).path or "/").encode(), 1))
            self._copy(client, server)

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(one, selectors.EVENT_READ, other)
            ready.register(other, selectors.EVENT_READ, one)
            while not self._stopped.is_set():
                for key, _ in ready.select(0.1):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]  # a socket
                    if not data:
                        return
                    key.data.sendall(data)


class LocalSocks(LocalProxy):
    """SOCKS 5 to an IPv4 address or a name.

    :param refuse: the code that it answers to the request, such as 5 for a refused connection
    """

    @property
    def url(self) -> str:
        return f"socks5://{self.login + '@' if self.login else ''}{self.address}"

    def _handle(self, client: socket.socket) -> None:
        client.settimeout(5)
        client.recv(2 + 255)  # the ways to log in that it offers
        client.sendall(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login:
            user, _, password = self.login.partition(":")
            wanted = b"\x01%c%b%c%b" % (len(user), user.encode(), len(password), password.encode())
            right = client.recv(513) == wanted
            client.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        request = client.recv(512)
        host = socket.inet_ntoa(request[4:8]) if request[3] == 1 else request[5:-2].decode()
        port = int.from_bytes(request[-2:])
        self.asked.append(f"{host}:{port}")
        client.sendall(bytes([5, self.refuse or 0, 0, 1]) + bytes(6))
        if not self.refuse:
            with socket.create_connection((host, port), timeout=5) as server:
                self._copy(client, server)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handle: object) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    handle(self.request)  # type: ignore[operator]  # the proxy's own method

        super().__init__(address, Handler)
