"""``airflow cloudindex plan`` says what the DAG would do: with its limits, and deleting nothing that it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloudindex_provider.errors import DeletesHeldError, PlanChangedError
from tests.integration.sync.repair.conftest import Cli
from tests.support.mirror import Mirror


@pytest.fixture
def emptied(mirror: Mirror) -> Mirror:
    """Eight synced documents, three of whose objects are gone."""
    mirror.put_many(8)
    mirror.run()
    mirror.remove(*(f"{number:04d}.txt" for number in range(3)))
    return mirror


def where(mirror: Mirror) -> list[str]:
    return ["--bucket", mirror.bucket, "--prefix", mirror.prefix]


def as_json(answer: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return answer.json["items"], answer.json["summary"]


def test_the_json_lines_of_a_plan_are_a_line_a_key_and_a_summary(emptied: Mirror, cli: Cli) -> None:
    """Programs read it: names, their order and the values are as they have always been."""
    emptied.put("ü.txt", b"new")
    etag = emptied.objects()[f"{emptied.prefix}ü.txt"][0]
    *items, last = cli("plan", *where(emptied), "--json-lines").out.splitlines()
    assert items == [
        *(f'{{"action": "delete", "key": "docs/000{number}.txt", "class": "removed"}}' for number in range(3)),
        f'{{"action": "upload", "key": "docs/\\u00fc.txt", "class": "new", "etag": "{etag}", "size": 3}}',
    ]
    summary = json.loads(last)["summary"]
    assert list(summary) == ["hash", "uploads", "upload_bytes", "deletes", "held", "counts"]
    assert [summary[name] for name in ("uploads", "upload_bytes", "deletes", "held")] == [1, 3, 3, None]
    assert summary["counts"]["removed"] == 3


def test_people_see_a_line_a_key(emptied: Mirror, cli: Cli) -> None:
    """Action, class, size and key, then the numbers; in plain text the numbers stand aside."""
    emptied.put("new.txt", b"x" * 1500)
    shown = [line.rstrip() for line in cli("plan", *where(emptied)).out.splitlines()]
    assert shown[0] == "action | class   | size           | key"
    assert shown[2] == "delete | removed |                | docs/0000.txt"
    assert shown[5] == "upload | new     | 1500           | docs/new.txt"
    assert shown[6].startswith("1 upload of 1,500 bytes, 3 deletes. Hash ")
    assert len(shown) == 7
    plain = cli("plan", *where(emptied), "-o", "plain")
    assert [line.split() for line in plain.out.splitlines()][::4] == [
        ["action", "class", "size", "key"], ["upload", "new", "1500", "docs/new.txt"],
    ]  # fmt: skip
    assert shown[6] in plain.err


def test_every_format_of_a_plan_says_the_same(emptied: Mirror, cli: Cli) -> None:
    """JSON, JSON Lines and YAML hold the same items and the same summary; also where there is no item."""
    import yaml

    for key in ("", "new.txt"):
        if key:
            emptied.put(key)
        one = cli("plan", *where(emptied), "-o", "json").json
        *items, last = map(json.loads, cli("plan", *where(emptied), "--json-lines").out.splitlines())
        assert {"items": items, **last} == one
        assert yaml.safe_load(cli("plan", *where(emptied), "-o", "yaml").out) == one
    emptied.run()
    one = cli("plan", *where(emptied), "-o", "json").json
    assert one["items"] == []
    assert yaml.safe_load(cli("plan", *where(emptied), "-o", "yaml").out) == one


def test_deletes_are_held_by_the_limits_that_the_task_has(emptied: Mirror, cli: Cli) -> None:
    """What the command announces is what the run then does, on both sides of each limit."""
    assert as_json(cli("plan", *where(emptied), "--output", "json"))[1]["held"] is None
    strict: dict[str, Any] = {"max_delete_documents": 2, "max_delete_percent": 30}
    flags = ["--max-delete-documents", 2, "--max-delete-percent", 30]
    assert "max_delete_documents (2)" in as_json(cli("plan", *where(emptied), *flags, "--output", "json"))[1]["held"]
    shown = cli("plan", *where(emptied), *flags).out
    assert "0 deletes. Hash" in shown
    assert "3 deletes are held: 3 removals are more than" in shown
    assert "max_delete_absolute (2)" in cli("plan", *where(emptied), "--max-delete-absolute", 2).out
    assert "held" not in cli("plan", *where(emptied), *flags[:3], 40).out
    with pytest.raises(DeletesHeldError):
        emptied.run(**strict)
    assert emptied.run(**{**strict, "max_delete_percent": 40}).counts["deleted"] == 3


def test_what_a_person_has_allowed_is_not_held_in_the_plan_either(emptied: Mirror, cli: Cli) -> None:
    """Up to the ceiling, and looking at it uses nothing up."""
    strict: dict[str, Any] = {"max_delete_documents": 2, "max_delete_percent": 30}
    flags = [*where(emptied), "--max-delete-documents", 2, "--max-delete-percent", 30]
    with pytest.raises(DeletesHeldError):
        emptied.run(**strict)
    cli("approve", "--source", 1, "--ceiling", 2)
    assert "3 deletes are held" in cli("plan", *flags).out
    cli("approve", "--source", 1, "--ceiling", 3)
    for _ in range(2):
        assert as_json(cli("plan", *flags, "-o", "json"))[1]["held"] is None
    assert emptied.run(**strict).counts["deleted"] == 3


def test_what_the_settings_keep_is_not_announced_as_a_delete(emptied: Mirror, cli: Cli) -> None:
    """Not in the lines, not in the numbers, not as held; and the run keeps it."""
    flags = ["--on-removed", "keep", "--max-delete-absolute", 0]
    items, summary = as_json(cli("plan", *where(emptied), *flags, "--output", "json"))
    assert [item["action"] for item in items] == ["keep"] * 3
    assert (summary["deletes"], summary["held"], summary["counts"]["removed"]) == (0, None, 3)
    shown = cli("plan", *where(emptied), *flags).out
    assert "0 deletes" in shown
    assert "The documents of 3 removed keys are kept, because on_removed is keep." in shown
    assert "held" not in shown
    assert emptied.run(on_removed="keep", plan_hash=summary["hash"]).counts["deleted"] == 0


def test_a_run_bound_to_a_plan_that_keeps_deletes_nothing(emptied: Mirror, cli: Cli) -> None:
    """The same keys deleted are another plan than the same keys kept."""
    keeps = as_json(cli("plan", *where(emptied), "--on-removed", "keep", "--output", "json"))[1]["hash"]
    with pytest.raises(PlanChangedError):
        emptied.run(plan_hash=keeps)
    assert emptied.requests("delete") == 0


def test_a_dry_run_that_keeps_announces_no_delete_either(emptied: Mirror) -> None:
    """The task's own preview says the same as the command."""
    report = emptied.run(on_removed="keep", max_delete_absolute=0, dry_run=True)
    assert (report.plan["keep"], report.held_reason) == ([f"docs/{number:04d}.txt" for number in range(3)], None)
    assert "delete" not in report.plan


def test_a_plan_of_named_keys_is_about_them_alone(emptied: Mirror, cli: Cli) -> None:
    """As the task with ``keys`` does."""
    emptied.put("new.txt")
    items, _ = as_json(cli("plan", *where(emptied), "--key", "docs/0001.txt", "--output", "json"))
    assert [(item["action"], item["key"]) for item in items] == [("delete", "docs/0001.txt")]


def test_a_plan_without_a_state_says_what_may_be_adopted(mirror: Mirror, cli: Cli, lose_state: Any) -> None:
    """After the loss of a state the plan's uploads are no surprise: those with a document are counted."""
    mirror.put_many(2)
    mirror.run()
    lose_state()
    mirror.put("new.txt")
    where = ("--bucket", mirror.bucket, "--prefix", mirror.prefix)
    assert "2 uploads are of keys that have a document already" in cli("plan", *where).out
    assert as_json(cli("plan", *where, "--output", "json"))[1]["counts"]["adopted"] == 2
