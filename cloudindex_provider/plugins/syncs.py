"""A sync as the page shows it: rows of the state, joined with what Airflow knows of its DAGs and runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cloudindex_provider.plugins import models
from cloudindex_provider.plugins.runs import DagFacts, read_run_states
from cloudindex_provider.plugins.verdict import UNDERWAY, Facts, Verdict, judge, remedy
from cloudindex_provider.state.conditions import Status
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.first_keys import OtherOwner, read_other_owner
from cloudindex_provider.state.views.numbers import MOST_REASONS, Numbers, ReasonCount, read_reasons
from cloudindex_provider.state.views.overview import Allowance, RunRow, SyncRow, read_decision, read_listed, read_runs
from cloudindex_provider.sync.processing import cause
from cloudindex_provider.sync.report.overlaps import owners_of
from cloudindex_provider.sync.report.overlaps import remedy as overlap_remedy
from cloudindex_provider.sync.selection import SkipReason

__all__ = [
    "SPARKLINE",
    "Judged",
    "budget",
    "group_name",
    "groups",
    "hold",
    "judge_all",
    "other_owners",
    "show",
    "show_runs",
    "totals",
]

SPARKLINE = 30  # runs
_GROUPED = (Status.FAILED, Status.QUARANTINED, Status.SKIPPED)
_REQUEST = re.compile(r"\brequest [\w.:/+=-]+")  # its id
_SKIPPED = "skipped:"
_SETTLED = ("uploaded", "adopted", "same_bytes")


@dataclass(frozen=True, slots=True)
class Judged:
    """A sync with its verdict, and what that was judged by."""

    row: SyncRow
    facts: Facts
    verdict: Verdict
    runs: Sequence[RunRow]
    states: Mapping[tuple[str, str], str]


def judge_all(
    db: Database, rows: Sequence[SyncRow], numbers: Numbers, dags: Mapping[str, DagFacts], *, counted: bool = True
) -> list[Judged]:
    """The syncs, first those that need a person.

    :param counted: with the counters of their runs, which the verdict doesn't need
    """
    runs = read_runs(db, [row.source.id for row in rows], limit=SPARKLINE, counted=counted)
    latest = [run for some in runs.values() for run in some[:1]]
    states = read_run_states({(run.dag_id, run.run_id) for run in latest})
    judged = [_judged(row, runs.get(row.source.id, []), numbers, dags, states) for row in rows]
    return sorted(judged, key=lambda one: (one.verdict.rank, one.row.source.bucket, one.row.source.prefix))


def _judged(
    row: SyncRow,
    runs: Sequence[RunRow],
    numbers: Numbers,
    dags: Mapping[str, DagFacts],
    states: Mapping[tuple[str, str], str],
) -> Judged:
    last = runs[0] if runs else None
    known = [dags[one] for one in row.dag_ids if one in dags]
    facts = Facts(
        statuses=numbers.of(row.source.id),
        held=row.hold.removed if row.hold else 0,
        run_state=states.get((last.dag_id, last.run_id)) if last else None,
        run_ended=last is not None and last.finished_at is not None,
        last_listing_at=row.last_sweep_at,
        is_paused=all(one.is_paused for one in known) if known else None,
        run_starts=[run.started_at for run in runs],
        now=numbers.at,
        is_planned=row.is_planned,
        next_run_at=min((one.next_run_at for one in known if one.next_run_at is not None), default=None),
    )
    return Judged(row, facts, judge(facts), runs, states)


def budget(allowed: Mapping[str, Allowance], name: str | None) -> models.Budget | None:
    """What CloudIndex allows by this budget, where that is known."""
    found = allowed.get(name or "")
    if found is None:
        return None
    return models.Budget(
        requests_per_minute=found.requests_per_minute, remaining=found.remaining, closed_for=found.closed_for
    )


def show(
    one: Judged,
    dags: Mapping[str, DagFacts],
    allowed: Mapping[str, Allowance],
    *,
    may_act: bool,
    hidden: Collection[str] = (),
) -> models.Sync:
    """The sync as an answer has it.

    :param hidden: DAGs that the visitor may not read
    """
    source, facts = one.row.source, one.facts
    runs = show_runs(one.runs, one.states, hidden)
    return models.Sync(
        id=source.id,
        project_id=source.project_id,
        bucket=source.bucket,
        prefix=source.prefix,
        sync_id=source.sync_id,
        dag_ids=[dag_id for dag_id in one.row.dag_ids if dag_id in dags and dag_id not in hidden],
        former_dag_ids=[dag_id for dag_id in one.row.dag_ids if dag_id not in dags],
        is_running=facts.is_running,
        may_act=may_act,
        verdict=one.verdict.name,
        level=one.verdict.level,
        headline=one.verdict.headline,
        objects=_listed(one),
        indexed=facts.statuses.get(Status.INDEXED, 0),
        underway=facts.underway,
        failed=facts.statuses.get(Status.FAILED, 0),
        quarantined=facts.statuses.get(Status.QUARANTINED, 0),
        skipped=facts.statuses.get(Status.SKIPPED, 0),
        held=facts.held,
        last_run=runs[0] if runs else None,
        last_listing_at=one.row.last_sweep_at,
        next_run_at=facts.next_run_at,
        is_paused=facts.is_paused,
        eta_seconds=_eta(one),
        budget=budget(allowed, one.row.budget),
        recent=list(reversed(runs)),
    )


def totals(db: Database, judged: Sequence[Judged]) -> models.Totals:
    """Of all of them, though their runs come without counters: what the last listings had is asked for by itself."""
    latest = [next((run.id for run in one.runs if run.complete), None) for one in judged]
    listed = read_listed(db, [run_id for run_id in latest if run_id is not None])
    statuses = [one.facts.statuses for one in judged]
    return models.Totals(
        objects=sum(
            listed.get(run_id or 0, sum(known.values())) for run_id, known in zip(latest, statuses, strict=True)
        ),
        indexed=sum(one.get(Status.INDEXED, 0) for one in statuses),
        underway=sum(one.facts.underway for one in judged),
        failed=sum(one.get(Status.FAILED, 0) for one in statuses),
        quarantined=sum(one.get(Status.QUARANTINED, 0) for one in statuses),
        in_step=sum(one.verdict.name == "in_step" for one in judged),
        running=sum(one.facts.is_running for one in judged),
    )


def _listed(one: Judged) -> int:
    """The objects that S3 had at the last listing that reached its end; before there is one, those that are known."""
    counts = next((run.counts for run in one.runs if run.complete and "listed" in run.counts), None)
    return sum(one.facts.statuses.values()) if counts is None else counts["listed"]


def show_runs(
    runs: Sequence[RunRow], states: Mapping[tuple[str, str], str], hidden: Collection[str] = ()
) -> list[models.Run]:
    """Runs as an answer has them."""
    return [
        models.Run(
            id=run.id,
            dag_id="" if run.dag_id in hidden else run.dag_id,
            run_id="" if run.dag_id in hidden else run.run_id,
            task_id="" if run.dag_id in hidden else run.task_id,
            state=None if run.dag_id in hidden else states.get((run.dag_id, run.run_id)),
            started_at=run.started_at,
            finished_at=run.finished_at,
            seconds=None if run.finished_at is None else max(0.0, run.finished_at - run.started_at),
            complete=run.complete,
            deletes_blocked=run.deletes_blocked,
            counts={name: value for name, value in run.counts.items() if ":" not in name or name.startswith(_SKIPPED)},
        )
        for run in runs
    ]


def _eta(one: Judged) -> float | None:
    """How long the uploads take at the pace that this run's had so far."""
    run = one.runs[0] if one.runs else None
    if run is None or not one.facts.is_running or run.detected_at is None:
        return None
    settled, spent = sum(run.counts.get(name, 0) for name in _SETTLED), one.facts.now - run.detected_at
    left = one.facts.statuses.get(Status.PENDING, 0) + one.facts.statuses.get(Status.UPLOADING, 0)
    return left * spent / settled if settled > 0 and spent > 0 else None


def group_name(key: str, reason: str | None) -> str:
    """What is the same in the reasons of one group: neither the key nor the request."""
    text = (reason or "").replace(f"/{key}", "/#").replace(repr(key), "#")
    return cause(_REQUEST.sub("request", text))


def other_owners(db: Database, one: Judged) -> list[OtherOwner]:
    """The other syncs that have keys of the last complete listing."""
    counts = next((run.counts for run in one.runs if run.complete), {})
    found = [read_other_owner(db, one.row.source, source_id, limit=1) for source_id in owners_of(counts)]
    return [owner for owner in found if owner is not None]


def groups(db: Database, one: Judged, others: Sequence[OtherOwner] = ()) -> list[models.Group]:
    """What isn't in step, by status and reason, with what to do; the largest first of each status.

    :param others: those of ``other_owners`` that may be named
    """
    hand_over = " ".join(overlap_remedy(one.row.source, owner) for owner in others)
    statuses = one.facts.statuses
    skipped = _skipped(one)
    read = [status for status in _GROUPED if statuses.get(status) and not (status == Status.SKIPPED and skipped)]
    found = [*read_reasons(db, one.row.source.id, read, group_name), *skipped]
    found += [ReasonCount(status, "", "", statuses[status]) for status in UNDERWAY if statuses.get(status)]
    return [
        models.Group(
            status=group.status,
            reason=group.name,
            example=group.example,
            keys=group.keys,
            at_least=group.status in read and statuses.get(group.status, 0) > MOST_REASONS,
            remedy=(group.example == SkipReason.OWNED_BY_OTHER and hand_over) or remedy(group.status, group.example),
        )
        for group in sorted(found, key=lambda group: (_place(group.status), -group.keys))
    ]


def _skipped(one: Judged) -> list[ReasonCount]:
    """What the last complete listing counted as skipped, by reason: it may be most of a bucket."""
    counts = next((run.counts for run in one.runs if run.complete), {})
    reasons = {name.removeprefix(_SKIPPED): keys for name, keys in counts.items() if name.startswith(_SKIPPED) and keys}
    return [ReasonCount(str(Status.SKIPPED), reason, reason, keys) for reason, keys in reasons.items()]


def _place(status: str) -> int:
    order: Collection[str] = (Status.FAILED, Status.QUARANTINED, *UNDERWAY, Status.SKIPPED)
    return list(order).index(status)


def hold(db: Database, row: SyncRow) -> models.Hold | None:
    """The deletes that wait, with the last word of a person about them."""
    if row.hold is None:
        return None
    said = read_decision(db, row.source.id)
    decision = f"{said.event}: {said.reason}" if said is not None and said.at >= row.hold.at else None
    return models.Hold(
        token=row.hold.token,
        removed=row.hold.removed,
        live=row.hold.live,
        reason=row.hold.reason,
        at=row.hold.at,
        endpoint=row.hold.endpoint,
        made_from=row.hold.made_from,
        decision=decision,
    )
