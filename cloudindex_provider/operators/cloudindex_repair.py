"""Plans, audits, rebuilds and prunes from a DAG, where there is no shell: what ``airflow cloudindex`` does.

Each calls what its command calls, and is guarded as that is: a rebuild writes only with ``confirm``, an audit only with
``repair``. Of them prunes alone delete documents, with ``confirm`` and within the limits of removals.
"""

from __future__ import annotations

import ast
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import SettingsError, SyncFailedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.session import sync_session
from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.operators.cloudindex_care import BaseCloudIndexSourceOperator, user_of
from cloudindex_provider.state import sources
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.detect.plan import PlanItem
from cloudindex_provider.sync.repair import audit as auditing
from cloudindex_provider.sync.repair import rebuild as rebuilding
from cloudindex_provider.sync.repair.index_copy import index_copy
from cloudindex_provider.sync.repair.planning import make_plan
from cloudindex_provider.sync.repair.prune import PruneItem, TaskName, plan_prune, prune
from cloudindex_provider.sync.repair.telling import audit_line, plan_lines, rebuilt_lines, survey_lines
from cloudindex_provider.words import count, plain, quoted, size

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = [
    "CloudIndexAuditOperator",
    "CloudIndexPlanOperator",
    "CloudIndexPruneOperator",
    "CloudIndexRebuildOperator",
]

_SHOWN = 10  # items of each kind in a plan's result; an XCom is no place for millions of keys


class _SettingsOperator(BaseS3ToCloudIndexOperator):
    """Takes a sync's own arguments, and more of them as one mapping, which the params of a DAG can hold.

    :param settings: arguments of ``BaseS3ToCloudIndexOperator`` by name, before those given one by one (templated;
        also as JSON)
    :param whole_bucket: the sync has no prefix, which an empty one never means (templated)
    """

    template_fields: Sequence[str] = (*BaseS3ToCloudIndexOperator.template_fields, "settings", "whole_bucket")

    def __init__(
        self, *, settings: Mapping[str, Any] | str | None = None, whole_bucket: bool | str = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.whole_bucket = whole_bucket

    def _take_settings(self, *, dry_run: bool) -> None:
        known = BaseS3ToCloudIndexOperator.template_fields
        for name, value in _mapping("settings", self.settings).items():
            if name not in known:
                what = f"There is no setting {name!r}."
                raise SettingsError(what, field="settings", hint=f"There are {', '.join(known)}.")
            setattr(self, name, value)
        if arguments.flag("whole_bucket", self.whole_bucket):
            self.prefix = arguments.NOT_GIVEN
        self.dry_run = dry_run  # type: ignore[method-assign, assignment]  # as in the class above


class CloudIndexPlanOperator(_SettingsOperator):
    """Logs what a run with these settings would do, key by key. Changes nothing.

    Returns ``{"hash", "uploads", "upload_bytes", "deletes", "held", "counts", "first"}``: the hash that a run can be
    bound to (``plan_hash``), why the deletes would be held, and the first keys of each action.

    :param max_logged: how many keys are logged one by one
    """

    def __init__(self, *, max_logged: int = 1000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_logged = max_logged

    def execute(self, context: Context) -> dict[str, Any]:
        self._take_settings(dry_run=True)
        first: dict[str, list[str]] = {"upload": [], "delete": [], "keep": []}
        shown = 0

        def show(item: PlanItem) -> None:
            nonlocal shown
            shown += 1
            if len(first[item.action]) < _SHOWN:
                first[item.action].append(item.key)
            if shown <= self.max_logged:
                length = "" if item.size is None else f", {size(item.size)}"
                self.log.info("%s %s%s: %s", item.action, item.cls, length, quoted(item.key))

        with self._session(context) as ctx:
            summary = make_plan(ctx, show, keep=True)
            if shown > self.max_logged:
                more = count(shown - self.max_logged, "more key isn't", "more keys aren't")
                self.log.info("%s logged (max_logged).", more)
            for line in plan_lines(summary, ctx.settings):
                self.log.info(line)
        return {**asdict(summary), "first": first}


class CloudIndexRebuildOperator(_SettingsOperator):
    """Makes a lost state again from S3 and CloudIndex. Uploads and deletes nothing. Pause the sync's DAG meanwhile.

    Without ``confirm`` it only says how much there is to read. Returns ``{"source", "survey", "rebuilt"}``.

    :param replace: replace the keys that the source has in the state (templated)
    :param confirm: do it; without it nothing is read or changed (templated)
    """

    template_fields: Sequence[str] = (*_SettingsOperator.template_fields, "replace", "confirm")

    def __init__(self, *, replace: bool | str = False, confirm: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.replace = replace
        self.confirm = confirm

    def execute(self, context: Context) -> dict[str, Any]:
        confirmed = arguments.flag("confirm", self.confirm)
        replace = arguments.flag("replace", self.replace)
        self._take_settings(dry_run=not confirmed)
        with self._session(context) as ctx, index_copy() as copy:
            rebuilding.check_source(ctx, replace=replace)
            found = rebuilding.survey(ctx, copy)
            lines = survey_lines(found, ctx.settings)
            done = None
            if confirmed:
                for line in lines:
                    self.log.info(line)
                done = rebuilding.rebuild(ctx, copy, replace=replace)
                lines = rebuilt_lines(done)
            else:
                lines.append("Nothing was read or changed. Pause the sync's DAG, then use confirm to do it.")
            for line in lines:
                self.log.info(line)
            return {
                "source": ctx.source.id or None,
                "survey": {**asdict(found), "seconds": round(found.seconds)},
                "rebuilt": asdict(done) if done else None,
            }


class CloudIndexPruneOperator(_SettingsOperator):
    """Deletes the documents of keys that these settings leave out; what another task selects stays or is handed over.

    Without ``confirm`` it only says what would go. Returns ``{"delete", "hand_over", "keep", "later", "live", "held",
    "by", "deleted", "handed_over", "first"}``, the last with the first keys of each fate.

    :param sync_dag_id: the DAG whose settings these are now (templated)
    :param sync_task_id: its task, or its group of tasks (templated)
    :param ignore: tasks that are no more, whose selections don't count: pairs of DAG and task (templated; also as JSON)
    :param ceiling: how many keys' documents may go, whatever the limits of removals say (templated)
    :param confirm: do it; without it nothing is changed (templated)
    """

    template_fields: Sequence[str] = (
        *_SettingsOperator.template_fields, "sync_dag_id", "sync_task_id", "ignore", "ceiling", "confirm",
    )  # fmt: skip

    def __init__(
        self,
        *,
        sync_dag_id: str | None = None,
        sync_task_id: str | None = None,
        ignore: Sequence[Sequence[str]] | str | None = None,
        ceiling: int | str | None = None,
        confirm: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sync_dag_id = sync_dag_id
        self.sync_task_id = sync_task_id
        self.ignore = ignore
        self.ceiling = ceiling
        self.confirm = confirm

    def execute(self, context: Context) -> dict[str, Any]:
        """Look first, by a state that can't be written to, so that a wrong place is no new source.

        :raises DeletesHeldError: when more would go than is allowed, and it is to be done
        """
        confirmed = arguments.flag("confirm", self.confirm)
        ceiling = arguments.optional(arguments.whole, "ceiling", self.ceiling)
        task, ignored = self._task(), _pairs("ignore", self.ignore)
        first: dict[str, list[str]] = {}

        def show(item: PruneItem) -> None:
            some = first.setdefault(item.action, [])
            if len(some) < _SHOWN:
                some.append(item.key)
                self.log.info("%s, %s: %s %s", item.action, item.reason, quoted(item.key), plain(item.because))

        self._take_settings(dry_run=True)
        with self._session(context) as ctx:
            found = plan_prune(ctx, show, task=task, ignored=ignored, ceiling=ceiling)
        if confirmed:
            self.dry_run = False  # type: ignore[method-assign, assignment]  # as in the class above
            with self._session(context) as ctx:
                prune(ctx, found, user=user_of(context), task=task, ignored=ignored)
            what = (count(found.deleted, "key"), f"{found.handed_over:,}")
            self.log.info("Deleted the documents of %s, handed %s over.", *what)
        else:
            held = f" Held: {found.held}." if found.held else ""
            left_out = count(found.delete + found.hand_over + found.keep + found.later, "key is", "keys are")
            line = "%s left out: the documents of %s would be deleted.%s Use confirm to do it."
            self.log.info(line, left_out, f"{found.delete:,}", held)
        return {**asdict(found), "first": first}

    def _task(self) -> TaskName | None:
        dag_id, task_id = (None if arguments.is_unset(one) else one for one in (self.sync_dag_id, self.sync_task_id))
        if (dag_id is None) != (task_id is None):
            raise SettingsError("A task is named by sync_dag_id and sync_task_id, both.", field="sync_task_id")
        return None if dag_id is None or task_id is None else (dag_id, task_id)


class CloudIndexAuditOperator(BaseCloudIndexSourceOperator):
    """Compares state, S3 and CloudIndex. Deletes nothing: what is too many goes with the next run of the sync.

    Returns ``{"source", "clean", "repair", "rows", "listed", "documents", "found", "examples", "repaired"}``.

    :param aws_conn_id: the AWS connection; ``None`` uses boto3's own credentials (templated)
    :param cloudindex_conn_id: the CloudIndex connection (templated)
    :param request_payer: agree to pay, where the bucket is Requester Pays (templated)
    :param repair: put the state right where it differs (templated)
    :param stuck_hours: hours after which processing is taken to be stuck (templated)
    :param fail_on_findings: fail where anything differs, also what was put right (templated)
    """

    template_fields: Sequence[str] = (
        *BaseCloudIndexSourceOperator.template_fields,
        "aws_conn_id", "cloudindex_conn_id", "request_payer", "repair", "stuck_hours", "fail_on_findings",
    )  # fmt: skip

    def __init__(
        self,
        *,
        aws_conn_id: str | None = "aws_default",
        cloudindex_conn_id: str = CloudIndexHook.default_conn_name,
        request_payer: bool | str = False,
        repair: bool | str = False,
        stuck_hours: float | str = auditing.STUCK_HOURS,
        fail_on_findings: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self.cloudindex_conn_id = cloudindex_conn_id
        self.request_payer = request_payer
        self.repair = repair
        self.stuck_hours = stuck_hours
        self.fail_on_findings = fail_on_findings

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare.

        :raises SyncFailedError: when anything differs and ``fail_on_findings`` is set; its report is the result
        """
        hours = auditing.check_hours(arguments.number("stuck_hours", self.stuck_hours))
        repair, strict = (
            arguments.flag("repair", self.repair),
            arguments.flag("fail_on_findings", self.fail_on_findings),
        )
        done = self._audit(context, hours, repair=repair)
        found = {kind: number for kind, number in done.found.items() if number}
        for kind in found:
            first = ", ".join(map(plain, done.examples[kind][:3]))
            self.log.warning("%s: %s, %s: %s", kind, f"{found[kind]:,}", auditing.KINDS[kind], first)
        self.log.info(audit_line(done))
        result = {"source": self._source_number(), "clean": done.is_clean, "repair": repair, **asdict(done)}
        if found and strict:
            numbers = ", ".join(f"{kind} {number}" for kind, number in found.items())
            raise SyncFailedError(f"State, S3 and CloudIndex differ: {numbers}.", report=result)
        return result

    def _audit(self, context: Context, hours: float, *, repair: bool) -> auditing.Audit:
        with self._state(writes=repair) as db:
            source = sources.get_source(db, self._source_number())
            settings = auditing.audit_settings(
                source, request_payer=arguments.flag("request_payer", self.request_payer), dry_run=not repair
            )
            who, run = user_of(context), f"care__{uuid.uuid4()}"
            with sync_session(
                settings,
                db,
                hook=CloudIndexHook(self.cloudindex_conn_id, project_id=source.project_id),
                aws_conn_id=None if arguments.is_unset(self.aws_conn_id) else self.aws_conn_id,
                name=RunName("", run, self.task_id),
                owner=Owner(f"{who}|{run}", 1),
            ) as ctx:
                return auditing.audit(ctx, repair=repair, user=who, stuck_hours=hours)


def _mapping(field: str, value: Any) -> Mapping[str, Any]:
    """A mapping, or the text of one: JSON, or as a template renders one."""
    found = {} if arguments.is_unset(value) else _parsed(value)
    if not isinstance(found, Mapping):
        what = f"{field} is no mapping: {str(value)[:200]!r}."
        raise SettingsError(what, field=field, hint='Write {"on_removed": "keep"}.')
    return found


def _pairs(field: str, value: Any) -> list[TaskName]:
    """Pairs of DAG and task, or the text of a list of them."""
    found = [] if arguments.is_unset(value) else _parsed(value)
    if not isinstance(found, list | tuple) or not all(_is_pair(one) for one in found):
        what = f"{field} is no list of pairs: {str(value)[:200]!r}."
        raise SettingsError(what, field=field, hint='Write [["dag_id", "task_id"]].')
    return [(one[0], one[1]) for one in found]


def _is_pair(one: Any) -> bool:
    return isinstance(one, list | tuple) and len(one) == 2 and all(isinstance(part, str) for part in one)


def _parsed(value: Any) -> Any:
    """What a text stands for, as JSON or as a template renders it; ``None``: for nothing."""
    for read in (json.loads, ast.literal_eval) if isinstance(value, str) else ():
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None if isinstance(value, str) else value
