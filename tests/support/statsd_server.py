"""A StatsD server: takes what is sent over UDP, and adds it up as StatsD does."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from types import TracebackType

__all__ = ["StatsdServer"]

_ENOUGH = 5.0  # seconds until what was sent on this machine has come


class StatsdServer:
    """On a free port of 127.0.0.1. Names are as sent, without InfluxDB's tags, which are beside them."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = defaultdict(float)
        self.gauges: dict[str, float] = {}
        self.timers: dict[str, list[float]] = defaultdict(list)
        self.tags: dict[str, set[str]] = defaultdict(set)
        self._by_tag: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> StatsdServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._send(b"")
        self._thread.join()
        self._socket.close()

    def settle(self) -> None:
        """Wait until all that was sent before this has been taken."""
        before = self.counters["settled"]
        self._send(b"settled:1|c")
        end = time.monotonic() + _ENOUGH
        while self.counters["settled"] == before and time.monotonic() < end:
            time.sleep(0.005)

    def tagged(self, tag: str) -> dict[str, float]:
        """The counters of values that had this tag."""
        return dict(self._by_tag[tag])

    def environment(self) -> dict[str, str]:
        """What makes an Airflow send its metrics here, with tags."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def _send(self, data: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(data, ("127.0.0.1", self.port))

    def _listen(self) -> None:
        while data := self._socket.recv(65536):
            for line in data.decode(errors="replace").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        if "|" not in line:
            return
        head, _, rest = line.rpartition(":")
        name, *tags = head.split(",")
        value, kind = rest.split("|")[:2]
        self.tags[name].update(tags)
        if kind == "c":
            self.counters[name] += float(value)
            for tag in tags:
                self._by_tag[tag][name] += float(value)
        elif kind == "g":
            self.gauges[name] = float(value)
        else:
            self.timers[name].append(float(value))
