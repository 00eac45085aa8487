-- Version 2 of the index: the queue of jobs. Like gaps and events it cannot be made again from the files;
-- a job that is lost with the index is asked for anew by whoever wanted it.

CREATE TABLE jobs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    kind          TEXT    NOT NULL,             -- one that this program may not know; then it is left alone
    params        TEXT    NOT NULL,             -- JSON of the kind
    camera        TEXT,                         -- no foreign key: it may have been removed, or never recorded
    priority      INTEGER NOT NULL,
    rank_ns       INTEGER NOT NULL,             -- created_ns less an hour for each point of priority: lower goes first
    anytime       INTEGER NOT NULL,             -- 1: asked for by hand, windows do not count
    dedupe        TEXT,                         -- of two live jobs with the same key the second is not entered
    input_bytes   INTEGER NOT NULL,             -- what it has to read, 0 when that is not known
    state         TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    attempts      INTEGER NOT NULL DEFAULT 0,   -- times that it was begun; interruptions do not count
    progress      REAL    NOT NULL DEFAULT 0,   -- 0 to 1
    message       TEXT    NOT NULL DEFAULT '',  -- what it does, or waits for, in words
    checkpoint    TEXT,                         -- JSON of the kind: how far it got, to go on from there
    result        TEXT,                         -- JSON of the kind, once it is done
    error         TEXT,                         -- cause of the last failure
    created_ns    INTEGER NOT NULL,
    not_before_ns INTEGER NOT NULL,
    started_ns    INTEGER,                      -- begin of the last attempt
    ended_ns      INTEGER                       -- NULL while it is queued or running
) STRICT;

-- Nothing twice.
CREATE UNIQUE INDEX jobs_dedupe ON jobs (dedupe)
    WHERE dedupe IS NOT NULL AND state IN ('queued', 'running');
-- What may start, in both orders, read without the table itself.
CREATE INDEX jobs_queued ON jobs (kind, rank_ns, id, not_before_ns, anytime) WHERE state = 'queued';
CREATE INDEX jobs_queued_newest ON jobs (kind, priority, id, not_before_ns, anytime) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (ended_ns) WHERE ended_ns IS NOT NULL;

-- Sums, kept by triggers, so that bounds and metrics cost nothing.
CREATE TABLE job_counts (
    kind        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    jobs        INTEGER NOT NULL,
    input_bytes INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    INSERT INTO job_counts (kind, state, jobs, input_bytes) VALUES (new.kind, new.state, 1, new.input_bytes)
    ON CONFLICT (kind, state) DO UPDATE SET
        jobs = jobs + 1, input_bytes = input_bytes + excluded.input_bytes;
END;

CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET jobs = jobs - 1, input_bytes = input_bytes - old.input_bytes
    WHERE kind = old.kind AND state = old.state;
END;

CREATE TRIGGER jobs_updated AFTER UPDATE OF state ON jobs WHEN new.state <> old.state BEGIN
    UPDATE job_counts SET jobs = jobs - 1, input_bytes = input_bytes - old.input_bytes
    WHERE kind = old.kind AND state = old.state;
    INSERT INTO job_counts (kind, state, jobs, input_bytes) VALUES (new.kind, new.state, 1, new.input_bytes)
    ON CONFLICT (kind, state) DO UPDATE SET
        jobs = jobs + 1, input_bytes = input_bytes + excluded.input_bytes;
END;
