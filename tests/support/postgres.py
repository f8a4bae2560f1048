"""A private PostgreSQL: made by initdb in a temporary directory, reached by its socket alone, stopped at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

__all__ = ["FAST", "PostgresServer", "find_binaries", "running_postgres"]

# For tests, which lose nothing in a crash of the machine.
FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB -c deadlock_timeout=200ms"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server; ``socket_dir`` holds its socket."""

    socket_dir: Path
    port: int

    def url(self, driver: str, name: str = "postgres") -> sa.URL:
        return sa.URL.create(
            f"postgresql+{driver}", username="postgres", database=name,
            query={"host": str(self.socket_dir), "port": str(self.port)},
        )  # fmt: skip

    def sql(self, *statements: str) -> list[Any]:
        """The last one's first column."""
        engine = sa.create_engine(self.url("psycopg2"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            found = list(results[-1].scalars()) if results[-1].returns_rows else []
        engine.dispose()
        return found

    def ask_for_password(self, role: str) -> None:
        """From now on this role comes in by its password alone; all others need none."""
        rules = f"ARRAY['local all {role} scram-sha-256', 'local all all trust']"
        loaded = self.sql("SELECT pg_conf_load_time()")
        self.sql(f"COPY (SELECT unnest({rules})) TO '{self.socket_dir}/data/pg_hba.conf'", "SELECT pg_reload_conf()")
        while self.sql("SELECT pg_conf_load_time()") == loaded:
            time.sleep(0.01)


def find_binaries() -> Path | None:
    """The folder of the newest initdb and pg_ctl, or ``None`` where PostgreSQL isn't installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    which = shutil.which("initdb")
    return Path(which).resolve().parent if which else None


@contextmanager
def running_postgres(binaries: Path, options: str = FAST) -> Iterator[PostgresServer]:
    """A server until the block's end, with the settings of ``options``."""
    who = _as_postgres()
    home = Path(tempfile.mkdtemp(prefix="ci-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes at most
    if who:
        os.chown(home, who["user"], who["group"])
    server = PostgresServer(home, _free_port())
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    run = {**who, "env": env, "cwd": home, "check": True, "stdout": subprocess.DEVNULL, "timeout": 60}
    data, log = home / "data", home / "log"
    # A locale whose own order isn't that of bytes shows whether keys are told to be compared as bytes.
    locale = ["--locale-provider=icu", "--icu-locale=en", "--locale=C.UTF-8", "--encoding=UTF8"]
    always = f"-p {server.port} -k {home} -c listen_addresses= -c max_connections=60"
    try:
        subprocess.run([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", *locale], **run)
        subprocess.run([binaries / "pg_ctl", "-D", data, "-l", log, "-w", "-o", f"{always} {options}", "start"], **run)
        try:
            server.sql("CREATE DATABASE state")
            yield server
        finally:
            subprocess.run([binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _as_postgres() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
