"""The streaming comparison against a brute-force model of dictionaries, over random listings, states and cuts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudindex_provider.s3.page import ListedObject
from cloudindex_provider.state.records import ObjectRow, SweepWrites
from cloudindex_provider.sync.detect.comparison import Comparison

OWN = 1
IN_FLIGHT = ("uploading", "processing")
STATUSES = ("pending", "failed", "quarantined", "skipped", "indexed", "deleting", *IN_FLIGHT)
LISTS = ("insert", "insert_skipped", "requeue", "replace_wanted", "take_over", "restore", "skip", "forget", "removed")

etags = st.sampled_from(["e1", "e2"])
sizes = st.sampled_from([0, 1, 2])
ids = st.sampled_from([None, "d"])
key_names = st.text(alphabet="ab/\u00e9\uffee\U0001f600", min_size=1, max_size=3)


def select(key: str, size: int, storage_class: str) -> Any:
    """A selection with a reason by key, by size and by class."""
    if key.endswith("/"):
        return "folder_marker"
    return "empty" if not size else "archived" if storage_class == "GLACIER" else None


@st.composite
def listings(draw: st.DrawFn, key: str) -> ListedObject:
    return ListedObject(key, draw(etags), draw(sizes), "t", draw(st.sampled_from(["STANDARD", "GLACIER"])))


@st.composite
def states(draw: st.DrawFn, key: str) -> ObjectRow:
    document = draw(ids)
    return ObjectRow(
        key=key, source_id=draw(st.sampled_from([OWN, OWN, OWN, 2])), status=draw(st.sampled_from(STATUSES)),
        reason=draw(st.sampled_from([None, "empty", "opted_out", "folder_marker"])), etag=draw(etags),
        size=draw(sizes), document_id=document, indexed_etag=draw(etags) if document else None,
        indexed_size=draw(sizes) if document else None, upload_document_id=draw(ids), upload_etag=None,
        doubtful=draw(st.sampled_from([0, 1])), claim_owner=None, claim_until=None, revision=0,
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[ListedObject], list[ObjectRow]]:
    """A listing and a state, both in key order."""
    keys = draw(st.lists(st.tuples(key_names, st.sampled_from(["s3", "state", "both"])), unique_by=lambda k: k[0]))
    s3 = [draw(listings(key)) for key, where in keys if where != "state"]
    rows = [draw(states(key)) for key, where in keys if where != "s3"]
    return sorted(s3, key=lambda one: one.key.encode()), sorted(rows, key=lambda one: one.key.encode())


Verdict = tuple[str, str | None]  # what a key counts as, the list it is written to


def model(item: ListedObject | None, row: ObjectRow | None) -> Verdict:
    """The verdict by the rules, one key at a time."""
    if row is not None and row.source_id != OWN:
        return of_another(item, row) if item else ("", None)
    if item is None:
        assert row is not None
        return gone(row)
    reason = select(item.key, item.size, item.storage_class)
    if row is None:
        return ("skipped", "insert_skipped") if reason else ("new", "insert")
    same = (row.etag, row.size) == (item.etag, item.size)
    if row.status in IN_FLIGHT:
        return work(row), None if same or reason else "replace_wanted"
    indexed = row.document_id is not None and (row.indexed_etag, row.indexed_size) == (item.etag, item.size)
    if indexed and reason in (None, "archived"):
        return {"deleting": ("new", "requeue"), "indexed": ("unchanged", None)}.get(
            row.status, ("unchanged", "restore")
        )
    return unselected(row, reason, same) if reason else selected(row, same)


def of_another(item: ListedObject, row: ObjectRow) -> Verdict:
    """Another sync owns what it has or works on; what it only skips is ours to take."""
    wanted = not select(item.key, item.size, item.storage_class)
    free = row.status == "skipped" and not (row.document_id or row.upload_document_id or row.doubtful)
    return ("new", "take_over") if wanted and free else ("skipped", None)


def gone(row: ObjectRow) -> Verdict:
    has = row.document_id or row.upload_document_id or row.doubtful or row.status == "uploading"
    return ("removed", "removed") if has else ("", "forget")


def work(row: ObjectRow) -> str:
    return "changed" if row.indexed_etag else "new"


def unselected(row: ObjectRow, reason: str, same: bool) -> Verdict:
    return "skipped", None if row.status == "skipped" and row.reason == reason and same else "skip"


def selected(row: ObjectRow, same: bool) -> Verdict:
    if row.status == "deleting":
        return "new", "requeue"
    if row.status == "skipped" and row.reason == "opted_out" and same:
        return "skipped", None
    return work(row), None if same and row.status in ("pending", "failed", "quarantined") else "requeue"


def expected(listed: list[ListedObject], rows: list[ObjectRow]) -> tuple[Counter[str], set[tuple[str, str]]]:
    s3, state = {one.key: one for one in listed}, {one.key: one for one in rows}
    counts, writes = Counter({"listed": len(listed)}), set()
    for key in s3.keys() | state.keys():
        what, where = model(s3.get(key), state.get(key))
        counts[what] += 1
        if where:
            writes.add((where, key))
    counts["live"] = sum(1 for row in rows if row.source_id == OWN and row.document_id)
    return counts, writes


def findings(writes: SweepWrites) -> list[tuple[str, str]]:
    found = []
    for name in LISTS:
        for one in getattr(writes, name):
            found.append((name, one.key if hasattr(one, "key") else one[0].key))
    return found


def check(blocks: list[SweepWrites], listed: list[ListedObject], rows: list[ObjectRow]) -> None:
    counts, writes = expected(listed, rows)
    total: Counter[str] = Counter()
    for block in blocks:
        total.update(block.counts)
    found = [one for block in blocks for one in findings(block)]
    assert len(found) == len(set(found))
    assert set(found) == writes
    for name in ("listed", "unchanged", "new", "changed", "skipped", "removed", "live"):
        assert total[name] == counts[name], name
    assert total["listed"] == total["unchanged"] + total["new"] + total["changed"] + total["skipped"]
    assert total["skipped"] == sum(number for name, number in total.items() if name.startswith("skipped:"))


@given(worlds())
@settings(max_examples=250, deadline=None)
def test_the_merge_is_the_dictionary_comparison(world: tuple[list[ListedObject], list[ObjectRow]]) -> None:
    """Every key gets the verdict that it would get alone, and the counts balance."""
    listed, rows = world
    check([Comparison(OWN, select).block(listed, rows)], listed, rows)


@given(worlds(), st.lists(key_names, max_size=4))
@settings(max_examples=250, deadline=None)
def test_where_blocks_are_cut_changes_nothing(
    world: tuple[list[ListedObject], list[ObjectRow]], cuts: list[str]
) -> None:
    """Cut into ranges of keys at any places, the findings add up to those of the whole."""
    listed, rows = world
    comparison, blocks, low = Comparison(OWN, select), [], ""
    for high in [*sorted(cuts), "\U0010ffff" * 4]:
        part = [one for one in listed if low < one.key <= high]
        blocks.append(comparison.block(part, [one for one in rows if low < one.key <= high]))
        low = max(low, high)
    check(blocks, listed, rows)
