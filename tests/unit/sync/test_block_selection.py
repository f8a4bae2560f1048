"""Whole blocks of the comparison: what they decide at once is what is decided key by key."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudindex_provider.s3.page import ListedObject, ListedPage
from cloudindex_provider.state.blocks import SETTLED, UNSETTLED, KnownLines
from cloudindex_provider.state.records import ObjectRow
from cloudindex_provider.sync.detect.comparison import Comparison
from cloudindex_provider.sync.selection import block_selector, selector
from cloudindex_provider.sync.settings import Selection

OWN = 1
keys = st.sampled_from(
    [
        "a.txt",
        "b.TXT",
        "c.pdf",
        "d/",
        "e",
        "pdf",
        ".pdf",
        "f.\u212aey",
        "g.key",
        "h.tar.gz",
        "i.a.b/c",
        "j.",
        "k\0.txt",
        "l\t.txt",
        "m\n.txt",
        "n\te\t1\t\nn.txt",
    ]
)
selections = st.builds(
    Selection,
    include=st.sampled_from([(), ("*.txt", "*.pdf"), ("a*",)]),
    exclude=st.sampled_from([(), ("*e*",)]),
    file_types=st.sampled_from([("txt", "pdf"), ("*",), ("key", "gz", "")]),
    max_file_size=st.sampled_from([2, 100]),
)
items = st.builds(
    ListedObject, keys, st.sampled_from("ef"), st.integers(0, 3), st.just("t"), st.sampled_from(["STANDARD", "GLACIER"])
)
listings = st.lists(items, max_size=6, unique_by=lambda item: item.key).map(sorted)


@given(selections, listings)
@settings(max_examples=400, deadline=None)
def test_a_block_is_selected_only_if_every_key_is(selection: Selection, listed: list[ListedObject]) -> None:
    """Never true where one key is skipped."""
    one, page = selector(selection), ListedPage.of(listed)
    if block_selector(selection)(page.keys, page.sizes, page.classes):
        assert {one(item.key, item.size, item.storage_class) for item in listed} == {None}


@st.composite
def rows(draw: st.DrawFn, item: ListedObject) -> ObjectRow:
    """A row that is often what S3 still has."""
    status = draw(st.sampled_from(["indexed", "indexed", "skipped", "skipped", "pending", "deleting", "processing"]))
    document = draw(st.sampled_from(["d", "d", None])) if status != "skipped" else draw(st.sampled_from([None, "d"]))
    etag = draw(st.sampled_from([item.etag, item.etag, item.etag, "x"]))
    return ObjectRow(
        key=item.key, source_id=draw(st.sampled_from([OWN, OWN, OWN, 2])), status=status,
        reason=draw(st.sampled_from([None, "unsupported_type", "empty", "excluded"])), etag=etag, size=item.size,
        document_id=document, indexed_etag=draw(st.sampled_from([etag, etag, "y"])) if document else None,
        indexed_size=item.size if document else None, upload_document_id=draw(st.sampled_from([None, None, "u"])),
        upload_etag=None, doubtful=draw(st.sampled_from([0, 0, 1])), claim_owner=None, claim_until=None, revision=1,
    )  # fmt: skip


def line(row: ObjectRow) -> str:
    """As the state's query writes it."""
    mark = None
    if row.source_id == OWN and row.status == "indexed" and row.document_id:
        mark = SETTLED if (row.indexed_etag, row.indexed_size) == (row.etag, row.size) else None
    elif row.source_id == OWN and row.status == "skipped" and not row.has_document:
        mark = row.reason
    return f"{row.key}\t{row.etag}\t{row.size}\t{UNSETTLED if mark is None else mark}"


@given(selections, listings, st.data())
@settings(max_examples=600, deadline=None)
def test_settled_keys_are_those_without_a_write(
    selection: Selection, listed: list[ListedObject], data: st.DataObject
) -> None:
    """Counts and writes of a block are the same, with and without taking its settled keys out first."""
    known = [item for item in listed if "\0" not in item.key and data.draw(st.booleans())]
    gone = [one for one in data.draw(listings) if "\0" not in one.key and one.key not in {i.key for i in listed}]
    state = [data.draw(rows(item)) for item in sorted(known + gone)]
    slow = Comparison(OWN, selector(selection)).block(listed, state)
    fast = Comparison(OWN, selector(selection), block_selector(selection))
    lines = KnownLines(len(state), "\n".join(map(line, state)))
    settled = fast.settled(ListedPage.of(listed), lines)
    if settled is None:
        assert any(sign in one.key for one in [*listed, *gone] for sign in "\t\n")
        return
    counts, rest = settled
    writes = fast.block([listed[at] for at in rest.listed], [one for one in state if one.key in rest.known])
    assert +(Counter(writes.counts) + Counter(counts)) == +Counter(slow.counts)
    writes.counts = slow.counts = {}
    assert writes == slow


@given(selections, listings)
@settings(max_examples=200, deadline=None)
def test_keys_that_the_state_has_none_of_are_judged_at_once(selection: Selection, listed: list[ListedObject]) -> None:
    """A page of new keys is what it is key by key."""
    comparison = Comparison(OWN, selector(selection), block_selector(selection))
    at_once, one_by_one = comparison.first_seen(ListedPage.of(listed)), comparison.block(listed, [])
    assert +Counter(at_once.counts) == +Counter(one_by_one.counts)
    at_once.counts = one_by_one.counts = {}
    assert at_once == one_by_one
