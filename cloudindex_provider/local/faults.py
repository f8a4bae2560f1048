"""What goes wrong on purpose: faults, and the registry that decides which of them meet a request.

Deciding only; ``responses`` and ``app`` perform. A request meets at most one fault that ends it, and every matching
fault that merely changes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Fault", "Faults", "Operation", "Plan"]

Operation = Literal["upload", "list", "get", "versions", "delete", "query", "integrations", "other"]

_MODIFIERS = frozenset({"delay", "partial_errors", "missing_entries", "rename"})


class Fault(BaseModel):
    """One thing that goes wrong.

    ``match`` is a part of a file name, document id or query text; of an upload it picks the files that
    ``partial_errors``, ``missing_entries`` and ``rename`` touch, and any matching file ends the whole request for the
    other kinds. The fault lets ``skip`` matching requests pass, then meets every ``every``-th, ``times`` times.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: Literal["upload", "list", "get", "versions", "delete", "query", "integrations", "*"] = "*"
    kind: Literal[
        "status",
        "429",
        "html",
        "delay",
        "cut_before",
        "cut_after",
        "cut_body",
        "late_commit",
        "garbage",
        "partial_errors",
        "missing_entries",
        "rename",
    ]
    times: int | None = Field(default=1, ge=1)  # None: always
    skip: int = Field(default=0, ge=0)
    every: int | None = Field(default=None, ge=1)
    status: int = 503  # of "status" and "html"
    delay: float = Field(default=0.0, ge=0)  # seconds, of "delay" and "late_commit"
    match: str = ""
    error_code: str | None = None
    retryable: bool | None = None  # of "partial_errors"
    retry_after: float | None = Field(default=None, ge=0)  # seconds, of "429" and "status"
    rename_to: str = "renamed-{name}"

    def touches(self, subject: str) -> bool:
        """Whether a file name, id or query text is meant."""
        return self.match in subject


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request meets: an ending, or None, and changes."""

    ending: Fault | None = None
    changes: tuple[Fault, ...] = ()

    @property
    def delay(self) -> float:
        """Seconds to wait before anything is done."""
        return sum(fault.delay for fault in self.changes if fault.kind == "delay")

    def change(self, kind: str, subject: str) -> Fault | None:
        """The first change of this kind that touches the subject."""
        return next((fault for fault in self.changes if fault.kind == kind and fault.touches(subject)), None)


@dataclass(slots=True)
class _Active:
    fault: Fault
    seen: int = 0
    fired: int = 0

    def fires(self) -> bool:
        """Count one matching request; say whether it is this fault's turn."""
        fault = self.fault
        if fault.times is not None and self.fired >= fault.times:
            return False
        self.seen += 1
        turn = self.seen - fault.skip - 1
        if turn < 0 or (fault.every is not None and turn % fault.every != 0):
            return False
        self.fired += 1
        return True


@dataclass(slots=True)
class Faults:
    """The faults that wait for their request. Safe to use from any thread."""

    _active: list[_Active] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _fired: int = 0

    def add(self, *faults: Fault) -> None:
        """Queue faults behind those already there."""
        with self._lock:
            self._active.extend(_Active(fault) for fault in faults)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._active.clear()

    @property
    def fired(self) -> int:
        """How many times a fault met a request, since the start."""
        return self._fired

    @property
    def waiting(self) -> list[Fault]:
        """The faults that can still meet a request."""
        with self._lock:
            return [a.fault for a in self._active if a.fault.times is None or a.fired < a.fault.times]

    def plan(self, operation: Operation, subjects: Sequence[str]) -> Plan:
        """Take what this request meets; ``subjects`` are its file names, its document id, or its query text."""
        ending: Fault | None = None
        changes: list[Fault] = []
        with self._lock:
            for active in self._active:
                fault = active.fault
                if not _concerns(fault, operation, subjects) or (ending and fault.kind not in _MODIFIERS):
                    continue
                if active.fires():
                    self._fired += 1
                    if fault.kind in _MODIFIERS:
                        changes.append(fault)
                    else:
                        ending = fault
        return Plan(ending, tuple(changes))


def _concerns(fault: Fault, operation: Operation, subjects: Iterable[str]) -> bool:
    if fault.operation not in ("*", operation):
        return False
    # A list has no subject, yet a list fault may name the documents that it hides.
    return not fault.match or operation == "list" or any(fault.touches(subject) for subject in subjects)
