-- Users whom a provider of logins answers for (OpenID Connect). Their rows in users have a password that nobody knows.

CREATE TABLE external (
    user    INTEGER NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    issuer  TEXT    NOT NULL,
    subject TEXT    NOT NULL,                      -- who it is there, for ever; names may change hands
    UNIQUE (issuer, subject)
) STRICT;
