"""What a person does on the page is what the next run finds in the state; and Airflow's audit log has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from cloudindex_provider.state import approvals, removals
from cloudindex_provider.state.approvals import Hold
from tests.integration.airflow.page.conftest import Kept, Known

SignIn = Callable[[str | None], TestClient]


@pytest.fixture
def user(sign_in: SignIn) -> TestClient:
    return sign_in("user")


@pytest.fixture
def sync(known: Known) -> Kept:
    return known.sync()


def act(user: TestClient, sync: Kept, action: str, **body: Any) -> dict[str, Any]:
    answer = user.post(f"{sync.url}/{action}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def last_line() -> tuple[str, str | None, str | None]:
    """(event, owner, DAG) of Airflow's audit log."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        line = session.query(Log).order_by(Log.id.desc()).first()
        assert line is not None, "the audit log is empty"
        return line.event, line.owner, line.dag_id


def test_all_failed_keys_are_released(user: TestClient, sync: Kept) -> None:
    """Those and no others; the answer says how many, and the numbers are new at once."""
    sync.list("a", "b", "c", "d")
    sync.fail("a", "b")
    sync.fail("c", strikes=1)
    assert user.get(sync.url).json()["sync"]["failed"] == 2
    done = act(user, sync, "retry", all="failed")
    assert done == {"number": 2, "message": "2 keys are tried again by the next run."}
    assert sync.statuses() == {"a": "pending", "b": "pending", "c": "quarantined", "d": "pending"}
    assert user.get(sync.url).json()["sync"]["failed"] == 0
    assert last_line() == ("cloudindex.retry", "a user", "mine")


def test_a_quarantined_key_is_released(user: TestClient, sync: Kept) -> None:
    """By its name, whatever that is."""
    key = "<b>\u202e\n"
    sync.list(key)
    sync.fail(key, strikes=1)
    assert user.get(f"{sync.url}/key", params={"key": key}).json()["may_retry"] is True
    act(user, sync, "retry", keys=[key])
    assert sync.statuses() == {key: "pending"}


def test_an_indexed_key_is_uploaded_again(user: TestClient, sync: Kept) -> None:
    """Its document is served until then."""
    sync.index("a", "b")
    assert user.get(f"{sync.url}/key", params={"key": "a"}).json()["may_resync"] is True
    act(user, sync, "resync", keys=["a"])
    assert sync.statuses() == {"a": "pending", "b": "indexed"}
    assert user.get(f"{sync.url}/key", params={"key": "a"}).json()["cloudindex"]["document_id"] == "doc-a"


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("retry", {}, 400),
        ("retry", {"keys": ["a"], "all": "failed"}, 400),
        ("retry", {"keys": ["indexed"]}, 400),
        ("retry", {"keys": ["unknown"]}, 400),
        ("retry", {"keys": ["a\0"]}, 422),
        ("retry", {"keys": ["x"] * 1001}, 422),
        ("retry", {"all": "indexed"}, 422),
        ("retry", {"keys": ["a"], "more": 1}, 422),
        ("resync", {"keys": ["a"]}, 400),
        ("resync", {"keys": []}, 422),
        ("approve", {"token": None, "ceiling": 0}, 422),
        ("approve", {"token": "another", "ceiling": 1}, 400),
        ("keep", {"token": "another"}, 400),
        ("keep", {}, 422),
    ],
)
def test_what_cant_be_done_is_refused_in_a_sentence(
    user: TestClient, sync: Kept, action: str, body: dict[str, Any], status: int
) -> None:
    """And nothing of it is done, not even the half that could be."""
    sync.index("indexed")
    sync.again("r2")
    sync.list("indexed", "a")
    sync.fail("a")
    answer = user.post(f"{sync.url}/{action}", json=body)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["message"]
    assert sync.statuses() == {"indexed": "indexed", "a": "failed"}


def hold(sync: Kept) -> None:
    sync.index("a", "b", "c")
    sync.again("r2")
    sync.list("a", hold=Hold("too many"))
    removals.record_held(sync.db, sync.run, "too many")
    sync.again("r3")


def token(user: TestClient, sync: Kept) -> str:
    return str(user.get(sync.url).json()["hold"]["token"])


def test_approved_deletes_may_be_done_by_the_next_run(user: TestClient, sync: Kept) -> None:
    """Up to the ceiling, by whom the page says."""
    hold(sync)
    done = act(user, sync, "approve", token=token(user, sync), ceiling=2)
    assert done["number"] == 2
    found = approvals.find_approval(sync.db, sync.run, 2)
    assert found is not None
    assert (found.ceiling, found.approved_by) == (2, "a user")
    assert approvals.find_approval(sync.db, sync.run, 3) is None
    assert user.get(sync.url).json()["hold"]["decision"] == "deletes approved: up to 2, by a user"
    assert last_line() == ("cloudindex.approve", "a user", "mine")


def test_kept_documents_stay(user: TestClient, sync: Kept) -> None:
    """Also where somebody had allowed their deletes before."""
    hold(sync)
    act(user, sync, "approve", token=token(user, sync), ceiling=2)
    act(user, sync, "keep", token=token(user, sync))
    assert approvals.find_approval(sync.db, sync.run, 2) is None
    assert user.get(sync.url).json()["hold"]["decision"] == "deletes kept: 2 removals, by a user"
