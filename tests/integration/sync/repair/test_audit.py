"""An audit finds every way in which state, S3 and index can differ; repaired, the next sync reaches agreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.sync.repair import audit as auditing
from cloudindex_provider.sync.repair.index_copy import stage_index
from tests.integration.sync.repair.conftest import Answer, Cli
from tests.support.mirror import Mirror, waiting

Send = Callable[[str, bytes], str]


@pytest.fixture
def audit(cli: Cli, mirror: Mirror) -> Callable[..., Answer]:
    """``audit`` of the mirror's source, as JSON."""

    def run(*words: object) -> Answer:
        (source,) = mirror.execute("SELECT id FROM source")
        return cli("audit", "--source", source.id, "--output", "json", *words)

    return run


def found(answer: Answer) -> dict[str, int]:
    assert answer.code in (0, 1), answer.err
    assert answer.code == (0 if answer.json["clean"] else 1)
    return {kind: number for kind, number in answer.json["found"].items() if number}


def as_if_processing(mirror: Mirror, key: str) -> None:
    """The row as it was before its processing was noticed."""
    mirror.execute(
        "UPDATE object SET status = 'processing', upload_document_id = document_id, upload_etag = etag,"
        " upload_size = size, upload_sha256 = indexed_sha256, document_id = NULL, indexed_etag = NULL,"
        " indexed_size = NULL, indexed_sha256 = NULL WHERE key = :k",
        k=key,
    )


def test_a_mirror_that_agrees_is_clean(mirror: Mirror, audit: Cli) -> None:
    """Nothing is found where nothing is wrong, and the exit code says so."""
    mirror.put_many(5)
    mirror.put("skipped.exe")
    mirror.run()
    answer = audit("--repair")
    assert found(answer) == {}
    assert (answer.json["rows"], answer.json["listed"], answer.json["documents"]) == (6, 6, 5)


def test_every_difference_is_found_and_nothing_is_changed_without_repair(
    mirror: Mirror, audit: Cli, send: Send
) -> None:
    """All six kinds at once, each with its key; an audit alone writes nothing."""
    keys = mirror.put_many(8)
    mirror.run()
    _break_everything(mirror, keys, send)
    before = mirror.rows()
    answer = audit()
    assert found(answer) == {"gone": 1, "differs": 1, "untracked": 2, "stuck": 1, "removed": 1, "rowless": 1}
    assert answer.json["examples"] == {
        "gone": [keys[0]], "differs": [keys[1]], "untracked": [keys[2], keys[2]], "stuck": [keys[3]],
        "removed": [keys[4]], "rowless": [keys[5]],
    }  # fmt: skip
    assert mirror.rows() == before


def _break_everything(mirror: Mirror, keys: list[str], send: Send) -> None:
    mirror.client.delete_document(mirror.of(keys[0])[0]["id"])
    mirror.cloud.settings.same_name = "version"
    send(keys[1], b"bytes that nobody asked for")
    mirror.cloud.settings.same_name = "duplicate"
    send(keys[2], b"a copy")
    send(keys[2], b"another copy")
    as_if_processing(mirror, keys[3])
    mirror.time_passes(25 * 3600)
    mirror.s3.delete_object(Bucket=mirror.bucket, Key=keys[4])
    mirror.execute("DELETE FROM object WHERE key = :k", k=keys[5])
    waiting(lambda: all(one["status"] == "processed" for some in mirror.documents().values() for one in some))


@pytest.mark.parametrize("behaviour", ["duplicate", "version", "replace"])
def test_after_repair_a_sync_reaches_agreement(mirror: Mirror, audit: Cli, send: Send, behaviour: str) -> None:
    """Repair and one sync put all of it right, under each way in which the service treats a name that it has."""
    keys = mirror.put_many(8)
    mirror.run()
    _break_everything(mirror, [*keys[:5], "none"], send)
    mirror.cloud.settings.same_name = behaviour  # type: ignore[assignment]
    documents = sum(len(some) for some in mirror.documents().values())
    answer = audit("--repair")
    assert answer.json["repaired"] == {"untracked": 2, "gone": 1, "differs": 1, "stuck": 1}
    assert sum(len(some) for some in mirror.documents().values()) == documents  # an audit deletes nothing
    mirror.run()
    mirror.assert_agreement()
    assert found(audit()) == {}


def test_a_document_with_other_bytes_stays_live_until_the_right_ones_are_processed(
    mirror: Mirror, audit: Cli, send: Send
) -> None:
    """A repair doesn't take the only document away, even where the new upload fails."""
    key = mirror.put("a.txt", "the text")
    mirror.run()
    mirror.execute("UPDATE object SET indexed_sha256 = :h", h="0" * 64)
    old = mirror.of(key)[0]["id"]
    assert found(audit("--repair")) == {"differs": 1}
    mirror.cloud.settings.fail_processing = ["docs-a"]
    mirror.run()
    assert old in [one["id"] for one in mirror.of(key)]
    mirror.cloud.settings.fail_processing = []
    mirror.time_passes(3600)
    mirror.run()
    mirror.assert_agreement()


def test_a_stuck_document_that_is_gone_or_failed_gets_a_strike(mirror: Mirror, audit: Cli) -> None:
    """What will never be processed is failed, and tried again by a later sync."""
    keys = mirror.put_many(2)
    mirror.run()
    for key in keys:
        as_if_processing(mirror, key)
    mirror.client.delete_document(mirror.of(keys[0])[0]["id"])
    assert found(audit()) == {}  # 24 hours aren't over
    assert found(audit("--stuck-hours", 0, "--repair")) == {"stuck": 2}
    rows = mirror.rows()
    assert [(rows[key].status, rows[key].attempts) for key in keys] == [("failed", 1), ("indexed", 0)]
    mirror.time_passes(3600)
    mirror.run()
    mirror.assert_agreement()


def test_rows_that_somebody_works_on_are_not_judged(mirror: Mirror, audit: Cli, send: Send) -> None:
    """A claimed row, and one whose upload is in doubt, may have documents that the state doesn't know yet."""
    keys = mirror.put_many(3)
    mirror.run()
    for key in keys:
        send(key, b"a copy")
    mirror.execute("UPDATE object SET claim_owner = 'x', claim_try = 1, claim_until = 1e12 WHERE key = :k", k=keys[0])
    mirror.execute("UPDATE object SET doubtful = 1 WHERE key = :k", k=keys[1])
    mirror.execute("UPDATE object SET status = 'uploading' WHERE key = :k", k=keys[2])
    assert found(audit("--repair")) == {}
    assert mirror.execute("SELECT * FROM superseded") == []


def test_a_row_that_changes_during_the_audit_is_left_out(
    mirror: Mirror, audit: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that replaces a document while the lists are read makes no finding."""
    key = mirror.put("a.txt", "the text")
    mirror.run()

    def meanwhile(*args: Any) -> None:
        mirror.put("a.txt", "another text")
        mirror.run()
        stage_index(*args)

    monkeypatch.setattr(auditing, "stage_index", meanwhile)
    assert found(audit("--repair")) == {}
    monkeypatch.undo()
    mirror.assert_agreement()
    assert mirror.rows()[key].status == "indexed"


@pytest.mark.parametrize("fault", ["cut_body", "garbage", "short"])
def test_a_list_that_is_not_whole_decides_nothing(
    mirror: Mirror, audit: Cli, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cut, unreadable or too short list every row would seem gone: an error, and no change."""
    from cloudindex_provider.api import document_stream as listing

    mirror.put_many(3)
    mirror.run()
    before = mirror.rows()
    if fault == "short":
        monkeypatch.setattr(listing.DocumentStream, "complete", property(lambda _: False))
        monkeypatch.setattr(listing.DocumentStream, "unread_names", property(lambda _: None))
    else:
        mirror.cloud.faults.add(Fault(operation="list", kind=fault, times=None))  # type: ignore[arg-type]
    assert audit("--repair").error
    assert mirror.rows() == before


def test_foreign_documents_are_no_finding(mirror: Mirror, audit: Cli) -> None:
    """Documents of other names are nobody's business."""
    from cloudindex_provider.api.models import FilePart

    mirror.put_many(2)
    mirror.run()
    mirror.client.upload_documents([FilePart("notes.txt", 4, lambda: iter((b"text",)))])
    assert found(audit("--repair")) == {}


def test_people_get_a_table_with_the_first_keys(mirror: Mirror, cli: Cli) -> None:
    """The same findings, for people."""
    (key,) = mirror.put_many(1)
    mirror.run()
    mirror.client.delete_document(mirror.of(key)[0]["id"])
    answer = cli("audit", "--source", 1)
    assert answer.code == 1
    line = next(line for line in answer.out.splitlines() if line.startswith("gone"))
    assert key in line
    assert "Compared 1 row, 1 key in S3 and 0 documents." in answer.out
