"""A setting is declared once; signatures, template fields, docstrings and docs/settings.md say the same of it.

Of the operators and of the task group alike.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.cloudindex_s3_events import CloudIndexSyncS3EventsOperator
from cloudindex_provider.sync.arguments import NOT_GIVEN
from cloudindex_provider.sync.settings import (
    DEFAULT_FILE_TYPES,
    SETTINGS,
    SyncSettings,
    build_settings,
    default_text,
    description,
)
from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

GUIDE = Path(__file__).parents[2] / "docs" / "settings.md"

# The operator's arguments that are no settings of a sync.
CONNECTIONS = {"aws_conn_id", "cloudindex_conn_id"}
STATE = {"state_conn_id", "state_url"}
AIRFLOWS = {"retries", "retry_delay", "retry_policy"}
INTERNAL = {"run_scope"}  # the group's word to its tasks

SIGNATURE = {
    name: argument.default
    for name, argument in inspect.signature(BaseS3ToCloudIndexOperator.__init__).parameters.items()
    if argument.kind is argument.KEYWORD_ONLY
}


GROUP = {
    name: argument.default
    for name, argument in inspect.signature(s3_to_cloudindex).parameters.items()
    if argument.kind is argument.KEYWORD_ONLY
}
# The group's arguments that no operator of a sync has, or that it gives to some of its tasks alone.
GROUPS_OWN = {
    "group_id", "wait_for_documents", "sensor_timeout", "sensor_poke_interval", "pool", "poll_interval", "deferrable",
    "inlets", "outlets", "on_execute_callback", "on_failure_callback", "on_success_callback", "on_retry_callback",
    "on_skipped_callback",
}  # fmt: skip


def documented(of: Callable[..., Any] = BaseS3ToCloudIndexOperator) -> dict[str, str]:
    """name -> text of each ``:param`` of a docstring."""
    text = inspect.getdoc(of) or ""
    found = re.findall(r"^:param (\w+): (.*(?:\n    .*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def guide_table(title: str = "All settings", guide: Path = GUIDE) -> dict[str, str]:
    """name -> default of each row of the tables in a guide's section, which may be about several."""
    section = guide.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`.*) \|$", section, re.MULTILINE):
        first, *_, last = re.split(r" ?(?<!\\)\| ?", row)
        names, defaults = re.findall(r"`(\w+)`", first), last.replace("`", "").split(", ")
        assert len(defaults) in (1, len(names)), f"the row of {', '.join(names)} doesn't say a default for each"
        found |= dict(zip(names, defaults * (len(names) // len(defaults)), strict=True))
    return found


OTHERS = CONNECTIONS | STATE | AIRFLOWS

PLACES: Mapping[str, tuple[Collection[str], set[str]]] = {
    # where -> (what stands there, what of it is no setting)
    "the signature of BaseS3ToCloudIndexOperator": (SIGNATURE, OTHERS | INTERNAL),
    "its template_fields": (BaseS3ToCloudIndexOperator.template_fields, CONNECTIONS),
    "its docstring": (documented(), OTHERS | INTERNAL),
    "docs/settings.md's table": (guide_table(), OTHERS),
    "the signature of s3_to_cloudindex": (GROUP, OTHERS | GROUPS_OWN),
    "the docstring of s3_to_cloudindex": (documented(s3_to_cloudindex), OTHERS | GROUPS_OWN | {"task_arguments"}),
}


def disagreements(declared: Collection[str]) -> list[str]:
    """What is missing where, and what is there that nobody declared."""
    found = []
    for place, (names, others) in PLACES.items():
        undeclared = {*names} - others - {*declared}
        found += [f"the setting {name} is missing in {place}" for name in declared if name not in names]
        found += [f"{name} is in {place}, but not declared in sync/settings.py" for name in undeclared]
        found += [f"{name} is missing in {place}" for name in others if name not in names]
    return sorted(found)


def test_every_setting_is_everywhere() -> None:
    """Adding one to the declarations alone, or to anything but the declarations, says what is still to do."""
    assert not (found := disagreements(SETTINGS)), "\n".join(found)


@pytest.mark.parametrize("place", PLACES)
def test_a_setting_that_is_missing_or_undeclared_is_named_with_its_place(place: str) -> None:
    """The check above can fail, in each place and in both directions."""
    assert f"the setting max_pages is missing in {place}" in disagreements([*SETTINGS, "max_pages"])
    assert f"prefix is in {place}, but not declared in sync/settings.py" in disagreements(SETTINGS.keys() - {"prefix"})


@pytest.mark.parametrize("of", [BaseS3ToCloudIndexOperator, s3_to_cloudindex])
def test_the_docstrings_say_the_declared_text(of: Callable[..., Any]) -> None:
    """The meaning is written once; the docstring is a copy for people and editors that read the source."""
    texts = documented(of)
    assert {name: texts[name] for name in SETTINGS} == {name: description(name) for name in SETTINGS}


def test_the_signatures_defaults_are_the_declared_ones() -> None:
    """An operator that is told nothing but its bucket has the settings that ``SyncSettings`` has by itself."""
    given = {name: SIGNATURE[name] for name in SETTINGS} | {"bucket": "docs"}
    plain = SyncSettings("p", "docs")
    sizes = {
        "max_file_size": plain.selection.max_file_size, "max_request_size": plain.limits.max_request_size,
    }  # fmt: skip
    assert build_settings(given, project_id="p", **sizes) == plain
    assert SIGNATURE["bucket"] is inspect.Parameter.empty


def test_the_guide_says_the_declared_defaults() -> None:
    """The last column of its table."""
    told = guide_table()
    assert {name: told[name] for name in SETTINGS} == {name: default_text(name) for name in SETTINGS}


def test_the_group_has_no_default_of_its_own_for_what_is_its_tasks() -> None:
    """So that ``default_args`` reach the tasks: what nobody gives isn't passed on."""
    given = {name for name, default in GROUP.items() if default is not NOT_GIVEN}
    assert given == {"group_id", "wait_for_documents"}


def test_the_group_and_the_operator_say_the_same_of_connections_and_state() -> None:
    """Those are no settings, and have the same meaning in both."""
    here, there = documented(), documented(s3_to_cloudindex)
    assert {name: there[name] for name in CONNECTIONS | STATE} == {name: here[name] for name in CONNECTIONS | STATE}


def test_the_guides_table_of_the_group_says_its_arguments_with_their_defaults() -> None:
    """Those that the group itself has, in the words of its docstring for their defaults."""
    told, texts = guide_table("The group's own arguments"), documented(s3_to_cloudindex)
    assert told.keys() == GROUPS_OWN
    assert (told.pop("group_id"), told.pop("wait_for_documents")) == (
        GROUP["group_id"],
        str(GROUP["wait_for_documents"]),
    )
    for name, default in told.items():
        said = re.search(r"; default: (.*)$", texts[name].replace("`", ""))
        assert default.removesuffix(" s") in (said.group(1) if said else "none"), name


def test_every_setting_is_kept_under_its_own_name() -> None:
    """What is given to an argument is what templates are rendered from and settings are built of."""
    given: dict[str, Any] = {name: f"the {name}" for name in SETTINGS}
    task = BaseS3ToCloudIndexOperator(task_id="t", **given)
    assert {name: getattr(task, name) for name in SETTINGS} == given


def test_the_guide_lists_the_default_file_types() -> None:
    """All of them, and no other."""
    [listed] = re.findall(
        r"default of `file_types`:\n\n```text\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert listed.split() == sorted(DEFAULT_FILE_TYPES)


def test_the_guide_of_events_has_every_argument_with_its_default() -> None:
    """Of the operator that follows a queue."""
    told = guide_table("Arguments", GUIDE.with_name("events.md"))
    parameters = inspect.signature(CloudIndexSyncS3EventsOperator.__init__).parameters.values()
    taken = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert told.keys() == taken.keys() - AIRFLOWS
    plain = {name: default for name, default in taken.items() if isinstance(default, float) or name == "aws_conn_id"}
    assert {name: told[name].removesuffix(" s") for name in plain} == {
        name: f"{default:g}" if isinstance(default, float) else default for name, default in plain.items()
    }
