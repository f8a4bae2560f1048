"""What the API's answers and requests look like. Times are seconds since 1970, sizes are bytes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "MAX_KEYS", "MAX_NUMBER", "Action", "Approve", "Budget", "Done", "Drift", "DriftKeys", "Event", "Group", "Held",
    "HeldKeys", "Hold", "Keep", "Key", "KeyDetail", "Keys", "Plan", "PlanKey", "PlanKeys", "Plans", "Problem", "Resync",
    "Retry", "Run", "RunName", "Runs", "Side", "Start", "Sync", "SyncDetail", "Syncs", "Total", "Totals",
]  # fmt: skip

MAX_KEYS = 1000
MAX_NUMBER = 2**63 - 1  # that a database can hold: of a greater one it has no row, and its driver an error
Action = Literal["upload", "delete", "keep", "skip"]
ObjectKey = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]
# Postgres' driver takes no U+0000, and no token has one.
Token = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]+$")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Answer):
    """Why there is no answer, and what to do."""

    what: Literal["state_unavailable", "state_unusable", "settings", "not_found", "refused"]
    message: str
    hint: str = ""


class Run(_Answer):
    """A run of a sync. ``state`` is Airflow's of the DAG run, ``None`` where Airflow has it no more. Of a DAG that the
    visitor may not read neither is said, and the names are empty."""

    id: int
    dag_id: str
    run_id: str
    task_id: str
    state: str | None
    started_at: float
    finished_at: float | None
    seconds: float | None
    complete: bool
    deletes_blocked: str | None
    counts: dict[str, int]


class Sync(_Answer):
    """One sync, as a row. ``headline`` says in words how it is; ``level`` is its colour. ``dag_ids`` are those that the
    visitor may read, ``former_dag_ids`` those that Airflow has no more."""

    id: int
    project_id: str
    bucket: str
    prefix: str
    sync_id: str
    dag_ids: list[str]
    former_dag_ids: list[str]
    is_running: bool
    may_act: bool
    verdict: str
    level: Literal["ok", "busy", "warning", "error", "unknown"]
    headline: str
    objects: int
    indexed: int
    underway: int
    failed: int
    quarantined: int
    skipped: int
    held: int
    last_run: Run | None
    last_listing_at: float | None
    next_run_at: float | None
    is_paused: bool | None
    eta_seconds: float | None
    budget: Budget | None
    recent: list[Run]


class Budget(_Answer):
    """What CloudIndex allows."""

    requests_per_minute: float | None
    remaining: int | None
    closed_for: float


class Totals(_Answer):
    """Of all syncs that are asked for, not of a page of them alone."""

    objects: int
    indexed: int
    underway: int
    failed: int
    quarantined: int
    in_step: int
    running: int


class Syncs(_Answer):
    """A page of syncs, first those that need a person. ``total`` and ``totals`` are of all pages, and so is ``budget``
    where they have the same."""

    syncs: list[Sync]
    total: int
    totals: Totals
    need_person: int
    counted_at: float
    now: float
    budget: Budget | None


class Group(_Answer):
    """Keys that aren't in step for one reason. ``reason`` names the group in a request for its keys, ``example`` is one
    of those that it stands for."""

    status: str
    reason: str
    example: str
    keys: int
    at_least: bool
    remedy: str


class Hold(_Answer):
    """Deletes that wait. ``token`` names them in an answer to them."""

    token: str | None
    removed: int
    live: int
    reason: str
    at: float
    endpoint: str | None
    made_from: str | None
    decision: str | None


class SyncDetail(_Answer):
    """A sync with what isn't in step."""

    sync: Sync
    groups: list[Group]
    hold: Hold | None
    plan: RunName | None
    drifted: int | None
    audited_at: float | None
    counted_at: float
    now: float


class Runs(_Answer):
    """A page of runs, newest first; ``before`` asks for the next one."""

    runs: list[Run]
    before: float | None


class Key(_Answer):
    """A key as a row of a list."""

    key: str
    status: str
    reason: str | None
    size: int
    last_modified: str
    indexed: bool
    attempts: int


class Keys(_Answer):
    """A page of keys; ``after`` asks for the next one. ``too_many``: so many could be sorted, and more fit."""

    keys: list[Key]
    after: str | None
    too_many: int | None = None


class Held(_Answer):
    """A key whose document would be deleted."""

    key: str
    size: int | None
    document_id: str | None


class HeldKeys(_Answer):
    """A page of them."""

    keys: list[Held]
    after: str | None


class RunName(_Answer):
    """A DAG run; empty where a command was it."""

    dag_id: str
    run_id: str


class Total(_Answer):
    """What one action of a plan is about: ``kept`` of its keys can be looked at."""

    action: Action
    keys: int
    bytes: int
    kept: int


class Start(_Answer):
    """What starts a run that does a plan and nothing else: a request to Airflow's own API, with its own permissions."""

    dag_id: str
    conf: dict[str, Any]


class Plan(_Answer):
    """What a dry run would have done. ``ran`` is the run that does it, ``is_done``, that this has come to its end.
    ``overtaken`` says in words why a run can't do it any more; ``cant_start``, why
    it isn't to be started from here."""

    id: int
    hash: str
    made_at: float
    made_by: RunName
    totals: list[Total]
    held: str | None
    overtaken: str | None
    ran: RunName | None
    is_done: bool
    start: Start | None
    cant_start: str | None


class Plans(_Answer):
    """The newest plan of a sync."""

    plan: Plan | None
    now: float


class PlanKey(_Answer):
    """What would be done with one key."""

    key: str
    kind: str
    size: int | None
    reason: str | None


class PlanKeys(_Answer):
    """A page of the keys of one action."""

    keys: list[PlanKey]
    after: str | None


class Drift(_Answer):
    """A key that somebody else has changed in the project, so that it was uploaded again."""

    key: str
    reason: str


class DriftKeys(_Answer):
    """A page of them."""

    keys: list[Drift]
    after: str | None
    most: int


class Side(_Answer):
    """One side of a key: what S3 or CloudIndex has."""

    etag: str | None = None
    size: int | None = None
    last_modified: str | None = None
    storage_class: str | None = None
    document_id: str | None = None
    document_version: int | None = None
    file_name: str | None = None
    sha256: str | None = None


class Event(_Answer):
    """Something that happened to a key. ``run_id`` is ``None`` where a person was it, and empty where it is a DAG that
    the visitor may not read."""

    at: float
    event: str
    reason: str | None
    dag_id: str | None
    run_id: str | None


class KeyDetail(_Answer):
    """Everything about one key; ``difference`` says in words why the two sides differ."""

    key: str
    sync_id: int
    known: bool
    status: str | None
    reason: str | None
    difference: str
    remedy: str
    s3: Side | None
    cloudindex: Side | None
    attempts: int
    next_attempt_at: float | None
    worked_on_by: str | None
    may_act: bool
    may_retry: bool
    may_resync: bool
    events: list[Event]
    now: float


class Retry(_Request):
    """Keys to try again: some by name, or all of a status."""

    keys: Annotated[list[ObjectKey], Field(max_length=MAX_KEYS)] = []
    all: Literal["failed", "quarantined"] | None = None


class Resync(_Request):
    """Indexed keys to upload again."""

    keys: Annotated[list[ObjectKey], Field(min_length=1, max_length=MAX_KEYS)]


class Approve(_Request):
    """Let up to ``ceiling`` documents go, of the hold of this token."""

    token: Token | None
    ceiling: Annotated[int, Field(ge=1, le=MAX_NUMBER)]


class Keep(_Request):
    """Let the documents of the hold of this token stay."""

    token: Token


class Done(_Answer):
    """How many keys, or documents, an action is about."""

    number: int
    message: str
