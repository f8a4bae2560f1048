"""When a sync's silence needs a person, and when it is as it should be."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.plugins.verdict import Facts, judge

HOUR, DAY = 3600.0, 86400.0
NOW = 1_000 * DAY


def headline(*, ago: float, gap: float, next_in: float | None, **more: Any) -> str:
    """Of a sync that was listed so long ago, by the last of runs that were so far apart."""
    listed = NOW - ago
    values: dict[str, Any] = {
        "statuses": {}, "held": 0, "run_state": "success", "run_ended": True, "last_listing_at": listed,
        "is_paused": False, "run_starts": [listed - 10 - n * gap for n in range(5)], "now": NOW,
        "next_run_at": None if next_in is None else NOW + next_in,
    }  # fmt: skip
    return judge(Facts(**values | more)).headline


@pytest.mark.parametrize(
    ("why", "facts"),
    [
        ("a sync of office hours, at night", {"ago": 12 * HOUR, "gap": HOUR, "next_in": 2 * HOUR}),
        ("one that was run by hand twice, and is left alone", {"ago": DAY, "gap": 300.0, "next_in": None}),
        ("one that is a little late", {"ago": 2 * HOUR, "gap": HOUR, "next_in": -60.0}),
    ],
)
def test_a_sync_that_does_what_it_is_to_do_is_in_step(why: str, facts: dict[str, Any]) -> None:
    assert headline(**facts) == "In step", why


@pytest.mark.parametrize(
    ("why", "facts", "said"),
    [
        ("Airflow starts no runs", {"ago": 5 * HOUR, "gap": HOUR, "next_in": -4 * HOUR}, "Not run for 5 h"),
        ("nobody has run it", {"ago": 8 * DAY, "gap": 300.0, "next_in": None}, "Not run for 8 days"),
        (
            "paused",
            {"ago": 5 * HOUR, "gap": HOUR, "next_in": None, "is_paused": True},
            "Paused, not run for 5 h",
        ),
        (
            "runs since have listed nothing whole",
            {"ago": 12 * HOUR, "gap": HOUR, "next_in": HOUR, "run_starts": [NOW - n * HOUR for n in range(1, 9)]},
            "Not run for 12 h",
        ),
        (
            "by no DAG of Airflow's",
            {"ago": 5 * HOUR, "gap": HOUR, "next_in": None, "is_paused": None, "run_state": None},
            "Not run for 5 h",
        ),
    ],
)
def test_silence_that_is_unusual_is_said(why: str, facts: dict[str, Any], said: str) -> None:
    assert headline(**facts) == said, why
