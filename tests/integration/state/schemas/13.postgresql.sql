CREATE TABLE public.approval (
    id bigint NOT NULL,
    source_id bigint NOT NULL,
    ceiling bigint NOT NULL,
    approved_by text NOT NULL,
    at double precision NOT NULL,
    until double precision NOT NULL,
    run_id bigint,
    hold_id bigint
);
CREATE SEQUENCE public.approval_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.approval_id_seq OWNED BY public.approval.id;
CREATE TABLE public.document_list (
    project_id text NOT NULL,
    requests bigint NOT NULL,
    documents bigint NOT NULL
);
CREATE TABLE public.drift (
    source_id bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL
);
CREATE TABLE public.history (
    id bigint NOT NULL,
    source_id bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    at double precision NOT NULL,
    run_id bigint,
    event character varying(32) NOT NULL,
    reason text
);
CREATE SEQUENCE public.history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.history_id_seq OWNED BY public.history.id;
CREATE TABLE public.hold (
    id bigint NOT NULL,
    source_id bigint NOT NULL,
    run_id bigint NOT NULL,
    removed bigint NOT NULL,
    live bigint NOT NULL,
    reason text NOT NULL,
    at double precision NOT NULL,
    asked_at double precision,
    ended_at double precision,
    token text,
    endpoint text,
    made_from text,
    of_keys text
);
CREATE SEQUENCE public.hold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hold_id_seq OWNED BY public.hold.id;
CREATE TABLE public.lease (
    name character varying(200) NOT NULL,
    owner text NOT NULL,
    until double precision NOT NULL
);
CREATE TABLE public.listing_bound (
    source_id bigint NOT NULL,
    "position" integer NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.meta (
    name character varying(64) NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.object (
    scope_id bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    source_id bigint NOT NULL,
    status character varying(16) NOT NULL,
    reason text,
    etag text NOT NULL,
    size bigint NOT NULL,
    last_modified text NOT NULL,
    storage_class text NOT NULL,
    document_id text,
    document_version integer,
    file_name text,
    indexed_etag text,
    indexed_size bigint,
    indexed_sha256 text,
    upload_etag text,
    upload_size bigint,
    upload_sha256 text,
    upload_document_id text,
    intent_at double precision,
    doubtful integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at double precision,
    claim_owner text,
    claim_try integer,
    claim_until double precision,
    queued_run bigint,
    revision integer DEFAULT 0 NOT NULL,
    doubt_until double precision,
    unanswered integer DEFAULT 0 NOT NULL,
    unanswered_at double precision,
    listed_etag text,
    listed_size bigint
);
CREATE TABLE public.pace (
    name character varying(64) NOT NULL,
    next_at double precision NOT NULL,
    closed_until double precision NOT NULL,
    allowed bigint NOT NULL,
    length double precision NOT NULL,
    length_at double precision NOT NULL,
    window_from double precision NOT NULL,
    window_ends double precision NOT NULL,
    step double precision NOT NULL,
    remaining bigint NOT NULL,
    sliding integer NOT NULL,
    hourly bigint NOT NULL,
    hourly_until double precision NOT NULL,
    slots integer NOT NULL,
    slots_until double precision NOT NULL,
    booked_at double precision DEFAULT 0 NOT NULL
);
CREATE TABLE public.pace_minute (
    pace character varying(64) NOT NULL,
    minute bigint NOT NULL,
    requests bigint NOT NULL
);
CREATE TABLE public.pace_slot (
    pace character varying(64) NOT NULL,
    ticket character varying(32) NOT NULL,
    until double precision NOT NULL
);
CREATE TABLE public.pause (
    owner text NOT NULL,
    attempt integer NOT NULL,
    pauses integer NOT NULL,
    paused_at double precision NOT NULL,
    begun_at double precision
);
CREATE TABLE public.plan (
    id bigint NOT NULL,
    source_id bigint NOT NULL,
    hash text NOT NULL,
    made_at double precision NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    totals text NOT NULL,
    held text,
    of_keys text,
    complete integer DEFAULT 0 NOT NULL,
    overtaken_at double precision
);
CREATE SEQUENCE public.plan_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.plan_id_seq OWNED BY public.plan.id;
CREATE TABLE public.plan_key (
    source_id bigint NOT NULL,
    plan_id bigint NOT NULL,
    action character varying(16) NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    class character varying(16) NOT NULL,
    size bigint,
    reason text
);
CREATE TABLE public.run (
    id bigint NOT NULL,
    source_id bigint NOT NULL,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    task_id text NOT NULL,
    started_at double precision NOT NULL,
    detected_at double precision,
    wait_started_at double precision,
    finished_at double precision,
    complete integer DEFAULT 0 NOT NULL,
    deletes_blocked text,
    mass_delete integer DEFAULT 0 NOT NULL,
    plan_hash text,
    approval_id bigint
);
CREATE TABLE public.run_count (
    run_id bigint NOT NULL,
    name character varying(64) NOT NULL,
    value bigint NOT NULL
);
CREATE SEQUENCE public.run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.run_id_seq OWNED BY public.run.id;
CREATE TABLE public.run_key (
    run_id bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    class character varying(16) NOT NULL,
    outcome character varying(16),
    reason text
);
CREATE TABLE public.scope (
    id bigint NOT NULL,
    project_id text NOT NULL,
    bucket text NOT NULL
);
CREATE SEQUENCE public.scope_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.scope_id_seq OWNED BY public.scope.id;
CREATE TABLE public.selection (
    source_id bigint NOT NULL,
    dag_id text NOT NULL,
    task_id text NOT NULL,
    run_id text NOT NULL,
    fingerprint text NOT NULL,
    before text,
    rules text
);
CREATE TABLE public.source (
    id bigint NOT NULL,
    scope_id bigint NOT NULL,
    prefix text NOT NULL COLLATE pg_catalog."C",
    sync_id text NOT NULL,
    fingerprint text,
    last_sweep_at double precision,
    endpoint text,
    looked_at double precision,
    audited_at double precision,
    odd_etags integer DEFAULT 0 NOT NULL,
    listing text,
    drifted bigint,
    budget text
);
CREATE SEQUENCE public.source_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.source_id_seq OWNED BY public.source.id;
CREATE TABLE public.step_item (
    step character varying(32) NOT NULL,
    item text NOT NULL,
    outcome text,
    at double precision NOT NULL
);
CREATE TABLE public.superseded (
    scope_id bigint NOT NULL,
    document_id text NOT NULL,
    source_id bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL
);
ALTER TABLE ONLY public.approval ALTER COLUMN id SET DEFAULT nextval('public.approval_id_seq'::regclass);
ALTER TABLE ONLY public.history ALTER COLUMN id SET DEFAULT nextval('public.history_id_seq'::regclass);
ALTER TABLE ONLY public.hold ALTER COLUMN id SET DEFAULT nextval('public.hold_id_seq'::regclass);
ALTER TABLE ONLY public.plan ALTER COLUMN id SET DEFAULT nextval('public.plan_id_seq'::regclass);
ALTER TABLE ONLY public.run ALTER COLUMN id SET DEFAULT nextval('public.run_id_seq'::regclass);
ALTER TABLE ONLY public.scope ALTER COLUMN id SET DEFAULT nextval('public.scope_id_seq'::regclass);
ALTER TABLE ONLY public.source ALTER COLUMN id SET DEFAULT nextval('public.source_id_seq'::regclass);
INSERT INTO public.approval (id, source_id, ceiling, approved_by, at, until, run_id, hold_id) VALUES (1, 1, 150, 'jane', 1790000000, 1790604800, NULL, NULL);
INSERT INTO public.document_list (project_id, requests, documents) VALUES ('00000000-0000-4000-8000-000000000001', 1, 200);
INSERT INTO public.history (id, source_id, key, at, run_id, event, reason) VALUES (1, 1, 'handbook/Z.txt', 1790000000, 1, 'indexed', NULL);
INSERT INTO public.history (id, source_id, key, at, run_id, event, reason) VALUES (2, 1, 'handbook/a.txt', 1790000000, NULL, 'failed', 'rejected');
INSERT INTO public.hold (id, source_id, run_id, removed, live, reason, at, asked_at, ended_at, token, endpoint, made_from, of_keys) VALUES (1, 1, 1, 150, 200, 'too many', 1790000000, 1790000001, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.lease (name, owner, until) VALUES ('documents/1', 'dag/r1/upload/0', 1790000120);
INSERT INTO public.listing_bound (source_id, "position", key) VALUES (1, 0, 'handbook/Z.txt');
INSERT INTO public.listing_bound (source_id, "position", key) VALUES (1, 1, 'handbook/c.exe');
INSERT INTO public.meta (name, value) VALUES ('pruned_at', '1790000000.0');
INSERT INTO public.meta (name, value) VALUES ('schema', '13');
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/Z.txt', 1, 'indexed', NULL, 'e1', 10, '2026-01-01T00:00:00.000Z', 'STANDARD', 'd1', 1, 'handbook_Z-1a2b.txt', 'e1', 10, '9f86', NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, 3, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/it''s 100% über: größe.pdf', 1, 'indexed', NULL, 'e2', 5000000000, '2026-01-02T00:00:00.000Z', 'STANDARD_IA', 'd2', 2, 'x.pdf', 'e2', 5000000000, '9f87', NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, 4, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/a.txt', 1, 'failed', 'rejected', 'e3', 0, '2026-01-03T00:00:00.000Z', 'STANDARD', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 2, 1790000060, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/b.txt', 1, 'quarantined', 'rejected', 'e4', 11, '2026-01-03T00:00:00.000Z', 'STANDARD', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 3, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/c.exe', 1, 'skipped', 'file_type', 'e5', 12, '2026-01-03T00:00:00.000Z', 'STANDARD', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/de/d.txt', 2, 'pending', NULL, 'e6', 13, '2026-01-03T00:00:00.000Z', 'STANDARD', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.object (scope_id, key, source_id, status, reason, etag, size, last_modified, storage_class, document_id, document_version, file_name, indexed_etag, indexed_size, indexed_sha256, upload_etag, upload_size, upload_sha256, upload_document_id, intent_at, doubtful, attempts, next_attempt_at, claim_owner, claim_try, claim_until, queued_run, revision, doubt_until, unanswered, unanswered_at, listed_etag, listed_size) VALUES (1, 'handbook/e.txt', 1, 'uploading', NULL, 'e8', 15, '2026-01-04T00:00:00.000Z', 'STANDARD', 'd3', 1, 'e.txt', 'e7', 14, NULL, 'e8', 15, '9f88', NULL, 1790000000, 1, 0, NULL, 'dag/r1/upload/0', 1, 1790000120, 1, 2, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.pace (name, next_at, closed_until, allowed, length, length_at, window_from, window_ends, step, remaining, sliding, hourly, hourly_until, slots, slots_until, booked_at) VALUES ('0a1b', 1790000000, 0, 100, 60, 1790000000, 1789999990, 1790000050, 0.6, 42, 0, 0, 0, 5, 1790000000, 0);
INSERT INTO public.pace_minute (pace, minute, requests) VALUES ('0a1b', 29833333, 58);
INSERT INTO public.pace_slot (pace, ticket, until) VALUES ('0a1b', 'c0ffee', 1790000120);
INSERT INTO public.pause (owner, attempt, pauses, paused_at, begun_at) VALUES ('dag|r1|sync|-1', 1, 2, 1790000060, 1790000000);
INSERT INTO public.run (id, source_id, dag_id, run_id, task_id, started_at, detected_at, wait_started_at, finished_at, complete, deletes_blocked, mass_delete, plan_hash, approval_id) VALUES (1, 1, 'handbook', 'r1', 'sync', 1790000000, 1790000001.5, NULL, NULL, 1, 'too many', 1, NULL, NULL);
INSERT INTO public.run_count (run_id, name, value) VALUES (1, 'listed', 6);
INSERT INTO public.run_key (run_id, key, class, outcome, reason) VALUES (1, 'handbook/a.txt', 'new', 'failed', 'rejected');
INSERT INTO public.run_key (run_id, key, class, outcome, reason) VALUES (1, 'handbook/e.txt', 'changed', NULL, NULL);
INSERT INTO public.scope (id, project_id, bucket) VALUES (1, '00000000-0000-4000-8000-000000000001', 'company-docs');
INSERT INTO public.selection (source_id, dag_id, task_id, run_id, fingerprint, before, rules) VALUES (1, 'dag', 'sync', 'r1', 'f1', NULL, NULL);
INSERT INTO public.source (id, scope_id, prefix, sync_id, fingerprint, last_sweep_at, endpoint, looked_at, audited_at, odd_etags, listing, drifted, budget) VALUES (2, 1, 'handbook/de/', 'de', NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.source (id, scope_id, prefix, sync_id, fingerprint, last_sweep_at, endpoint, looked_at, audited_at, odd_etags, listing, drifted, budget) VALUES (1, 1, 'handbook/', '', '5f0c', 1790000000, NULL, 1790000000, NULL, 0, NULL, NULL, NULL);
INSERT INTO public.step_item (step, item, outcome, at) VALUES ('s', 'i', 'deleted', 1790000000);
INSERT INTO public.drift (source_id, key, reason) VALUES (1, 'handbook/Z.txt', 'somebody else has deleted it');
INSERT INTO public.plan (id, source_id, hash, made_at, dag_id, run_id, totals, held, of_keys, complete, overtaken_at) VALUES (1, 1, '5f0c', 1790000000, 'dag', 'run', '{"upload": [1, 9]}', NULL, NULL, 1, NULL);
INSERT INTO public.plan_key (source_id, plan_id, action, key, class, size, reason) VALUES (1, 1, 'upload', 'handbook/Z.txt', 'new', 9, NULL);
INSERT INTO public.superseded (scope_id, document_id, source_id, key, reason) VALUES (1, 'd0', 1, 'handbook/Z.txt', 'replaced');
SELECT pg_catalog.setval('public.approval_id_seq', 1, true);
SELECT pg_catalog.setval('public.history_id_seq', 2, true);
SELECT pg_catalog.setval('public.hold_id_seq', 1, true);
SELECT pg_catalog.setval('public.plan_id_seq', 1, false);
SELECT pg_catalog.setval('public.run_id_seq', 1, true);
SELECT pg_catalog.setval('public.scope_id_seq', 1, true);
SELECT pg_catalog.setval('public.source_id_seq', 2, true);
ALTER TABLE ONLY public.approval
    ADD CONSTRAINT approval_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.document_list
    ADD CONSTRAINT document_list_pkey PRIMARY KEY (project_id);
ALTER TABLE ONLY public.drift
    ADD CONSTRAINT drift_pkey PRIMARY KEY (source_id, key);
ALTER TABLE ONLY public.history
    ADD CONSTRAINT history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.listing_bound
    ADD CONSTRAINT listing_bound_pkey PRIMARY KEY (source_id, "position");
ALTER TABLE ONLY public.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.object
    ADD CONSTRAINT object_pkey PRIMARY KEY (scope_id, key);
ALTER TABLE ONLY public.pace_minute
    ADD CONSTRAINT pace_minute_pkey PRIMARY KEY (pace, minute);
ALTER TABLE ONLY public.pace
    ADD CONSTRAINT pace_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.pace_slot
    ADD CONSTRAINT pace_slot_pkey PRIMARY KEY (pace, ticket);
ALTER TABLE ONLY public.pause
    ADD CONSTRAINT pause_pkey PRIMARY KEY (owner);
ALTER TABLE ONLY public.plan_key
    ADD CONSTRAINT plan_key_pkey PRIMARY KEY (source_id, plan_id, action, key);
ALTER TABLE ONLY public.plan
    ADD CONSTRAINT plan_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.run_count
    ADD CONSTRAINT run_count_pkey PRIMARY KEY (run_id, name);
ALTER TABLE ONLY public.run_key
    ADD CONSTRAINT run_key_pkey PRIMARY KEY (run_id, key);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.run
    ADD CONSTRAINT run_source_id_dag_id_run_id_task_id_key UNIQUE (source_id, dag_id, run_id, task_id);
ALTER TABLE ONLY public.scope
    ADD CONSTRAINT scope_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.scope
    ADD CONSTRAINT scope_project_id_bucket_key UNIQUE (project_id, bucket);
ALTER TABLE ONLY public.selection
    ADD CONSTRAINT selection_pkey PRIMARY KEY (source_id, dag_id, task_id);
ALTER TABLE ONLY public.source
    ADD CONSTRAINT source_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.source
    ADD CONSTRAINT source_scope_id_prefix_sync_id_key UNIQUE (scope_id, prefix, sync_id);
ALTER TABLE ONLY public.step_item
    ADD CONSTRAINT step_item_pkey PRIMARY KEY (step, item);
ALTER TABLE ONLY public.superseded
    ADD CONSTRAINT superseded_pkey PRIMARY KEY (scope_id, document_id);
CREATE INDEX approval_by_source ON public.approval USING btree (source_id);
CREATE INDEX history_by_key ON public.history USING btree (source_id, key);
CREATE UNIQUE INDEX hold_open ON public.hold USING btree (source_id) WHERE (ended_at IS NULL);
CREATE INDEX object_claimed ON public.object USING btree (claim_owner) WHERE (claim_owner IS NOT NULL);
CREATE INDEX object_doubtful ON public.object USING btree (source_id) WHERE (doubtful = 1);
CREATE INDEX object_work ON public.object USING btree (source_id, status, key) WHERE ((status)::text <> 'indexed'::text);
CREATE INDEX plan_by_source ON public.plan USING btree (source_id);
CREATE INDEX run_key_open ON public.run_key USING btree (key) WHERE (outcome IS NULL);
CREATE INDEX step_item_by_age ON public.step_item USING btree (at);
CREATE INDEX superseded_by_key ON public.superseded USING btree (scope_id, key);
ALTER TABLE ONLY public.source
    ADD CONSTRAINT source_scope_id_fkey FOREIGN KEY (scope_id) REFERENCES public.scope(id);
