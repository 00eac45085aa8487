-- Alerts: what the engine remembers, what fired, and what is not delivered yet.

-- The engine's memory, one row of JSON.
CREATE TABLE alert_state (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    state TEXT NOT NULL
) STRICT;

-- Each alert that ever fired, kept for as long as events.
CREATE TABLE alerts (
    id          INTEGER PRIMARY KEY,
    rule        TEXT    NOT NULL,
    camera      TEXT,
    fired_ns    INTEGER NOT NULL,
    resolved_ns INTEGER,
    detail      TEXT    NOT NULL          -- JSON
) STRICT;
CREATE INDEX alerts_fired ON alerts (fired_ns, id);

-- Messages on their way to channels. Without secrets: texts are made when they are sent.
CREATE TABLE alert_outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    channel    TEXT    NOT NULL,
    created_ns INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_ns     INTEGER NOT NULL,
    message    TEXT    NOT NULL           -- JSON
) STRICT;
CREATE INDEX alert_outbox_due ON alert_outbox (channel, due_ns, id);
