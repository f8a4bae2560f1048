"""The other way: a state in Postgres, and the keys are synced here, by the same core as everywhere.

Opens and closes; decides nothing about the sync. Whatever else works on the same state shares claims, limits, guard and
the budget of requests.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from botocore.config import Config
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from cloudindex_provider.api.client import CloudIndexClient
from cloudindex_provider.aws_lambda.environment import StatePlace
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.s3.database_login import DatabaseLogin, TokenPassword
from cloudindex_provider.s3.source import S3Source
from cloudindex_provider.state import sources
from cloudindex_provider.state.db.address import Address
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.pacer import SharedPacer, budget_name
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.settings import SyncSettings

__all__ = ["rds_client", "s3_client", "state_address", "sync_contexts"]

_READ_TIMEOUT = 120.0  # seconds a request to CloudIndex may take, as of a connection of Airflow's
_FIRST_TRY = 1_577_836_800  # 2020, in seconds since 1970: a try's number is a small integer in the state
_LONGEST_WAIT = 30.0  # seconds that a closed budget is waited for; a longer one is the next delivery's


def s3_client() -> Any:
    """Of the function's role; ``S3Source`` is the one that tries again."""
    import boto3  # the runtime's own

    return boto3.client("s3", config=Config(connect_timeout=10, retries={"total_max_attempts": 1}))


def rds_client() -> Any:
    """Of the function's role, to sign with; it asks RDS nothing."""
    import boto3

    return boto3.client("rds")


@contextmanager
def sync_contexts(
    place: StatePlace,
    settings: Sequence[SyncSettings],
    s3: Any,
    *,
    rds: Callable[[], Any],
    function: str,
    request_id: str,
) -> Iterator[list[SyncContext]]:
    """A context for each sync, all on one state; closed at the end.

    :param s3: a boto3 client
    :param rds: gives one of RDS, where the state is logged in to by IAM
    :param function: the function's name, which stands where a DAG's would
    :param request_id: of this start
    :raises StateError: where the state can't be used
    """
    stop = threading.Event()
    with ExitStack() as stack:
        db = Database(state_address(place, rds))
        stack.callback(db.close)
        pacer = SharedPacer(
            db,
            budget_name(place.base_url, place.conn_id),
            max_wait=_LONGEST_WAIT,
            patience=_LONGEST_WAIT,
            request_timeout=_READ_TIMEOUT,
            stop=stop,
        )
        # A run an hour, not one a start: what a start has done is folded into it.
        name = RunName(f"aws_lambda/{function}", f"{datetime.now(UTC):%Y-%m-%dT%H}", "handler")
        # Lambda's own retry of a start that was killed has the same request id: it takes that one's claims over.
        owner = Owner(f"aws_lambda|{function}|{request_id}", int(time.time()) - _FIRST_TRY)
        yield [
            _context(one, db, s3, stack.enter_context(_client(place, one, pacer)), pacer, name, owner, stop)
            for one in settings
        ]


def _client(place: StatePlace, settings: SyncSettings, pacer: SharedPacer) -> CloudIndexClient:
    return CloudIndexClient(
        place.base_url,
        place.api_key,
        project_id=settings.project_id,
        auth_scheme=place.auth_scheme,
        new_key=place.new_key,
        read_timeout=_READ_TIMEOUT,
        pacer=pacer,
    )


def _context(
    settings: SyncSettings,
    db: Database,
    s3: Any,
    client: CloudIndexClient,
    pacer: SharedPacer,
    name: RunName,
    owner: Owner,
    stop: threading.Event,
) -> SyncContext:
    source = sources.open_source(
        db,
        project_id=settings.project_id,
        bucket=settings.bucket,
        prefix=settings.prefix,
        sync_id=settings.sync_id,
    )
    reader = S3Source(
        s3, settings.bucket, request_payer=settings.request_payer, max_decoded=settings.selection.max_file_size
    )
    return SyncContext(
        settings,
        db,
        source,
        reader,
        client,
        name,
        owner,
        request_timeout=_READ_TIMEOUT,
        stop=stop,
        requests_per_minute=pacer.requests_per_minute,
        requests_within=pacer.requests_within,
        answered=pacer.answered,
    )


def state_address(place: StatePlace, rds: Callable[[], Any]) -> Address:
    """Where the state is, and how to log in there.

    :raises SettingsError: where the URL can't be used; no message holds it
    """
    url = _state_url(place.url)
    if not place.iam:
        return Address(url)
    login = DatabaseLogin.read(
        "CLOUDINDEX_STATE_URL",
        host=url.host,
        port=url.port,
        user=url.username,
        has_password=bool(url.password or url.query.get("password")),
    )
    return Address.of_rds(url, TokenPassword(login, rds))


def _state_url(text: str) -> URL:
    """The URL, of the driver that the zip has; the text stays untold, because it holds a password."""
    try:
        return make_url(text).set(drivername="postgresql+psycopg2")
    except (ArgumentError, ValueError):  # ValueError: its port is no number
        raise SettingsError(
            "CLOUDINDEX_STATE_URL is no URL of a database.",
            field="CLOUDINDEX_STATE_URL",
            hint="Write postgresql://USER:PASSWORD@HOST/DATABASE, a password's @ as %40.",
        ) from None
