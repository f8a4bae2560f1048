"""Reads the extras of a connection one by one, and names what is wrong with one.

A value is shown where it can be no secret; of certificates and proxies only its form is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudindex_provider.api.redact import redact
from cloudindex_provider.api.tls import Certificate, read_certificate
from cloudindex_provider.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["Extras"]

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "off", "0", "f", "n"), False),
}


@dataclass(frozen=True, slots=True)
class Extras:
    """Absent, null and an empty form field are the same, ``None``.

    Everything may come as text: every extra of a connection that is written as a URI does.
    """

    conn_id: str
    values: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False, default=())

    @classmethod
    def of(cls, connection: Connection) -> Extras:
        """The extras of a connection.

        :raises ConfigurationError: they are no JSON object
        """
        # Not extra_dejson: it turns broken JSON into no settings at all, and its masking blocks inside a trigger.
        try:
            values = json.loads(connection.extra) if connection.extra else {}
        except ValueError:  # its text and its object hold the whole of them
            values = None
        if not isinstance(values, dict):
            form = "not JSON" if values is None else "not a JSON object"
            message = f"the extras of connection {connection.conn_id!r} are {form}."
            raise ConfigurationError(message, hint='Write an object, such as {"project_id": "..."}.')
        key = connection.password or ""
        return cls(connection.conn_id, values, (key, repr(key)[1:-1]))

    def unknown(self, known: Collection[str]) -> list[str]:
        """The names that mean nothing."""
        return sorted(redact(name, self.secrets) for name in self.values if name not in known)

    def text(self, name: str) -> str | None:
        value = self._given(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, value, "Write it as text.")

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        value = self._given(name)
        if value is None or value in choices:
            return None if value is None else str(value)
        if isinstance(value, str) and not value.isalpha():  # a key, perhaps, which belongs elsewhere
            value = _Unshown(value)
        raise self._wrong(name, value, f"Write {' or '.join(choices)}.")

    def flag(self, name: str) -> bool | None:
        value = self._given(name)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).lower()
        if word in _WORDS:
            return _WORDS[word]
        raise self._wrong(name, _Unshown(value), "Write true or false.")

    def flag_or_path(self, name: str) -> bool | str | None:
        """True or false, or the path of a file or directory; ``true`` may be text."""
        value = self._given(name)
        if value is None or isinstance(value, bool):
            return value
        if not isinstance(value, str | int):
            raise self._wrong(name, _Unshown(value), "Write true, false, or the path of a file or directory.")
        return _WORDS.get(str(value).lower(), str(value))

    def certificate(self, name: str) -> Certificate | None:
        """A path, or a list of two paths and a password, which may be the text of a JSON list."""
        value = self._given(name)
        if isinstance(value, str) and value.startswith("["):
            try:
                value = json.loads(value)
            except ValueError:
                raise self._wrong(name, _Unshown(value), "Write a path, or a JSON list of paths.") from None
        if value is None:
            return None
        try:
            return read_certificate(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"connection {self.conn_id!r}: {error.message}", hint=error.hint) from None

    def url(self, name: str) -> str | None:
        """A text that may hold a password."""
        value = self._given(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, _Unshown(value), "Write one URL as text; it serves for every address.")

    def web_address(self, name: str) -> str | None:
        """Where a browser is sent."""
        value = self._given(name)
        if value is None or (isinstance(value, str) and value.startswith(("https://", "http://"))):
            return value
        raise self._wrong(name, _Unshown(value), "Write an address that begins with https://.")

    def seconds(self, name: str) -> float | None:
        value = self._number(name, float)
        if value is None or 0 < value < float("inf"):
            return value
        raise self._wrong(name, value, "Write a number of seconds above 0.")

    def count(self, name: str) -> int | None:
        value = self._number(name, int)
        if value is None or value > 0:
            return None if value is None else int(value)
        raise self._wrong(name, value, "Write a whole number above 0.")

    def _given(self, name: str) -> Any:
        value = self.values.get(name)
        value = value.strip() if isinstance(value, str) else value
        return None if value == "" else value

    def _number(self, name: str, kind: type[int] | type[float]) -> float | None:
        value = self._given(name)
        if value is None:
            return None
        remedy = f"Write a {'whole ' if kind is int else ''}number above 0."
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self._wrong(name, value, remedy)
        try:
            number = kind(value)
        except (ValueError, OverflowError):
            raise self._wrong(name, value, remedy) from None
        if isinstance(value, float) and number != value:
            raise self._wrong(name, value, remedy)
        return number

    def _wrong(self, name: str, value: object, remedy: str) -> ConfigurationError:
        shown = redact(repr(value), self.secrets)
        return ConfigurationError(f"the extra {name} of connection {self.conn_id!r} is {shown}.", hint=remedy)


class _Unshown:
    """A value of which a message says only what it looks like."""

    def __init__(self, value: object) -> None:
        self._form = f"a text of {len(value)} characters" if isinstance(value, str) else f"a {type(value).__name__}"

    def __repr__(self) -> str:
        return self._form
