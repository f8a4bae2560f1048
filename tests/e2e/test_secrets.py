"""After failures of every kind, no secret is in anything that Airflow, its workers or the state have written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudindex_provider.local.faults import Fault
from cloudindex_provider.sync.naming import file_name
from tests.e2e.conftest import AWS_SECRET, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BUCKET = "secrets"
KEYS = [f"documents/{i}.txt" for i in range(3)]


def written(home: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of Airflow's home: logs, its database with XComs and rendered fields, the state."""
    for path in home.rglob("*"):
        # The passwords of Airflow's own login are another matter, and the index isn't ours.
        if path.is_file() and not {"index", "slow"} & set(path.relative_to(home).parts):
            yield path, path.read_bytes()


def test_no_secret_is_in_logs_xcom_rendered_fields_or_the_state(stack: Stack) -> None:
    stack.put(BUCKET, *KEYS)
    name = file_name(BUCKET, KEYS[0])
    stack.cloudindex.faults.add(
        Fault(operation="upload", kind="429", retry_after=6, match=name),
        Fault(operation="upload", kind="status", status=401, match=name),
    )
    run = stack.trigger("secrets", BUCKET)
    assert run.wait() == "failed"
    log = run.log("upload_documents", map_index=0)
    assert "refused the API key" in log

    files = dict(written(stack.airflow.home))
    assert {"airflow.db", "state.db"} <= {path.name for path in files}
    assert any(b"refused the API key" in text for text in files.values())
    found = [
        str(path) for path, text in files.items() for secret in (stack.cloudindex.api_key, AWS_SECRET)
        if secret.encode() in text
    ]  # fmt: skip
    assert found == []
