"""The page reads a state whose Postgres is logged in to by IAM: the api-server gets a token, and shows none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.state import runs, sources
from cloudindex_provider.state.records import RunName
from tests.integration.state.conftest import by_iam, postgres_server, tokens  # noqa: F401 - fixtures
from tests.support.tokens import Tokens


def test_the_page_logs_in_by_a_token_and_shows_none(
    sign_in: Callable[[str | None], TestClient],
    by_iam: Tokens,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also when the login is refused: its answer says what is wrong."""
    db = open_state()
    source = sources.open_source(db, project_id="p", bucket="b", prefix="docs/")
    runs.start_run(db, source, RunName("mine", "r1", "sync"))
    db.close()
    admin = sign_in("admin")
    answer = admin.get("/cloudindex/api/syncs")
    assert [one["prefix"] for one in answer.json()["syncs"]] == ["docs/"]
    by_iam.renew("token-5ecret-2", here=False)
    by_iam.disconnect()
    refused = admin.get("/cloudindex/api/syncs")
    assert (refused.status_code >= 400, "password authentication failed" in refused.text) == (True, True)
    assert "5ecret" not in answer.text + refused.text + caplog.text
