"""What every operator of a sync shares: its settings as arguments, and its session with S3, CloudIndex and the state.

Nothing is connected before ``execute``: task workers are forked, and neither HTTP clients nor databases survive that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.configuration import conf
from jinja2.nativetypes import NativeEnvironment

from cloudindex_provider.airflow_compat import RetryingOperator
from cloudindex_provider.assets.keys import EventKeys, read_events
from cloudindex_provider.errors import SyncFailedError
from cloudindex_provider.hooks.cloudindex import CloudIndexHook
from cloudindex_provider.hooks.s3 import made_client
from cloudindex_provider.hooks.session import connection_settings, sync_session
from cloudindex_provider.hooks.state import SECTION, open_state, preview_state
from cloudindex_provider.links.cloudindex import CloudIndexPageLink, CloudIndexProjectLink, S3PrefixLink
from cloudindex_provider.links.places import absolute, console_url, page_path, project_url
from cloudindex_provider.operators.changes import add_alias
from cloudindex_provider.operators.event_keys import log_event_keys, triggering_events, unread_events
from cloudindex_provider.operators.identity import instance_scope, run_name, task_owner
from cloudindex_provider.operators.reporting import tells_problem
from cloudindex_provider.operators.slots import gives_slot_back
from cloudindex_provider.retry import CloudIndexRetryPolicy
from cloudindex_provider.s3.place import bucket_place
from cloudindex_provider.state.db.database import Database
from cloudindex_provider.state.records import Owner, RunName
from cloudindex_provider.sync import arguments
from cloudindex_provider.sync.arguments import NOT_GIVEN, KeysFrom, NotGiven
from cloudindex_provider.sync.context import SyncContext
from cloudindex_provider.sync.pausing import pausing
from cloudindex_provider.sync.settings import DEFAULT_LIMITS, SETTINGS, SyncSettings

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context, RetryPolicy

__all__ = [
    "BaseS3ToCloudIndexOperator",
    "Duration",
    "Flag",
    "LiteralText",
    "Number",
    "Text",
    "Texts",
    "Whole",
]

# What a DAG's author may give for a setting: a value, a template of it, or another task's output.
Text = str | XComArg
Texts = str | Sequence[str] | XComArg
Whole = int | str | XComArg
Number = float | str | XComArg
Flag = bool | str | XComArg
Duration = float | timedelta | str | XComArg


def _closing_state(*, state_url: str | None, state_conn_id: str | None) -> AbstractContextManager[Database]:
    return closing(open_state(state_url=state_url, state_conn_id=state_conn_id))


class LiteralText(BaseOperator):
    """A task whose text without a template stays as it is: natively rendered, the prefix 2024 would be a number."""

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """As Airflow does, where there is something to render."""
        if isinstance(content, str) and isinstance(jinja_env, NativeEnvironment):
            starts = (jinja_env.variable_start_string, jinja_env.block_start_string, jinja_env.comment_start_string)
            if not any(start in content for start in starts):
                return content
        return super().render_template(content, context, jinja_env, seen_oids)


class BaseS3ToCloudIndexOperator(RetryingOperator, LiteralText):
    """Arguments of a sync. All but ``state_conn_id`` and ``state_url`` may be templates or outputs of other tasks.

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
    :param retries: tries after the first one
    :param retry_delay: seconds or timedelta between two tries, where the service asks for no other
    :param retry_policy: Airflow's; ``CloudIndexRetryPolicy`` fails permanent errors at once and obeys ``Retry-After``
    :param run_scope: the task group's own word to its tasks, which run they are part of
    """

    template_fields: Sequence[str] = (*SETTINGS, "aws_conn_id", "cloudindex_conn_id")
    operator_extra_links = (CloudIndexPageLink(), S3PrefixLink(), CloudIndexProjectLink())
    ui_color = "#d7e8ff"
    found_links: dict[str, str] | None = None  # what the links lead to, once the task has found it out
    _stop: threading.Event | None = None  # made when the task runs: an operator is copied and serialized
    _begins_run = False  # whether the task is the one in its run that says what it was asked for
    _tells_changes = False  # whether the task is the one in its run that says what has changed

    def __init__(
        self,
        *,
        bucket: Text,
        prefix: Text | NotGiven = NOT_GIVEN,
        project_id: Text | None = None,
        aws_conn_id: Text | None = "aws_default",
        cloudindex_conn_id: Text = CloudIndexHook.default_conn_name,
        state_conn_id: str | None = None,
        state_url: str | None = None,
        sync_id: Text = "",
        keys: Texts | KeysFrom | NotGiven = NOT_GIVEN,
        include: Texts | None = None,
        exclude: Texts | None = None,
        file_types: Texts | None = None,
        max_file_size: Whole | None = None,
        max_request_size: Whole | None = None,
        on_removed: Text = "delete",
        on_mass_delete: Text = "fail",
        max_delete_documents: Whole = DEFAULT_LIMITS.max_delete_documents,
        max_delete_percent: Number = DEFAULT_LIMITS.max_delete_percent,
        max_delete_absolute: Whole = DEFAULT_LIMITS.max_delete_absolute,
        max_failed_documents: Whole = DEFAULT_LIMITS.max_failed_documents,
        wait_for_processing: Flag = True,
        processing_timeout: Duration = DEFAULT_LIMITS.processing_timeout,
        stuck_after: Duration | None = DEFAULT_LIMITS.stuck_after,
        max_run_time: Duration | None = DEFAULT_LIMITS.max_run_time,
        max_documents_per_run: Whole | None = None,
        upload_tasks: Whole = DEFAULT_LIMITS.upload_tasks,
        upload_order: Text = "key",
        listing_ranges: Whole = DEFAULT_LIMITS.listing_ranges,
        audit_interval: Duration | None = None,
        request_payer: Flag = False,
        dry_run: Flag = False,
        plan_hash: Text | None = None,
        run_scope: str | None = None,
        retries: int | None = 5,
        retry_delay: timedelta | float = timedelta(seconds=60),
        retry_policy: RetryPolicy | None = CloudIndexRetryPolicy(),  # noqa: B008 - frozen, so it can be shared
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, retry_policy=retry_policy, **kwargs)
        self.bucket = bucket
        self.prefix = prefix
        self.project_id = project_id
        self.aws_conn_id = aws_conn_id
        self.cloudindex_conn_id = cloudindex_conn_id
        self.state_conn_id = state_conn_id
        self.state_url = state_url
        self.sync_id = sync_id
        self.keys = keys
        self.include = include
        self.exclude = exclude
        self.file_types = file_types
        self.max_file_size = max_file_size
        self.max_request_size = max_request_size
        self.on_removed = on_removed
        self.on_mass_delete = on_mass_delete
        self.max_delete_documents = max_delete_documents
        self.max_delete_percent = max_delete_percent
        self.max_delete_absolute = max_delete_absolute
        self.max_failed_documents = max_failed_documents
        self.wait_for_processing = wait_for_processing
        self.processing_timeout = processing_timeout
        self.stuck_after = stuck_after
        self.max_run_time = max_run_time
        self.max_documents_per_run = max_documents_per_run
        self.upload_tasks = upload_tasks
        self.upload_order = upload_order
        self.listing_ranges = listing_ranges
        self.audit_interval = audit_interval
        self.request_payer = request_payer
        self.dry_run = dry_run  # type: ignore[method-assign, assignment]  # the field's word; Airflow's own is unused
        self.plan_hash = plan_hash
        self.run_scope = run_scope
        if self._tells_changes:
            add_alias(self, self._scope)

    # Settings

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing may be written."""
        return arguments.flag("dry_run", self.dry_run)

    def _settings(self, hook: CloudIndexHook, context: Context | Mapping[str, Any] | None = None) -> SyncSettings:
        values = {name: getattr(self, name) for name in SETTINGS}
        if context is not None and self.keys is KeysFrom.ASSET_EVENTS:
            named = self._named_by_events(context)
            values["keys"] = list(named.keys)
            if self._begins_run:
                log_event_keys(self.log, named)
        return connection_settings(values, hook)

    def _named_by_events(self, context: Context | Mapping[str, Any]) -> EventKeys:
        """What the run's asset events name; every task of the run reads the same."""
        bucket, prefix = arguments.text("bucket", self.bucket), arguments.prefix("prefix", self.prefix)
        return read_events(triggering_events(context), bucket, prefix)

    def _unread_events(self, context: Context | Mapping[str, Any]) -> SyncFailedError | None:
        """The error of a run whose asset events can't all be read; what could be is synced by then."""
        problems = self._named_by_events(context).problems if self.keys is KeysFrom.ASSET_EVENTS else ()
        return unread_events(problems) if problems else None

    @property
    def _scope(self) -> str:
        """What names the sync in its DAG: its group's id, or that of its only task."""
        return self.run_scope or self.task_id

    # Session

    @contextmanager
    def _session(self, context: Context | Mapping[str, Any]) -> Iterator[SyncContext]:
        """Everything connected, for one step; closed, counted and its errors named at the end.

        :raises AirflowRescheduleException: the step waits for more than a minute: its worker's slot is given back
        """
        with tells_problem(self, context), self._connected(context) as ctx:
            yield ctx

    @contextmanager
    def _connected(self, context: Context | Mapping[str, Any]) -> Iterator[SyncContext]:
        conn_id = arguments.text("cloudindex_conn_id", self.cloudindex_conn_id)
        hook = CloudIndexHook(conn_id, project_id=arguments.optional(arguments.text, "project_id", self.project_id))
        settings = self._settings(hook, context)
        self._stop = threading.Event()
        ti = context.get("ti")
        with (
            self._opened_state(looks=settings.dry_run) as db,
            gives_slot_back(),
            sync_session(
                settings,
                db,
                hook=hook,
                aws_conn_id=None if self.aws_conn_id is None else arguments.text("aws_conn_id", self.aws_conn_id),
                name=self._run_name(context),
                owner=self._owner(context),
                stop=self._stop,
                try_number=None if ti is None else ti.try_number,
            ) as ctx,
            self._reporting(ctx, context),
            pausing(ctx),
        ):
            self._pauses = ctx.pauses.count if ctx.pauses else 0
            self.found_links = self._links(ctx, hook, context)
            try:
                yield ctx
            finally:
                self.found_links[S3PrefixLink.key] = _s3_link(ctx)

    def _reporting(self, ctx: SyncContext, context: Context | Mapping[str, Any]) -> AbstractContextManager[None]:
        """Around the step's work, where an error of it is to be reported at once."""
        return nullcontext()

    def _links(self, ctx: SyncContext, hook: CloudIndexHook, context: Context | Mapping[str, Any]) -> dict[str, str]:
        """What the task's extra links lead to; an empty text is no link."""
        ti = context.get("ti")
        at_run = {} if ti is None else {"dag_id": ti.dag_id, "run_id": ti.run_id}
        return {
            CloudIndexPageLink.key: page_path(ctx.source.id, **at_run) if self._has_page() else "",
            CloudIndexProjectLink.key: project_url(hook.settings.project_url, ctx.settings.project_id),
        }

    def _has_page(self) -> bool:
        """Whether the page shows this sync: it reads the state that the configuration names, and no other."""
        own = self.state_conn_id if self.state_conn_id != conf.get(SECTION, "state_conn_id", fallback=None) else None
        return not (own or self.state_url)

    @property
    def page_url(self) -> str | None:
        """The whole address of the page at this sync, where there is one and Airflow knows its own."""
        return absolute((self.found_links or {}).get(CloudIndexPageLink.key, ""))

    def on_kill(self) -> None:
        """The task is cleared, or its worker stopped: begin nothing more, and give back what is claimed."""
        if self._stop is not None:
            self._stop.set()

    @contextmanager
    def _opened_state(self, *, looks: bool) -> Iterator[Database]:
        """The state, closed at the end; what only looks begins none and writes nothing."""
        make = preview_state if looks else _closing_state
        with make(state_url=self.state_url, state_conn_id=self.state_conn_id) as db:
            if self.state_url or self.state_conn_id:
                what = "The state is in %s, as this task's argument says, not where [cloudindex] says."
                self.log.warning(what, db.name)
            yield db

    def _run_name(self, context: Context | Mapping[str, Any]) -> RunName:
        scope = self._scope
        # A group's mapped uploads are one run; of a mapped group, each instance is.
        if self.run_scope is None or self.get_closest_mapped_task_group() is not None:
            scope = instance_scope(context, scope)
        return run_name(context, scope)

    def _owner(self, context: Context | Mapping[str, Any]) -> Owner:
        return task_owner(context, self.task_id)


def _s3_link(ctx: SyncContext) -> str:
    """Where the prefix is, for a task that has asked S3: no other logs in for the sake of a link."""
    client = made_client(ctx.s3.client)
    if client is None:
        return ""
    region = getattr(getattr(client, "meta", None), "region_name", None)
    return console_url(bucket_place(client, ctx.settings.bucket), ctx.settings.bucket, ctx.settings.prefix, region)
