"""The state's migrations: frozen DDL, numbered, a text a dialect. Nothing else makes or changes the state's tables.

A released migration never changes: databases of every version must come to the same schema. An empty database gets all
of them, an older one those that it lacks, in one transaction with the number.

To add a column: its ``Column`` in ``tables``, and here one more ``Migration`` with the ``ALTER TABLE`` of both
dialects. Then run ``tests/integration/state/test_migrations.py``: it records the new schema in ``schemas/``, to be
committed, and says what is missing. A column that is ``NOT NULL`` needs a default, in both places.
"""

from __future__ import annotations

from cloudindex_provider.state.db.first_migrations import FIRST, Migration

__all__ = ["MIGRATIONS", "SCHEMA_VERSION"]

# Literal text only: a constant of the package would change what old versions did.
MIGRATIONS: tuple[Migration, ...] = (
    *FIRST,
    Migration(
        5,
        # A source that has documents already was filled by this state: its project needs no first look.
        sqlite="""
ALTER TABLE source ADD COLUMN looked_at DOUBLE;
ALTER TABLE source ADD COLUMN audited_at DOUBLE;
UPDATE source SET looked_at = coalesce(last_sweep_at, 0)
    WHERE id IN (SELECT source_id FROM object WHERE document_id IS NOT NULL);
""",
        postgresql="""
ALTER TABLE source ADD COLUMN looked_at DOUBLE PRECISION, ADD COLUMN audited_at DOUBLE PRECISION;
UPDATE source SET looked_at = coalesce(last_sweep_at, 0)
    WHERE id IN (SELECT source_id FROM object WHERE document_id IS NOT NULL);
""",
    ),
    Migration(
        6,
        sqlite="""
ALTER TABLE object ADD COLUMN doubt_until DOUBLE;
ALTER TABLE object ADD COLUMN unanswered INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE object ADD COLUMN unanswered_at DOUBLE;
ALTER TABLE pace ADD COLUMN booked_at DOUBLE DEFAULT 0 NOT NULL;
""",
        postgresql="""
ALTER TABLE object ADD COLUMN doubt_until DOUBLE PRECISION;
ALTER TABLE object ADD COLUMN unanswered INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE object ADD COLUMN unanswered_at DOUBLE PRECISION;
ALTER TABLE pace ADD COLUMN booked_at DOUBLE PRECISION DEFAULT 0 NOT NULL;
""",
    ),
    Migration(
        7,
        sqlite="""
ALTER TABLE object ADD COLUMN listed_etag TEXT;
ALTER TABLE object ADD COLUMN listed_size BIGINT;
ALTER TABLE source ADD COLUMN odd_etags INTEGER DEFAULT 0 NOT NULL;
""",
        postgresql="""
ALTER TABLE object ADD COLUMN listed_etag TEXT;
ALTER TABLE object ADD COLUMN listed_size BIGINT;
ALTER TABLE source ADD COLUMN odd_etags INTEGER DEFAULT 0 NOT NULL;
""",
    ),
    Migration(
        8,
        sqlite="ALTER TABLE source ADD COLUMN listing TEXT;",
        postgresql="ALTER TABLE source ADD COLUMN listing TEXT;",
    ),
    Migration(
        9,
        sqlite="""
CREATE TABLE selection (
    source_id INTEGER NOT NULL, dag_id TEXT NOT NULL, task_id TEXT NOT NULL, run_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL, before TEXT,
    PRIMARY KEY (source_id, dag_id, task_id)
);
""",
        postgresql="""
CREATE TABLE selection (
    source_id BIGINT NOT NULL, dag_id TEXT NOT NULL, task_id TEXT NOT NULL, run_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL, before TEXT,
    PRIMARY KEY (source_id, dag_id, task_id)
);
""",
    ),
    Migration(
        10,
        sqlite="""
CREATE TABLE step_item (
    step VARCHAR(32) NOT NULL, item TEXT NOT NULL, outcome TEXT, at DOUBLE NOT NULL,
    PRIMARY KEY (step, item)
) WITHOUT ROWID;
CREATE INDEX step_item_by_age ON step_item (at);
""",
        postgresql="""
CREATE TABLE step_item (
    step VARCHAR(32) NOT NULL, item TEXT NOT NULL, outcome TEXT, at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (step, item)
);
CREATE INDEX step_item_by_age ON step_item (at);
""",
    ),
    Migration(
        11,
        sqlite="ALTER TABLE selection ADD COLUMN rules TEXT;",
        postgresql="ALTER TABLE selection ADD COLUMN rules TEXT;",
    ),
    Migration(
        12,
        # Of a source that was never listed whole, the hold is of named keys; which, isn't known.
        sqlite="""
ALTER TABLE hold ADD COLUMN of_keys TEXT;
UPDATE hold SET of_keys = '' WHERE source_id IN (SELECT id FROM source WHERE fingerprint IS NULL);
CREATE TABLE pause (
    owner TEXT NOT NULL, attempt INTEGER NOT NULL, pauses INTEGER NOT NULL, paused_at DOUBLE NOT NULL, begun_at DOUBLE,
    PRIMARY KEY (owner)
);
""",
        postgresql="""
ALTER TABLE hold ADD COLUMN of_keys TEXT;
UPDATE hold SET of_keys = '' WHERE source_id IN (SELECT id FROM source WHERE fingerprint IS NULL);
CREATE TABLE pause (
    owner TEXT NOT NULL, attempt INTEGER NOT NULL, pauses INTEGER NOT NULL, paused_at DOUBLE PRECISION NOT NULL,
    begun_at DOUBLE PRECISION,
    PRIMARY KEY (owner)
);
""",
    ),
    Migration(
        13,
        sqlite="""
ALTER TABLE source ADD COLUMN drifted BIGINT;
ALTER TABLE source ADD COLUMN budget TEXT;
CREATE TABLE plan (
    id INTEGER NOT NULL, source_id INTEGER NOT NULL, hash TEXT NOT NULL, made_at DOUBLE NOT NULL, dag_id TEXT NOT NULL,
    run_id TEXT NOT NULL, totals TEXT NOT NULL, held TEXT, of_keys TEXT, complete INTEGER DEFAULT 0 NOT NULL,
    overtaken_at DOUBLE,
    PRIMARY KEY (id)
);
CREATE INDEX plan_by_source ON plan (source_id);
CREATE TABLE plan_key (
    source_id INTEGER NOT NULL, plan_id INTEGER NOT NULL, action VARCHAR(16) NOT NULL, key TEXT NOT NULL,
    class VARCHAR(16) NOT NULL, size BIGINT, reason TEXT,
    PRIMARY KEY (source_id, plan_id, action, key)
) WITHOUT ROWID;
CREATE TABLE drift (
    source_id INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (source_id, key)
) WITHOUT ROWID;
""",
        postgresql="""
ALTER TABLE source ADD COLUMN drifted BIGINT;
ALTER TABLE source ADD COLUMN budget TEXT;
CREATE TABLE plan (
    id BIGSERIAL NOT NULL, source_id BIGINT NOT NULL, hash TEXT NOT NULL, made_at DOUBLE PRECISION NOT NULL,
    dag_id TEXT NOT NULL, run_id TEXT NOT NULL, totals TEXT NOT NULL, held TEXT, of_keys TEXT,
    complete INTEGER DEFAULT 0 NOT NULL, overtaken_at DOUBLE PRECISION,
    PRIMARY KEY (id)
);
CREATE INDEX plan_by_source ON plan (source_id);
CREATE TABLE plan_key (
    source_id BIGINT NOT NULL, plan_id BIGINT NOT NULL, action VARCHAR(16) NOT NULL, key TEXT COLLATE "C" NOT NULL,
    class VARCHAR(16) NOT NULL, size BIGINT, reason TEXT,
    PRIMARY KEY (source_id, plan_id, action, key)
);
CREATE TABLE drift (
    source_id BIGINT NOT NULL, key TEXT COLLATE "C" NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (source_id, key)
);
""",
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)
