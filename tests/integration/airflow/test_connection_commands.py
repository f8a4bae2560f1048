"""The commands of README and docs/connections.md that make connections, run as they stand by Airflow's own parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.guide_blocks import blocks, shell_lines

ROOT = Path(__file__).parents[3]
VARIABLES = {
    "CLOUDINDEX_API_KEY": "key-of-cloudindex",
    "AWS_ACCESS_KEY_ID": "access-key-id",
    "AWS_SECRET_ACCESS_KEY": "secret/key",
}
CONN_IDS = ("cloudindex_default", "aws_default")
PROJECT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def stored(airflow_db: Path) -> Iterator[Any]:
    """What the database has under our ids; nothing before and after a test."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    def forget() -> None:
        with create_session() as session:
            session.query(Connection).filter(Connection.conn_id.in_(CONN_IDS)).delete(synchronize_session=False)

    def read() -> dict[str, Any]:
        with create_session() as session:
            found = session.query(Connection).filter(Connection.conn_id.in_(CONN_IDS)).all()
            return {one.conn_id: (one.conn_type, one.host, one.login, one.password, one.extra_dejson) for one in found}

    forget()
    yield read
    forget()


@pytest.mark.parametrize(("guide", "section"), [("README.md", "Install"), ("docs/connections.md", "By command")])
def test_the_commands_make_both_connections(stored: Any, guide: str, section: str) -> None:
    """With the key, the project and the region where their readers look for them."""
    from airflow.cli.cli_parser import get_parser

    [block] = [one for one in blocks(ROOT / guide) if (one.section, one.language) == (section, "bash")]
    for words in shell_lines(block):
        if words[:3] == ["airflow", "connections", "add"]:
            given = [VARIABLES.get(word.removeprefix("$"), word) if word.startswith("$") else word for word in words]
            args = get_parser().parse_args(given[1:])
            args.func(args)
    assert stored() == {
        "cloudindex_default": ("cloudindex", None, None, "key-of-cloudindex", {"project_id": PROJECT}),
        "aws_default": ("aws", None, "access-key-id", "secret/key", {"region_name": "eu-central-1"}),
    }
