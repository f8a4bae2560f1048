"""A count of the report is declared once, and everything that names the counts names those."""

from __future__ import annotations

import re
from pathlib import Path

from cloudindex_provider.state.counts import COUNTS, DETECTED, FATES, PARTS_OF_LISTED, REPORTED, WORK_FOUND
from cloudindex_provider.sync.report.report import SyncReport
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

GUIDE = Path(__file__).parents[2] / "docs" / "how-it-works.md"


def test_a_count_is_declared_once() -> None:
    """Names differ, and each says what it means."""
    names = [one.name for one in COUNTS]
    assert len(set(names)) == len(names)
    assert all(one.meaning for one in COUNTS)


def test_the_sums_are_those_that_users_are_told() -> None:
    """What must add up is what docs/how-it-works.md says."""
    assert set(PARTS_OF_LISTED) == {"unchanged", "new", "changed", "skipped"}
    assert set(FATES) == {"indexed", "failed", "quarantined", "deferred", "gone", "elsewhere"}
    assert set(WORK_FOUND) < set(PARTS_OF_LISTED) < set(DETECTED)
    text = " ".join(GUIDE.read_text(encoding="utf-8").split())
    assert f"`new + changed = {' + '.join(FATES)}`" in text


def test_the_guide_s_table_is_the_declaration() -> None:
    """A row a count that the report shows, in its order, with its meaning."""
    section = GUIDE.read_text(encoding="utf-8").partition("## Counts of the report")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == [(one.name, one.meaning) for one in COUNTS if one.reported]


def test_the_operator_s_docstring_names_the_counts() -> None:
    """Whoever reads the operator's documentation finds every key of what it returns."""
    listed = " ".join(str(S3ToCloudIndexOperator.__doc__).split()).partition("the counts ``")[2].partition("``")[0]
    assert tuple(re.findall(r"\w+", listed)) == REPORTED


def test_the_summary_names_what_is_not_zero_in_the_declared_order() -> None:
    """The line in the log."""
    report = SyncReport(counts={"bytes": 4_000, "indexed": 2, "listed": 3, "failed": 0})
    assert report.numbers() == "listed 3, indexed 2, bytes 4,000"
