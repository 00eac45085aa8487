-- Version 6: a second root.

-- Which root a segment's file lies below: 0 the recordings root, 1 the second one ([tier]). The path is the same in
-- both. A rebuild finds it by looking into both.
ALTER TABLE segments ADD COLUMN tier INTEGER NOT NULL DEFAULT 0 CHECK (tier IN (0, 1));

-- The oldest that may be deleted of each root: the second one's are older than all of the first.
DROP INDEX segments_deletable;
CREATE INDEX segments_deletable ON segments (camera, marks, tier, start_ns)
    WHERE protected = 0 AND state IN ('closed', 'recovered');

-- What may move.
CREATE INDEX segments_movable ON segments (start_ns)
    WHERE tier = 0 AND state IN ('closed', 'recovered');

-- Segments whose files are being moved: entered before the copy gets its name, gone after the other file. The row of
-- the segment says which of the two counts; the other is removed at the next start.
CREATE TABLE moves (
    segment INTEGER NOT NULL PRIMARY KEY REFERENCES segments (id) ON DELETE CASCADE
) STRICT;

-- Sums over what lies below the second root, a part of `totals`.
CREATE TABLE tier_totals (
    camera     TEXT    NOT NULL PRIMARY KEY REFERENCES cameras (id),
    segments   INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TRIGGER segments_inserted_in_tier AFTER INSERT ON segments WHEN new.tier = 1 AND new.state <> 'missing' BEGIN
    INSERT INTO tier_totals (camera, segments, size_bytes) VALUES (new.camera, 1, new.size_bytes)
    ON CONFLICT (camera) DO UPDATE SET segments = segments + 1, size_bytes = size_bytes + excluded.size_bytes;
END;

CREATE TRIGGER segments_deleted_in_tier AFTER DELETE ON segments WHEN old.tier = 1 AND old.state <> 'missing' BEGIN
    UPDATE tier_totals SET segments = segments - 1, size_bytes = size_bytes - old.size_bytes
    WHERE camera = old.camera;
END;

CREATE TRIGGER segments_updated_in_tier AFTER UPDATE OF camera, state, size_bytes, tier ON segments
WHEN old.tier = 1 OR new.tier = 1 BEGIN
    UPDATE tier_totals SET
        segments   = segments   - (old.state <> 'missing'),
        size_bytes = size_bytes - (old.state <> 'missing') * old.size_bytes
    WHERE camera = old.camera AND old.tier = 1;
    INSERT INTO tier_totals (camera, segments, size_bytes)
    SELECT new.camera, 1, new.size_bytes WHERE new.tier = 1 AND new.state <> 'missing'
    ON CONFLICT (camera) DO UPDATE SET segments = segments + 1, size_bytes = size_bytes + excluded.size_bytes;
END;

-- Segments whose job was called off or failed for good; they are not entered again by themselves.
CREATE INDEX jobs_move_over ON jobs (dedupe) WHERE kind = 'move' AND state IN ('failed', 'cancelled');
