-- Time-lapses of each day that were entered, so that none is made twice, also when its job is forgotten. A row without a job
-- is of one whose file was there when the index was made anew.
CREATE TABLE daily_timelapses (
    name       TEXT    NOT NULL,
    camera     TEXT    NOT NULL,
    day        TEXT    NOT NULL,          -- the date on which its span begins, YYYY-MM-DD
    entered_ns INTEGER NOT NULL,
    job        INTEGER,
    PRIMARY KEY (name, camera, day)
) STRICT, WITHOUT ROWID;
