-- Accounts and what belongs to them. Apart from the index: that can be thrown away and made again, this cannot.
-- Of tokens and passwords only hashes are here.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,         -- lower case
    role          TEXT    NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    cameras       TEXT,                            -- JSON list of ids; NULL: all
    password      TEXT    NOT NULL,                -- argon2id, in PHC's form
    created_ns    INTEGER NOT NULL,
    last_login_ns INTEGER
) STRICT;

-- Logins of browsers.
CREATE TABLE sessions (
    hash       BLOB    NOT NULL PRIMARY KEY,
    user       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_ns INTEGER NOT NULL,
    seen_ns    INTEGER NOT NULL,
    idle_ns    INTEGER NOT NULL,                   -- ends when it was not seen for so long
    expires_ns INTEGER NOT NULL                    -- ends then in any case
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (user);

-- Tokens of programs.
CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user         INTEGER REFERENCES users (id) ON DELETE CASCADE, -- NULL: made at the machine itself
    label        TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE,
    scopes       TEXT    NOT NULL,                 -- words with commas
    cameras      TEXT,
    passing      INTEGER NOT NULL,                 -- 1: of a command that is running; not listed
    created_ns   INTEGER NOT NULL,
    expires_ns   INTEGER,
    last_used_ns INTEGER
) STRICT;
CREATE INDEX tokens_user ON tokens (user);

-- Footage that whoever has the token may see without a login.
CREATE TABLE shares (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user       INTEGER REFERENCES users (id) ON DELETE CASCADE,
    hash       BLOB    NOT NULL UNIQUE,
    camera     TEXT    NOT NULL,
    from_ns    INTEGER NOT NULL,
    to_ns      INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX shares_user ON shares (user);

-- The token with which the first account is made; at most one.
CREATE TABLE setup (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    hash       BLOB    NOT NULL,
    expires_ns INTEGER NOT NULL
) STRICT;

-- Who saw, exported, deleted, changed.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ns   INTEGER NOT NULL,
    user    TEXT,                                  -- a name, as it was then
    address TEXT,
    action  TEXT    NOT NULL,
    camera  TEXT,
    detail  TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_at ON audit (at_ns);
