"""The settings of a sync as the task of a DAG has them, for a command that is given ``--dag-id`` and ``--task-id``.

The DAG is loaded from its file, as ``airflow tasks render`` does, and nothing is written for it. Templates are rendered
with what is known outside of a run; what isn't is said, and never taken for nothing: an empty prefix is a whole bucket.
"""

from __future__ import annotations

import contextlib
import json
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.operators.base import BaseS3ToCloudIndexOperator
from cloudindex_provider.sync.settings import SETTINGS

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import DAG

__all__ = ["fill_from_dag"]

_PLACES = ("aws_conn_id", "cloudindex_conn_id", "state_conn_id", "state_url")
_NAMES = (*SETTINGS, *_PLACES)


@dataclass(frozen=True, slots=True)
class _Task:
    """A task of a sync, mapped or not: what was written into the DAG."""

    operator: Any
    scope: str  # what the state calls it: the group's id, where it has one
    values: Mapping[str, Any]
    unknown: Mapping[str, str]  # argument -> why its value shows only in a run


def fill_from_dag(args: Namespace) -> None:
    """Take over what the command wasn't told from the task that it names, where it names one.

    :raises SettingsError: when there is no such task, or a value of it can't be known outside of a run
    """
    args.scope = ""
    args.of_dag = {}
    if args.dag_id is not None:
        _fill(args)
    elif args.task_id is not None:
        raise SettingsError("--task-id is given without --dag-id.", field="dag_id")
    elif args.bucket is None:
        raise SettingsError("No bucket is named.", field="bucket", hint="Use --bucket, or --dag-id and --task-id.")


def _fill(args: Namespace) -> None:
    dag = _load(args.dag_id)
    task = _choose(dag, args.task_id)
    given = {name for name in _NAMES if getattr(args, name, None) is not None}
    values = {name: value for name, value in task.values.items() if name not in given}
    rendered, unknown = _rendered(task.operator, dag, values, _context(task.operator, dag, args))
    unknown |= {name: why for name, why in task.unknown.items() if name not in given}
    unknown.pop("dry_run", None)
    if unknown:
        why = "; ".join(f"{name}: {reason}" for name, reason in sorted(unknown.items()))
        raise SettingsError(
            f"Task {task.operator.task_id} of DAG {dag.dag_id} has settings that only a run knows ({why}).",
            field=min(unknown),
            hint=f"Give them: {', '.join(_flag(name) for name in sorted(unknown))}.",
        )
    args.scope = task.scope
    args.of_dag = {name: value for name, value in rendered.items() if name in SETTINGS and name != "dry_run"}
    for name in _PLACES:
        if name in rendered:
            # An empty id of the AWS connection is "none at all" in a DAG; no command knows None for it.
            setattr(args, name, "" if rendered[name] is None and name == "aws_conn_id" else rendered[name])


def _flag(name: str) -> str:
    return "--key" if name == "keys" else f"--{name.replace('_', '-')}"


# The DAG and its task


def _load(dag_id: str) -> DAG:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag

    broken: list[str] = []
    for bundle in DagBundlesManager().get_all_dag_bundles():  # type: ignore[no-untyped-call]  # Airflow's own
        bundle.initialize()
        bag = BundleDagBag(dag_folder=str(_file(dag_id, bundle)), bundle_path=bundle.path, bundle_name=bundle.name)
        if dag := bag.dags.get(dag_id):
            found: DAG = dag
            return found
        broken += bag.import_errors
    where = f" These files can't be imported: {', '.join(sorted(broken))}." if broken else ""
    raise SettingsError(
        f"There is no DAG {dag_id!r}.{where}", field="dag_id", hint="`airflow dags list` shows all there are."
    )


def _file(dag_id: str, bundle: Any) -> Path:
    """The DAG's file, where Airflow knows it already; else everything in the bundle."""
    from airflow.models import DagModel

    try:
        known = DagModel.get_current(dag_id)
    except Exception:  # noqa: BLE001 - no metadata database, in whatever way: the files say it all
        known = None
    file = Path(bundle.path, known.relative_fileloc or "") if known and known.bundle_name == bundle.name else None
    return file if file and file.is_file() else Path(bundle.path)


def _choose(dag: DAG, name: str | None) -> _Task:
    """The task of that id; any of a group's, which have the same settings; the only sync where none is named."""
    syncs = {task.task_id: found for task in dag.tasks if (found := _sync(task)) is not None}
    if name is None:
        fitting = list(syncs.values())
    elif name in syncs:
        fitting = [syncs[name]]
    else:
        fitting = [one for one in syncs.values() if name in (one.scope, one.operator.task_group.group_id)]
    if not fitting or len({one.scope for one in fitting}) > 1:
        there = ", ".join(sorted({one.scope for one in syncs.values()})) or "none"
        what = f"no task {name!r} that syncs" if name else "no single task that syncs"
        raise SettingsError(
            f"DAG {dag.dag_id} has {what}; of those that do it has {there}.",
            field="task_id",
            hint="Name it: --task-id.",
        )
    return min(fitting, key=lambda one: len(one.unknown))


def _sync(task: Any) -> _Task | None:
    if isinstance(task, BaseS3ToCloudIndexOperator):
        values = {name: getattr(task, name) for name in _NAMES}
        return _Task(task, task.run_scope or task.task_id, values, {})
    kind = getattr(task, "operator_class", None)
    if not (isinstance(kind, type) and issubclass(kind, BaseS3ToCloudIndexOperator)):
        return None
    values = {name: value for name, value in task.partial_kwargs.items() if name in _NAMES}
    mapped = _mapped_names(task.expand_input.value)
    names = [name for name in _NAMES if name not in values] if mapped is None else set(mapped) & set(_NAMES)
    return _Task(
        task, task.partial_kwargs.get("run_scope") or task.task_id, values, dict.fromkeys(names, "it is mapped")
    )


def _mapped_names(value: Any) -> Iterable[str] | None:
    """The arguments that a mapped task is expanded over; ``None`` where those show only in a run, too."""
    if isinstance(value, Mapping):
        return value.keys()
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return {name for one in value for name in one}
    return None


# Templates


def _context(task: Any, dag: DAG, args: Namespace) -> dict[str, Any]:
    """What a template may ask for outside of a run."""
    from airflow.sdk.execution_time import macros
    from airflow.sdk.execution_time.context import ConnectionAccessor, VariableAccessor

    return {
        "dag": dag, "task": task, "macros": macros, "conn": ConnectionAccessor(),
        "params": _params(task, args.conf), **_dates(args.logical_date),
        "var": {"value": VariableAccessor(deserialize_json=False), "json": VariableAccessor(deserialize_json=True)},
    }  # fmt: skip


def _params(task: Any, conf: str | None) -> dict[str, Any]:
    from airflow.sdk.exceptions import ParamValidationError

    try:
        given = json.loads(conf or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise SettingsError("--conf is no JSON object.", field="conf", hint='Write \'{"name": "value"}\'.')
    params = dict(given)
    for name in task.params:
        param = task.params.get_param(name)
        with contextlib.suppress(ParamValidationError):  # what has no value isn't known, which a template says
            params[name] = param.resolve(given[name]) if name in given else param.resolve()
    return params


def _dates(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--logical-date is {text!r}, which is no date.", field="logical_date", hint="Write 2026-01-31."
        ) from None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    ds, ts = date.strftime("%Y-%m-%d"), date.isoformat()
    return {
        "logical_date": date, "ds": ds, "ds_nodash": ds.replace("-", ""), "ts": ts,
        "ts_nodash": date.strftime("%Y%m%dT%H%M%S"),
    }  # fmt: skip


def _rendered(
    task: Any, dag: DAG, values: Mapping[str, Any], context: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """(the values, why others aren't known)."""
    import jinja2

    env = task.get_template_env(dag=dag).overlay(undefined=jinja2.StrictUndefined)
    known: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for name, value in values.items():
        if name not in BaseS3ToCloudIndexOperator.template_fields:
            known[name] = value
        elif any(_references(value)):
            unknown[name] = "it comes from another task"
        else:
            try:
                known[name] = _render(task, value, context, env)
            except jinja2.UndefinedError as error:
                unknown[name] = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a template calls; its text may hold anything
                unknown[name] = f"its template fails ({type(error).__name__})"
    return known, unknown


def _render(task: Any, value: Any, context: dict[str, Any], env: jinja2.Environment) -> Any:
    if isinstance(value, str):
        return env.from_string(value).render(context)
    if isinstance(value, list | tuple):
        return type(value)(_render(task, one, context, env) for one in value)
    return value


def _references(value: Any) -> Iterator[bool]:
    """An item for whatever is known only when other tasks have run."""
    if hasattr(value, "iter_references") and hasattr(value, "resolve"):
        yield True
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _references(one)
