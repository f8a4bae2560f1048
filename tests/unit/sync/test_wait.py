"""How documents that are processing are looked up: one list or single gets, whichever takes less time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudindex_provider.state.budgets import ListCost
from cloudindex_provider.sync.wait import list_is_cheaper

MINUTE = 0.606  # seconds between requests at 100 a minute


def test_without_a_limit_a_short_list_is_cheaper_than_two_gets_and_a_long_one_is_not():
    assert list_is_cheaper(2, ListCost(1, 1000), spacing=0.0)
    assert not list_is_cheaper(2, ListCost(1, 10_000), spacing=0.0)
    assert list_is_cheaper(400, ListCost(1, 1_000_000), spacing=0.0)
    assert not list_is_cheaper(300, ListCost(1, 1_000_000), spacing=0.0)


def test_under_a_rate_limit_requests_are_dear_and_reading_is_not():
    """At 100 requests a minute, thirty gets take as long as reading a list of a million documents."""
    assert not list_is_cheaper(20, ListCost(1, 1_000_000), spacing=MINUTE)
    assert list_is_cheaper(30, ListCost(1, 1_000_000), spacing=MINUTE)


def test_a_list_in_pages_costs_a_request_for_each():
    assert not list_is_cheaper(100, ListCost(100, 10_000), spacing=MINUTE)
    assert list_is_cheaper(102, ListCost(100, 10_000), spacing=MINUTE)


@given(requests=st.integers(1, 100), documents=st.integers(0, 10**7), spacing=st.floats(0, 60))
def test_one_document_is_always_asked_for_alone(requests, documents, spacing):
    assert not list_is_cheaper(1, ListCost(requests, documents), spacing=spacing)


@given(
    waiting=st.integers(1, 10**5), requests=st.integers(1, 100), documents=st.integers(0, 10**7),
    spacing=st.floats(0, 60),
)  # fmt: skip
def test_more_to_wait_for_never_turns_a_list_into_gets(waiting, requests, documents, spacing):
    listing = ListCost(requests, documents)
    if list_is_cheaper(waiting, listing, spacing=spacing):
        assert list_is_cheaper(waiting + 1, listing, spacing=spacing)
