"""The task group of a sync: detect_changes, upload_documents (mapped), wait_until_processed, delete_removed, report.

Each task is told what the group's caller has given, and nothing else: what wasn't given is for ``default_args`` to say,
and then for the task's own default. Which task runs after which, and after which ends, is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup, TriggerRule, XComArg

from cloudindex_provider.errors import SettingsError
from cloudindex_provider.operators.base import Duration, Flag, Number, Text, Texts, Whole
from cloudindex_provider.operators.cloudindex_sync import (
    CloudIndexDeleteRemovedOperator,
    CloudIndexDetectChangesOperator,
    CloudIndexSyncReportOperator,
    CloudIndexUploadChangesOperator,
    CloudIndexWaitForSyncOperator,
)
from cloudindex_provider.sync.arguments import NOT_GIVEN, KeysFrom, NotGiven
from cloudindex_provider.transfers.documents_sensor import S3DocumentsSensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import BaseOperator, Context, RetryPolicy
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    Callback = Callable[[Context], Any]
    Callbacks = Callback | list[Callback] | None

__all__ = ["s3_to_cloudindex"]

# Whose the group's own arguments are; every other argument is for all tasks.
_SENSORS = {"sensor_timeout": "timeout", "sensor_poke_interval": "poke_interval"}
_UPLOADS = ("pool",)
_WAITS = ("poll_interval", "deferrable")
_REPORTS = (
    "inlets", "outlets", "on_execute_callback", "on_failure_callback", "on_success_callback", "on_retry_callback",
    "on_skipped_callback",
)  # fmt: skip
# What a sensor has in common with the steps. Of what the caller gave beside the documented arguments, all.
_SENSED = ("bucket", "prefix", "keys", "aws_conn_id", "retries", "retry_delay", "retry_policy")


def s3_to_cloudindex(
    *,
    bucket: Text | NotGiven = NOT_GIVEN,
    prefix: Text | NotGiven = NOT_GIVEN,
    project_id: Text | NotGiven | None = NOT_GIVEN,
    aws_conn_id: Text | NotGiven | None = NOT_GIVEN,
    cloudindex_conn_id: Text | NotGiven = NOT_GIVEN,
    state_conn_id: str | NotGiven | None = NOT_GIVEN,
    state_url: str | NotGiven | None = NOT_GIVEN,
    sync_id: Text | NotGiven = NOT_GIVEN,
    keys: Texts | KeysFrom | NotGiven = NOT_GIVEN,
    include: Texts | NotGiven | None = NOT_GIVEN,
    exclude: Texts | NotGiven | None = NOT_GIVEN,
    file_types: Texts | NotGiven | None = NOT_GIVEN,
    max_file_size: Whole | NotGiven | None = NOT_GIVEN,
    max_request_size: Whole | NotGiven | None = NOT_GIVEN,
    on_removed: Text | NotGiven = NOT_GIVEN,
    on_mass_delete: Text | NotGiven = NOT_GIVEN,
    max_delete_documents: Whole | NotGiven = NOT_GIVEN,
    max_delete_percent: Number | NotGiven = NOT_GIVEN,
    max_delete_absolute: Whole | NotGiven = NOT_GIVEN,
    max_failed_documents: Whole | NotGiven = NOT_GIVEN,
    wait_for_processing: Flag | NotGiven = NOT_GIVEN,
    processing_timeout: Duration | NotGiven = NOT_GIVEN,
    stuck_after: Duration | NotGiven | None = NOT_GIVEN,
    max_run_time: Duration | NotGiven | None = NOT_GIVEN,
    max_documents_per_run: Whole | NotGiven | None = NOT_GIVEN,
    upload_tasks: Whole | NotGiven = NOT_GIVEN,
    upload_order: Text | NotGiven = NOT_GIVEN,
    listing_ranges: Whole | NotGiven = NOT_GIVEN,
    audit_interval: Duration | NotGiven | None = NOT_GIVEN,
    request_payer: Flag | NotGiven = NOT_GIVEN,
    dry_run: Flag | NotGiven = NOT_GIVEN,
    plan_hash: Text | NotGiven | None = NOT_GIVEN,
    retries: int | NotGiven = NOT_GIVEN,
    retry_delay: timedelta | float | NotGiven = NOT_GIVEN,
    retry_policy: RetryPolicy | NotGiven | None = NOT_GIVEN,
    group_id: str = "s3_to_cloudindex",
    wait_for_documents: bool = False,
    sensor_timeout: timedelta | float | NotGiven = NOT_GIVEN,
    sensor_poke_interval: timedelta | float | NotGiven = NOT_GIVEN,
    pool: str | NotGiven = NOT_GIVEN,
    poll_interval: float | NotGiven = NOT_GIVEN,
    deferrable: bool | NotGiven = NOT_GIVEN,
    inlets: Any = NOT_GIVEN,
    outlets: Any = NOT_GIVEN,
    on_execute_callback: Callbacks | NotGiven = NOT_GIVEN,
    on_failure_callback: Callbacks | NotGiven = NOT_GIVEN,
    on_success_callback: Callbacks | NotGiven = NOT_GIVEN,
    on_retry_callback: Callbacks | NotGiven = NOT_GIVEN,
    on_skipped_callback: Callbacks | NotGiven = NOT_GIVEN,
    **task_arguments: Any,
) -> TaskGroup:
    """A sync as tasks: detect_changes, upload_documents (mapped), wait_until_processed, delete_removed, report.

    An argument that isn't given is what ``default_args`` say, of the DAG or of a group around this one, and else the
    tasks' own default. A skip upstream skips the whole group; a failure of a step or upstream fails ``report``, which
    judges its own group alone.

    :param bucket: the S3 bucket's name
    :param prefix: only keys that start with it; default: the whole bucket
    :param project_id: the CloudIndex project; default: the CloudIndex connection's
    :param aws_conn_id: the AWS connection; ``None`` uses boto3's own credentials
    :param cloudindex_conn_id: the CloudIndex connection
    :param state_conn_id: a Postgres connection for the state, instead of ``[cloudindex] state_conn_id``
    :param state_url: a database URL for the state, without a password; not templated
    :param sync_id: tells two syncs of one prefix apart
    :param keys: only these keys, looked up one by one instead of listing the prefix; default: the whole prefix
    :param include: globs of whole keys; ``*`` crosses ``/``; default: everything
    :param exclude: globs of whole keys that are left out; default: nothing
    :param file_types: extensions; ``["*"]``: any; default: all that CloudIndex documents
    :param max_file_size: bytes of one file; default: the CloudIndex connection's
    :param max_request_size: bytes of files in one upload; default: the CloudIndex connection's
    :param on_removed: ``delete`` or ``keep`` the documents of keys that S3 has no more
    :param on_mass_delete: ``fail`` the run, ``skip`` the removals, or ask a person to ``approve`` them in the DAG
        ``cloudindex_approve_deletes``, when there are more than the limits allow
    :param max_delete_documents: removals are held when they are more than this and more than ``max_delete_percent``
    :param max_delete_percent: share of the live documents, 0 to 100
    :param max_delete_absolute: removals are held when they are more than this, whatever the share
    :param max_failed_documents: failures of one run that leave it green
    :param wait_for_processing: wait until CloudIndex has processed what was uploaded
    :param processing_timeout: seconds or timedelta; what still processes then is left to the next run
    :param stuck_after: seconds or timedelta of processing after which a document is given up and uploaded anew;
        ``None``: never
    :param max_run_time: seconds or timedelta from a task's own start, after which it begins no further upload;
        ``None``: no limit
    :param max_documents_per_run: uploads of one run; ``None``: no limit
    :param upload_tasks: uploads at the same time, as mapped tasks or threads; fewer where the rate limit feeds no more
    :param upload_order: ``key``, or ``newest`` or ``smallest`` first
    :param listing_ranges: parts of the prefix that are listed side by side, 1 to 64, once it has been listed whole
    :param audit_interval: seconds or timedelta after which a run also compares the state with the project's list; 0:
        never; default: 24 h; never for more than a million documents
    :param request_payer: agree to pay for requests and transfer, where the bucket is Requester Pays
    :param dry_run: compare and report, write nothing but the plan
    :param plan_hash: do the plan with this hash (of a dry run or ``airflow cloudindex plan``) or nothing
    :param retries: of every task; default: 5, of ``report`` 2
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other; default: 60 s
    :param retry_policy: Airflow's; default: ``CloudIndexRetryPolicy``, which fails permanent errors at once and obeys
        ``Retry-After``
    :param group_id: the group's name, which its tasks' ids begin with
    :param wait_for_documents: begin with an S3KeySensor for any key of the prefix, or any of ``keys``. When its time is
        over it ends green, and detection runs: an emptied prefix must not hide removals
    :param sensor_timeout: seconds or timedelta that the sensor waits; default: 60 s
    :param sensor_poke_interval: seconds or timedelta between two looks of the sensor; default: 20 s
    :param pool: the Airflow pool of the upload tasks; default: Airflow's ``default_pool``
    :param poll_interval: seconds between two looks at what is processed, growing to 120; default: 10
    :param deferrable: wait for processing in the triggerer, without a worker slot; default: Airflow's
        ``[operators] default_deferrable``
    :param inlets: assets that ``report`` reads
    :param outlets: assets that ``report`` updates, once a run, when all is done
    :param on_execute_callback: called by ``report`` alone, like every callback here, and so once a run; for each task's
        own, give ``default_args``
    :param on_failure_callback: called once when the sync failed, at whatever task
    :param on_success_callback: called once when the sync is complete
    :param on_retry_callback: called when ``report`` itself is tried again
    :param on_skipped_callback: called when the sync was skipped, or was a dry run
    :param task_arguments: every other argument of Airflow's BaseOperator (``queue``, ``owner``, ``execution_timeout``
        ...), for each task
    :raises SettingsError: in a DAG with ``fail_fast``; for an argument that the group decides itself; for a wait for
        keys that only events name
    """
    given = _given(locals())
    _refuse_the_groups_own(task_arguments)
    _refuse_to_wait_for_events(keys, wait=wait_for_documents)
    shared = {name: value for name, value in given.items() if name not in _OWN}
    with TaskGroup(group_id, tooltip="S3 prefix to CloudIndex project") as group:
        _refuse_fail_fast(group)
        shared["run_scope"] = group.group_id
        found = CloudIndexDetectChangesOperator(task_id="detect_changes", **_AFTER_SUCCESS, **shared)
        if wait_for_documents:
            sensed = _some(given, _SENSED) | task_arguments | _renamed(given, _SENSORS)
            S3DocumentsSensor(task_id="wait_for_documents", **_AFTER_SUCCESS, **sensed).set_downstream(found)
        uploads = _uploads(found, {**_AFTER_SUCCESS, **shared, **_some(given, _UPLOADS)})
        processed = CloudIndexWaitForSyncOperator(
            task_id="wait_until_processed",
            trigger_rule=_AFTER_NO_UPLOADS[_is_mapped(found)],
            **shared,
            **_some(given, _WAITS),
        )
        deleted = CloudIndexDeleteRemovedOperator(task_id="delete_removed", **_AFTER_SUCCESS, **shared)
        report = CloudIndexSyncReportOperator(
            task_id="report", trigger_rule=TriggerRule.ALL_DONE, **shared, **_some(given, _REPORTS)
        )
        found >> uploads >> processed >> deleted >> report
        found >> processed
        uploads >> report  # one that has failed doesn't end those that still upload
    return group


_AFTER_SUCCESS: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_SUCCESS}  # said, so that no default_args say another

# By whether the group is mapped, where the first fails for all instances when one has failed (apache/airflow#34023).
_AFTER_NO_UPLOADS = {False: TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, True: TriggerRule.NONE_FAILED}

_OWN = {"group_id", "wait_for_documents", *_SENSORS, *_UPLOADS, *_WAITS, *_REPORTS}


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller of the group has given, by name. No pool is Airflow's default one."""
    given = {name: value for name, value in arguments.items() if value is not NOT_GIVEN}
    if given.get("pool", "") is None:
        del given["pool"]
    more: dict[str, Any] = given.pop("task_arguments")
    return given | more


def _refuse_the_groups_own(arguments: Mapping[str, Any]) -> None:
    for name in ("task_id", "trigger_rule", "run_scope"):
        if name in arguments:
            raise SettingsError(
                f"{name} is what s3_to_cloudindex decides for each of its tasks.",
                field=name,
                hint="Leave it out. Give group_id for their names; put a task with a trigger_rule before the group.",
            )


def _refuse_to_wait_for_events(keys: object, *, wait: bool) -> None:
    if wait and isinstance(keys, KeysFrom):
        raise SettingsError(
            "wait_for_documents has nothing to wait for where keys are those of asset events.",
            field="wait_for_documents",
            hint="Leave it out.",
        )


def _some(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {to: given[name] for name, to in names.items() if name in given}


def _uploads(found: CloudIndexDetectChangesOperator, arguments: dict[str, Any]) -> BaseOperator | MappedOperator:
    """The upload tasks. In a mapped group, where Airflow maps no task again, one with as many threads."""
    if _is_mapped(found):
        return CloudIndexUploadChangesOperator(task_id="upload_documents", workers=XComArg(found), **arguments)
    return CloudIndexUploadChangesOperator.partial(task_id="upload_documents", **arguments).expand(
        worker=XComArg(found)
    )


def _is_mapped(found: CloudIndexDetectChangesOperator) -> bool:
    return found.get_closest_mapped_task_group() is not None


def _refuse_fail_fast(group: TaskGroup) -> None:
    """Airflow allows a DAG with ``fail_fast`` no task that runs after a failure or a skip.

    :raises SettingsError: in one sentence, in the place of Airflow's, which names no task
    """
    if getattr(group.dag, "fail_fast", False):
        raise SettingsError(
            f"The task group {group.group_id!r} can't be in a DAG with fail_fast=True, because its report runs after"
            " failures, too.",
            field="fail_fast",
            hint="Use S3ToCloudIndexOperator there, which is the same sync in one task.",
        )
