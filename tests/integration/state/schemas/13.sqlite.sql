BEGIN TRANSACTION;
CREATE TABLE approval (
	id INTEGER NOT NULL, 
	source_id INTEGER NOT NULL, 
	ceiling BIGINT NOT NULL, 
	approved_by TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	until DOUBLE NOT NULL, 
	run_id INTEGER, hold_id INTEGER, 
	PRIMARY KEY (id)
);
INSERT INTO "approval" VALUES(1,1,150,'jane',1790000000.0,1790604800.0,NULL,NULL);
CREATE TABLE document_list (
	project_id TEXT NOT NULL, 
	requests BIGINT NOT NULL, 
	documents BIGINT NOT NULL, 
	PRIMARY KEY (project_id)
);
INSERT INTO "document_list" VALUES('00000000-0000-4000-8000-000000000001',1,200);
CREATE TABLE drift (
    source_id INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (source_id, key)
) WITHOUT ROWID;
INSERT INTO "drift" VALUES(1,'handbook/Z.txt','somebody else has deleted it');
CREATE TABLE history (
	id INTEGER NOT NULL, 
	source_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	run_id INTEGER, 
	event VARCHAR(32) NOT NULL, 
	reason TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "history" VALUES(1,1,'handbook/Z.txt',1790000000.0,1,'indexed',NULL);
INSERT INTO "history" VALUES(2,1,'handbook/a.txt',1790000000.0,NULL,'failed','rejected');
CREATE TABLE hold (
	id INTEGER NOT NULL, 
	source_id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	removed BIGINT NOT NULL, 
	live BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	at DOUBLE NOT NULL, 
	asked_at DOUBLE, 
	ended_at DOUBLE, token TEXT, endpoint TEXT, made_from TEXT, of_keys TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "hold" VALUES(1,1,1,150,200,'too many',1790000000.0,1790000001.0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE lease (
	name VARCHAR(200) NOT NULL, 
	owner TEXT NOT NULL, 
	until DOUBLE NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "lease" VALUES('documents/1','dag/r1/upload/0',1790000120.0);
CREATE TABLE listing_bound (
	source_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	PRIMARY KEY (source_id, position)
)
 WITHOUT ROWID

;
INSERT INTO "listing_bound" VALUES(1,0,'handbook/Z.txt');
INSERT INTO "listing_bound" VALUES(1,1,'handbook/c.exe');
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('schema','13');
INSERT INTO "meta" VALUES('pruned_at','1790000000.0');
CREATE TABLE object (
	scope_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	source_id INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	reason TEXT, 
	etag TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	last_modified TEXT NOT NULL, 
	storage_class TEXT NOT NULL, 
	document_id TEXT, 
	document_version INTEGER, 
	file_name TEXT, 
	indexed_etag TEXT, 
	indexed_size BIGINT, 
	indexed_sha256 TEXT, 
	upload_etag TEXT, 
	upload_size BIGINT, 
	upload_sha256 TEXT, 
	upload_document_id TEXT, 
	intent_at DOUBLE, 
	doubtful INTEGER DEFAULT 0 NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	next_attempt_at DOUBLE, 
	claim_owner TEXT, 
	claim_try INTEGER, 
	claim_until DOUBLE, 
	queued_run INTEGER, 
	revision INTEGER DEFAULT 0 NOT NULL, doubt_until DOUBLE, unanswered INTEGER DEFAULT 0 NOT NULL, unanswered_at DOUBLE, listed_etag TEXT, listed_size BIGINT, 
	PRIMARY KEY (scope_id, "key")
)
 WITHOUT ROWID

;
INSERT INTO "object" VALUES(1,'handbook/Z.txt',1,'indexed',NULL,'e1',10,'2026-01-01T00:00:00.000Z','STANDARD','d1',1,'handbook_Z-1a2b.txt','e1',10,'9f86',NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,3,NULL,0,NULL,NULL,NULL);
INSERT INTO "object" VALUES(1,'handbook/a.txt',1,'failed','rejected','e3',0,'2026-01-03T00:00:00.000Z','STANDARD',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,2,1790000060.0,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL,NULL);
INSERT INTO "object" VALUES(1,'handbook/b.txt',1,'quarantined','rejected','e4',11,'2026-01-03T00:00:00.000Z','STANDARD',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,3,NULL,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL,NULL);
INSERT INTO "object" VALUES(1,'handbook/c.exe',1,'skipped','file_type','e5',12,'2026-01-03T00:00:00.000Z','STANDARD',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL,NULL);
INSERT INTO "object" VALUES(1,'handbook/de/d.txt',2,'pending',NULL,'e6',13,'2026-01-03T00:00:00.000Z','STANDARD',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL,NULL);
INSERT INTO "object" VALUES(1,'handbook/e.txt',1,'uploading',NULL,'e8',15,'2026-01-04T00:00:00.000Z','STANDARD','d3',1,'e.txt','e7',14,NULL,'e8',15,'9f88',NULL,1790000000.0,1,0,NULL,'dag/r1/upload/0',1,1790000120.0,1,2,NULL,0,NULL,NULL,NULL);
INSERT INTO "object" VALUES(1,'handbook/it''s 100% über: größe.pdf',1,'indexed',NULL,'e2',5000000000,'2026-01-02T00:00:00.000Z','STANDARD_IA','d2',2,'x.pdf','e2',5000000000,'9f87',NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,4,NULL,0,NULL,NULL,NULL);
CREATE TABLE pace (
	name VARCHAR(64) NOT NULL, 
	next_at DOUBLE NOT NULL, 
	closed_until DOUBLE NOT NULL, 
	allowed BIGINT NOT NULL, 
	length DOUBLE NOT NULL, 
	length_at DOUBLE NOT NULL, 
	window_from DOUBLE NOT NULL, 
	window_ends DOUBLE NOT NULL, 
	step DOUBLE NOT NULL, 
	remaining BIGINT NOT NULL, 
	sliding INTEGER NOT NULL, 
	hourly BIGINT NOT NULL, 
	hourly_until DOUBLE NOT NULL, 
	slots INTEGER NOT NULL, 
	slots_until DOUBLE NOT NULL, booked_at DOUBLE DEFAULT 0 NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "pace" VALUES('0a1b',1790000000.0,0.0,100,60.0,1790000000.0,1789999990.0,1790000050.0,0.6,42,0,0,0.0,5,1790000000.0,0.0);
CREATE TABLE pace_minute (
	pace VARCHAR(64) NOT NULL, 
	minute BIGINT NOT NULL, 
	requests BIGINT NOT NULL, 
	PRIMARY KEY (pace, minute)
)
 WITHOUT ROWID

;
INSERT INTO "pace_minute" VALUES('0a1b',29833333,58);
CREATE TABLE pace_slot (
	pace VARCHAR(64) NOT NULL, 
	ticket VARCHAR(32) NOT NULL, 
	until DOUBLE NOT NULL, 
	PRIMARY KEY (pace, ticket)
)
 WITHOUT ROWID

;
INSERT INTO "pace_slot" VALUES('0a1b','c0ffee',1790000120.0);
CREATE TABLE pause (
    owner TEXT NOT NULL, attempt INTEGER NOT NULL, pauses INTEGER NOT NULL, paused_at DOUBLE NOT NULL, begun_at DOUBLE,
    PRIMARY KEY (owner)
);
INSERT INTO "pause" VALUES('dag|r1|sync|-1',1,2,1790000060.0,1790000000.0);
CREATE TABLE plan (
    id INTEGER NOT NULL, source_id INTEGER NOT NULL, hash TEXT NOT NULL, made_at DOUBLE NOT NULL, dag_id TEXT NOT NULL,
    run_id TEXT NOT NULL, totals TEXT NOT NULL, held TEXT, of_keys TEXT, complete INTEGER DEFAULT 0 NOT NULL,
    overtaken_at DOUBLE,
    PRIMARY KEY (id)
);
INSERT INTO "plan" VALUES(1,1,'5f0c',1790000000.0,'dag','run','{"upload": [1, 9]}',NULL,NULL,1,NULL);
CREATE TABLE plan_key (
    source_id INTEGER NOT NULL, plan_id INTEGER NOT NULL, action VARCHAR(16) NOT NULL, key TEXT NOT NULL,
    class VARCHAR(16) NOT NULL, size BIGINT, reason TEXT,
    PRIMARY KEY (source_id, plan_id, action, key)
) WITHOUT ROWID;
INSERT INTO "plan_key" VALUES(1,1,'upload','handbook/Z.txt','new',9,NULL);
CREATE TABLE run (
	id INTEGER NOT NULL, 
	source_id INTEGER NOT NULL, 
	dag_id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	task_id TEXT NOT NULL, 
	started_at DOUBLE NOT NULL, 
	detected_at DOUBLE, 
	wait_started_at DOUBLE, 
	finished_at DOUBLE, 
	complete INTEGER DEFAULT 0 NOT NULL, 
	deletes_blocked TEXT, 
	mass_delete INTEGER DEFAULT 0 NOT NULL, plan_hash TEXT, approval_id INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (source_id, dag_id, run_id, task_id)
);
INSERT INTO "run" VALUES(1,1,'handbook','r1','sync',1790000000.0,1790000001.5,NULL,NULL,1,'too many',1,NULL,NULL);
CREATE TABLE run_count (
	run_id INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (run_id, name)
);
INSERT INTO "run_count" VALUES(1,'listed',6);
CREATE TABLE run_key (
	run_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	class VARCHAR(16) NOT NULL, 
	outcome VARCHAR(16), 
	reason TEXT, 
	PRIMARY KEY (run_id, "key")
)
 WITHOUT ROWID

;
INSERT INTO "run_key" VALUES(1,'handbook/a.txt','new','failed','rejected');
INSERT INTO "run_key" VALUES(1,'handbook/e.txt','changed',NULL,NULL);
CREATE TABLE scope (
	id INTEGER NOT NULL, 
	project_id TEXT NOT NULL, 
	bucket TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (project_id, bucket)
);
INSERT INTO "scope" VALUES(1,'00000000-0000-4000-8000-000000000001','company-docs');
CREATE TABLE selection (
    source_id INTEGER NOT NULL, dag_id TEXT NOT NULL, task_id TEXT NOT NULL, run_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL, before TEXT, rules TEXT,
    PRIMARY KEY (source_id, dag_id, task_id)
);
INSERT INTO "selection" VALUES(1,'dag','sync','r1','f1',NULL,NULL);
CREATE TABLE source (
	id INTEGER NOT NULL, 
	scope_id INTEGER NOT NULL, 
	prefix TEXT NOT NULL, 
	sync_id TEXT NOT NULL, 
	fingerprint TEXT, 
	last_sweep_at DOUBLE, endpoint TEXT, looked_at DOUBLE, audited_at DOUBLE, odd_etags INTEGER DEFAULT 0 NOT NULL, listing TEXT, drifted BIGINT, budget TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (scope_id, prefix, sync_id), 
	FOREIGN KEY(scope_id) REFERENCES scope (id)
);
INSERT INTO "source" VALUES(1,1,'handbook/','','5f0c',1790000000.0,NULL,1790000000.0,NULL,0,NULL,NULL,NULL);
INSERT INTO "source" VALUES(2,1,'handbook/de/','de',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL);
CREATE TABLE step_item (
    step VARCHAR(32) NOT NULL, item TEXT NOT NULL, outcome TEXT, at DOUBLE NOT NULL,
    PRIMARY KEY (step, item)
) WITHOUT ROWID;
INSERT INTO "step_item" VALUES('s','i','deleted',1790000000.0);
CREATE TABLE superseded (
	scope_id INTEGER NOT NULL, 
	document_id TEXT NOT NULL, 
	source_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (scope_id, document_id)
);
INSERT INTO "superseded" VALUES(1,'d0',1,'handbook/Z.txt','replaced');
CREATE INDEX approval_by_source ON approval (source_id);
CREATE INDEX history_by_key ON history (source_id, "key");
CREATE UNIQUE INDEX hold_open ON hold (source_id) WHERE ended_at IS NULL;
CREATE INDEX object_doubtful ON object (source_id) WHERE doubtful = 1;
CREATE INDEX object_claimed ON object (claim_owner) WHERE claim_owner IS NOT NULL;
CREATE INDEX object_work ON object (source_id, status, "key") WHERE status <> 'indexed';
CREATE INDEX superseded_by_key ON superseded (scope_id, "key");
CREATE INDEX run_key_open ON run_key (key) WHERE outcome IS NULL;
CREATE INDEX step_item_by_age ON step_item (at);
CREATE INDEX plan_by_source ON plan (source_id);
COMMIT;
