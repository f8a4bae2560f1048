"""Settings are refused before anything is done, and the refusal names the one that is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.sync.settings import Limits, Selection, SyncSettings

GOOD = SyncSettings(project_id="p", bucket="docs", prefix="in/")


def test_good_settings_are_given_back() -> None:
    """Validation changes nothing."""
    assert GOOD.validate() is GOOD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project_id", ""),
        ("bucket", ""),
        ("bucket", "s3://docs"),
        ("bucket", "docs/in"),
        ("bucket", None),
        ("bucket", "None"),
        ("bucket", "ab-"),
        ("prefix", "s3://docs/in/"),
        ("prefix", None),
        ("prefix", "x" * 1025),
        ("prefix", "\u00e9" * 513),
        ("prefix", "a\0b"),
        ("prefix", "a\ud800b"),
        ("on_removed", "purge"),
        ("on_mass_delete", "maybe"),
        ("upload_order", "oldest"),
        ("upload_order", None),
        ("keys", ("other/a.txt",)),
        ("keys", ("in/a\0.txt",)),
        ("keys", ("in/\udfff.txt",)),
        ("keys", ("",)),
        ("keys", (1,)),
    ],
)
def test_a_setting_that_cannot_work_is_named(name: str, value: Any) -> None:
    """Each wrong setting is refused with its own name and a sentence."""
    with pytest.raises(SettingsError) as caught:
        replace(GOOD, **{name: value}).validate()
    assert caught.value.field == name
    assert caught.value.message.endswith(".")
    assert caught.value.retryable is False


@pytest.mark.parametrize("bucket", ["fast--use1-az4--x-s3", "point--use1-az4--xa-s3"])
def test_a_directory_bucket_is_synced_by_folders(bucket: str) -> None:
    """S3 Express lists prefixes that end in a slash, and no others."""
    for prefix in ("", "in/", "in/a/"):
        replace(GOOD, bucket=bucket, prefix=prefix).validate()
    with pytest.raises(SettingsError, match="lists folders alone") as caught:
        replace(GOOD, bucket=bucket, prefix="in/a").validate()
    assert caught.value.field == "prefix"
    assert "'in/a/'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("include", "*.pdf"),
        ("include", ("",)),
        ("exclude", (1,)),
        ("file_types", ()),
        ("file_types", (None,)),
        ("max_file_size", 0),
        ("max_file_size", "20MB"),
        ("max_file_size", 1.5),
    ],
)
def test_a_wrong_selection_is_named(name: str, value: Any) -> None:
    """Each wrong part of the selection is refused with its own name."""
    with pytest.raises(SettingsError) as caught:
        replace(GOOD, selection=replace(Selection(), **{name: value})).validate()
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_request_size", 0),
        ("max_delete_documents", -1),
        ("max_delete_documents", None),
        ("max_delete_percent", 100.5),
        ("max_delete_percent", float("nan")),
        ("max_delete_absolute", "10"),
        ("max_failed_documents", -1),
        ("max_failed_documents", True),
        ("max_documents_per_run", 0),
        ("max_documents_per_run", 2.5),
        ("max_run_time", -1),
        ("processing_timeout", None),
        ("upload_tasks", 0),
        ("upload_tasks", 65),
        ("max_attempts", 0),
    ],
)
def test_a_wrong_limit_is_named(name: str, value: Any) -> None:
    """Each limit that is no number, too small or too large is refused with its own name."""
    with pytest.raises(SettingsError) as caught:
        replace(GOOD, limits=replace(Limits(), **{name: value})).validate()
    assert caught.value.field == name


@pytest.mark.parametrize(
    "settings",
    [
        replace(GOOD, prefix=""),
        replace(GOOD, prefix="\u00e9" * 512),
        replace(GOOD, bucket="arn:aws:s3:eu-central-1:123456789012:accesspoint/docs"),
        replace(GOOD, bucket="Legacy_Bucket.2009"),
        replace(GOOD, keys=()),
        replace(GOOD, upload_order="newest"),
        replace(GOOD, upload_order="smallest"),
        replace(GOOD, keys=("in/a.txt",)),
        replace(GOOD, selection=Selection(include=("*",), file_types=("*",))),
        replace(GOOD, limits=Limits(max_documents_per_run=None, max_run_time=None)),
        replace(GOOD, limits=Limits(max_delete_percent=100, max_delete_documents=0, upload_tasks=64)),
        replace(GOOD, limits=Limits(max_run_time=float("inf"), max_delete_absolute=float("inf"))),  # type: ignore[arg-type]
    ],
)
def test_unusual_settings_that_work_are_taken(settings: SyncSettings) -> None:
    """Everything on the good side of a limit is accepted."""
    assert settings.validate() is settings


def test_the_fingerprint_tells_selections_apart() -> None:
    """Another selection is another fingerprint, the same one in another order of types is the same."""
    base = Selection(file_types=("a", "b"))
    assert base.fingerprint() == Selection(file_types=("b", "a")).fingerprint()
    others = [
        replace(base, include=("x",)), replace(base, exclude=("x",)), replace(base, file_types=("a",)),
        replace(base, max_file_size=1),
    ]  # fmt: skip
    assert len({one.fingerprint() for one in (base, *others)}) == 5
