"""Looking after syncs from a DAG, where there is no shell: the state's sources, keys and holds.

Each operator does what a command of ``airflow cloudindex`` does, by the same functions and as guarded. None uploads or
deletes a document: that is left to the next run of the sync. Plans, audits and rebuilds are in
``operators.cloudindex_repair``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.errors import SettingsError
from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.state import approvals, rebuilt, repairs, sources
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.history import key_history
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.repair.telling import when
from cloudindex_provider.words import count, verb

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = [
    "BaseCloudIndexSourceOperator",
    "BaseCloudIndexStateOperator",
    "CloudIndexAdoptKeysOperator",
    "CloudIndexAllowDeletesOperator",
    "CloudIndexForgetSourceOperator",
    "CloudIndexKeyHistoryOperator",
    "CloudIndexListHoldsOperator",
    "CloudIndexListSourcesOperator",
    "CloudIndexRetryKeysOperator",
    "user_of",
]


class BaseCloudIndexStateOperator(RetryingOperator):
    """What looks into a state, or changes it: never one that isn't there.

    :param state_conn_id: a Postgres connection for the state, instead of ``[cloudindex] state_conn_id`` (templated)
    :param state_url: a database URL for the state, without a password (templated)
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once and obeys ``Retry-After``
    """

    template_fields: Sequence[str] = ("state_conn_id", "state_url")
    ui_color = "#e2f0e8"

    def __init__(
        self,
        *,
        state_conn_id: str | None = None,
        state_url: str | None = None,
        retries: int | None = 2,
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)
        self.state_conn_id = state_conn_id
        self.state_url = state_url

    @contextmanager
    def _state(self, *, writes: bool = False) -> Iterator[Database]:
        url, conn_id = _given(self.state_url), _given(self.state_conn_id)
        db = open_state(state_url=url, state_conn_id=conn_id, must_exist=True, read_only=not writes)
        try:
            yield db
        finally:
            db.close()


class BaseCloudIndexSourceOperator(BaseCloudIndexStateOperator):
    """What is about one source.

    :param source: its number, as ``CloudIndexListSourcesOperator`` shows it (templated)
    """

    template_fields: Sequence[str] = (*BaseCloudIndexStateOperator.template_fields, "source")

    def __init__(self, *, source: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def _source_number(self) -> int:
        return _number("source", self.source)


class CloudIndexListSourcesOperator(BaseCloudIndexStateOperator):
    """Returns every source of the state: ``[{"id", "project_id", "bucket", "prefix", "sync_id", "documents",
    "last_sweep", "statuses"}]``."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        with self._state() as db:
            found = [_source_facts(one) for one in sources.list_sources(db)]
        for one in found:
            self.log.info("%s", one)
        return found


class CloudIndexListHoldsOperator(BaseCloudIndexStateOperator):
    """Returns the deletes that wait for a person's word, each with its source, numbers and reason."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        with self._state() as db:
            holds = approvals.open_holds(db)
        found = [{**asdict(one), "at": when(one.at), "asked_at": when(one.asked_at)} for one in holds]
        for one in found:
            self.log.info("%s", one)
        return found


class CloudIndexKeyHistoryOperator(BaseCloudIndexSourceOperator):
    """Returns ``{"source", "key", "now", "events"}``: what a key is now, and what happened to it.

    :param key: the whole S3 key (templated)
    """

    template_fields: Sequence[str] = (*BaseCloudIndexSourceOperator.template_fields, "key")

    def __init__(self, *, key: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key = key

    def execute(self, context: Context) -> dict[str, Any]:
        if not arguments.text("key", self.key):
            raise SettingsError("key names no key.", field="key", hint="Give one whole S3 key, and no second one.")
        with self._state() as db:
            source = sources.get_source(db, self._source_number())
            row, events = key_history(db, source, self.key)
        if row is None and not events:
            raise SettingsError(f"Source {source.id} knows nothing of the key {self.key!r}.", field="key")
        now = None if row is None else {**row, "next_attempt_at": when(row["next_attempt_at"])}
        shown = [{**asdict(event), "at": when(event.at)} for event in events]
        for one in (*shown, now):
            self.log.info("%s", one)
        return {"source": source.id, "key": self.key, "now": now, "events": shown}


class CloudIndexRetryKeysOperator(BaseCloudIndexSourceOperator):
    """Lets the next run try keys again, as if for the first time. Returns ``{"source", "released"}``.

    :param keys: these keys: failed, quarantined, or not finished by CloudIndex (templated)
    :param all_quarantined: every quarantined key (templated)
    :param all_failed: every failed key (templated)
    """

    template_fields: Sequence[str] = (
        *BaseCloudIndexSourceOperator.template_fields,
        "keys",
        "all_quarantined",
        "all_failed",
    )

    def __init__(
        self,
        *,
        keys: arguments.StringList = None,
        all_quarantined: bool | str = False,
        all_failed: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keys = keys
        self.all_quarantined = all_quarantined
        self.all_failed = all_failed

    def execute(self, context: Context) -> dict[str, Any]:
        flags = {name: arguments.flag(name, getattr(self, name)) for name in ("all_quarantined", "all_failed")}
        keys = arguments.optional(lambda _, value: arguments.keys(value), "keys", self.keys) or ()
        with self._state(writes=True) as db:
            source = sources.get_source(db, self._source_number())
            released = repairs.release(db, source, user_of(context), keys=keys, **flags)
        what = count(released, "key", "keys")
        self.log.info("%s of source %d %s tried again by its next run.", what, source.id, verb(released))
        return {"source": source.id, "released": released}


class CloudIndexAllowDeletesOperator(BaseCloudIndexSourceOperator):
    """Lets the next run of a source delete documents: for its hold, where one waits. Deletes nothing itself.

    Isn't retried: a try of which nobody knows the end may have allowed them. Returns ``{"source", "ceiling", "user",
    "until"}``.

    :param ceiling: how many documents at most (templated)
    :param days: how long that holds (templated)
    """

    template_fields: Sequence[str] = (*BaseCloudIndexSourceOperator.template_fields, "ceiling", "days")

    def __init__(
        self,
        *,
        ceiling: int | str,
        days: float | str = approvals.DEFAULT_DAYS,
        retries: int | None = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, **kwargs)
        self.ceiling = ceiling
        self.days = days

    def execute(self, context: Context) -> dict[str, Any]:
        days = approvals.check_days(arguments.number("days", self.days))
        ceiling = _number("ceiling", self.ceiling)
        with self._state(writes=True) as db:
            number = sources.get_source(db, self._source_number()).id
            given = approvals.approve(db, number, ceiling, user_of(context), days)
        what = (number, count(ceiling, "document"), when(given.until))
        self.log.info("The next run of source %d may delete up to %s, until %s.", *what)
        return {"source": number, "ceiling": ceiling, "user": given.approved_by, "until": when(given.until)}


class CloudIndexForgetSourceOperator(BaseCloudIndexSourceOperator):
    """Drops a source from the state. Its documents in CloudIndex stay, and no sync looks after them.

    Returns ``{"source", "keys", "forgotten"}``.

    :param confirm: do it; without it nothing is changed (templated)
    """

    template_fields: Sequence[str] = (*BaseCloudIndexSourceOperator.template_fields, "confirm")

    def __init__(self, *, confirm: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.confirm = confirm

    def execute(self, context: Context) -> dict[str, Any]:
        confirmed = arguments.flag("confirm", self.confirm)
        with self._state(writes=confirmed) as db:
            source = sources.get_source(db, self._source_number())
            keys = sources.forget(db, source) if confirmed else rebuilt.count_rows(db, source)
        what = "Forgot" if confirmed else "Nothing was changed. With confirm this drops"
        where = f"s3://{source.bucket}/{source.prefix}"
        said = (what, source.id, where, count(keys, "key"))
        self.log.info("%s source %d, %s: %s. Its documents stay in CloudIndex.", *said)
        return {"source": source.id, "keys": keys, "forgotten": confirmed}


class CloudIndexAdoptKeysOperator(BaseCloudIndexSourceOperator):
    """Hands the keys under the source's prefix over to it, with their documents. Uploads nothing again.

    Returns ``{"source", "giver", "keys", "documents", "superseded"}``.

    :param giver: the source of the same project and bucket that gives them away (templated)
    """

    template_fields: Sequence[str] = (*BaseCloudIndexSourceOperator.template_fields, "giver")

    def __init__(self, *, giver: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.giver = giver

    def execute(self, context: Context) -> dict[str, Any]:
        with self._state(writes=True) as db:
            to = sources.get_source(db, self._source_number())
            giver = sources.get_source(db, _number("giver", self.giver))
            done = sources.adopt(db, to, giver)
        self.log.info("Source %d has taken over %s from source %d.", to.id, count(done.keys, "key"), giver.id)
        return {"source": to.id, "giver": giver.id, **asdict(done)}


def _number(field: str, value: Any) -> int:
    if arguments.is_unset(value):
        raise SettingsError(f"{field} isn't given.", field=field, hint="Give its number.")
    return arguments.whole(field, value)


def _given(value: str | None) -> str | None:
    return None if arguments.is_unset(value) else value


def user_of(context: Context | Mapping[str, Any]) -> str:
    """Who has triggered the run, for the history; where nobody has, the run itself."""
    run = context.get("dag_run")
    if run is None:
        return "a script"
    return str(getattr(run, "triggering_user_name", None) or f"{run.dag_id}, run {run.run_id}")


def _source_facts(info: sources.SourceInfo) -> dict[str, Any]:
    source = info.source
    return {
        "id": source.id, "project_id": source.project_id, "bucket": source.bucket, "prefix": source.prefix,
        "sync_id": source.sync_id, "documents": info.live, "last_sweep": when(info.last_sweep_at),
        "statuses": info.statuses,
    }  # fmt: skip
