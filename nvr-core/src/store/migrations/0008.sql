-- Version 8: bookings, intervals in which cameras are recorded whatever their mode.

-- What was booked. `detail` is JSON (title, cameras, times, rule). Of a calendar: its name and the event's UID, which is
-- unique within it; `withdrawn` says that the calendar called it off, not somebody here. `over_ns` is the
-- end of the last occurrence, NULL when there is always another one.
CREATE TABLE bookings (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    calendar     TEXT,
    uid          TEXT,
    detail       TEXT    NOT NULL,
    created_ns   INTEGER NOT NULL,
    created_by   TEXT,
    cancelled_ns INTEGER,
    over_ns      INTEGER,
    withdrawn    INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1)),
    CHECK ((calendar IS NULL) = (uid IS NULL)),
    UNIQUE (calendar, uid)
) STRICT;

-- Occurrences that began, ended or were called off; those to come are computed. `detail` is JSON (warnings, jobs).
CREATE TABLE booking_runs (
    booking    INTEGER NOT NULL REFERENCES bookings (id) ON DELETE CASCADE,
    start_ns   INTEGER NOT NULL,
    end_ns     INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    changed_ns INTEGER NOT NULL,
    PRIMARY KEY (booking, start_ns)
) STRICT, WITHOUT ROWID;

CREATE INDEX booking_runs_end ON booking_runs (end_ns);
CREATE INDEX booking_runs_live ON booking_runs (state) WHERE state IN ('recording', 'processing');

-- Segments that a booking protects, and that were not protected before.
CREATE TABLE booking_protects (
    segment  INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    booking  INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    PRIMARY KEY (segment, booking, start_ns)
) STRICT, WITHOUT ROWID;

CREATE INDEX booking_protects_of ON booking_protects (booking, start_ns);

-- The last good copy of each calendar that is polled.
CREATE TABLE calendars (
    name       TEXT    NOT NULL PRIMARY KEY,
    url        TEXT    NOT NULL,
    etag       TEXT,
    modified   TEXT,
    body       TEXT    NOT NULL,
    fetched_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
