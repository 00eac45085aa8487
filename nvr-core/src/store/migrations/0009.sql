-- Version 9: scores of motion.

-- How much moved: a byte for each second of an hour, 0 where nobody looked, else 1 (nothing) to 255. Short where the
-- rest of the hour was not looked at.
CREATE TABLE motion_scores (
    camera  TEXT    NOT NULL REFERENCES cameras (id),
    hour_ns INTEGER NOT NULL,
    scores  BLOB    NOT NULL,
    PRIMARY KEY (camera, hour_ns)
) STRICT, WITHOUT ROWID;
