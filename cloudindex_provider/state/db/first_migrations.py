"""The first four of the state's migrations, and what a migration is. What is said in ``migrations`` holds here, too."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FIRST", "Migration"]


@dataclass(frozen=True, slots=True)
class Migration:
    """What brings a state from the version before to ``number``.

    :param sqlite: statements for SQLite, each ended by a semicolon at the end of a line
    :param postgresql: the same for Postgres
    """

    number: int
    sqlite: str
    postgresql: str

    def statements(self, dialect: str) -> list[str]:
        """The statements for ``sqlite`` or ``postgresql``, one by one."""
        text = self.sqlite if dialect == "sqlite" else self.postgresql
        return [part.strip() for part in re.split(r";[ \t]*$", text, flags=re.MULTILINE) if part.strip()]


# Literal text only: a constant of the package would change what old versions did.
FIRST: tuple[Migration, ...] = (
    Migration(
        1,
        sqlite="""
CREATE TABLE meta (name VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
CREATE TABLE scope (
    id INTEGER NOT NULL, project_id TEXT NOT NULL, bucket TEXT NOT NULL,
    PRIMARY KEY (id), UNIQUE (project_id, bucket)
);
CREATE TABLE source (
    id INTEGER NOT NULL, scope_id INTEGER NOT NULL, prefix TEXT NOT NULL, sync_id TEXT NOT NULL, fingerprint TEXT,
    last_sweep_at DOUBLE,
    PRIMARY KEY (id), UNIQUE (scope_id, prefix, sync_id), FOREIGN KEY (scope_id) REFERENCES scope (id)
);
CREATE TABLE object (
    scope_id INTEGER NOT NULL, key TEXT NOT NULL, source_id INTEGER NOT NULL, status VARCHAR(16) NOT NULL,
    reason TEXT, etag TEXT NOT NULL, size BIGINT NOT NULL, last_modified TEXT NOT NULL, storage_class TEXT NOT NULL,
    document_id TEXT, document_version INTEGER, file_name TEXT, indexed_etag TEXT, indexed_size BIGINT,
    indexed_sha256 TEXT, upload_etag TEXT, upload_size BIGINT, upload_sha256 TEXT, upload_document_id TEXT,
    intent_at DOUBLE, doubtful INTEGER DEFAULT 0 NOT NULL, attempts INTEGER DEFAULT 0 NOT NULL,
    next_attempt_at DOUBLE, claim_owner TEXT, claim_try INTEGER, claim_until DOUBLE, queued_run INTEGER,
    revision INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (scope_id, key)
) WITHOUT ROWID;
CREATE INDEX object_claimed ON object (claim_owner) WHERE claim_owner IS NOT NULL;
CREATE INDEX object_doubtful ON object (source_id) WHERE doubtful = 1;
CREATE INDEX object_work ON object (source_id, status, key) WHERE status <> 'indexed';
CREATE TABLE superseded (
    scope_id INTEGER NOT NULL, document_id TEXT NOT NULL, source_id INTEGER NOT NULL, key TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (scope_id, document_id)
);
CREATE INDEX superseded_by_key ON superseded (scope_id, key);
CREATE TABLE run (
    id INTEGER NOT NULL, source_id INTEGER NOT NULL, dag_id TEXT NOT NULL, run_id TEXT NOT NULL,
    task_id TEXT NOT NULL, started_at DOUBLE NOT NULL, detected_at DOUBLE, wait_started_at DOUBLE,
    finished_at DOUBLE, complete INTEGER DEFAULT 0 NOT NULL, deletes_blocked TEXT,
    mass_delete INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (id), UNIQUE (source_id, dag_id, run_id, task_id)
);
CREATE TABLE run_count (
    run_id INTEGER NOT NULL, name VARCHAR(64) NOT NULL, value BIGINT NOT NULL,
    PRIMARY KEY (run_id, name)
);
CREATE TABLE run_key (
    run_id INTEGER NOT NULL, key TEXT NOT NULL, class VARCHAR(16) NOT NULL, outcome VARCHAR(16), reason TEXT,
    PRIMARY KEY (run_id, key)
) WITHOUT ROWID;
CREATE INDEX run_key_by_key ON run_key (key);
CREATE TABLE history (
    id INTEGER NOT NULL, source_id INTEGER NOT NULL, key TEXT NOT NULL, at DOUBLE NOT NULL, run_id INTEGER,
    event VARCHAR(32) NOT NULL, reason TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX history_by_key ON history (source_id, key);
CREATE TABLE hold (
    id INTEGER NOT NULL, source_id INTEGER NOT NULL, run_id INTEGER NOT NULL, removed BIGINT NOT NULL,
    live BIGINT NOT NULL, reason TEXT NOT NULL, at DOUBLE NOT NULL, asked_at DOUBLE, ended_at DOUBLE,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX hold_open ON hold (source_id) WHERE ended_at IS NULL;
CREATE TABLE approval (
    id INTEGER NOT NULL, source_id INTEGER NOT NULL, ceiling BIGINT NOT NULL, approved_by TEXT NOT NULL,
    at DOUBLE NOT NULL, until DOUBLE NOT NULL, run_id INTEGER,
    PRIMARY KEY (id)
);
CREATE INDEX approval_by_source ON approval (source_id);
CREATE TABLE lease (name VARCHAR(200) NOT NULL, owner TEXT NOT NULL, until DOUBLE NOT NULL, PRIMARY KEY (name));
""",
        postgresql="""
CREATE TABLE meta (name VARCHAR(64) NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
CREATE TABLE scope (
    id BIGSERIAL NOT NULL, project_id TEXT NOT NULL, bucket TEXT NOT NULL,
    PRIMARY KEY (id), UNIQUE (project_id, bucket)
);
CREATE TABLE source (
    id BIGSERIAL NOT NULL, scope_id BIGINT NOT NULL, prefix TEXT COLLATE "C" NOT NULL, sync_id TEXT NOT NULL,
    fingerprint TEXT, last_sweep_at DOUBLE PRECISION,
    PRIMARY KEY (id), UNIQUE (scope_id, prefix, sync_id), FOREIGN KEY (scope_id) REFERENCES scope (id)
);
CREATE TABLE object (
    scope_id BIGINT NOT NULL, key TEXT COLLATE "C" NOT NULL, source_id BIGINT NOT NULL, status VARCHAR(16) NOT NULL,
    reason TEXT, etag TEXT NOT NULL, size BIGINT NOT NULL, last_modified TEXT NOT NULL, storage_class TEXT NOT NULL,
    document_id TEXT, document_version INTEGER, file_name TEXT, indexed_etag TEXT, indexed_size BIGINT,
    indexed_sha256 TEXT, upload_etag TEXT, upload_size BIGINT, upload_sha256 TEXT, upload_document_id TEXT,
    intent_at DOUBLE PRECISION, doubtful INTEGER DEFAULT 0 NOT NULL, attempts INTEGER DEFAULT 0 NOT NULL,
    next_attempt_at DOUBLE PRECISION, claim_owner TEXT, claim_try INTEGER, claim_until DOUBLE PRECISION,
    queued_run BIGINT, revision INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (scope_id, key)
);
CREATE INDEX object_claimed ON object (claim_owner) WHERE claim_owner IS NOT NULL;
CREATE INDEX object_doubtful ON object (source_id) WHERE doubtful = 1;
CREATE INDEX object_work ON object (source_id, status, key) WHERE status <> 'indexed';
CREATE TABLE superseded (
    scope_id BIGINT NOT NULL, document_id TEXT NOT NULL, source_id BIGINT NOT NULL, key TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (scope_id, document_id)
);
CREATE INDEX superseded_by_key ON superseded (scope_id, key);
CREATE TABLE run (
    id BIGSERIAL NOT NULL, source_id BIGINT NOT NULL, dag_id TEXT NOT NULL, run_id TEXT NOT NULL,
    task_id TEXT NOT NULL, started_at DOUBLE PRECISION NOT NULL, detected_at DOUBLE PRECISION,
    wait_started_at DOUBLE PRECISION, finished_at DOUBLE PRECISION, complete INTEGER DEFAULT 0 NOT NULL,
    deletes_blocked TEXT, mass_delete INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (id), UNIQUE (source_id, dag_id, run_id, task_id)
);
CREATE TABLE run_count (
    run_id BIGINT NOT NULL, name VARCHAR(64) NOT NULL, value BIGINT NOT NULL,
    PRIMARY KEY (run_id, name)
);
CREATE TABLE run_key (
    run_id BIGINT NOT NULL, key TEXT COLLATE "C" NOT NULL, class VARCHAR(16) NOT NULL, outcome VARCHAR(16),
    reason TEXT,
    PRIMARY KEY (run_id, key)
);
CREATE INDEX run_key_by_key ON run_key (key);
CREATE TABLE history (
    id BIGSERIAL NOT NULL, source_id BIGINT NOT NULL, key TEXT COLLATE "C" NOT NULL, at DOUBLE PRECISION NOT NULL,
    run_id BIGINT, event VARCHAR(32) NOT NULL, reason TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX history_by_key ON history (source_id, key);
CREATE TABLE hold (
    id BIGSERIAL NOT NULL, source_id BIGINT NOT NULL, run_id BIGINT NOT NULL, removed BIGINT NOT NULL,
    live BIGINT NOT NULL, reason TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, asked_at DOUBLE PRECISION,
    ended_at DOUBLE PRECISION,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX hold_open ON hold (source_id) WHERE ended_at IS NULL;
CREATE TABLE approval (
    id BIGSERIAL NOT NULL, source_id BIGINT NOT NULL, ceiling BIGINT NOT NULL, approved_by TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION NOT NULL, run_id BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX approval_by_source ON approval (source_id);
CREATE TABLE lease (
    name VARCHAR(200) NOT NULL, owner TEXT NOT NULL, until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name)
);
""",
    ),
    Migration(
        2,
        sqlite="""
CREATE TABLE listing_bound (
    source_id INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (source_id, position)
) WITHOUT ROWID;
CREATE TABLE pace (
    name VARCHAR(64) NOT NULL, next_at DOUBLE NOT NULL, closed_until DOUBLE NOT NULL, allowed BIGINT NOT NULL,
    length DOUBLE NOT NULL, length_at DOUBLE NOT NULL, window_from DOUBLE NOT NULL, window_ends DOUBLE NOT NULL,
    step DOUBLE NOT NULL, remaining BIGINT NOT NULL, sliding INTEGER NOT NULL, hourly BIGINT NOT NULL,
    hourly_until DOUBLE NOT NULL, slots INTEGER NOT NULL, slots_until DOUBLE NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE pace_slot (
    pace VARCHAR(64) NOT NULL, ticket VARCHAR(32) NOT NULL, until DOUBLE NOT NULL,
    PRIMARY KEY (pace, ticket)
) WITHOUT ROWID;
CREATE TABLE pace_minute (
    pace VARCHAR(64) NOT NULL, minute BIGINT NOT NULL, requests BIGINT NOT NULL,
    PRIMARY KEY (pace, minute)
) WITHOUT ROWID;
CREATE TABLE document_list (
    project_id TEXT NOT NULL, requests BIGINT NOT NULL, documents BIGINT NOT NULL,
    PRIMARY KEY (project_id)
);
""",
        postgresql="""
CREATE TABLE listing_bound (
    source_id BIGINT NOT NULL, position INTEGER NOT NULL, key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (source_id, position)
);
CREATE TABLE pace (
    name VARCHAR(64) NOT NULL, next_at DOUBLE PRECISION NOT NULL, closed_until DOUBLE PRECISION NOT NULL,
    allowed BIGINT NOT NULL, length DOUBLE PRECISION NOT NULL, length_at DOUBLE PRECISION NOT NULL,
    window_from DOUBLE PRECISION NOT NULL, window_ends DOUBLE PRECISION NOT NULL, step DOUBLE PRECISION NOT NULL,
    remaining BIGINT NOT NULL, sliding INTEGER NOT NULL, hourly BIGINT NOT NULL,
    hourly_until DOUBLE PRECISION NOT NULL, slots INTEGER NOT NULL, slots_until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE pace_slot (
    pace VARCHAR(64) NOT NULL, ticket VARCHAR(32) NOT NULL, until DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (pace, ticket)
);
CREATE TABLE pace_minute (
    pace VARCHAR(64) NOT NULL, minute BIGINT NOT NULL, requests BIGINT NOT NULL,
    PRIMARY KEY (pace, minute)
);
CREATE TABLE document_list (
    project_id TEXT NOT NULL, requests BIGINT NOT NULL, documents BIGINT NOT NULL,
    PRIMARY KEY (project_id)
);
""",
    ),
    Migration(
        3,
        sqlite="""
DROP INDEX run_key_by_key;
CREATE INDEX run_key_open ON run_key (key) WHERE outcome IS NULL;
""",
        postgresql="""
DROP INDEX run_key_by_key;
CREATE INDEX run_key_open ON run_key (key) WHERE outcome IS NULL;
""",
    ),
    Migration(
        4,
        sqlite="""
ALTER TABLE source ADD COLUMN endpoint TEXT;
ALTER TABLE run ADD COLUMN plan_hash TEXT;
ALTER TABLE run ADD COLUMN approval_id INTEGER;
ALTER TABLE hold ADD COLUMN token TEXT;
ALTER TABLE hold ADD COLUMN endpoint TEXT;
ALTER TABLE hold ADD COLUMN made_from TEXT;
ALTER TABLE approval ADD COLUMN hold_id INTEGER;
""",
        postgresql="""
ALTER TABLE source ADD COLUMN endpoint TEXT;
ALTER TABLE run ADD COLUMN plan_hash TEXT;
ALTER TABLE run ADD COLUMN approval_id BIGINT;
ALTER TABLE hold ADD COLUMN token TEXT;
ALTER TABLE hold ADD COLUMN endpoint TEXT;
ALTER TABLE hold ADD COLUMN made_from TEXT;
ALTER TABLE approval ADD COLUMN hold_id BIGINT;
""",
    ),
)
