"""The Airflow releases that this package supports. A new one is a line here; the matrix says when one is missing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OLDEST", "PYTHONS", "RELEASES", "TESTED", "Release", "UnknownReleaseError", "release"]

PYTHONS = ("3.11", "3.12", "3.13")


class UnknownReleaseError(Exception):
    """Not one of ours; its text names those that are."""


@dataclass(frozen=True)
class Release:
    """One release of apache-airflow.

    What stands in its official constraints is what the package index had on that day, so the day stands in for them
    where the file can't be had.
    """

    version: str
    day: str  # of its upload to PyPI
    tested: bool = False  # in `make test-matrix`; all are resolved

    @property
    def cutoff(self) -> str:
        """What was uploaded later isn't beside it: the end of that day."""
        return f"{self.day}T23:59:59Z"


RELEASES = (
    Release("3.2.0", "2026-04-07"),
    Release("3.2.1", "2026-04-22", tested=True),  # what Amazon MWAA has of 3.2
    Release("3.2.2", "2026-05-29", tested=True),
    Release("3.3.0", "2026-07-06"),
    Release("3.3.1", "2026-08-12", tested=True),
    Release("3.3.2", "2026-09-17", tested=True),
    Release("3.4.0b2", "2026-10-20", tested=True),
)
TESTED = tuple(one for one in RELEASES if one.tested)
OLDEST = RELEASES[0]


def release(version: str) -> Release:
    """The release of that version.

    :raises UnknownReleaseError: when it isn't supported
    """
    for one in RELEASES:
        if one.version == version:
            return one
    known = ", ".join(one.version for one in RELEASES)
    raise UnknownReleaseError(f"Airflow {version} isn't one of the supported versions: {known}.")
