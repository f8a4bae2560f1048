"""What the page makes of texts and numbers, by its own files in a real browser; no Airflow is needed for that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from cloudindex_provider import words

pytestmark = [pytest.mark.e2e]

# Elements are what they would show: React itself is the host's.
HOST = """
const show = (one) => Array.isArray(one) ? one.map(show).join("") : String(one ?? "");
globalThis.React = {
  createElement: (kind, props, ...children) =>
    typeof kind === "function" ? kind({...props, children}) : props?.title ? `[${show(children)}]` : show(children),
};
"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A blank page with the module ``text``."""
    page = browser.new_page()
    page.evaluate(HOST)
    source = files("cloudindex_provider.plugins").joinpath("static", "text.js").read_text("utf-8")
    page.evaluate(
        "async (source) => { globalThis.text = await import(`data:text/javascript,${encodeURIComponent(source)}`); }",
        source,
    )
    yield page
    page.close()


def called(page: Page, name: str, *arguments: Any) -> Any:
    return page.evaluate(f"text.{name}(...{json.dumps(arguments)})")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("plain/k\u00e9y.txt", "plain/k\u00e9y.txt"),
        ("\u6587\u66f8\u3000\u4e00.txt", "\u6587\u66f8\u3000\u4e00.txt"),
        ("\U0001f600.txt", "\U0001f600.txt"),
        ("a\nb\x1b", r"a[\u000a]b[\u001b]"),
        ("invoice\u202etxt.exe", r"invoice[\u202e]txt.exe"),
        ("a\u00a0b", r"a[\u00a0]b"),
        ("a\u200bb\ufeff", r"a[\u200b]b[\ufeff]"),
        ("a\U000e0041.txt", r"a[\U000e0041].txt"),
        ("a\U000e0100.txt", r"a[\U000e0100].txt"),
        (" a b ", r"[\u0020]a b[\u0020]"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
    ],
)
def test_every_character_of_a_key_is_seen(page: Page, key: str, shown: str) -> None:
    """What would be invisible, act, or look like a space is named by its code."""
    assert called(page, "Foreign", {"text": key}) == shown


def test_keys_that_look_alike_are_told_apart(page: Page) -> None:
    """The one is as macOS writes it, with the accent as a character of its own."""
    assert called(page, "ObjectKey", {"text": "caf\u00e9.txt"}) == "caf\u00e9.txt"
    assert called(page, "ObjectKey", {"text": "cafe\u0301.txt"}) == "cafe\u0301.txt [NFD]"


@pytest.mark.parametrize(
    "number", [0, 1, 2, 999, 1000, 99_400, 99_500, 10**6, 999_499, 999_500, 5 * 10**12, 2**53, 2**63]
)
def test_sizes_are_those_of_the_log(page: Page, number: int) -> None:
    """In the same words, also beyond what JavaScript counts exactly."""
    assert called(page, "size", number) == words.size(number)


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"is_paused": True, "next_run_at": 2000}, "paused"),
        ({"is_paused": False, "next_run_at": None}, "not scheduled"),
        ({"is_paused": False, "next_run_at": 900}, "due now"),
        ({"is_paused": False, "next_run_at": 1600}, "[in 10 min]"),
    ],
)
def test_a_next_run_is_never_in_the_past(page: Page, facts: dict[str, Any], shown: str) -> None:
    """One that Airflow hasn't begun in time is due."""
    assert called(page, "NextRun", {"sync": facts, "now": 1000}) == shown
