"""A run's report as Airflow has it, in green and in red alike: the XCom ``report``, the log, and why a step failed.

An ``on_failure_callback`` finds a paragraph for people in ``report["summary"]``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cloudindex_provider.errors import ProviderError, StoppedError, SyncFailedError
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.report.messages import log_report
from cloudindex_provider.sync.report.report import SyncReport, empty_report, make_report
from cloudindex_provider.sync.report.summary import Problem
from cloudindex_provider.sync.settings import SyncSettings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

__all__ = [
    "PROBLEM",
    "REPORT",
    "conclude",
    "problem_of",
    "problems_of",
    "publish",
    "red_report",
    "store",
    "tells_problem",
]

REPORT = "report"  # XCom: the whole report, whatever came of the run
PROBLEM = "problem"  # XCom: why this step failed, for the report


def problem_of(error: Exception) -> Problem:
    """What may be stored and shown of an error: of one that isn't this package's, its type alone."""
    if isinstance(error, ProviderError):
        return Problem(type(error).__name__, error.message, error.hint)
    return Problem(type(error).__name__, f"An unexpected {type(error).__name__}.", "The log above says more.")


def publish(
    task: BaseOperator, context: Context | Mapping[str, Any], settings: SyncSettings, report: SyncReport
) -> dict[str, Any]:
    """Log the report and store it; gives it as it is stored."""
    log_report(task.log, settings, report)
    return store(task, context, report)


def store(task: BaseOperator, context: Context | Mapping[str, Any], report: SyncReport) -> dict[str, Any]:
    """The report as the XCom ``report``."""
    value = report.as_dict()
    _push(task, context, REPORT, value)
    return value


def conclude(
    task: BaseOperator,
    context: Context | Mapping[str, Any],
    settings: SyncSettings,
    report: SyncReport,
    error: SyncFailedError | None,
    *,
    more: Collection[Problem] = (),
) -> dict[str, Any]:
    """Publish the report of a run that has ended, and fail the task where the run is red.

    :param error: why it is red; ``None``: it is green
    :param more: what has led to that, in other tasks
    :raises SyncFailedError: with the report, when there is one
    """
    if error is not None:
        report.problems = [problem_of(error), *more]
    value = publish(task, context, settings, report)
    if error is not None:
        error.report = value
        raise error
    return value


def red_report(ctx: SyncContext, error: ProviderError) -> SyncReport:
    """The report of a run that has ended with an error: what it did until then, as far as the state can be read."""
    report = empty_report(ctx.settings, ctx.source.id)
    if not ctx.settings.dry_run:
        with suppress(ProviderError):  # no detection has begun, or the state is what failed
            report = make_report(ctx)
    report.dry_run = ctx.settings.dry_run
    report.problems = [problem_of(error)]
    return report


@contextmanager
def tells_problem(task: BaseOperator, context: Context | Mapping[str, Any]) -> Iterator[None]:
    """Around a step: why it failed is stored for the run's report, and the error goes on."""
    try:
        yield
    except StoppedError:
        raise
    except ProviderError as error:
        one = problem_of(error)
        _push(task, context, PROBLEM, {"kind": one.kind, "message": one.message, "hint": one.hint})
        raise


def problems_of(context: Context | Mapping[str, Any], failed: Collection[str]) -> list[Problem]:
    """Why other steps of the run have failed, as far as they could say it.

    :param failed: task ids, mapped tasks as ``task[2]``
    """
    found = []
    for name in failed:
        task_id, _, index = name.removesuffix("]").partition("[")
        told = context["ti"].xcom_pull(task_ids=task_id, key=PROBLEM, map_indexes=int(index) if index else -1)
        if isinstance(told, Mapping):
            found.append(Problem(str(told["kind"]), str(told["message"]), str(told["hint"]), task=name))
    return found


def _push(task: BaseOperator, context: Context | Mapping[str, Any], key: str, value: dict[str, Any]) -> None:
    ti = context.get("ti")
    if ti is not None and task.do_xcom_push:
        ti.xcom_push(key, value)
