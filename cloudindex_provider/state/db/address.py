"""Where a state's database is, and what gives the password of each new connection where the URL holds none.

That is a function, asked once a connection; its answer is kept nowhere. Who makes it, and of what, isn't known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url

__all__ = ["Address"]

_REFUSED_HINT = (
    "Where the login is refused, check that the host is RDS's own endpoint, that the identity has rds-db:connect"
    " (airflow cloudindex iam-policy --for state), and that the user was granted rds_iam. It is tried again."
)
# A failover of RDS, or a NAT that forgets, drops packets without a word. The kernel's own patience is two hours for who
# waits for an answer (150 s of them were seen; with this it took 57 s), and a quarter of one for who has sent.
_PROBING = {"keepalives_idle": 30, "keepalives_interval": 5, "keepalives_count": 5, "tcp_user_timeout": 55_000}
_OF_LIBPQ = ("psycopg2", "psycopg")


@dataclass(frozen=True, slots=True)
class Address:
    """An SQLAlchemy URL (sqlite or postgresql), and how to log in there beyond it.

    :param password: asked for the password of each new connection; what it raises passes through
    :param hint: what to look at where no connection comes about; default: the error's own
    """

    url: URL
    password: Callable[[], str] | None = field(default=None, repr=False)
    hint: str | None = None

    @classmethod
    def of(cls, place: str | URL | Address) -> Address:
        """The address of what may be a URL alone."""
        return place if isinstance(place, Address) else cls(make_url(place))

    @classmethod
    def of_rds(cls, url: URL, token: Callable[[], str]) -> Address:
        """A Postgres on Amazon RDS or Aurora, which takes a token for a password, and none without TLS."""
        return cls(url, token, _REFUSED_HINT).defaulting(sslmode="require")

    def defaulting(self, **options: str) -> Address:
        """The same with options of the driver, such as ``sslmode``, where the URL doesn't say."""
        given = {name: value for name, value in options.items() if name not in self.url.query}
        return replace(self, url=self.url.update_query_dict(given))

    @property
    def probing(self) -> dict[str, int]:
        """How a connection to Postgres finds out in a minute that nobody is there, where the URL doesn't say.

        Nothing for a driver that isn't libpq's: it would refuse names that it doesn't know.
        """
        if self.url.get_driver_name() not in _OF_LIBPQ:
            return {}
        return {name: value for name, value in _PROBING.items() if name not in self.url.query}

    def listen(self, engine: Engine) -> None:
        """Have every connection that this engine makes, now or after hours, ask for its password."""
        password = self.password
        if password is None:
            return

        @sa.event.listens_for(engine, "do_connect")
        def _on_connect(dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
            # The engine's own options stay as they are: they outlive the connection, and the password isn't to.
            return dialect.connect(*arguments, **{**options, "password": password()})
