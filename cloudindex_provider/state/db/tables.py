"""The state's tables as they are today. No table is made from here: ``migrations`` does, and tests hold both equal.

One ``object`` row per (project, bucket, key): its primary key is what makes every key have one owner (``source_id``),
and because a prefix is a range of keys it is also the order in which the comparison reads.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from cloudindex_provider.state.conditions import WORK

__all__ = ["metadata"]

metadata = MetaData()

# Keys are compared as UTF-8 bytes, S3's own order: SQLite does so by default, Postgres when told.
_Key = Text().with_variant(Text(collation="C"), "postgresql")
_Id = Integer().with_variant(BigInteger(), "postgresql")


meta = Table("meta", metadata, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))

scope = Table(
    "scope",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    UniqueConstraint("project_id", "bucket"),
)

source = Table(
    "source",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("scope_id", _Id, ForeignKey("scope.id"), nullable=False),
    Column("prefix", _Key, nullable=False),
    Column("sync_id", Text, nullable=False),
    Column("fingerprint", Text),  # of the selection that the last complete listing was judged by
    Column("last_sweep_at", Double),  # seconds since 1970, the database server's clock, as all times here
    Column("endpoint", Text),  # the store that its documents were made from (``s3.place``); not known before a sweep
    Column("looked_at", Double),  # when its project was first looked at, so that nothing is uploaded twice
    Column("audited_at", Double),  # when a run last compared it with its project
    Column("odd_etags", Integer, nullable=False, server_default=text("0")),  # that look like MD5s and are none
    Column("listing", Text),  # ``sync.detect.ways.Way``, where the storage can't list as S3 does
    Column("drifted", BigInteger),  # keys that the last comparison has queued
    Column("budget", Text),  # of requests, by its name in ``pace``, that its last task has used
    UniqueConstraint("scope_id", "prefix", "sync_id"),
)

selection = Table(
    "selection",
    metadata,
    Column("source_id", _Id, primary_key=True, autoincrement=False),
    Column("dag_id", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),  # Airflow's, of the last run that has judged a complete listing
    Column("fingerprint", Text, nullable=False),  # by which selection
    Column("before", Text),  # the one that was compared with then
    Column("rules", Text),  # the selection itself, as JSON; not known of the runs of older versions
)

object_ = Table(
    "object",
    metadata,
    Column("scope_id", _Id, primary_key=True),
    Column("key", _Key, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Text),
    # what S3 has
    Column("etag", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("last_modified", Text, nullable=False),
    Column("storage_class", Text, nullable=False),
    # what CloudIndex has, live
    Column("document_id", Text),
    Column("document_version", Integer),
    Column("file_name", Text),
    Column("indexed_etag", Text),
    Column("indexed_size", BigInteger),
    Column("indexed_sha256", Text),
    # what is on its way there
    Column("upload_etag", Text),
    Column("upload_size", BigInteger),
    Column("upload_sha256", Text),
    Column("upload_document_id", Text),
    Column("intent_at", Double),
    Column("doubtful", Integer, nullable=False, server_default=text("0")),
    # who works on it, and when it may be tried again
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Double),
    Column("claim_owner", Text),
    Column("claim_try", Integer),
    Column("claim_until", Double),
    Column("queued_run", _Id),  # the run that found it new or changed
    Column("revision", Integer, nullable=False, server_default=text("0")),
    # what no answer to an upload leaves behind
    Column("doubt_until", Double),  # until then a request that is in doubt may still be committed
    Column("unanswered", Integer, nullable=False, server_default=text("0")),  # requests with this file alone
    Column("unanswered_at", Double),  # the first of them
    # what the listing gives of this very version, where that isn't what HEAD and GET give
    Column("listed_etag", Text),
    Column("listed_size", BigInteger),
    sqlite_with_rowid=False,
)
Index(
    "object_work",
    object_.c.source_id,
    object_.c.status,
    object_.c.key,
    sqlite_where=text(WORK),
    postgresql_where=text(WORK),
)
Index(
    "object_claimed",
    object_.c.claim_owner,
    sqlite_where=text("claim_owner IS NOT NULL"),
    postgresql_where=text("claim_owner IS NOT NULL"),
)
Index(
    "object_doubtful",
    object_.c.source_id,
    sqlite_where=text("doubtful = 1"),
    postgresql_where=text("doubtful = 1"),
)

# Documents of ours that a newer one replaces; deleted once their key is indexed or gone.
superseded = Table(
    "superseded",
    metadata,
    Column("scope_id", _Id, primary_key=True),
    Column("document_id", Text, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("key", _Key, nullable=False),
    Column("reason", Text, nullable=False),
)
Index("superseded_by_key", superseded.c.scope_id, superseded.c.key)

run = Table(
    "run",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("task_id", Text, nullable=False),  # the task group's id, where the run is one
    Column("started_at", Double, nullable=False),
    Column("detected_at", Double),
    Column("wait_started_at", Double),
    Column("finished_at", Double),
    Column("complete", Integer, nullable=False, server_default=text("0")),  # the listing reached its end
    Column("deletes_blocked", Text),  # why this run may not delete
    Column("mass_delete", Integer, nullable=False, server_default=text("0")),  # blocked until a person says so
    Column("plan_hash", Text),  # the plan that its complete detection was bound to
    Column("approval_id", _Id),  # the approval that its removals need, and use up when they begin
    UniqueConstraint("source_id", "dag_id", "run_id", "task_id"),
)

run_count = Table(
    "run_count",
    metadata,
    Column("run_id", _Id, primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

run_key = Table(
    "run_key",
    metadata,
    Column("run_id", _Id, primary_key=True),
    Column("key", _Key, primary_key=True),
    Column("class", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("reason", Text),
    sqlite_with_rowid=False,
)
# What still waits for an outcome: a key's rows in the runs that are over would be read at each of its outcomes.
Index(
    "run_key_open",
    run_key.c.key,
    sqlite_where=text("outcome IS NULL"),
    postgresql_where=text("outcome IS NULL"),
)

history = Table(
    "history",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("key", _Key, nullable=False),
    Column("at", Double, nullable=False),
    Column("run_id", _Id),
    Column("event", String(32), nullable=False),
    Column("reason", Text),
)
Index("history_by_key", history.c.source_id, history.c.key)

# Removals that wait for a person; one open row a source, for as long as each run finds them too many.
hold = Table(
    "hold",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("run_id", _Id, nullable=False),  # the last run that was held
    Column("removed", BigInteger, nullable=False),
    Column("live", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("asked_at", Double),  # a person was asked
    Column("ended_at", Double),
    Column("token", Text),  # random: what names this hold and none of another state
    Column("endpoint", Text),  # the store that listed the removed keys no more
    Column("made_from", Text),  # the store that their documents were made from, where that is another one
    Column("of_keys", Text),  # a hash of the keys that the run was about; none: all of the source; empty: not known
)
Index(
    "hold_open",
    hold.c.source_id,
    unique=True,
    sqlite_where=text("ended_at IS NULL"),
    postgresql_where=text("ended_at IS NULL"),
)

# A person's word that up to ``ceiling`` documents may go, for one run.
approval = Table(
    "approval",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("ceiling", BigInteger, nullable=False),
    Column("approved_by", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("run_id", _Id),  # the run that used it
    Column("hold_id", _Id),  # the hold that it was given for; without one it is for whatever is held next
)
Index("approval_by_source", approval.c.source_id)

lease = Table(
    "lease",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Double, nullable=False),
)


# Tasks that have given their worker's slot back for a while, and go on in the same try.
pause = Table(
    "pause",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("pauses", Integer, nullable=False),
    Column("paused_at", Double, nullable=False),  # for the last time
    Column("begun_at", Double),  # when the try began, as long as it is the same: its time goes on meanwhile
)

# Keys at which the last complete listing of a prefix can be cut into ranges that are listed side by side.
listing_bound = Table(
    "listing_bound",
    metadata,
    Column("source_id", _Id, primary_key=True),
    Column("position", Integer, primary_key=True),  # in key order
    Column("key", _Key, nullable=False),
    sqlite_with_rowid=False,
)

# What is known of a budget of requests (``api.pace.Pace``, field by field); the name is a hash, see ``sync.pacing``.
pace = Table(
    "pace",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("next_at", Double, nullable=False),
    Column("closed_until", Double, nullable=False),
    Column("allowed", BigInteger, nullable=False),
    Column("length", Double, nullable=False),
    Column("length_at", Double, nullable=False),
    Column("window_from", Double, nullable=False),
    Column("window_ends", Double, nullable=False),
    Column("step", Double, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    Column("sliding", Integer, nullable=False),
    Column("hourly", BigInteger, nullable=False),
    Column("hourly_until", Double, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("slots_until", Double, nullable=False),
    Column("booked_at", Double, nullable=False, server_default=text("0")),
)

# Requests of a budget that are booked or under way; what its process left behind ends by itself.
pace_slot = Table(
    "pace_slot",
    metadata,
    Column("pace", String(64), primary_key=True),
    Column("ticket", String(32), primary_key=True),
    Column("until", Double, nullable=False),
    sqlite_with_rowid=False,
)

# Requests that were not refused, of the last hour.
pace_minute = Table(
    "pace_minute",
    metadata,
    Column("pace", String(64), primary_key=True),
    Column("minute", BigInteger, primary_key=True),  # since 1970
    Column("requests", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What the last whole list of a project's documents took.
document_list = Table(
    "document_list",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("documents", BigInteger, nullable=False),
)

# What a single step has done in its earlier tries (``state.step_memory``); the step is a hash.
step_item = Table(
    "step_item",
    metadata,
    Column("step", String(32), primary_key=True),
    Column("item", Text, primary_key=True),  # a document's id, or a file's name
    Column("outcome", Text),  # what became of it; none: no answer came
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)
Index("step_item_by_age", step_item.c.at)

# The newest plan of a source: what its last dry run would have done. Its run's names are Airflow's.
plan = Table(
    "plan",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("source_id", _Id, nullable=False),
    Column("hash", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("totals", Text, nullable=False),  # JSON: {action: [keys, bytes]} of all, also of those that aren't kept
    Column("held", Text),  # why its deletes would wait for a person
    Column("of_keys", Text),  # a hash of the keys that the dry run was about; none: all of the source
    Column("complete", Integer, nullable=False, server_default=text("0")),  # all of its keys are written
    Column("overtaken_at", Double),  # a run that was bound to it found something else to do
)
Index("plan_by_source", plan.c.source_id)

# The first keys of each of a plan's actions.
plan_key = Table(
    "plan_key",
    metadata,
    Column("source_id", _Id, primary_key=True),
    Column("plan_id", _Id, primary_key=True),
    Column("action", String(16), primary_key=True),
    Column("key", _Key, primary_key=True),
    Column("class", String(16), nullable=False),
    Column("size", BigInteger),
    Column("reason", Text),
    sqlite_with_rowid=False,
)

# The first keys that the last comparison with the project has queued, because somebody else had changed them there.
drift = Table(
    "drift",
    metadata,
    Column("source_id", _Id, primary_key=True),
    Column("key", _Key, primary_key=True),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)
