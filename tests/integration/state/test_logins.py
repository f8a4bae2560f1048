"""A state whose password is given for each new connection, on a real Postgres that asks for it."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa

from cloudindex_provider.errors import StateError, StateUnavailableError
from cloudindex_provider.state.db.address import Address
from cloudindex_provider.state.db.database import Database, has_state
from tests.support.postgres import PostgresServer
from tests.support.tokens import ROLE, Tokens


@pytest.fixture(params=["psycopg2", "psycopg"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def address(postgres_server: PostgresServer, tokens: Tokens, driver: str) -> Address:
    """Of that database, by that role; this server speaks no TLS."""
    url = postgres_server.url(driver, ROLE).set(username=ROLE).update_query_dict({"sslmode": "disable"})
    return Address.of_rds(url, tokens)


def user_of(db: Database) -> str:
    with db.read() as connection:
        return str(connection.execute(sa.text("SELECT current_user")).scalar_one())


def test_every_new_connection_asks_for_its_password(address: Address, tokens: Tokens) -> None:
    """A pool that reconnects after an hour comes in by a new one: the first is of no use by then."""
    db = Database(address)
    assert (user_of(db), len(tokens.given)) == (ROLE, 1)
    tokens.renew("token-5ecret-2")
    assert (user_of(db), len(tokens.given)) == (ROLE, 1)  # what is connected stays so
    tokens.disconnect()
    assert (user_of(db), tokens.given) == (ROLE, ["token-5ecret-1", "token-5ecret-2"])
    with db.read() as connection, db.write() as second:
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == second.execute(sa.text("SELECT 1")).scalar_one()
    assert len(tokens.given) == 3
    db.close()


def test_whoever_opens_the_state_again_by_its_address_logs_in_alike(address: Address, tokens: Tokens) -> None:
    """As a dry run does, which reads the state and books its requests there."""
    db = Database(address)
    again = Database(db.address, must_exist=True)
    assert (user_of(again), len(tokens.given)) == (ROLE, 2)
    assert has_state(db.address)
    assert len(tokens.given) == 3
    db.close()
    again.close()


def test_a_refused_login_says_what_to_look_at_and_no_password(
    address: Address, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything is logged that can be: of SQLAlchemy, too."""
    caplog.set_level(logging.DEBUG)
    db = Database(address)
    tokens.renew("token-5ecret-2", here=False)
    tokens.disconnect()
    with pytest.raises(StateUnavailableError, match="password authentication failed") as caught:
        user_of(db)
    assert "rds-db:connect" in caught.value.hint
    told = f"{caught.value!r} {caught.value.fields()} {db.name} {db.address!r} {db.url!r} {caplog.text}"
    assert "5ecret" not in told
    db.close()


def test_what_the_password_itself_raises_passes_through(address: Address, tokens: Tokens) -> None:
    """No credentials, say: at the first opening and when a pool reconnects."""

    def none() -> str:
        raise StateError("There are no AWS credentials.")

    for place in (Database, has_state):
        with pytest.raises(StateError, match="no AWS credentials"):
            place(Address(address.url, none))
    asked = iter([tokens.now])

    def once() -> str:
        return next(asked, None) or none()

    db = Database(Address(address.url, once))
    tokens.disconnect()
    with pytest.raises(StateError, match="no AWS credentials"):
        user_of(db)
    db.close()


def test_tls_is_asked_for_where_the_url_says_nothing(postgres_server: PostgresServer, tokens: Tokens) -> None:
    """RDS takes no token without it."""
    url = postgres_server.url("psycopg2", ROLE).set(username=ROLE)
    assert Address.of_rds(url, tokens).url.query["sslmode"] == "require"
    assert (
        Address.of_rds(url.update_query_dict({"sslmode": "verify-full"}), tokens).url.query["sslmode"] == "verify-full"
    )
    assert "sslmode" not in Address.of(url).url.query
