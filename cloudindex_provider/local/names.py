"""What an Express backend with multer makes of an uploaded file name (measured on multer 1.4.5 and 2.5)."""

from __future__ import annotations

import re

__all__ = ["MalformedNameError", "express_name"]

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPES = ((b"%22", b'"'), (b"%0A", b"\n"), (b"%0D", b"\r"))


class MalformedNameError(ValueError):
    """The name holds a control byte: Express answers 500 to the whole request."""


def express_name(raw: bytes, *, decode_percent: bool) -> str | None:
    """The file name that the backend sees, or None for a file that it drops in silence.

    ``raw`` is the value of the plain ``filename`` parameter, unquoted. It is read as latin-1, so a UTF-8 ``ü`` comes
    out as ``Ã¼``. Raises ``MalformedNameError``.
    """
    if _CONTROL.search(raw):
        raise MalformedNameError("Malformed part header")
    if decode_percent:
        for escape, byte in _ESCAPES:
            raw = raw.replace(escape, byte)
    name = re.split(rb"[/\\]", raw)[-1].decode("latin-1")
    return None if name in ("", ".", "..") else name
