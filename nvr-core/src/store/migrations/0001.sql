-- Version 1 of the index. All times are nanoseconds UTC since 1970 (`_ns`), all sizes are bytes (`_bytes`).
-- The files in the recordings tree are the truth; everything here but `protected`, `gaps`, `events` and
-- the ends of `runs` can be made again from them.

-- Facts about the index itself. `tree_id` pairs it with one recordings root.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every camera that was ever seen. A removed one keeps its row: its footage stays visible and is still
-- subject to retention.
CREATE TABLE cameras (
    id            TEXT    NOT NULL PRIMARY KEY, -- as in the configuration and in the file tree
    name          TEXT,                         -- for people; NULL: same as the id
    first_seen_ns INTEGER NOT NULL,
    removed_at_ns INTEGER                       -- NULL while it is configured
) STRICT, WITHOUT ROWID;

-- Sums over `segments` (without the missing ones), kept by the triggers below, so that totals cost
-- nothing, and the longest rows ever seen: a query for what overlaps [from, to) looks back no further.
CREATE TABLE totals (
    camera         TEXT    NOT NULL PRIMARY KEY REFERENCES cameras (id),
    segments       INTEGER NOT NULL DEFAULT 0,
    size_bytes     INTEGER NOT NULL DEFAULT 0,
    duration_ns    INTEGER NOT NULL DEFAULT 0,
    longest_ns     INTEGER NOT NULL DEFAULT 0,  -- upper bound of segments.duration_ns; never sinks
    longest_gap_ns INTEGER NOT NULL DEFAULT 0   -- the same for gaps.end_ns - gaps.start_ns
) STRICT, WITHOUT ROWID;

CREATE TRIGGER cameras_inserted AFTER INSERT ON cameras BEGIN
    INSERT INTO totals (camera) VALUES (new.id);
END;

-- One life of a recording pipeline. Segments name their run without a foreign key: a lost run row must
-- never hide footage.
CREATE TABLE runs (
    camera            TEXT    NOT NULL REFERENCES cameras (id),
    run               INTEGER NOT NULL,         -- 40 random bits
    anchor_utc_ns     INTEGER NOT NULL,         -- the three times of one instant
    anchor_steady_ns  INTEGER NOT NULL,
    anchor_running_ns INTEGER NOT NULL,
    started_at_ns     INTEGER NOT NULL,
    start_cause       TEXT    NOT NULL,         -- CauseKind
    start_message     TEXT    NOT NULL,
    ended_at_ns       INTEGER,                  -- NULL: still running, or its end was never written
    end_cause         TEXT,
    end_message       TEXT,
    PRIMARY KEY (camera, run)
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_by_time ON runs (camera, started_at_ns);

CREATE TABLE segments (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice, so that a stale id finds nothing
    camera          TEXT    NOT NULL REFERENCES cameras (id),
    run             INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,           -- number within the run, from 0
    path            TEXT    NOT NULL UNIQUE,    -- relative to the recordings root, '/'-separated
    state           TEXT    NOT NULL CHECK (state IN ('open', 'closed', 'recovered', 'missing')),
    start_ns        INTEGER NOT NULL,
    duration_ns     INTEGER NOT NULL CHECK (duration_ns >= 0), -- 0 or a lower bound while open
    size_bytes      INTEGER NOT NULL CHECK (size_bytes >= 0),
    container       TEXT    NOT NULL,           -- fmp4, mp4, matroska
    video_codec     TEXT    NOT NULL,           -- h264, h265
    width           INTEGER NOT NULL,
    height          INTEGER NOT NULL,
    frame_rate      REAL,                       -- NULL: not declared or variable
    audio_codec     TEXT,                       -- NULL: no audio track
    audio_rate      INTEGER,
    audio_channels  INTEGER,
    hash            BLOB,                       -- BLAKE3 of the file
    protected       INTEGER NOT NULL DEFAULT 0, -- 1: retention leaves it alone
    camera_start_ns INTEGER                     -- start by the camera's own clock
) STRICT;

CREATE INDEX segments_by_time ON segments (camera, start_ns);
-- Few rows: what grows now, or what a crash left.
CREATE INDEX segments_open ON segments (camera, start_ns) WHERE state = 'open';

-- The fragment index of a segment (see media::index), apart so that scans of segments never read it.
CREATE TABLE fragments (
    segment INTEGER NOT NULL PRIMARY KEY REFERENCES segments (id) ON DELETE CASCADE,
    data    BLOB    NOT NULL
) STRICT;

CREATE TRIGGER segments_inserted AFTER INSERT ON segments BEGIN
    UPDATE totals SET
        segments    = segments    + (new.state <> 'missing'),
        size_bytes  = size_bytes  + (new.state <> 'missing') * new.size_bytes,
        duration_ns = duration_ns + (new.state <> 'missing') * new.duration_ns,
        longest_ns  = max(longest_ns, new.duration_ns)
    WHERE camera = new.camera;
END;

CREATE TRIGGER segments_deleted AFTER DELETE ON segments BEGIN
    UPDATE totals SET
        segments    = segments    - (old.state <> 'missing'),
        size_bytes  = size_bytes  - (old.state <> 'missing') * old.size_bytes,
        duration_ns = duration_ns - (old.state <> 'missing') * old.duration_ns
    WHERE camera = old.camera;
END;

CREATE TRIGGER segments_updated AFTER UPDATE OF camera, state, size_bytes, duration_ns ON segments BEGIN
    UPDATE totals SET
        segments    = segments    - (old.state <> 'missing'),
        size_bytes  = size_bytes  - (old.state <> 'missing') * old.size_bytes,
        duration_ns = duration_ns - (old.state <> 'missing') * old.duration_ns
    WHERE camera = old.camera;
    UPDATE totals SET
        segments    = segments    + (new.state <> 'missing'),
        size_bytes  = size_bytes  + (new.state <> 'missing') * new.size_bytes,
        duration_ns = duration_ns + (new.state <> 'missing') * new.duration_ns,
        longest_ns  = max(longest_ns, new.duration_ns)
    WHERE camera = new.camera;
END;

-- Stretches that should have been recorded and were not, with the reason.
CREATE TABLE gaps (
    id       INTEGER PRIMARY KEY,
    camera   TEXT    NOT NULL REFERENCES cameras (id),
    start_ns INTEGER NOT NULL,
    end_ns   INTEGER CHECK (end_ns >= start_ns), -- NULL: still open
    cause    TEXT    NOT NULL,                   -- CauseKind
    message  TEXT    NOT NULL
) STRICT;

CREATE INDEX gaps_by_time ON gaps (camera, start_ns);
-- At most one open gap for each camera.
CREATE UNIQUE INDEX gaps_open ON gaps (camera) WHERE end_ns IS NULL;

CREATE TRIGGER gaps_inserted AFTER INSERT ON gaps WHEN new.end_ns IS NOT NULL BEGIN
    UPDATE totals SET longest_gap_ns = max(longest_gap_ns, new.end_ns - new.start_ns)
    WHERE camera = new.camera;
END;

CREATE TRIGGER gaps_updated AFTER UPDATE ON gaps WHEN new.end_ns IS NOT NULL BEGIN
    UPDATE totals SET longest_gap_ns = max(longest_gap_ns, new.end_ns - new.start_ns)
    WHERE camera = new.camera;
END;

-- What happened, kept for a while (see prune_events). No foreign key: an event may concern a camera
-- that was never recorded.
CREATE TABLE events (
    id     INTEGER PRIMARY KEY,
    at_ns  INTEGER NOT NULL,
    camera TEXT,                                 -- NULL: it concerns the recorder
    kind   TEXT    NOT NULL,
    detail TEXT    NOT NULL                      -- JSON of the event's kind
) STRICT;

CREATE INDEX events_by_time ON events (at_ns);
CREATE INDEX events_by_camera ON events (camera, at_ns) WHERE camera IS NOT NULL;
