"""A state whose tables somebody has locked: the api-server has other requests to serve than those of the page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.state import sources
from tests.integration.state.conftest import by_iam, postgres_server, tokens  # noqa: F401 - fixtures


@pytest.mark.usefixtures("by_iam")
def test_a_locked_table_is_answered_within_moments_and_read_when_it_is_free(
    sign_in: Callable[[str | None], TestClient],
) -> None:
    """As in a migration, or in a VACUUM FULL of somebody's."""
    admin, db = sign_in("admin"), open_state()
    try:
        with db.write() as connection:
            connection.execute(sa.text("LOCK TABLE source IN ACCESS EXCLUSIVE MODE"))
            locked = admin.get("/cloudindex/api/syncs")  # without an end to the wait, this is the test's
        assert (locked.status_code, locked.json()["what"]) == (503, "state_unavailable")
        assert "lock timeout" in locked.json()["message"]
        assert admin.get("/cloudindex/api/syncs").status_code == 200
    finally:
        db.close()


@pytest.mark.usefixtures("by_iam")
@pytest.mark.parametrize("lock", ["meta IN ACCESS EXCLUSIVE MODE", "approval IN SHARE MODE"])
def test_an_action_waits_no_longer_than_a_look(sign_in: Callable[[str | None], TestClient], lock: str) -> None:
    """Neither for what its opening reads, nor for what it writes; it can be looked at all the while."""
    admin, db = sign_in("admin"), open_state()
    try:
        url = f"/cloudindex/api/syncs/{sources.open_source(db, project_id='p', bucket='b', prefix='docs/').id}"
        assert admin.get(url).status_code == 200
        with db.write() as connection:
            connection.execute(sa.text(f"LOCK TABLE {lock}"))
            locked = admin.post(
                f"{url}/approve", json={"ceiling": 5, "token": None}
            )  # without an end to the wait, as above
        assert (locked.status_code, locked.json()["what"]) == (503, "state_unavailable")
        assert "lock timeout" in locked.json()["message"]
        assert admin.post(f"{url}/approve", json={"ceiling": 5, "token": None}).status_code == 200
    finally:
        db.close()
