"""A lost state is made again from S3 and the index, and the next sync finds nothing to do that isn't."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from cloudindex_provider.api.models import Document
from cloudindex_provider.errors import DeletesHeldError, SourceChangedError
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.sync.naming import file_name
from cloudindex_provider.sync.repair.index_copy import Listed
from cloudindex_provider.sync.repair.rebuild import choose, object_digest
from tests.integration.sync.repair.conftest import Cli
from tests.support.memory_s3 import MemoryS3
from tests.support.mirror import Mirror, waiting

Lose = Callable[[], None]
Send = Callable[[str, bytes], str]


def work(report: Any) -> dict[str, int]:
    """What a sync did to the index."""
    return {name: report.counts[name] for name in ("uploaded", "deleted") if report.counts[name]}


def test_a_rebuilt_state_needs_no_upload_and_no_delete(mirror: Mirror, rebuild: Cli, lose_state: Lose) -> None:
    """After the loss of the state, rebuild reads every object once, and the next sync changes nothing."""
    mirror.put_many(30)
    mirror.put_in_parts("parts.txt", b"abc " * 1_000)
    mirror.run()
    before = mirror.rows()
    lose_state()
    answer = rebuild("--yes")
    assert answer.code == 0, answer.err
    assert answer.json["rebuilt"]["indexed"] == 31
    assert answer.json["rebuilt"]["bytes_read"] == answer.json["survey"]["bytes"] > 4_000
    uploads = mirror.uploads
    report = mirror.run()
    mirror.assert_agreement()
    assert (mirror.uploads, work(report), report.counts["unchanged"]) == (uploads, {}, 31)
    same = ("document_id", "file_name", "indexed_etag", "indexed_size", "indexed_sha256", "document_version")
    for key, row in mirror.rows().items():
        assert [getattr(row, name) for name in same] == [getattr(before[key], name) for name in same]


def test_without_yes_it_only_says_how_much_there_is_to_read(
    mirror: Mirror, cli: Cli, rebuild: Cli, lose_state: Lose
) -> None:
    """The estimate names keys, bytes and a time, and writes no row."""
    mirror.put("a.txt", b"x" * 1000)
    mirror.put("b.txt", b"y" * 500)
    mirror.run()
    lose_state()
    found = rebuild().json["survey"]
    assert (found["keys"], found["bytes"], found["listed"]) == (2, 1500, 2)
    assert found["seconds"] >= 0
    text = cli("rebuild", "--bucket", mirror.bucket, "--prefix", mirror.prefix)
    assert "2 keys, 1,500 bytes at most, about 1 s" in text.out
    assert "--yes" in text.out
    assert text.code == 0
    assert mirror.rows() == {}
    assert mirror.execute("SELECT * FROM source") == []


def test_what_changed_while_the_state_was_lost_is_uploaded_and_the_rest_is_not(
    mirror: Mirror, rebuild: Cli, lose_state: Lose
) -> None:
    """A document with other bytes stays live until the object's own are processed, then it goes."""
    mirror.put_many(4)
    mirror.run()
    lose_state()
    mirror.put("0001.txt", "another text")
    mirror.put("new.txt", "a new text")
    mirror.remove("0003.txt")
    done = rebuild("--yes").json
    assert (done["rebuilt"]["indexed"], done["rebuilt"]["pending"], done["survey"]["orphans"]) == (2, 1, 1)
    row = mirror.rows()["docs/0001.txt"]
    assert (row.status, row.indexed_etag, row.document_id) == ("pending", "", mirror.of("docs/0001.txt")[0]["id"])
    report = mirror.run()
    orphan = file_name(mirror.bucket, "docs/0003.txt")
    mirror.assert_agreement(foreign=[orphan])
    assert done["survey"]["orphan_names"] == [orphan]
    assert work(report) == {"uploaded": 2}


@pytest.mark.parametrize("newest_is_right", [True, False])
def test_of_several_documents_the_right_one_stays(
    mirror: Mirror, rebuild: Cli, lose_state: Lose, send: Send, newest_is_right: bool
) -> None:
    """Copies of a key are removed by the next sync, which uploads nothing where one of them has the object's bytes."""
    key = mirror.put("a.txt", "the text")
    mirror.run()
    others = [send(key, b"an old text"), send(key, b"the text" if newest_is_right else b"an older text")]
    waiting(lambda: all(one["status"] == "processed" for one in mirror.of(key)))
    lose_state()
    done = rebuild("--yes").json["rebuilt"]
    assert (done["indexed"], done["copies"]) == (1, 2)
    assert (mirror.rows()[key].document_id == others[1]) is newest_is_right
    uploads = mirror.uploads
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == uploads


def test_a_key_without_a_document_gets_no_row_and_is_uploaded(mirror: Mirror, rebuild: Cli, lose_state: Lose) -> None:
    """What the index has lost is simply new to the next sync."""
    keys = mirror.put_many(3)
    mirror.run()
    mirror.client.delete_document(mirror.of(keys[1])[0]["id"])
    lose_state()
    assert rebuild("--yes").json["rebuilt"]["indexed"] == 2
    assert keys[1] not in mirror.rows()
    assert work(mirror.run()) == {"uploaded": 1}
    mirror.assert_agreement()


def test_a_document_without_a_hash_is_kept_until_its_successor_is_processed(
    mirror: Mirror, rebuild: Cli, lose_state: Lose
) -> None:
    """Where the service lists no hashes, everything is uploaded again, and no key is without a document meanwhile."""
    keys = mirror.put_many(2)
    mirror.run()
    old = {key: mirror.of(key)[0]["id"] for key in keys}
    lose_state()
    mirror.cloud.settings.list_content_hash = False
    assert rebuild("--yes").json["rebuilt"]["pending"] == 2
    mirror.cloud.settings.fail_processing = ["-0001-"]
    mirror.run()
    assert old[keys[1]] in [one["id"] for one in mirror.of(keys[1])]
    assert old[keys[0]] not in [one["id"] for one in mirror.of(keys[0])]
    mirror.cloud.settings.fail_processing = []
    mirror.time_passes(3600)
    mirror.run()
    mirror.assert_agreement()


def test_a_document_that_is_still_processed_is_waited_for_not_uploaded(
    mirror: Mirror, rebuild: Cli, lose_state: Lose, send: Send
) -> None:
    """The right bytes on their way are adopted; the processed document with other bytes is live until then."""
    key = mirror.put("a.txt", "an old text")
    mirror.run()
    (old,) = mirror.of(key)
    mirror.put("a.txt", "the text")
    mirror.cloud.settings.processing_delay = 0.6
    new = send(key, b"the text")
    lose_state()
    assert rebuild("--yes").json["rebuilt"]["processing"] == 1
    row = mirror.rows()[key]
    assert (row.document_id, row.upload_document_id) == (old["id"], new)
    uploads = mirror.uploads
    mirror.run()
    mirror.assert_agreement()
    assert mirror.uploads == uploads


def test_documents_of_keys_that_are_not_selected_stay_known(mirror: Mirror, rebuild: Cli, lose_state: Lose) -> None:
    """A narrower selection gets a row for every document it leaves out, and deletes none."""
    mirror.put("a.txt")
    mirror.put("b.md", "# b")
    mirror.run()
    lose_state()
    done = rebuild("--yes", "--exclude", "*.md").json["rebuilt"]
    assert (done["indexed"], done["skipped"]) == (1, 1)
    selection = mirror.settings().selection
    from dataclasses import replace

    report = mirror.run(selection=replace(selection, exclude=("*.md",)))
    assert (report.counts["excluded"], work(report)) == (1, {})
    assert len(mirror.of("docs/b.md")) == 1
    mirror.run()  # and selecting it again finds the same bytes
    mirror.assert_agreement()
    assert mirror.uploads == 2


def test_keys_of_another_sync_are_left_to_it(mirror: Mirror, rebuild: Cli, lose_state: Lose) -> None:
    """A key that another source owns, and its document, are neither taken over nor called an orphan."""
    mirror.put("a.txt")
    mirror.put("sub/b.txt")
    mirror.run()
    lose_state()
    mirror.context(prefix="docs/sub/")
    assert rebuild("--yes", "--prefix", "docs/sub/").json["rebuilt"]["indexed"] == 1
    done = rebuild("--yes").json
    assert (done["rebuilt"]["indexed"], done["survey"]["skipped"], done["survey"]["orphans"]) == (1, 1, 0)
    owners = {key: row.source_id for key, row in mirror.rows().items()}
    assert len(set(owners.values())) == 2


def test_a_source_with_rows_is_replaced_only_when_asked(mirror: Mirror, rebuild: Cli) -> None:
    """Without --replace a source that has rows is refused; with it, what was wrong in them is right again."""
    keys = mirror.put_many(2)
    mirror.run()
    mirror.execute("UPDATE object SET indexed_etag = 'wrong', document_id = 'wrong' WHERE key = :k", k=keys[0])
    mirror.execute(
        "INSERT INTO object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class,"
        " document_id, document_version, file_name, indexed_etag, indexed_size)"
        " SELECT scope_id, 'docs/ghost.txt', source_id, status, reason, etag, size, last_modified, storage_class,"
        " 'ghost', 1, file_name, etag, size FROM object WHERE key = :k",
        k=keys[0],
    )
    mirror.execute(
        "INSERT INTO superseded SELECT scope_id, :id, source_id, key, 'failed' FROM object WHERE key = :k",
        id=mirror.of(keys[1])[0]["id"], k=keys[1],
    )  # fmt: skip
    assert "has 3 keys in the state already" in rebuild("--yes").error
    done = rebuild("--yes", "--replace").json["rebuilt"]
    assert (done["indexed"], done["dropped"]) == (2, 1)
    assert work(mirror.run()) == {}
    mirror.assert_agreement()


def test_replacing_keeps_the_rows_of_removed_keys_whose_documents_are_there(mirror: Mirror, rebuild: Cli) -> None:
    """What S3 has no more is the next sync's to decide, by its guard: no document is left that nobody knows."""
    mirror.put_many(10)
    mirror.run()
    mirror.remove(*[f"{number:04d}.txt" for number in range(6)])
    with pytest.raises(DeletesHeldError):
        mirror.run(max_delete_documents=1)
    done = rebuild("--yes", "--replace").json["rebuilt"]
    assert (done["indexed"], done["dropped"], done["kept"]) == (4, 0, 6)
    with pytest.raises(DeletesHeldError):
        mirror.run(max_delete_documents=1)
    assert mirror.run(max_delete_documents=6).counts["deleted"] == 6
    mirror.assert_agreement()


def test_a_run_that_works_on_the_source_is_not_disturbed(mirror: Mirror, rebuild: Cli) -> None:
    """Claimed rows are somebody's work: nothing is replaced beside them."""
    mirror.put_many(2)
    mirror.run()
    mirror.execute("UPDATE object SET claim_owner = 'somebody', claim_try = 1, claim_until = 1e12")
    assert "A run works on 2 keys" in rebuild("--yes", "--replace").error


def test_a_sync_that_begins_meanwhile_wins(
    mirror: Mirror, rebuild: Cli, lose_state: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that appear while objects are read are a run's own, and are not written over unasked."""
    from cloudindex_provider.sync.repair import rebuild as module

    mirror.put_many(2)
    mirror.run()
    lose_state()

    def read_while_a_sync_runs(*args: Any) -> Any:
        monkeypatch.undo()
        mirror.context()
        mirror.run()
        return object_digest(*args)

    monkeypatch.setattr(module, "READERS", 1)
    monkeypatch.setattr(module, "object_digest", read_while_a_sync_runs)
    before = mirror.uploads
    assert "has 2 keys in the state already" in rebuild("--yes").error
    assert mirror.uploads == before  # it has adopted what it found


@pytest.mark.parametrize("setting", ["total", "cut"])
def test_a_list_that_is_not_whole_decides_nothing(
    mirror: Mirror, rebuild: Cli, lose_state: Lose, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of documents that is cut, or shorter than it says, stops the rebuild before it writes."""
    from cloudindex_provider.local.faults import Fault

    mirror.put_many(3)
    mirror.run()
    lose_state()
    if setting == "cut":
        mirror.cloud.faults.add(Fault(operation="list", kind="cut_body", times=None))
    else:
        _promise_one_more(monkeypatch)
    assert rebuild("--yes").error
    assert mirror.rows() == {}


def _promise_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    from cloudindex_provider.api import document_stream as listing

    monkeypatch.setattr(listing.DocumentStream, "complete", property(lambda _: False))
    monkeypatch.setattr(listing.DocumentStream, "unread_names", property(lambda _: None))


def test_a_bucket_that_is_not_there_is_named(cli: Cli, mirror: Mirror) -> None:
    """An error is one sentence that names the connection, and changes nothing."""
    answer = cli("rebuild", "--bucket", "no-such-bucket-anywhere", "--yes")
    assert "'aws_default': bucket no-such-bucket-anywhere doesn't exist" in answer.error


# The hash of an object


class ChecksumS3(MemoryS3):
    """HEAD also tells a checksum."""

    def __init__(self, body: bytes, **facts: str) -> None:
        super().__init__()
        self.create_bucket(Bucket="b")
        self.put_object(Bucket="b", Key="k", Body=body)
        self.facts = facts
        self.gets = 0

    def head_object(self, *, Bucket: str, Key: str, ChecksumMode: str = "") -> dict[str, Any]:  # noqa: N803 - boto3's
        return {**super().head_object(Bucket=Bucket, Key=Key), **(self.facts if ChecksumMode == "ENABLED" else {})}

    def get_object(self, **request: Any) -> dict[str, Any]:
        self.gets += 1
        return super().get_object(**request)


def digest_of(facts: dict[str, str], body: bytes = b"text") -> tuple[str | None, int]:
    client = ChecksumS3(body, **facts)
    source = S3Source(client, "b", first_wait=0.0)
    (page,) = source.pages()
    return object_digest(source, page[0]).sha256, client.gets


OTHER = base64.b64encode(b"\x07" * 32).decode()


def test_the_sha256_of_s3_is_taken_for_a_whole_object_alone() -> None:
    """A full-object SHA-256 saves the read; one of parts, of another kind or broken doesn't."""
    right = hashlib.sha256(b"text").hexdigest()
    assert digest_of({"ChecksumType": "FULL_OBJECT", "ChecksumSHA256": OTHER}) == ("07" * 32, 0)
    for facts in (
        {},
        {"ChecksumSHA256": OTHER},
        {"ChecksumType": "COMPOSITE", "ChecksumSHA256": OTHER + "-2"},
        {"ChecksumType": "FULL_OBJECT", "ChecksumCRC64NVME": "AAAAAAAAAAA="},
        {"ChecksumType": "FULL_OBJECT", "ChecksumSHA256": "not base64"},
        {"ChecksumType": "FULL_OBJECT", "ChecksumSHA256": "AAAA"},
    ):
        assert digest_of(facts) == (right, 1)


def test_an_object_that_changed_since_the_listing_has_no_hash() -> None:
    """The hash of other bytes must not be taken for the listed ones'."""
    client = ChecksumS3(b"text")
    source = S3Source(client, "b", first_wait=0.0)
    (page,) = source.pages()
    client.put_object(Bucket="b", Key="k", Body=b"other")
    with pytest.raises(SourceChangedError):
        object_digest(source, page[0])


# The choice among documents

ITEM = Listed("docs/a.txt", "etag", 4, "2026-01-01T00:00:00Z", "STANDARD", "name", None)


def document(identity: str, status: str = "processed", sha256: str | None = "right", day: int = 1) -> Document:
    return Document(identity, "name", status, content_hash=sha256, uploaded_at=f"2026-01-{day:02}T00:00:00Z")


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([document("a")], ("indexed", "a", None, ())),
        ([document("a"), document("b", day=2)], ("indexed", "b", None, ("a",))),
        ([document("a"), document("b", sha256="wrong", day=2)], ("indexed", "a", None, ("b",))),
        ([document("a"), document("b", status="failed", day=2)], ("indexed", "a", None, ("b",))),
        ([document("a", sha256="wrong"), document("b", "pending", day=2)], ("processing", "a", "b", ())),
        ([document("a", "pending")], ("processing", None, "a", ())),
        ([document("a", sha256="wrong")], ("pending", "a", None, ())),
        ([document("a", sha256=None)], ("pending", "a", None, ())),
        ([document("a", "failed")], ("pending", None, None, ("a",))),
        ([document("a", "pending", "wrong")], ("pending", None, None, ("a",))),
    ],
)
def test_the_live_document_is_processed_then_right_then_newest(
    documents: list[Document], expected: tuple[Any, ...]
) -> None:
    """Every mix of documents of one name leads to one row; what isn't live or on its way is a copy."""
    for some in (documents, documents[::-1]):
        row = choose(ITEM, "right", some)
        assert (row.status, row.document_id, row.upload_document_id, row.copies) == expected
        assert (row.indexed_etag == "etag") is (row.status == "indexed")


def test_an_unknown_hash_never_makes_a_row_indexed() -> None:
    """Neither an object that can't be read nor one that changed passes for what the index has."""
    row = choose(ITEM, None, [document("a", sha256=None)])
    assert (row.status, row.document_id, row.copies) == ("pending", "a", ())
