"""A role of a real Postgres that comes in by a password of the moment alone, as RDS has it with tokens of IAM."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.postgres import PostgresServer

__all__ = ["ROLE", "Tokens"]

ROLE = "by_token"


@dataclass
class Tokens:
    """Gives passwords, and knows how often it was asked. The server takes the last one that was made valid."""

    server: PostgresServer
    given: list[str] = field(default_factory=list)
    now: str = "token-5ecret-1"

    def __call__(self) -> str:
        self.given.append(self.now)
        return self.now

    def renew(self, token: str, *, here: bool = True) -> None:
        """The server takes another one from now on, and the older ones no more."""
        self.server.sql(f"ALTER ROLE {ROLE} PASSWORD '{token}'")
        if here:
            self.now = token

    def disconnect(self) -> None:
        """End every connection, as a server does with idle ones, and wait for that."""
        self.server.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{ROLE}'")
