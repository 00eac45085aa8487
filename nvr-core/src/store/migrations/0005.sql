-- Copies of segments at upload targets.

-- The targets of the configuration that is in force. Without any, nothing is noted for them.
CREATE TABLE upload_targets (
    name     TEXT    NOT NULL PRIMARY KEY,
    required INTEGER NOT NULL                  -- 1: the local file stays until the copy is there
) STRICT, WITHOUT ROWID;

-- Segments that were completed, protected or marked since the targets were last asked whether they want them.
CREATE TABLE upload_inbox (
    segment INTEGER NOT NULL PRIMARY KEY REFERENCES segments (id) ON DELETE CASCADE
) STRICT;

-- A segment and a target that is to have it, or has it.
CREATE TABLE uploads (
    segment     INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    target      TEXT    NOT NULL,
    key         TEXT    NOT NULL,              -- name of the object; never changes, so that a second try replaces the first
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'queued', 'done', 'failed', 'cancelled')),
    required    INTEGER NOT NULL,
    by_hand     INTEGER NOT NULL,              -- 1: somebody asked for it, so windows do not count
    start_ns    INTEGER NOT NULL,              -- as in segments: the order of uploads
    size_bytes  INTEGER NOT NULL,
    entered_ns  INTEGER NOT NULL,
    job         INTEGER,                       -- while queued
    hash        BLOB,                          -- BLAKE3 of what is there
    etag        TEXT,                          -- as the target named it
    uploaded_ns INTEGER,
    error       TEXT,                          -- why it failed
    PRIMARY KEY (segment, target)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX uploads_by_key ON uploads (target, key);
CREATE INDEX uploads_by_time ON uploads (target, state, start_ns, segment);
CREATE INDEX uploads_waiting ON uploads (target, entered_ns) WHERE state IN ('waiting', 'queued');

-- Sums, kept by triggers.
CREATE TABLE upload_counts (
    target     TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    segments   INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (target, state)
) STRICT, WITHOUT ROWID;

-- Where a segment is: a missing one with a copy is not lost, and one that awaits a copy is not to be deleted.
ALTER TABLE segments ADD COLUMN copies INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN awaits INTEGER NOT NULL DEFAULT 0;

-- Local files of which there are copies.
CREATE INDEX segments_copied ON segments (start_ns)
    WHERE copies > 0 AND awaits = 0 AND protected = 0 AND state IN ('closed', 'recovered');

CREATE TRIGGER uploads_inserted AFTER INSERT ON uploads BEGIN
    INSERT INTO upload_counts (target, state, segments, size_bytes) VALUES (new.target, new.state, 1, new.size_bytes)
    ON CONFLICT (target, state) DO UPDATE SET
        segments = segments + 1, size_bytes = size_bytes + excluded.size_bytes;
    UPDATE segments SET
        copies = copies + (new.state = 'done'),
        awaits = awaits + (new.required = 1 AND new.state IN ('waiting', 'queued', 'failed'))
    WHERE id = new.segment;
END;

CREATE TRIGGER uploads_deleted AFTER DELETE ON uploads BEGIN
    UPDATE upload_counts SET segments = segments - 1, size_bytes = size_bytes - old.size_bytes
    WHERE target = old.target AND state = old.state;
    UPDATE segments SET
        copies = copies - (old.state = 'done'),
        awaits = awaits - (old.required = 1 AND old.state IN ('waiting', 'queued', 'failed'))
    WHERE id = old.segment;
END;

CREATE TRIGGER uploads_updated AFTER UPDATE OF state, required, size_bytes ON uploads BEGIN
    UPDATE upload_counts SET segments = segments - 1, size_bytes = size_bytes - old.size_bytes
    WHERE target = old.target AND state = old.state;
    INSERT INTO upload_counts (target, state, segments, size_bytes) VALUES (new.target, new.state, 1, new.size_bytes)
    ON CONFLICT (target, state) DO UPDATE SET
        segments = segments + 1, size_bytes = size_bytes + excluded.size_bytes;
    UPDATE segments SET
        copies = copies - (old.state = 'done') + (new.state = 'done'),
        awaits = awaits - (old.required = 1 AND old.state IN ('waiting', 'queued', 'failed'))
                        + (new.required = 1 AND new.state IN ('waiting', 'queued', 'failed'))
    WHERE id = new.segment;
END;

CREATE TRIGGER segments_inserted_for_upload AFTER INSERT ON segments
WHEN new.state IN ('closed', 'recovered') AND EXISTS (SELECT 1 FROM upload_targets) BEGIN
    INSERT INTO upload_inbox (segment) VALUES (new.id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER segments_updated_for_upload AFTER UPDATE OF state, protected, marks ON segments
WHEN new.state IN ('closed', 'recovered')
    AND (old.state NOT IN ('closed', 'recovered') OR new.protected > old.protected OR new.marks <> old.marks)
    AND EXISTS (SELECT 1 FROM upload_targets) BEGIN
    INSERT INTO upload_inbox (segment) VALUES (new.id) ON CONFLICT DO NOTHING;
END;

-- Another version of the file (encoded again, say): its copies are of the past.
CREATE TRIGGER segments_changed_for_upload AFTER UPDATE OF size_bytes, hash ON segments
WHEN new.copies > 0 AND new.state IN ('closed', 'recovered')
    AND (new.size_bytes <> old.size_bytes OR (old.hash IS NOT NULL AND new.hash IS NOT old.hash)) BEGIN
    UPDATE uploads SET state = 'waiting', size_bytes = new.size_bytes, entered_ns = new.start_ns
    WHERE segment = new.id AND state = 'done';
END;
