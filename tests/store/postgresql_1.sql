-- As fswake shipped it with version 1 of the tables.
-- The store that several fswake share, version 1. fswake creates these tables in one transaction. If its user may not, the
-- tables' owner runs psql -f postgresql.sql (docs/OPERATING.md, "PostgreSQL", has the rights that fswake then needs).

CREATE TABLE fswake_schema (
    version integer NOT NULL
);
INSERT INTO fswake_schema VALUES (1);

-- One row for each token that is or was a device's.
CREATE TABLE fswake_devices (
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
CREATE INDEX fswake_devices_written ON fswake_devices (written_in, digest);
CREATE INDEX fswake_devices_dropped ON fswake_devices (written) WHERE dropped;

-- Whoever writes a row (fswake, replication, psql), this server numbers it and notifies the daemons.
CREATE FUNCTION fswake_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written := clock_timestamp();
    NEW.written_in := pg_current_xact_id()::text::bigint;
    PERFORM pg_notify('fswake_devices', NEW.daemon);
    RETURN NEW;
END
$$;
CREATE TRIGGER fswake_written BEFORE INSERT OR UPDATE ON fswake_devices
    FOR EACH ROW EXECUTE FUNCTION fswake_written();
ALTER TABLE fswake_devices ENABLE ALWAYS TRIGGER fswake_written;
