"""Numbers, sizes, times and keys as people read them: in logs, messages, commands and reports. Pure; imports nothing.

Numbers have separators of thousands, nouns their plural. What somebody else has chosen (a key, a service's words) is
shown whole where it is short, cut where it is long, and with nothing in it that acts on a terminal or ends a line.
"""

from __future__ import annotations

import math

__all__ = ["count", "duration", "plain", "quoted", "shortened", "size", "verb"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_LONGEST_KEY = 160  # characters of a key in a line that names several
_LONGEST_TEXT = 2_000  # characters of a service's words


def count(number: int, noun: str, plural: str | None = None) -> str:
    """For example: 1 document, 1,200 documents, 3 keys of this sync (``plural``: where it isn't an s)."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def verb(number: int, one: str = "is", more: str = "are") -> str:
    """The verb that goes with so many."""
    return one if number == 1 else more


def size(number: float) -> str:
    """Bytes, decimal as S3's console shows them. For example: 999 bytes, 1.0 kB, 250 MB."""
    if number == 1:
        return "1 byte"
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:,.0f} {unit}" if unit == "bytes" or number >= 99.5 else f"{number:.1f} {unit}"


def duration(seconds: float) -> str:
    """For example: 40 s, 25 min, 3 h 20 min, 2 days 4 h. Rounded up."""
    if seconds <= 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days:,} days {hours} h" if hours else f"{days:,} days"


def plain(text: str) -> str:
    """The text with every character escaped that can't be seen, ends a line, or moves a cursor."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shortened(text: str, most: int = _LONGEST_TEXT) -> str:
    """``plain``, and its beginning alone where it is longer than that."""
    text = plain(text)
    return text if len(text) <= most else f"{text[: most - 2].rstrip()} …"


def quoted(key: str, most: int = _LONGEST_KEY) -> str:
    """A key in quotes, harmless and of a bounded length; its end, where names differ, is kept."""
    shown = repr(key)
    half = most // 2
    return shown if len(shown) <= most else f"{shown[:half]} … {shown[-half:]}"
