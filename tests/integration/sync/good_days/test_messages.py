"""What went wrong is said with what to do about it: the setting, the command, the page, and when it is tried again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cloudindex_provider.errors import DeletesHeldError, SyncFailedError
from cloudindex_provider.sync.report.messages import log_report
from cloudindex_provider.sync.report.report import make_report
from cloudindex_provider.sync.run import synchronize
from tests.support.mirror import Mirror
from tests.support.verdicts import judge

LOG = logging.getLogger("messages")
PAGE = "the page CloudIndex in Airflow's UI"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)
    return lambda words: [text for text in caplog.messages if words in text]


def test_a_run_that_finds_nothing_says_so(in_memory: Mirror, said: Any) -> None:
    in_memory.run()
    assert said("Found ") == ["Found nothing."]


@pytest.mark.parametrize(("number", "words"), [(1, "1 document failed, "), (2, "2 documents failed, ")])
def test_a_failed_run_names_the_setting(in_memory: Mirror, number: int, words: str) -> None:
    in_memory.cloud.settings.fail_processing = [f"broken{i}" for i in range(number)]
    in_memory.put_many(4)
    for i in range(number):
        in_memory.put(f"broken{i}.txt", f"broken {i}")
    report = in_memory.run()
    with pytest.raises(SyncFailedError) as caught:
        judge(report, max_failed_documents=0)
    assert caught.value.message.startswith(f"{words}and max_failed_documents is 0: 'docs/broken0.txt': ")
    assert "Raise max_failed_documents" in caught.value.hint
    judge(report, max_failed_documents=number)


def test_a_quarantine_says_when_it_is_tried_again_and_how_to_end_it(in_memory: Mirror, said: Any) -> None:
    in_memory.cloud.settings.fail_processing = ["broken"]
    in_memory.put_many(3)
    in_memory.put("broken.txt", "broken")
    for _ in range(3):
        ctx = in_memory.context()
        synchronize(ctx)
    report = make_report(ctx)
    log_report(LOG, ctx.settings, report)
    (line,) = said("1 key is quarantined")
    again = datetime.strptime(str(report.quarantined[0]["again"]), "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert timedelta(hours=20) < again - datetime.now(UTC) < timedelta(hours=28)
    assert "'docs/broken.txt'" in line
    assert f"from {report.quarantined[0]['again']} on" in line
    assert f"`airflow cloudindex retry --source {ctx.source.id} --all-quarantined`" in line
    assert PAGE in line


@pytest.mark.parametrize(
    ("left", "moved", "setting"),
    [
        (4, False, "or raise the limit that is named here"),
        (0, False, "no limit helps where S3 lists nothing"),
        (4, True, "no limit helps where the bucket is another one"),
    ],
)
def test_a_hold_names_page_command_and_the_setting_that_helps(
    in_memory: Mirror, said: Any, left: int, moved: bool, setting: str
) -> None:
    """In the error of a red run, and in the log of one that skips."""
    keys = in_memory.put_many(10)
    in_memory.run()
    if moved:
        in_memory.execute("UPDATE source SET endpoint = 'one:9000'")
        in_memory.reader.meta = SimpleNamespace(endpoint_url="http://other:9000")
    in_memory.remove(*(key.removeprefix(in_memory.prefix) for key in keys[left:]))
    limits: dict[str, Any] = {"max_delete_documents": 2, "max_delete_percent": 10.0}
    with pytest.raises(DeletesHeldError) as caught:
        in_memory.run(**limits)
    ctx = in_memory.context(on_mass_delete="skip", **limits)
    log_report(LOG, ctx.settings, synchronize(ctx))
    (line,) = said("removals are held, nothing of them is deleted")
    for text in (caught.value.hint, line):
        assert PAGE in text
        assert f"`airflow cloudindex approve --source {ctx.source.id} --ceiling {10 - left}`" in text
        assert f"The first of them: 'docs/{left:04}.txt' (17 bytes), " in text
        assert setting in text
    if setting.startswith("or raise"):
        assert "max_delete_documents (2)" in str(caught.value)


def test_a_run_of_named_keys_is_summed_up_as_one(in_memory: Mirror) -> None:
    """The prefix may have others that nobody has looked at."""
    key = in_memory.put("a.txt")
    in_memory.put("b.txt")
    assert in_memory.run(keys=(key,)).summary().startswith("1 named key of ")
    assert "is in step" in in_memory.run().summary()
