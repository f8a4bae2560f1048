"""A state whose Postgres is logged in to by IAM: everything that opens it logs in by a token of its own.

RDS itself isn't here. A real Postgres stands for it, which takes the passwords that stand for tokens; what a token
says is tested in ``tests/unit``.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from cloudindex_provider.hooks import step
from cloudindex_provider.hooks.state import open_state, preview_state
from cloudindex_provider.operators.cloudindex_care import CloudIndexListSourcesOperator
from cloudindex_provider.plugins.reading import StateReader
from cloudindex_provider.transfers.s3_to_cloudindex import S3ToCloudIndexOperator
from tests.integration.airflow.conftest import World
from tests.integration.state.conftest import by_iam, postgres_server, tokens  # noqa: F401 - fixtures
from tests.support.tokens import Tokens

PACKAGE = Path(step.__file__).parents[1]  # also where it is installed from a wheel


def preview() -> None:
    with preview_state() as db:
        db.clock()


def page(*, writes: bool) -> None:
    reader = StateReader()
    if not writes:
        reader.database().close()
        return
    with reader.writing() as db:
        db.clock()
    reader.database().close()


def care() -> None:
    CloudIndexListSourcesOperator(task_id="sources").execute({})


def single_step() -> None:
    db = step._open(reads_state=True)
    assert db is not None
    db.close()


def command(*words: str) -> Callable[[], None]:
    def run() -> None:
        from airflow.cli.cli_parser import get_parser

        args = get_parser().parse_args(["cloudindex", *words])
        args.func(args)

    return run


OPENERS = {
    "an operator": care,
    "a single step": single_step,
    "a preview": preview,
    "the page": lambda: page(writes=False),
    "an action of the page": lambda: page(writes=True),
    "a command that looks": command("sources", "list"),
    "a command that writes": command("migrate"),
}


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.usefixtures("airflow_db")
def test_whatever_opens_the_state_logs_in_by_a_token(by_iam: Tokens, opener: str) -> None:  # noqa: F811
    """The server refuses everybody who doesn't, and the token of before."""
    open_state().close()
    by_iam.renew("token-5ecret-2")
    before = len(by_iam.given)
    OPENERS[opener]()
    assert set(by_iam.given[before:]) == {"token-5ecret-2"}


def test_a_whole_sync_leaves_no_token_behind(
    world: World,
    run_dag: Any,
    by_iam: Tokens,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With its dry run, which books its requests by an opening of its own."""
    caplog.set_level(logging.DEBUG)
    world.put("documents/a.txt", "documents/b.txt")
    for dry_run in (False, True):
        with DAG("by_iam", schedule=None) as dag:
            S3ToCloudIndexOperator(task_id="sync", bucket=world.bucket, prefix="documents/", dry_run=dry_run)
        assert run_dag(dag) == {("sync", -1): ("success", 1)}
    assert world.has("documents/a.txt")
    with closing(open_state()) as db, db.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM object WHERE status = 'indexed'").scalar_one() == 2
    assert len(by_iam.given) >= 4
    assert "5ecret" not in caplog.text


def test_a_database_is_opened_where_its_login_is_known_and_nowhere_else() -> None:
    """Whoever else opened one by its URL would come in without a token."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("Database", "create_engine")
    }
    by_address = {"hooks/state.py", "hooks/session.py", "aws_lambda/engine.py"}
    assert found == {"state/db/engines.py", *by_address}
