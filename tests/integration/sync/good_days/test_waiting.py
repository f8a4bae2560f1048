"""What the log says while CloudIndex processes: how many of how many, how long the oldest has waited, and the end."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cloudindex_provider.sync.polling import Pause
from cloudindex_provider.sync.wait import Progress, WaitLog, poll, wait
from tests.support.mirror import Mirror


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "cloudindex_provider.sync")
    return lambda *words: [text for text in caplog.messages if text.startswith(words)]


def test_a_wait_says_how_many_of_how_many_and_the_age_of_the_oldest(in_memory: Mirror, said: Any) -> None:
    """At first, once a minute, and whenever the slot is given back; not at every look."""
    ctx, now = in_memory.context(), [0.0]
    log = WaitLog(ctx.log, lambda: now[0])
    log.add(Progress(waiting=1_200, indexed=20, failed=1))
    log.note(Progress(waiting=1_200, oldest=95.0), Pause(10.0))
    for now[0] in (10.0, 59.0):
        log.note(Progress(waiting=1_100), Pause(10.0))
    now[0] = 61.0
    log.add(Progress(waiting=200, indexed=1_000))
    log.note(Progress(waiting=200, oldest=200.0), Pause(30.0))
    log.note(Progress(waiting=1, oldest=201.0), Pause(60.0, defer=True))
    assert said("CloudIndex has processed") == [
        "CloudIndex has processed 20 of 1,221 documents, 1 failed; the oldest of the others has waited for 2 min."
        " Looking again in 10 s.",
        "CloudIndex has processed 1,020 of 1,221 documents, 1 failed; the oldest of the others has waited for 4 min."
        " Looking again in 30 s.",
        "CloudIndex has processed 1,020 of 1,022 documents, 1 failed; the oldest of the others has waited for 4 min."
        " Looking again in 60 s, without a worker's slot until then.",
    ]


def test_a_look_knows_how_long_the_oldest_has_waited(in_memory: Mirror) -> None:
    """Since its upload, by the state's clock."""
    in_memory.cloud.settings.processing_delay = 60
    keys = in_memory.put_many(3)
    in_memory.run(wait_for_processing=False)
    in_memory.execute("UPDATE object SET intent_at = intent_at - 90 WHERE key = :key", key=keys[1])
    ctx = in_memory.context("run1")
    seen = poll(ctx)
    assert seen.waiting == 3
    assert 90 <= seen.oldest < 120


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1 document still processes after 1 s (processing_timeout); the next run goes on with it."),
     (2, "2 documents still process after 1 s (processing_timeout); the next run goes on with them.")],
)  # fmt: skip
def test_what_is_left_is_told_in_words_that_are_right(in_memory: Mirror, said: Any, number: int, words: str) -> None:
    """And what was processed, and what is late, beside it."""
    ctx = in_memory.context(processing_timeout=1)
    WaitLog(ctx.log, indexed=1_200).log_end(ctx.settings, Progress(waiting=number, late=number))
    assert said("1 document still", "2 documents still") == [words]
    assert said("CloudIndex: ") == ["CloudIndex: 1,200 processed, 0 failed."]
    assert said("1 document has been processing", "2 documents have been processing") != []


def test_a_wait_that_comes_back_from_a_pause_knows_what_was_processed_before(in_memory: Mirror, said: Any) -> None:
    """The slot was given back in between, and with it what the task had in mind."""
    in_memory.put_many(5)
    in_memory.run("run1")
    ctx = in_memory.context("run1")
    wait(ctx)
    assert said("CloudIndex: ")[-1] == "CloudIndex: 0 processed, 0 failed."
    ctx.pauses = type("Pauses", (), {"elapsed": 70.0, "count": 1})()
    wait(ctx)
    assert said("CloudIndex: ")[-1] == "CloudIndex: 5 processed, 0 failed."
