"""The one exception by which the embedded server refuses a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Refusal"]


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of the server
    """Answer the request with this status and error instead of doing it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    @property
    def category(self) -> str:
        """The word before the slash of the code."""
        return self.code.partition("/")[0]
