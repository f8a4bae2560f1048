"""``airflow cloudindex plan`` judges by the settings of the DAG: the same values become the same ``SyncSettings``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest

GIVEN: dict[str, tuple[list[str], Any]] = {
    # setting -> (words of the command line, the operator's argument)
    "project_id": (["--project-id", "p-1"], "p-1"),
    "prefix": (["--prefix", "docs/"], "docs/"),
    "sync_id": (["--sync-id", "two"], "two"),
    "include": (["--include", "*.md", "--include", "a,b*"], ["*.md", "a,b*"]),
    "exclude": (["--exclude", "tmp/*"], ["tmp/*"]),
    "file_types": (["--file-types", ".PDF, md"], ["pdf", "md"]),
    "max_file_size": (["--max-file-size", "100"], 100),
    "request_payer": (["--request-payer"], True),
    "max_request_size": (["--max-request-size", "200"], 200),
    "keys": (["--key", "docs/a,b", "--key", "docs/c"], ["docs/a,b", "docs/c"]),
    "on_removed": (["--on-removed", "keep"], "keep"),
    "max_delete_documents": (["--max-delete-documents", "7"], 7),
    "max_delete_percent": (["--max-delete-percent", "2.5"], 2.5),
    "max_delete_absolute": (["--max-delete-absolute", "70"], 70),
    "on_mass_delete": (["--on-mass-delete", "skip"], "skip"),
    "max_failed_documents": (["--max-failed-documents", "3"], 3),
    "max_documents_per_run": (["--max-documents-per-run", "9"], 9),
    "max_run_time": (["--max-run-time", "60"], 60),
    "processing_timeout": (["--processing-timeout", "61"], 61),
    "stuck_after": (["--stuck-after", "None"], None),
    "upload_tasks": (["--upload-tasks", "2"], 2),
    "upload_order": (["--upload-order", "newest"], "newest"),
    "listing_ranges": (["--listing-ranges", "3"], 3),
    "audit_interval": (["--audit-interval", "0"], 0),
    "wait_for_processing": (["--wait-for-processing", "false"], False),
    "plan_hash": (["--plan-hash", "0a"], "0a"),
}


class Hook:
    """What a connection says, for settings that say nothing."""

    project_id = "of the connection"

    class settings:  # noqa: N801 - stands for the hook's attribute
        max_file_size = 1_000_000
        max_request_size = 2_000_000


@pytest.fixture(scope="module")
def parser(airflow_home: Path) -> ArgumentParser:
    from airflow.cli.cli_parser import get_parser

    made: ArgumentParser = get_parser()
    return made


def plan_parser(parser: ArgumentParser) -> ArgumentParser:
    """The parser of ``airflow cloudindex plan`` alone."""
    for name in ("cloudindex", "plan"):
        assert parser._subparsers is not None
        parser = parser._subparsers._group_actions[0].choices[name]  # type: ignore[index]
    return parser


def of_the_command(parser: ArgumentParser, *words: str) -> Any:
    from cloudindex_provider.cli.session import command_settings

    args: Namespace = parser.parse_args(["cloudindex", "plan", "--bucket", "docs", *words])
    return command_settings(args, Hook(), dry_run=True)  # type: ignore[arg-type]


def of_the_operator(**values: Any) -> Any:
    from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator

    return S3ToCloudIndexOperator(task_id="t", bucket="docs", dry_run=True, **values)._settings(Hook())  # type: ignore[arg-type]


def test_what_is_not_said_is_the_same(parser: ArgumentParser) -> None:
    """Defaults, and what the connection says."""
    assert of_the_command(parser) == of_the_operator()


@pytest.mark.parametrize("name", GIVEN)
def test_one_setting_means_the_same(parser: ArgumentParser, name: str) -> None:
    """Each alone, so that none hides another."""
    words, value = GIVEN[name]
    built = of_the_command(parser, *words, *(["--prefix", "docs/"] if name == "keys" else []))
    assert built == of_the_operator(**{name: value, **({"prefix": "docs/"} if name == "keys" else {})})
    assert built != of_the_operator()


def test_all_settings_mean_the_same_in_the_command_the_operator_and_every_task_of_the_group(
    parser: ArgumentParser,
) -> None:
    """One function builds them all."""
    from airflow.sdk import DAG

    from cloudindex_provider.transfers.s3_to_cloudindex import s3_to_cloudindex

    values = {name: value for name, (_, value) in GIVEN.items()}
    built = of_the_command(parser, *(word for words, _ in GIVEN.values() for word in words))
    assert built == of_the_operator(**values)
    with DAG("d", schedule=None) as dag:
        s3_to_cloudindex(bucket="docs", dry_run=True, **values)
    tasks: list[Any] = [task.unmap({"worker": 0}) if task.is_mapped else task for task in dag.tasks]
    assert len(tasks) == 5
    for task in tasks:
        assert task._settings(Hook()) == built, task.task_id


def test_the_command_takes_every_setting_of_a_task_and_says_its_declared_text(parser: ArgumentParser) -> None:
    """All but ``dry_run``, which a plan is; the help of a flag is the setting's text, and lists may be repeated."""
    from cloudindex_provider.sync.settings import SETTINGS, default_text

    actions = {action.dest: action for action in plan_parser(parser)._actions if action.dest in SETTINGS}
    assert set(actions) == set(GIVEN) | {"bucket"} == set(SETTINGS) - {"dry_run"}
    for name, action in actions.items():
        text = SETTINGS[name].text.replace("``", "`")
        assert str(action.help).lower().startswith(text.lower())
        assert name == "bucket" or f"default: {default_text(name)}" in str(action.help)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--max-delete-percent", "101"], "max_delete_percent"),
        (["--max-delete-documents", "many"], "max_delete_documents"),
        (["--on-removed", "purge"], "on_removed"),
        (["--max-request-size", "0"], "max_request_size"),
    ],
)
def test_a_wrong_value_is_refused_as_a_task_refuses_it(parser: ArgumentParser, words: list[str], name: str) -> None:
    """With the same sentence."""
    from cloudindex_provider.errors import SettingsError

    with pytest.raises(SettingsError) as by_the_command:
        of_the_command(parser, *words)
    with pytest.raises(SettingsError) as by_the_task:
        of_the_operator(**{name: words[1]})
    assert str(by_the_command.value) == str(by_the_task.value)
    assert by_the_command.value.field == name
