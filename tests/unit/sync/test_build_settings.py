"""Settings from raw values: what is given is read, what isn't has its default, and what is wrong is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.sync.settings import (
    DEFAULT_LIMITS,
    SETTINGS,
    Limits,
    Selection,
    SyncSettings,
    build_settings,
    default_text,
    description,
)


def build(**values: Any) -> SyncSettings:
    return build_settings(
        {"bucket": "docs", **values}, project_id="of the connection", max_file_size=7, max_request_size=9
    )


def test_what_is_not_given_has_its_default_or_is_the_connections() -> None:
    """Nothing but a bucket is needed."""
    assert build() == SyncSettings(
        "of the connection", "docs", selection=Selection(max_file_size=7), limits=Limits(max_request_size=9)
    )


@pytest.mark.parametrize("nothing", [None, "", "None", " "])
def test_a_value_that_says_nothing_leaves_the_connections(nothing: str | None) -> None:
    """A template without a value is as good as none."""
    assert build(project_id=nothing, max_file_size=nothing, max_request_size=nothing) == build()


def test_every_setting_is_read_from_the_text_of_a_template() -> None:
    """Whatever its type."""
    settings = build(
        project_id="mine", prefix="in/", sync_id="two", keys='["in/a", "in/b"]', include="*.md, *.txt",
        exclude="['x/*']", file_types=".MD", max_file_size="100", max_request_size="200", on_removed="keep",
        on_mass_delete="skip", max_delete_documents="5", max_delete_percent="7.5", max_delete_absolute="50",
        max_failed_documents="2", max_documents_per_run="30", max_run_time="60", processing_timeout="90.5",
        upload_tasks="3", listing_ranges="8", upload_order="newest", wait_for_processing="false", dry_run="true",
        plan_hash="abc",
    )  # fmt: skip
    assert settings == SyncSettings(
        "mine",
        "docs",
        "in/",
        "two",
        Selection(include=("*.md", "*.txt"), exclude=("x/*",), file_types=("md",), max_file_size=100),
        Limits(
            max_request_size=200, max_delete_documents=5, max_delete_percent=7.5, max_delete_absolute=50,
            max_failed_documents=2, max_documents_per_run=30, max_run_time=60.0, processing_timeout=90.5,
            upload_tasks=3, listing_ranges=8,
        ),
        keys=("in/a", "in/b"), on_removed="keep", on_mass_delete="skip", upload_order="newest",
        wait_for_processing=False, dry_run=True, plan_hash="abc",
    )  # fmt: skip


def test_only_what_may_be_without_a_limit_can_be_switched_off() -> None:
    """``None`` is no limit there, and an error elsewhere."""
    assert build(max_run_time=None, max_documents_per_run="None").limits.max_run_time is None
    with pytest.raises(SettingsError) as caught:
        build(max_delete_documents=None)
    assert caught.value.field == "max_delete_documents"
    assert build(max_run_time=timedelta(minutes=1)).limits.max_run_time == 60.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_delete_percent", "101"),
        ("max_delete_percent", "many"),
        ("listing_ranges", "0"),
        ("upload_tasks", 1000),
        ("on_removed", "purge"),
        ("upload_order", None),
        ("dry_run", "maybe"),
        ("include", {"a": 1}),
        ("bucket", "s3://docs"),
        ("bucket", None),
        ("prefix", 5),
        ("keys", "None"),
    ],
)
def test_a_wrong_value_is_named_whether_it_cannot_be_read_or_cannot_work(name: str, value: Any) -> None:
    """By the name of its setting, in a sentence."""
    with pytest.raises(SettingsError) as caught:
        build(**{name: value})
    assert caught.value.field == name


def test_a_setting_that_does_not_exist_is_refused() -> None:
    """A misspelt limit must not leave the default in force without a word."""
    with pytest.raises(SettingsError, match="no setting 'max_deletes'") as caught:
        build(max_deletes=5)
    assert "max_delete_documents" in caught.value.hint


def test_how_often_a_document_may_fail_is_not_for_people_to_set() -> None:
    """It is a limit of the engine, checked like the others."""
    assert "max_attempts" not in SETTINGS
    with pytest.raises(SettingsError, match="max_attempts"):
        build(max_attempts=5)


def test_defaults_are_told_as_people_write_them() -> None:
    """Numbers with separators, times in seconds, and words where the value says nothing."""
    assert [default_text(name) for name in ("max_delete_absolute", "max_run_time", "max_delete_percent")] == [
        f"{DEFAULT_LIMITS.max_delete_absolute:,}", f"{DEFAULT_LIMITS.max_run_time:g} s",
        f"{DEFAULT_LIMITS.max_delete_percent:g}",
    ]  # fmt: skip
    assert [default_text(name) for name in ("bucket", "prefix", "plan_hash", "dry_run", "include")] == [
        "required", "the whole bucket", "none", "False", "everything",
    ]  # fmt: skip
    assert description("keys").endswith("; default: the whole prefix")
    assert description("dry_run") == SETTINGS["dry_run"].text
