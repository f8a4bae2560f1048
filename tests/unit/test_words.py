"""Numbers, sizes, times and keys as people read them."""

from __future__ import annotations

import pytest

from cloudindex_provider.words import count, duration, plain, quoted, shortened, size

MB = 1_000_000


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 documents"), (1, "1 document"), (2, "2 documents"), (12_345, "12,345 documents")]
)
def test_one_is_told_as_one_and_thousands_are_separated(number: int, said: str) -> None:
    """In every message: who counts doesn't care about grammar, who reads does."""
    assert count(number, "document") == said


def test_a_plural_that_is_no_s_is_given() -> None:
    """The noun may be more than a word."""
    assert count(1, "key is", "keys are") == "1 key is"
    assert count(2, "key is", "keys are") == "2 keys are"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (0.2, "1 s"), (90, "90 s"), (91, "2 min"), (119 * 60, "119 min"), (119 * 60 + 1, "2 h"),
        (3 * 3600 + 19 * 60 + 1, "3 h 20 min"), (48 * 3600, "2 days"), (52 * 3600, "2 days 4 h"),
    ],
)  # fmt: skip
def test_a_time_is_said_as_people_do_and_rounded_up(seconds: float, said: str) -> None:
    """Seconds below a minute and a half, then minutes, hours, days."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (99_400, "99.4 kB"), (999_600, "1.0 MB"),
     (250 * MB, "250 MB"), (10**15, "1,000 TB")],
)  # fmt: skip
def test_sizes_are_decimal(number: int, said: str) -> None:
    """As S3's console shows them."""
    assert size(number) == said


@pytest.mark.parametrize("evil", ["a\nERROR forged", "a\x1b[2Jb", "a\u202efdp.exe", "a\u2028b", "a\ud800b", "a\u200bb"])
def test_no_character_of_a_key_or_of_a_service_acts(evil: str) -> None:
    """A line ends where the log ends it, a terminal isn't cleared, and text reads from left to right."""
    for shown in (quoted(evil), plain(evil), shortened(evil)):
        assert shown.isprintable()
        assert len(shown.splitlines()) == 1
        assert shown != evil


def test_what_people_write_stays_as_it_is() -> None:
    """Umlauts, other scripts and emoji are no danger."""
    assert plain("Prüfung 検査 🙂") == "Prüfung 検査 🙂"
    assert quoted("docs/Prüfung.txt") == "'docs/Prüfung.txt'"


def test_a_long_key_is_cut_in_its_middle() -> None:
    """1,024 bytes would push everything else off the line; folder and name are what one looks for."""
    shown = quoted("docs/" + "x" * 1010 + "end.pdf")
    assert len(shown) < 170
    assert shown.startswith("'docs/x")
    assert shown.endswith("xend.pdf'")
    assert len(shortened("y" * 9000)) < 2010
