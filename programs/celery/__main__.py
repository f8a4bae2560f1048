"""A Celery deployment with two workers and no shared disk: ``python -m programs.celery``, by ``make test-celery``.

Exit codes: 0 all proofs hold, 1 one doesn't, 2 a program of the system is missing. When a proof fails, the logs stay.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from moto.server import ThreadedMotoServer

from cloudindex_provider.local.server import LocalCloudIndex
from cloudindex_provider.state.db.database import Database
from programs.celery.deployment import WORKERS, CeleryAirflow
from programs.celery.processes import Processes, StartError
from programs.celery.proofs import Proofs
from programs.celery.servers import MissingProgramError, Postgres, Redis, find_programs
from tests.support.mirror import Mirror, s3_client

BUCKET, PREFIX = "scale-out", "documents/"
# What is in doubt may be looked up 30 s after this timeout. A connection's default is 120 s.
READ_TIMEOUT = 10


class DeadlineError(Exception):
    """The whole took too long."""


def say(text: str) -> None:
    print(text, flush=True)


def run(folder: Path, ending: ExitStack) -> None:
    """Start everything and go through the proofs; ``ending`` gets what ends it again."""
    redis_program, postgres_programs = find_programs()
    began = time.monotonic()
    data = Path(tempfile.mkdtemp(prefix="cloudindex-pg-"))
    ending.callback(shutil.rmtree, data, ignore_errors=True)
    processes = Processes(folder / "logs")
    ending.callback(processes.stop)  # of what is then still there
    broker = Redis(redis_program, folder / "redis", processes)
    postgres = Postgres(postgres_programs, data, processes, "airflow", "state")
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    ending.callback(moto.stop)
    s3_url = "http://{}:{}".format(*moto.get_host_and_port())
    cloud = ending.enter_context(LocalCloudIndex(folder / "cloudindex"))
    s3 = s3_client(s3_url)
    database = Database(postgres.url("state"))
    mirror = Mirror(folder, cloud, s3, s3, bucket=BUCKET, prefix=PREFIX, project_id=cloud.project_id, db=database)
    ending.callback(mirror.close)
    connections = {
        "aws_default": {
            "conn_type": "aws", "login": "key", "password": "secret",
            "extra": {"endpoint_url": s3_url, "region_name": "us-east-1"},
        },
        "cloudindex_default": {
            "conn_type": "cloudindex", "host": cloud.url, "password": cloud.api_key,
            "extra": {"project_id": cloud.project_id, "read_timeout": READ_TIMEOUT},
        },
        "cloudindex_state": postgres.connection("state"),
    }  # fmt: skip
    airflow = CeleryAirflow(folder, processes, broker, postgres, connections)
    ending.callback(airflow.stop)
    airflow.start()
    say(f"Airflow with {len(WORKERS)} Celery workers, Redis and PostgreSQL are up, {time.monotonic() - began:.0f} s")
    proofs = Proofs(airflow, mirror)
    for proof in (proofs.spreads, proofs.survives_a_kill, proofs.finds_nothing_left, proofs.refuses_sqlite):
        say(f"ok: {proof()}")


def _end_on_signals(deadline: int) -> None:
    """Turn SIGTERM and the deadline into exceptions, so that everything started is ended on the way out."""

    def late(_number: int, _frame: FrameType | None) -> Any:
        raise DeadlineError(f"not done after {deadline} s")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, late)
    signal.alarm(deadline)


def _undisturbed() -> None:
    """What ends everything isn't interrupted itself."""
    signal.alarm(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def main() -> int:
    """Run by ``make test-celery``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deadline", type=int, default=600, help="seconds that the whole may take")
    parser.add_argument("--keep-logs", action="store_true", help="leave the logs in any case")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's access log
    folder = Path(tempfile.mkdtemp(prefix="cloudindex-celery-"))
    began, code = time.monotonic(), 1
    _end_on_signals(options.deadline)
    try:
        with ExitStack() as ending:
            try:
                run(folder, ending)
                code = 0
            except MissingProgramError as error:
                say(str(error))
                code = 2
            except (AssertionError, StartError, DeadlineError, OSError, subprocess.SubprocessError) as error:
                say(f"FAILED: {type(error).__name__}: {error}")
            except KeyboardInterrupt:
                say("Ending.")
                code = 130
            finally:
                _undisturbed()
    finally:
        if code == 1 or options.keep_logs:
            say(f"The logs are in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    say(f"{'All proofs hold' if code == 0 else f'Exit code {code}'}, {time.monotonic() - began:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
