"""Following S3 events: one task consumes a queue for any number of syncs, and gives its worker back while idle."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.errors import DeletesHeldError, SettingsError, StoppedError, SyncFailedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.metrics import airflow_metrics
from cloudindex_provider.hooks.session import connection_settings, sync_session
from cloudindex_provider.hooks.sqs import event_queue
from cloudindex_provider.hooks.state import open_state
from cloudindex_provider.operators.changes import add_alias, tell_changes
from cloudindex_provider.operators.identity import instance_scope, run_name, task_owner
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.s3.event_queue import LONGEST_VISIBILITY
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.events.consumer import LONGEST_OUTAGE, EventConsumer
from cloudindex_provider.sync.events.rows import naming_row, sync_rows
from cloudindex_provider.sync.polling import EVENTS_POLL_INTERVAL, SHORTEST_EVENTS_POLL
from cloudindex_provider.triggers.cloudindex import error_from_event
from cloudindex_provider.triggers.missing import NamesTriggerer
from cloudindex_provider.triggers.s3_events import CloudIndexS3EventsTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryPolicy

__all__ = ["CloudIndexSyncS3EventsOperator"]

_CONNECTIONS = ("aws_conn_id", "cloudindex_conn_id")
_TRIGGER_MARGIN = 60.0  # seconds past its end after which a trigger is taken to be dead


class CloudIndexSyncS3EventsOperator(RetryingOperator, NamesTriggerer):
    """Keeps CloudIndex in step with S3 by the events that S3 sends to an SQS queue, seconds after each change.

    Events say which keys to look at and nothing else: S3 is asked for each key, and the rest is done as by a run of
    ``S3ToCloudIndexOperator`` with ``keys``: same state, claims, limits and guard. A message is deleted when what
    S3 says of all its keys is in the state. What events miss, the next full sync finds: keep one scheduled.

    It ends after ``max_run_time``, green if nothing failed; ``schedule="@continuous"`` begins the next one. Returns the
    added-up counts of a report, and ``messages, events, foreign, ignored, unreadable, test_messages``.

    :param queue_url: URL of the SQS queue (templated)
    :param syncs: for each sync its arguments as of ``S3ToCloudIndexOperator``: ``bucket``, ``prefix``,
        ``cloudindex_conn_id``, ``aws_conn_id`` (of S3), limits and so on (templated)
    :param aws_conn_id: the AWS connection of the queue (templated); ``None`` uses boto3's own credentials
    :param region_name: the queue's region (templated); default: what its URL names, else the connection's
    :param state_conn_id: as of ``S3ToCloudIndexOperator``
    :param state_url: as of ``S3ToCloudIndexOperator``
    :param max_run_time: seconds or timedelta after which the task ends
    :param visibility_timeout: seconds for which a received message is hidden from others; prolonged while it is needed
    :param idle_time: seconds without a message after which a deferrable task gives its worker back
    :param poll_interval: seconds between the trigger's looks at the queue
    :param deferrable: wait in the triggerer while there is nothing to do; default: ``[operators] default_deferrable``
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once and obeys ``Retry-After``
    """

    template_fields: Sequence[str] = ("queue_url", "syncs", "aws_conn_id", "region_name")
    ui_color = "#d7e8ff"
    _stop: threading.Event | None = None  # made when the task runs: an operator is copied and serialized

    def __init__(
        self,
        *,
        queue_url: str,
        syncs: Sequence[Mapping[str, Any]],
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        state_conn_id: str | None = None,
        state_url: str | None = None,
        max_run_time: float | timedelta = 3600.0,
        visibility_timeout: float = 120.0,
        idle_time: float = 30.0,
        poll_interval: float = EVENTS_POLL_INTERVAL,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        retries: int | None = 5,
        retry_delay: timedelta | float = timedelta(seconds=30),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)
        self.queue_url = queue_url
        self.syncs = syncs
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.state_conn_id = state_conn_id
        self.state_url = state_url
        self.max_run_time = max_run_time
        self.visibility_timeout = visibility_timeout
        self.idle_time = idle_time
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        add_alias(self, self.task_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Consume.

        :raises SettingsError: naming the sync whose arguments can't work
        :raises EventQueueError: when SQS refuses, or fails for a quarter of an hour or half of ``max_run_time``
        :raises ProviderError: why a sync can't get on; where others do, once they have nothing to do
        :raises SyncFailedError: at the end, when more documents failed than a sync's ``max_failed_documents``
        :raises DeletesHeldError: at the end, when a mass delete is held and the sync's ``on_mass_delete`` is ``fail``
        """
        until = time.time() + self._run_time()
        _within("poll_interval", self.poll_interval, lowest=SHORTEST_EVENTS_POLL)  # the trigger couldn't say so as well
        return self._consume(context, until=until, so_far={})

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on after the trigger has seen a message, or end."""
        if event.get("status") == "error":
            raise error_from_event(event)
        return self._consume(context, until=float(event["until"]), so_far=event.get("so_far") or {})

    def on_kill(self) -> None:
        """The task is cleared, or its worker stopped: take no further message, begin no further request."""
        if self._stop is not None:
            self._stop.set()

    def _consume(self, context: Context, *, until: float, so_far: dict[str, Any]) -> dict[str, Any]:
        self._stop = threading.Event()
        visibility = _within("visibility_timeout", self.visibility_timeout, lowest=1.0, highest=LONGEST_VISIBILITY)
        idle = _within("idle_time", self.idle_time, lowest=0.0)
        url, region_name = self._queue_place()
        queue = event_queue(url, self.aws_conn_id, region_name=region_name, visibility=visibility)
        with self._contexts(context) as syncs:
            name = syncs[0].name
            metrics = airflow_metrics(dag_id=name.dag_id, sync=name.task_id)
            outage = min(LONGEST_OUTAGE, self._run_time() / 2)  # else no short run would ever say it
            consumer = EventConsumer(queue, syncs, idle=idle, metrics=metrics, outage=outage)
            _restore(consumer, so_far)
            ended_idle = self._consume_until(consumer, until)
            so_far = _stored(consumer)
            limits = [ctx.settings.limits.max_failed_documents for ctx in syncs]
            is_over = not ended_idle or until <= time.time()
            report = _judged(so_far, limits) if is_over else {}
            for ctx in syncs if is_over else ():
                tell_changes(ctx, context, self.task_id)
        if not is_over:
            self.log.info("The queue is empty: waiting in the triggerer until it has a message.")
            self.defer(
                trigger=CloudIndexS3EventsTrigger(
                    queue_url=url,
                    until=until,
                    aws_conn_id=self.aws_conn_id,
                    region_name=region_name,
                    poll_interval=arguments.seconds("poll_interval", self.poll_interval),
                    so_far=so_far,
                ),
                method_name="execute_complete",
                timeout=timedelta(seconds=until - time.time() + _TRIGGER_MARGIN),
            )
        return report

    def _consume_until(self, consumer: EventConsumer, until: float) -> bool:
        """Whether it ended because there is nothing to do, and may be waited for without a worker.

        :raises StoppedError: when the task is being stopped
        :raises ProviderError: why a sync can't get on
        """
        ended_idle = False
        while not ended_idle and (left := until - time.time()) > 0:
            ended_idle = consumer.run(left) and self.deferrable
            if any(ctx.stop.is_set() for ctx in consumer.syncs):  # before assets are told, which a red task can't
                raise StoppedError("The task was stopped.")
            if consumer.error is not None:
                raise consumer.error
        return ended_idle

    def _run_time(self) -> float:
        return _within("max_run_time", self.max_run_time, lowest=1.0)

    def _queue_place(self) -> tuple[str, str | None]:
        """The queue's URL and region.

        :raises SettingsError: where none is named, as by a template without a value
        """
        url = arguments.string("queue_url", self.queue_url)
        if not url:
            raise SettingsError("queue_url is empty.", field="queue_url", hint="Give the URL of the SQS queue.")
        return url, arguments.optional(arguments.text, "region_name", self.region_name)

    # Syncs

    @contextmanager
    def _contexts(self, context: Context) -> Iterator[list[SyncContext]]:
        """A context for each sync, all of them on one state."""
        rows = sync_rows("syncs", self.syncs, also=_CONNECTIONS)
        name = run_name(context, instance_scope(context, self.task_id))
        owner = task_owner(context, self.task_id)
        with ExitStack() as stack:
            db = open_state(state_url=self.state_url, state_conn_id=self.state_conn_id)
            stack.callback(db.close)
            opened = []
            for number, row in enumerate(rows):
                with naming_row("syncs", number):
                    hook = _hook(row)
                    settings = connection_settings({k: v for k, v in row.items() if k not in _CONNECTIONS}, hook)
                aws_conn_id = row.get("aws_conn_id", "aws_default")
                session = sync_session(
                    settings, db, hook=hook, aws_conn_id=aws_conn_id, name=name, owner=owner, stop=self._stop
                )
                opened.append(stack.enter_context(session))
            yield opened


def _within(name: str, value: float | timedelta, *, lowest: float, highest: float = math.inf) -> float:
    """Seconds, of which there may not be too few or too many.

    :raises SettingsError: naming the argument
    """
    found = arguments.seconds(name, value)
    if not lowest <= found <= highest:
        most = f" and at most {highest:g}" if highest < math.inf else ""
        raise SettingsError(f"{name} is {found:g} seconds.", field=name, hint=f"Give at least {lowest:g}{most}.")
    return found


def _hook(row: Mapping[str, Any]) -> CloudIndexHook:
    conn_id = arguments.optional(arguments.text, "cloudindex_conn_id", row.get("cloudindex_conn_id"))
    project_id = arguments.optional(arguments.text, "project_id", row.get("project_id"))
    return CloudIndexHook(conn_id or CloudIndexHook.default_conn_name, project_id=project_id)


# What goes through a deferral, as JSON: numbers, and the first things to say


def _stored(consumer: EventConsumer) -> dict[str, Any]:
    held = consumer.held.fields() if consumer.held else None
    return {
        "counts": dict(consumer.counts),
        "failed": list(consumer.failed),
        "failures": consumer.failures,
        "held": held,
    }


def _restore(consumer: EventConsumer, so_far: Mapping[str, Any]) -> None:
    consumer.counts = Counter(so_far.get("counts", {}))
    consumer.failures = list(so_far.get("failures", ()))
    consumer.failed = list(so_far.get("failed") or consumer.failed)
    held = so_far.get("held")
    consumer.held = DeletesHeldError.from_fields(held) if held else None


def _judged(so_far: Mapping[str, Any], limits: Sequence[int]) -> dict[str, Any]:
    report = {**so_far["counts"], "failures": so_far["failures"]}
    failed: list[int] = so_far["failed"]
    if any(number > limit for number, limit in zip(failed, limits, strict=True)):
        shown = "; ".join(f"{row['key']}: {row['reason']}" for row in so_far["failures"][:5])
        raise SyncFailedError(
            f"{sum(failed)} documents failed: {shown}",
            report=report,
            hint="They are tried again by the next full sync, and set aside when their strikes are used up.",
        )
    if so_far["held"]:
        raise DeletesHeldError.from_fields(so_far["held"])
    return report
