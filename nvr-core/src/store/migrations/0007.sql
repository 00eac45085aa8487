-- Version 7: detections. Like events they cannot be made again from the files.

CREATE TABLE detections (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    camera          TEXT    NOT NULL,           -- no foreign key: it may never have been recorded
    kind            TEXT    NOT NULL,           -- DetectionKind
    label           TEXT,
    zone            TEXT,
    score           REAL    NOT NULL,           -- 0 to 1
    from_ns         INTEGER NOT NULL,
    to_ns           INTEGER CHECK (to_ns >= from_ns), -- NULL while it goes on
    seen_ns         INTEGER NOT NULL,           -- when it was last told of: the end of one that a crash left open
    best_ns         INTEGER NOT NULL,           -- moment of its picture
    source          TEXT,
    data            TEXT,                       -- JSON
    footage_from_ns INTEGER NOT NULL,           -- segments that overlap this are marked as footage of an event
    footage_to_ns   INTEGER,                    -- NULL while it goes on
    post_ns         INTEGER NOT NULL            -- footage so long after its end belongs to it
) STRICT;

CREATE INDEX detections_by_time ON detections (from_ns);
CREATE INDEX detections_by_camera ON detections (camera, from_ns);
-- Few rows: what goes on now.
CREATE INDEX detections_open ON detections (camera, from_ns) WHERE to_ns IS NULL;

-- A query for what overlaps [from, to) looks back no further than the longest that a camera ever had; never sinks.
CREATE TABLE detection_lengths (
    camera     TEXT    NOT NULL PRIMARY KEY,
    longest_ns INTEGER NOT NULL                 -- with the footage before and after
) STRICT, WITHOUT ROWID;

CREATE TRIGGER detections_inserted AFTER INSERT ON detections BEGIN
    INSERT INTO detection_lengths (camera, longest_ns)
    VALUES (new.camera, coalesce(new.footage_to_ns - new.footage_from_ns, 0))
    ON CONFLICT (camera) DO UPDATE SET longest_ns = max(longest_ns, excluded.longest_ns);
END;

CREATE TRIGGER detections_ended AFTER UPDATE OF footage_to_ns ON detections WHEN new.footage_to_ns IS NOT NULL BEGIN
    UPDATE detection_lengths SET longest_ns = max(longest_ns, new.footage_to_ns - new.footage_from_ns)
    WHERE camera = new.camera;
END;
