"""Processes that one run starts, each with a log of its own, and all of them ended: by id, in any case.

A task of Airflow is in a process group of its own, so ending a worker's group alone would leave its tasks at work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Processes", "StartError", "waiting_for"]

_STOP_SECONDS = 15.0
_TAIL_BYTES = 4000


class StartError(Exception):
    """Something didn't come up, or ended by itself."""


def waiting_for(what: str, condition: Callable[[], bool], seconds: float, pause: float = 0.3) -> float:
    """Wait until the condition holds; gives the seconds that it took.

    :raises StartError: when it doesn't hold in time
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise StartError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
    return time.monotonic() - began


class Processes:
    """Started processes by name, ended in the opposite order.

    :param logs: the folder of their logs
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: int = signal.SIGTERM,
        **who: Any,
    ) -> None:
        """Start one in a session of its own."""
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=env, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, **who,
            )  # fmt: skip
        self._started[name] = (process, stop_signal)

    def assert_alive(self) -> None:
        """:raises StartError: with the end of its log, when one has ended by itself"""
        for name, (process, _) in self._started.items():
            if process.poll() is not None:
                raise StartError(f"{name} ended with {process.returncode}:\n{self.tail(name)}")

    def kill(self, name: str) -> int:
        """SIGKILL one with everything below it, as a machine that loses its power; gives how many processes."""
        process, _ = self._started.pop(name)
        members = _tree(process.pid)
        for member in members:  # the parent first: it must not start anything in place of a killed child
            _send(member, signal.SIGKILL)
        process.wait()
        psutil.wait_procs(members, timeout=_STOP_SECONDS)
        return len(members)

    def stop(self, *names: str) -> None:
        """End those named together, or all, the last started first."""
        for group in [names] if names else [[name] for name in reversed(self._started)]:
            chosen = [self._started.pop(name) for name in group if name in self._started]
            members = [member for process, _ in chosen for member in _tree(process.pid)]
            for process, number in chosen:
                if process.poll() is None:
                    os.kill(process.pid, number)
            _, left = psutil.wait_procs(members, timeout=_STOP_SECONDS)
            for member in left:
                _send(member, signal.SIGKILL)
            for process, _ in chosen:
                process.wait()

    def tail(self, name: str) -> str:
        """The end of its log."""
        path = self._log(name)
        return path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") if path.exists() else ""

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {path.stem}\n{self.tail(path.stem)}" for path in sorted(self._logs.glob("*.log")))

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)  # compares the start time, so that a reused id is never met
    except psutil.NoSuchProcess:
        pass
