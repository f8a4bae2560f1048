from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.mirror import Mirror


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence of an error; what comes before it are log lines."""
        assert (self.code, self.out) == (2, "")
        last = self.err.splitlines()[-1]
        assert last.startswith("Error: ")
        return last

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Answer]


@pytest.fixture(scope="session")
def parser(airflow_home: Path) -> ArgumentParser:
    """Airflow's own. Made before any test captures output, because Airflow's logging keeps the stream it finds."""
    from airflow.cli.cli_parser import get_parser

    made: ArgumentParser = get_parser()
    return made


@pytest.fixture
def cli(
    parser: ArgumentParser,
    mirror: Mirror,
    s3_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Runs ``airflow cloudindex ...`` through Airflow's own parser, against the mirror's state, S3 and CloudIndex."""
    aws = {
        "conn_type": "aws", "login": "test", "password": "test",
        "extra": {"endpoint_url": s3_url, "region_name": "us-east-1"},
    }  # fmt: skip
    index = {
        "conn_type": "cloudindex", "host": mirror.cloud.url, "password": mirror.cloud.api_key,
        "extra": {"project_id": mirror.project_id},
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    monkeypatch.setenv("AIRFLOW_CONN_CLOUDINDEX_DEFAULT", json.dumps(index))
    monkeypatch.setenv("AIRFLOW__CLOUDINDEX__STATE_PATH", mirror.db.name)

    def run(*words: object) -> Answer:
        args: Namespace = parser.parse_args(["cloudindex", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            args.func(args)
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        assert mirror.cloud.api_key not in printed.out + printed.err
        assert "Traceback" not in printed.out + printed.err
        return Answer(code, printed.out, printed.err)

    return run


@pytest.fixture
def rebuild(cli: Cli, mirror: Mirror) -> Cli:
    """``rebuild`` of the mirror's source, as JSON."""

    def run(*words: object) -> Answer:
        return cli("rebuild", "--bucket", mirror.bucket, "--prefix", mirror.prefix, "--output", "json", *words)

    return run


@pytest.fixture
def lose_state(mirror: Mirror) -> Callable[[], None]:
    """The state's file is gone, and a new, empty one is in its place."""

    def lose() -> None:
        for table in ("object", "superseded", "history", "run", "run_key", "run_count", "source", "scope"):
            mirror.execute(f"DELETE FROM {table}")

    return lose


@pytest.fixture
def send(mirror: Mirror) -> Callable[[str, bytes], str]:
    """Uploads bytes under a key's own name, past the sync; gives the document's id."""
    from cloudindex_provider.api.models import FilePart
    from cloudindex_provider.sync.naming import file_name

    def upload(key: str, body: bytes) -> str:
        part = FilePart(file_name(mirror.bucket, key), len(body), lambda: iter((body,)))
        return mirror.client.upload_documents([part]).documents[0].id

    return upload
