"""The end of a run as a table, and in one paragraph: what a person reads first, in words that are right."""

from __future__ import annotations

from typing import Any

import pytest

from cloudindex_provider.sync.report.estimate import Estimate
from cloudindex_provider.sync.report.overlaps import Overlap
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.sync.report.summary import Problem, things_to_do
from cloudindex_provider.sync.report.table import table


def report(**changes: Any) -> SyncReport:
    values: dict[str, Any] = {"project_id": "p-1", "bucket": "b", "prefix": "docs/", "source_id": 7} | changes
    return SyncReport(**values)


def row(key: str, reason: str | None = None, **more: str) -> dict[str, str | None]:
    return {"key": key, "reason": reason, **more}


def test_every_outcome_has_a_line_with_its_count_and_its_first_keys() -> None:
    """In the order in which the counts are declared, numbers below each other."""
    found = report(
        counts={"listed": 1_250, "uploaded": 1_200, "failed": 1, "deleted": 5, "skipped": 44, "bytes": 9},
        uploaded=[row(f"docs/{n}.txt") for n in range(20)],
        failures=[row("docs/bad.pdf", "no text in it", outcome="failed")],
        deleted=[row(f"docs/old{n}", size="12 kB") for n in range(5)],
        skips=[row("docs/a.bin", "unsupported_type")],
        skipped_by_reason={"unsupported_type": 43, "empty": 1},
    )
    assert table(found) == [
        "listed    1,250",
        "skipped      44  empty 1, unsupported_type 43: 'docs/a.bin' (unsupported_type); and 43 more",
        "uploaded  1,200  'docs/0.txt'; 'docs/1.txt'; 'docs/2.txt'; and 1,197 more",
        "failed        1  'docs/bad.pdf'",
        "deleted       5  'docs/old0' (12 kB); 'docs/old1' (12 kB); 'docs/old2' (12 kB); and 2 more",
    ]


@pytest.mark.parametrize("key", ["docs/a\nERROR forged", "docs/\x1b[2J", "docs/\u202efdp", "docs/" + "x" * 1019])
def test_no_key_breaks_a_line_of_the_table_or_floods_it(key: str) -> None:
    """Somebody else has chosen it."""
    found = report(counts={"deferred": 1}, deferred=[row(key, key)])
    [line] = table(found)
    assert line.isprintable()
    assert len(line) < 300
    assert found.summary().isprintable()


def test_a_run_that_found_nothing_has_no_table() -> None:
    """Nothing is no table of zeros."""
    assert table(report(counts={"listed": 0})) == []


def test_a_green_run_in_which_all_is_in_step_says_so() -> None:
    """And one needs no more than that, and the numbers."""
    found = report(counts={"listed": 3, "unchanged": 2, "uploaded": 1, "indexed": 1})
    assert found.summary() == (
        "s3://b/docs/ is in step with CloudIndex project p-1. Of 3 objects: 1 document uploaded, 1 key in step by now,"
        " 2 unchanged."
    )
    assert things_to_do(found) == []


def test_what_is_not_in_step_is_never_called_so() -> None:
    """Of each kind of leftover, one is enough."""
    for name in ("failed", "quarantined", "deferred", "gone", "elsewhere", "held", "kept", "stale"):
        assert "is in step" not in report(counts={"listed": 3, name: 1}).summary()


@pytest.mark.parametrize(
    ("named", "counts", "said"),
    [
        (
            1, {"listed": 1, "uploaded": 1, "indexed": 1},
            "1 named key of s3://b/docs/ is in step with CloudIndex project p-1; the run was about no other. Of 1 key:"
            " 1 document uploaded, 1 key in step by now.",
        ),
        (
            2, {"listed": 1, "unchanged": 1, "deleted": 1},
            "2 named keys of s3://b/docs/ are in step with CloudIndex project p-1; the run was about no other. Of 2"
            " keys: 1 key's documents deleted, 1 unchanged.",
        ),
        (0, {"listed": 0}, "No key was named."),
    ],
)  # fmt: skip
def test_a_run_of_named_keys_says_nothing_of_the_others(named: int, counts: dict[str, int], said: str) -> None:
    """It hasn't looked at them."""
    assert report(named=named, counts=counts).summary() == said


def test_a_red_run_names_first_what_a_person_must_do() -> None:
    """Before the numbers, and held deletes before a failed document."""
    found = report(
        counts={"listed": 9, "failed": 1, "held": 5},
        failures=[row("docs/bad.pdf", "no text in it", outcome="failed")],
        held_reason="5 removals are more than the limit",
        held_remedy="Approve them.",
        problems=[
            Problem("SyncFailedError", "The sync isn't complete, because of upload."),
            Problem("AuthenticationError", "The key isn't taken.", "Write the new one.", task="upload"),
        ],
    )
    assert things_to_do(found) == [
        "upload: The key isn't taken. Write the new one.",
        "5 deletes are held: 5 removals are more than the limit. Approve them.",
        "1 key has failed. The first is 'docs/bad.pdf': no text in it. The next run tries again.",
    ]
    assert found.summary() == (
        "The sync of s3://b/docs/ to CloudIndex project p-1 failed. First: upload: The key isn't taken. Write the new"
        " one. 2 more things to do: see the log. Of 9 objects: 1 failed, 5 deletes held."
    )


def test_a_red_run_of_which_no_more_is_known_says_why_it_is_red() -> None:
    """The error alone is still an answer."""
    found = report(problems=[Problem("SyncFailedError", "The sync didn't run.", "The log says why.")])
    assert found.summary() == (
        "The sync of s3://b/docs/ to CloudIndex project p-1 failed. First: The sync didn't run. The log says why."
    )


def test_a_backlog_and_the_page_end_the_paragraph() -> None:
    """Whoever is notified goes on from there."""
    left = Estimate(1_000, 1, 10**7, requests_per_minute=10)
    found = report(counts={"listed": 1_000, "deferred": 1_000}, left=left, page_url="https://airflow/plugin/cloudindex")
    assert found.summary().endswith(
        " 1,000 left to the next run. Still to upload: 1,000 documents, about 5 min at 10 requests a minute."
        " https://airflow/plugin/cloudindex"
    )


def test_an_overlap_is_something_to_do() -> None:
    """With the other sync's name and the remedy."""
    other = Overlap(3, "docs/a/", "", ("other",), 1, ("docs/a/1",), "They belong to DAG 'other'.")
    found = report(counts={"listed": 1, "skipped": 1}, overlaps=[other])
    assert things_to_do(found) == [
        "1 key is skipped because another sync has it. They belong to DAG 'other'."
    ]  # fmt: skip
    assert "First: 1 key is skipped" in found.summary()
