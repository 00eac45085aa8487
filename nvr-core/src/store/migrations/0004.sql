-- Version 4: what became of footage that was to be encoded again.

-- One row for each segment that was tried: encoded again ('done'), or left as it was with the reason ('kept'), so
-- that it is not tried for ever. Cannot be made again from the files.
CREATE TABLE transcodes (
    segment      INTEGER NOT NULL PRIMARY KEY REFERENCES segments (id) ON DELETE CASCADE,
    at_ns        INTEGER NOT NULL,
    outcome      TEXT    NOT NULL CHECK (outcome IN ('done', 'kept')),
    reason       TEXT    NOT NULL DEFAULT '',   -- why it was kept
    encoder      TEXT    NOT NULL DEFAULT '',   -- GStreamer element and preset
    before_bytes INTEGER NOT NULL,
    after_bytes  INTEGER NOT NULL,              -- what it would have been, if it was kept; 0: unknown
    elapsed_ns   INTEGER NOT NULL,
    ssim         REAL,                          -- NULL: not compared
    psnr_db      REAL
) STRICT;

-- Sums by camera, also of footage that is gone.
CREATE TABLE transcode_totals (
    camera       TEXT    NOT NULL PRIMARY KEY REFERENCES cameras (id),
    done         INTEGER NOT NULL DEFAULT 0,
    kept         INTEGER NOT NULL DEFAULT 0,
    before_bytes INTEGER NOT NULL DEFAULT 0,    -- of those that are done
    after_bytes  INTEGER NOT NULL DEFAULT 0,
    footage_ns   INTEGER NOT NULL DEFAULT 0,
    elapsed_ns   INTEGER NOT NULL DEFAULT 0,    -- of all
    ssim_sum     REAL    NOT NULL DEFAULT 0,    -- weighted by nanoseconds of footage
    ssim_worst   REAL,
    psnr_sum     REAL    NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What may be encoded again.
CREATE INDEX segments_h264 ON segments (camera, start_ns)
    WHERE video_codec = 'h264' AND protected = 0 AND state IN ('closed', 'recovered');

-- Segments whose job was called off or failed for good; they are not entered again by themselves.
CREATE INDEX jobs_transcode_over ON jobs (dedupe) WHERE kind = 'transcode' AND state IN ('failed', 'cancelled');
