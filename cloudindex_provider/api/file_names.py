"""What a server may make of the name of an uploaded file. Pure.

The service is an Express backend. Measured on Express with multer 1.4.5 and 2.5: folders are stripped at ``/`` and
``\\\\``, the name is read as Latin-1 though it was sent as UTF-8 (``ü`` arrives as ``Ã¼``), some versions decode the
``%22 %0A %0D`` that a form writes for ``"`` and line ends, and a name of which nothing is left is dropped in silence.
"""

from __future__ import annotations

import re
import unicodedata

from cloudindex_provider.api.multipart import quote
from cloudindex_provider.api.redact import clean

__all__ = ["is_dropped", "server_names"]

_LONGEST = 1000  # characters that are kept of a document's name when an answer is read (``parse``)
_ESCAPES = ((b"%22", b'"'), (b"%0A", b"\n"), (b"%0D", b"\r"))


def server_names(name: str) -> frozenset[str]:
    """Every name that a document of this file may have, as an answer's reading gives it.

    >>> sorted(server_names("a/prüfung.txt"))
    ['a/prÃ¼fung.txt', 'a/prüfung.txt', 'prÃ¼fung.txt', 'prüfung.txt']
    """
    sent = quote(name)
    decoded = sent
    for escape, byte in _ESCAPES:
        decoded = decoded.replace(escape, byte)
    read = {raw.decode(encoding, "replace") for raw in (sent, decoded) for encoding in ("utf-8", "latin-1")}
    read |= {name} | {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    return frozenset(clean(one, limit=_LONGEST) for whole in read for one in (whole, _last_part(whole))) - {""}


def is_dropped(name: str) -> bool:
    """Whether a server drops a file of this name without a word."""
    return _last_part(name).strip() in ("", ".", "..")


def _last_part(name: str) -> str:
    return re.split(r"[/\\]", name)[-1]
