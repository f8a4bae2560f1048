"""Whoever wants to know how the service's requests fare: told of each answer and each repeat, and of nothing else."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Observer"]


class Observer(Protocol):
    """Told by any thread; raises nothing.

    ``operation`` is the call's name, such as "upload documents".
    """

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """A request has ended. ``status`` is 0 where no answer came; ``seconds`` go to the answer's head, of a list."""

    def repeated(self, operation: str) -> None:
        """A request that has failed is sent once more, in place."""
