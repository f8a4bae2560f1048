"""What all errors of this package have: a message, what to do, and fields that may be stored and shown."""

from __future__ import annotations

from typing import Any, ClassVar, Self

__all__ = [
    "ProviderError",
]


class ProviderError(Exception):
    """Base of all errors of this package.

    :param message: one sentence saying what is wrong, free of secrets
    :param hint: one sentence saying what to do; default: the type's own
    :param retry_after: seconds to wait before another try, where that is known
    """

    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""
    field_names: ClassVar[tuple[str, ...]] = ("hint", "retry_after")

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.retry_after = retry_after

    def fields(self) -> dict[str, Any]:
        """The allow-list of what may be logged, stored or shown; ``from_fields`` makes the same error of them again."""
        return {"message": self.message} | {name: getattr(self, name) for name in self.field_names}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """The error of this type that has these fields."""
        return cls(**fields)

    def saying(self, message: str, **changes: Any) -> Self:
        """An error of the same type and fields with another message."""
        return self.from_fields(self.fields() | {"message": message} | changes)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by args alone; Airflow and process pools need the fields too.
        return (self.from_fields, (self.fields(),))
