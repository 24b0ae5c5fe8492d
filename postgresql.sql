-- The store that several fswake share, version 2. fswake creates these tables, or upgrades them, in one transaction. If its user
-- may not, the tables' owner runs psql -1 -f postgresql.sql (docs/OPERATING.md, "PostgreSQL", has the rights that fswake then
-- needs). Applying it again changes nothing. Version 1 had no journal.

CREATE TABLE IF NOT EXISTS fswake_schema (
    version integer NOT NULL
);
INSERT INTO fswake_schema SELECT 2 WHERE NOT EXISTS (SELECT FROM fswake_schema);
UPDATE fswake_schema SET version = 2 WHERE version < 2;

-- One row for each token that is or was a device's.
CREATE TABLE IF NOT EXISTS fswake_devices (
    digest           bytea   PRIMARY KEY,          -- SHA-256 of provider, app and token: a token may be longer than a key
    provider         text    NOT NULL,
    app              text    NOT NULL,
    token            text    NOT NULL,
    aor_user         text    NOT NULL,
    aor_domain       text    NOT NULL,
    team             text,
    call_token       text,
    remote_token     text,
    user_agent       text    NOT NULL,
    register_call_id text    NOT NULL,
    first_seen       bigint  NOT NULL,             -- seconds since 1970, UTC
    last_seen        bigint  NOT NULL,
    set_aside        text,
    changed          bigint  NOT NULL,             -- microseconds since 1970, UTC: the later change of a token counts
    dropped          boolean NOT NULL,             -- forgotten: kept for store.token-ttl and a day, so that all learn of it
    daemon           text    NOT NULL,             -- the process that wrote it
    written          timestamptz NOT NULL,         -- when, by this server's clock
    written_in       bigint  NOT NULL              -- in which transaction of this server
);
CREATE INDEX IF NOT EXISTS fswake_devices_written ON fswake_devices (written_in, digest);
CREATE INDEX IF NOT EXISTS fswake_devices_dropped ON fswake_devices (written) WHERE dropped;

-- Whoever writes a row (fswake, replication, psql), this server numbers it and notifies the daemons.
CREATE OR REPLACE FUNCTION fswake_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written := clock_timestamp();
    NEW.written_in := pg_current_xact_id()::text::bigint;
    PERFORM pg_notify('fswake_devices', NEW.daemon);
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS fswake_written ON fswake_devices;
CREATE TRIGGER fswake_written BEFORE INSERT OR UPDATE ON fswake_devices
    FOR EACH ROW EXECUTE FUNCTION fswake_written();
ALTER TABLE fswake_devices ENABLE ALWAYS TRIGGER fswake_written;

-- All lines of all daemons' journals. Each daemon deletes old lines (store.journal-keep, store.journal-max-lines).
CREATE TABLE IF NOT EXISTS fswake_journal (
    file             bigint  NOT NULL,             -- identifies the file of a daemon
    line             bigint  NOT NULL,             -- its number there: a line that is sent twice is stored once
    at_ms            bigint  NOT NULL,             -- milliseconds since 1970, UTC
    daemon           text    NOT NULL,             -- cluster.name
    node             text    NOT NULL,             -- the FreeSWITCH that holds the call; '' if it has no name
    call             text,                         -- null for lines that are not about a call
    aor_user         text    NOT NULL,
    aor_domain       text    NOT NULL,
    event            text    NOT NULL,
    detail           text    NOT NULL,             -- one JSON object; tokens as fingerprints only
    written_in       bigint  NOT NULL,             -- in which transaction of this server
    PRIMARY KEY (file, line, at_ms)
);
CREATE INDEX IF NOT EXISTS fswake_journal_written ON fswake_journal (written_in, file, line);
CREATE INDEX IF NOT EXISTS fswake_journal_age ON fswake_journal (at_ms);

CREATE OR REPLACE FUNCTION fswake_journal_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written_in := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS fswake_journal_written ON fswake_journal;
CREATE TRIGGER fswake_journal_written BEFORE INSERT ON fswake_journal
    FOR EACH ROW EXECUTE FUNCTION fswake_journal_written();
ALTER TABLE fswake_journal ENABLE ALWAYS TRIGGER fswake_journal_written;
