"""Redis and PostgreSQL from the system, private to one run: own folders, own free ports of 127.0.0.1, own passwords."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa

from programs.celery.processes import Processes, waiting_for
from tests.support.airflow_server import free_port

__all__ = ["MissingProgramError", "Postgres", "Redis", "find_programs"]

_START_SECONDS = 30.0
_TUNING = (
    "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=100", "shared_buffers=64MB",
)  # fmt: skip


class MissingProgramError(Exception):
    """A program that belongs to the system isn't there; says which package has it."""


def find_programs() -> tuple[Path, Path]:
    """``redis-server``, and the folder of PostgreSQL's programs.

    :raises MissingProgramError: naming every missing package
    """
    server = shutil.which("redis-server")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = str(folders[-1]) if folders else shutil.which("initdb")
    missing = []
    if server is None:
        missing.append("redis-server (Debian and Ubuntu: apt-get install redis-server)")
    if initdb is None:
        missing.append("PostgreSQL's initdb and postgres (Debian and Ubuntu: apt-get install postgresql)")
    if server is None or initdb is None:
        raise MissingProgramError(f"These programs are missing: {'; '.join(missing)}.")
    return Path(server), Path(initdb).resolve().parent


class Redis:
    """The broker. Keeps nothing on disk."""

    def __init__(self, program: Path, folder: Path, processes: Processes) -> None:
        self._port, self._password = free_port(), secrets.token_hex(16)
        self.url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        folder.mkdir(parents=True)
        settings = folder / "redis.conf"  # a file, because arguments can be seen by everybody
        settings.touch(mode=0o600)
        settings.write_text(
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\ndir {folder}\n"
            'save ""\nappendonly no\ndaemonize no\n'
        )
        processes.start("redis", [program, settings], cwd=folder)
        waiting_for("Redis answers", self._answers, _START_SECONDS, pause=0.1)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class Postgres:
    """One server with the databases that are asked for.

    It refuses to run as root, so its folder is given to its own user, who must be able to get there.
    """

    def __init__(self, programs: Path, folder: Path, processes: Processes, *databases: str) -> None:
        self._port, self._password = free_port(), secrets.token_hex(16)
        who = _unprivileged()
        if who:
            os.chown(folder, who["user"], who["group"])
        run = {"env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"}, "cwd": folder, **who}
        data, password = folder / "data", folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if who:
            os.chown(password, who["user"], who["group"])
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "airflow", "-A", "scram-sha-256", "--pwfile", password,
             "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, timeout=60, **run,
        )  # fmt: skip
        options = [f"listen_addresses=127.0.0.1,port={self._port},unix_socket_directories=".split(","), list(_TUNING)]
        arguments = [word for group in options for setting in group for word in ("-c", setting)]
        # SIGINT is its fast way to end: without waiting for its clients.
        processes.start("postgres", [programs / "postgres", "-D", data, *arguments], stop_signal=signal.SIGINT, **run)
        waiting_for("PostgreSQL answers", self._answers, _START_SECONDS, pause=0.1)
        self._execute(*(f"CREATE DATABASE {name}" for name in databases))

    def url(self, database: str) -> sa.URL:
        """The URL of a database."""
        return sa.URL.create("postgresql+psycopg2", "airflow", self._password, "127.0.0.1", self._port, database)

    def connection(self, database: str) -> dict[str, Any]:
        """The same as the fields of an Airflow connection."""
        return {
            "conn_type": "postgres", "host": "127.0.0.1", "port": self._port, "login": "airflow",
            "password": self._password, "schema": database,
        }  # fmt: skip

    def _execute(self, *statements: str) -> None:
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except sa.exc.OperationalError:
            return False
        return True


def _unprivileged() -> dict[str, Any]:
    if os.geteuid():
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
