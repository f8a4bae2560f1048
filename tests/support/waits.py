"""A ``sleep`` for clients under test."""

from __future__ import annotations


class Waits(list[float]):
    """A ``sleep`` that only notes."""

    __call__ = list.append
