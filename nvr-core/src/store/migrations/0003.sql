-- Version 3: what retention needs to know.

-- What a segment is, beyond being footage; bits: 1 = encoded again to save space, 2 = something happened in it.
-- Each has an age of its own. Like `protected`, it cannot be made again from the files.
ALTER TABLE segments ADD COLUMN marks INTEGER NOT NULL DEFAULT 0;

-- The oldest that may be deleted, whatever lies protected before it.
CREATE INDEX segments_deletable ON segments (camera, marks, start_ns)
    WHERE protected = 0 AND state IN ('closed', 'recovered');

-- Segments that are being deleted: entered before the file goes, gone with the row of the segment. What a crash
-- leaves here is deleted at the next start, and so never mistaken for a loss.
CREATE TABLE deletions (
    segment INTEGER NOT NULL PRIMARY KEY REFERENCES segments (id) ON DELETE CASCADE,
    reason  TEXT    NOT NULL                    -- DeletionReason
) STRICT;
