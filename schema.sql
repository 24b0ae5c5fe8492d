-- fswake's store, version 7. Applied at start in one transaction if the file's user_version is older. Applying it again changes
-- nothing. Text has no length limits, because providers may make tokens longer.
-- Changes, by the version that they came after:
-- - 1: the two indexes of wakes.
-- - 2: devices.public_id. fswake adds the column before this is applied, and fills it in afterwards.
-- - 3: tokens in the normalised form that fswake compares and sends (Apple's in lower case, no placeholders). fswake rewrites
--   older ones afterwards.
-- - 4: the code of a push's error in the journal. fswake adds it to older lines afterwards.
-- - 5: devices.changed and devices.elsewhere, which fswake adds before this is applied, and the tables outbox and shared: what a
--   copy of a shared store needs (docs/CLUSTER.md).
-- - 6: journal.daemon, node, file and line, which fswake adds before this is applied, and the table shared_journal: lines of other
--   daemons.

-- Devices that can be pushed, one row for each. A row outlives its registration.
CREATE TABLE IF NOT EXISTS devices (
    id               INTEGER PRIMARY KEY,
    aor_user         TEXT    NOT NULL,
    aor_domain       TEXT    NOT NULL COLLATE NOCASE,
    provider         TEXT    NOT NULL,             -- apns, apns.dev, fcm, webpush or any other name, lower case
    app              TEXT    NOT NULL,             -- APNs bundle id without team, FCM project id ..; '' if the Contact had none
    token            TEXT    NOT NULL,             -- identifies the device: call_token, otherwise remote_token
    team             TEXT,
    call_token       TEXT,
    remote_token     TEXT,
    user_agent       TEXT    NOT NULL,
    register_call_id TEXT    NOT NULL,
    first_seen       INTEGER NOT NULL,             -- seconds since 1970, UTC: first REGISTER, or import
    last_seen        INTEGER NOT NULL,             -- seconds since 1970, UTC: last REGISTER
    set_aside        TEXT,                         -- why the device is not pushed before its next REGISTER
    public_id        INTEGER,                      -- the id in the HTTP API: 64 bits of a hash of provider, app and token
    changed          INTEGER NOT NULL DEFAULT 0,   -- microseconds since 1970, UTC: its last change
    elsewhere        INTEGER NOT NULL DEFAULT 0,   -- 1: another daemon made the last change
    UNIQUE (provider, app, token)                  -- a token has one owner
) STRICT;

CREATE INDEX IF NOT EXISTS devices_by_aor ON devices (aor_user, aor_domain);
CREATE INDEX IF NOT EXISTS devices_by_public_id ON devices (public_id);

-- Changes that the shared store does not have yet, the newest of each token. Empty where no store is shared.
CREATE TABLE IF NOT EXISTS outbox (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    aor_user         TEXT    NOT NULL,
    aor_domain       TEXT    NOT NULL,
    provider         TEXT    NOT NULL,
    app              TEXT    NOT NULL,
    token            TEXT    NOT NULL,
    team             TEXT,
    call_token       TEXT,
    remote_token     TEXT,
    user_agent       TEXT    NOT NULL,
    register_call_id TEXT    NOT NULL,
    first_seen       INTEGER NOT NULL,
    last_seen        INTEGER NOT NULL,
    set_aside        TEXT,
    changed          INTEGER NOT NULL,
    dropped          INTEGER NOT NULL,             -- 1: it is forgotten
    UNIQUE (provider, app, token)
) STRICT;

-- The shared store that this file is a copy of; no row where there is none.
CREATE TABLE IF NOT EXISTS shared (
    one              INTEGER PRIMARY KEY CHECK (one = 1),
    server           TEXT    NOT NULL,             -- which server and table it was read from; '' before the first time
    read_to          INTEGER NOT NULL,             -- the server's transactions before this one have been read
    arrival          TEXT    NOT NULL              -- how other daemons' changes arrive: notify, poll, or '' while not known
) STRICT;

-- All steps of every wake. Old lines are pruned by age and by number.
CREATE TABLE IF NOT EXISTS journal (
    id         INTEGER PRIMARY KEY,
    at_ms      INTEGER NOT NULL,                   -- milliseconds since 1970, UTC
    call       TEXT,                               -- call id; null for lines that are not about a call
    aor_user   TEXT    NOT NULL,
    aor_domain TEXT    NOT NULL COLLATE NOCASE,
    event      TEXT    NOT NULL,
    detail     TEXT    NOT NULL,                   -- one JSON object; tokens as fingerprints only
    daemon     TEXT    NOT NULL DEFAULT '',        -- the name of the fswake that wrote it; '' for this one while it shares no store
    node       TEXT    NOT NULL DEFAULT '',        -- the name of the FreeSWITCH that holds the call; '' if it has none
    file       INTEGER,                            -- lines of other daemons: the file that they are from, and their id there
    line       INTEGER
) STRICT;

CREATE INDEX IF NOT EXISTS journal_by_call ON journal (call) WHERE call IS NOT NULL;
CREATE INDEX IF NOT EXISTS journal_by_aor ON journal (aor_user, aor_domain, at_ms);
CREATE INDEX IF NOT EXISTS journal_by_age ON journal (at_ms);

-- One entry for each wake, to list the latest wakes of all callees or of one.
CREATE INDEX IF NOT EXISTS journal_wakes ON journal (at_ms) WHERE event = 'call-held';
CREATE INDEX IF NOT EXISTS journal_wakes_by_aor ON journal (aor_user, aor_domain, at_ms) WHERE event = 'call-held';

-- A line of another daemon is stored once, however often it is read.
CREATE UNIQUE INDEX IF NOT EXISTS journal_elsewhere ON journal (file, line, at_ms) WHERE file IS NOT NULL;

-- What this file exchanges with the journal of the shared store; no row if it never shared one.
CREATE TABLE IF NOT EXISTS shared_journal (
    one              INTEGER PRIMARY KEY CHECK (one = 1),
    file             INTEGER NOT NULL,             -- a random number: identifies this file's lines
    daemon           TEXT    NOT NULL,             -- the name of the fswake that uses this file
    is_shared        INTEGER NOT NULL,             -- 1: the store is shared now
    sent_to          INTEGER NOT NULL,             -- this file's own lines up to this id have been sent
    server           TEXT    NOT NULL,             -- which server, table and start of the server was read; '' before the first time
    snapshot         TEXT    NOT NULL,             -- the server's transactions that have been read (pg_snapshot)
    read_at_ms       INTEGER NOT NULL              -- when other daemons' lines were read last; 0 before the first time
) STRICT;

PRAGMA user_version = 7;
