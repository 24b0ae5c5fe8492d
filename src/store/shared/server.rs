//! The statements: writes changes to PostgreSQL, and reads them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Notification, Row};

use super::SharedError;
use super::query::{Moment, PAGE, TIMEOUT, Values, query, query_one, within};
use super::rights::{self, Part};
use super::row::{COLUMNS, Columns, read};
use super::schema::{self, Tables};
use crate::engine::DeviceChange;
use crate::postgres::{self, Dsn};
use crate::store::outbox::Cursor;

/// How long a notification may take from one connection to another.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(2);

/// How long PostgreSQL may take to sort all rows: ten million need some 30 s.
const SORTS_WITHIN: Duration = Duration::from_secs(600);

/// How many transactions are read again after a start of the server: more than it loses when it is killed (it flushes
/// within 600 ms).
pub(super) const REWIND: i64 = 100_000;

/// The channel on which the trigger in `postgresql.sql` notifies.
const CHANNEL: &str = "fswake_devices";

/// Writes changes that are later than the existing rows: the rule of `DeviceChange::is_later_than`.
const PUT: &str = "
    INSERT INTO fswake_devices (digest, provider, app, token, aor_user, aor_domain, team, call_token, remote_token, user_agent,
                                register_call_id, set_aside, first_seen, last_seen, changed, dropped, daemon, written,
                                written_in)
    SELECT *, $17, now(), 0
    FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                $10::text[], $11::text[], $12::text[], $13::int8[], $14::int8[], $15::int8[], $16::bool[])
    ON CONFLICT (digest) DO UPDATE SET
        aor_user = excluded.aor_user, aor_domain = excluded.aor_domain, team = excluded.team,
        call_token = excluded.call_token, remote_token = excluded.remote_token, user_agent = excluded.user_agent,
        register_call_id = excluded.register_call_id, set_aside = excluded.set_aside, first_seen = excluded.first_seen,
        last_seen = excluded.last_seen, changed = excluded.changed, dropped = excluded.dropped, daemon = excluded.daemon
    WHERE (excluded.changed, NOT excluded.dropped, excluded.aor_user COLLATE \"C\", excluded.aor_domain COLLATE \"C\")
        > (fswake_devices.changed, NOT fswake_devices.dropped, fswake_devices.aor_user COLLATE \"C\",
           fswake_devices.aor_domain COLLATE \"C\")";

/// Identifies server, timeline, database and table. After a failover or a restored dump it differs, and the transaction
/// numbers that were read before mean nothing.
const IDENTITY: &str = "
    SELECT concat_ws(':', (SELECT system_identifier FROM pg_control_system()),
                     left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), current_database(), $1::text::regclass::oid)";

/// A connection to a server that has fswake's tables.
pub(crate) struct Server {
    pub(super) client: Client,
    /// The version of its tables.
    pub(crate) version: i32,
    /// The server and its table: cursors of another one do not apply.
    pub(crate) identity: String,
    /// When it started.
    pub(crate) started: String,
}

/// A part of other daemons' changes.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) changes: Vec<DeviceChange>,
    /// Whether one of them was there for more than a second.
    pub(super) is_late: bool,
}

impl Page {
    fn of(rows: &[Row]) -> Result<Self, SharedError> {
        let mut page = Self::default();
        for row in rows {
            page.is_late |= row.try_get::<_, bool>("late")?;
            page.changes.extend(read(row)?);
        }
        Ok(page)
    }
}

impl Server {
    /// Connects, and creates or upgrades the tables if `tables` says so.
    ///
    /// # Errors
    /// When the server cannot be reached, or its tables cannot be used.
    pub(crate) async fn open(
        dsn: &Dsn,
        tables: Tables,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Notification>), SharedError> {
        let (mut client, notifications) = postgres::connect_with_notifications(dsn).await?;
        // Another daemon may be upgrading the tables.
        let version = match within(TIMEOUT * 6, schema::ensure(&mut client, tables)).await {
            Ok(version) => version,
            Err(error) => return Err(rights::explain(&client, &[Part::Devices], error).await),
        };
        let identity = identity(&client, "fswake_devices").await?;
        let started = query_one(&client, "SELECT pg_postmaster_start_time()::text", &[]).await?;
        let server = Self {
            client,
            version,
            identity,
            started: started.try_get(0)?,
        };
        Ok((server, notifications))
    }

    /// The server with its table of devices, and its start, as in [`Cursor`].
    pub(super) fn place(&self) -> String {
        self.place_of(&self.identity)
    }

    /// The same with another table.
    pub(super) fn place_of(&self, identity: &str) -> String {
        format!("{identity} {}", self.started)
    }

    /// Names the missing rights in an error about them.
    pub(super) async fn explain(&self, part: Part, error: SharedError) -> SharedError {
        rights::explain(&self.client, &[part], error).await
    }

    /// Writes changes, except where the server has later ones.
    pub(crate) async fn put(
        &self,
        changes: impl Iterator<Item = &DeviceChange>,
        daemon: &str,
    ) -> Result<(), SharedError> {
        let columns = Columns::new(changes);
        let mut values: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&columns.digest, Type::BYTEA_ARRAY)];
        values.extend(
            columns
                .texts
                .iter()
                .map(|texts| (texts as &(dyn ToSql + Sync), Type::TEXT_ARRAY)),
        );
        for numbers in [&columns.first_seen, &columns.last_seen, &columns.changed] {
            values.push((numbers, Type::INT8_ARRAY));
        }
        values.push((&columns.dropped, Type::BOOL_ARRAY));
        values.push((&daemon, Type::TEXT));
        query(&self.client, PUT, &values).await.map(drop)
    }

    /// Reads what other daemons changed since `cursor`, page by page, and returns the next cursor. Transactions that
    /// are open now are read next time, however long ago they began.
    pub(crate) async fn read(
        &mut self,
        cursor: &Cursor,
        daemon: &str,
        page: impl AsyncFnMut(Page) -> Result<(), SharedError>,
    ) -> Result<Cursor, SharedError> {
        let is_first = !cursor.is_of(&self.identity);
        let server = self.place();
        let moment = Moment::of(&mut self.client).await?;
        let (oldest, next) = open_transactions(&moment).await?;
        // The first time everything is read, whoever wrote it: this file may be new.
        let (from, to, not_by) = if is_first {
            (0, i64::MAX, "")
        } else {
            (cursor.read_to, next, daemon)
        };
        let values: &Values<'_> = &[(&from, Type::INT8), (&to, Type::INT8), (&not_by, Type::TEXT)];
        let which = "written_in >= $1 AND written_in < $2 AND daemon <> $3";
        devices(&moment, which, values, TIMEOUT, page).await?;
        moment.end().await?;
        Ok(Cursor {
            server,
            read_to: oldest,
        })
    }

    /// Reads all devices, whoever wrote them, page by page and in no order. Returns where reading continues.
    pub(crate) async fn read_all(
        &mut self,
        page: impl AsyncFnMut(Page) -> Result<(), SharedError>,
    ) -> Result<Cursor, SharedError> {
        let server = self.place();
        let moment = Moment::of(&mut self.client).await?;
        let (read_to, _) = open_transactions(&moment).await?;
        devices(&moment, "NOT dropped", &[], TIMEOUT, page).await?;
        moment.end().await?;
        Ok(Cursor { server, read_to })
    }

    /// Reads all rows that were written before this cursor, page by page, in the order of the file's index: a file is
    /// filled much faster that way.
    pub(super) async fn read_in_order(
        &mut self,
        before: &Cursor,
        page: impl AsyncFnMut(Page) -> Result<(), SharedError>,
    ) -> Result<(), SharedError> {
        let moment = Moment::of(&mut self.client).await?;
        let which = "written_in < $1 ORDER BY provider COLLATE \"C\", app COLLATE \"C\", token COLLATE \"C\"";
        let values: &Values<'_> = &[(&before.read_to, Type::INT8)];
        devices(&moment, which, values, SORTS_WITHIN, page).await?;
        moment.end().await
    }

    /// Listens for changes, and tests whether notifications arrive: sends one on another connection, as other daemons
    /// do.
    pub(super) async fn listen(&self, dsn: &Dsn, notifications: &mut mpsc::UnboundedReceiver<Notification>) -> bool {
        let test = async {
            self.client.batch_execute(&format!("LISTEN {CHANNEL}")).await.ok()?;
            let other = postgres::connect(dsn).await.ok()?;
            let name = format!("probe-{}", uuid::Uuid::new_v4());
            let values: &Values<'_> = &[(&CHANNEL, Type::TEXT), (&name, Type::TEXT)];
            other.query_typed("SELECT pg_notify($1, $2)", values).await.ok()?;
            while notifications.recv().await?.payload() != name {}
            Some(())
        };
        matches!(tokio::time::timeout(NOTIFIED_WITHIN, test).await, Ok(Some(())))
    }

    /// Deletes some rows of tokens that were dropped this many seconds ago: by now every daemon knows, or has no such
    /// device. Returns whether there may be more.
    pub(super) async fn sweep(&self, seconds: f64) -> Result<bool, SharedError> {
        let sql = format!(
            "DELETE FROM fswake_devices WHERE digest IN
                 (SELECT digest FROM fswake_devices WHERE dropped AND written < now() - make_interval(secs => $1) LIMIT {PAGE})
             RETURNING 1"
        );
        let values: &Values<'_> = &[(&seconds, Type::FLOAT8)];
        let swept = query(&self.client, &sql, values).await?.len();
        Ok(i64::try_from(swept) == Ok(PAGE))
    }

    /// The rights that this user lacks, as in `INSERT on fswake_devices`.
    ///
    /// # Errors
    /// When PostgreSQL cannot be asked.
    pub(crate) async fn missing_rights(&self) -> Result<Vec<String>, SharedError> {
        within(TIMEOUT, rights::missing(&self.client, &[Part::Devices, Part::Journal])).await
    }

    /// PostgreSQL's version, and its clock in milliseconds since 1970.
    ///
    /// # Errors
    /// When PostgreSQL cannot be asked.
    pub(crate) async fn about(&self) -> Result<(String, i64), SharedError> {
        let sql = "SELECT split_part(current_setting('server_version'), ' ', 1), (extract(epoch FROM clock_timestamp()) * 1000)::int8";
        let row = query_one(&self.client, sql, &[]).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

/// Identifies the server and one of its tables.
pub(super) async fn identity(client: &Client, table: &str) -> Result<String, SharedError> {
    let values: &Values<'_> = &[(&table, Type::TEXT)];
    Ok(query_one(client, IDENTITY, values).await?.try_get(0)?)
}

/// The oldest transaction that is open at this moment, and the next one to begin.
async fn open_transactions(moment: &Moment<'_>) -> Result<(i64, i64), SharedError> {
    let sql =
        "SELECT pg_snapshot_xmin(now)::text::int8, pg_snapshot_xmax(now)::text::int8 FROM pg_current_snapshot() now";
    let row = moment.one(sql).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Reads these rows of devices.
async fn devices(
    moment: &Moment<'_>,
    which: &str,
    values: &Values<'_>,
    first_within: Duration,
    mut page: impl AsyncFnMut(Page) -> Result<(), SharedError>,
) -> Result<(), SharedError> {
    let select =
        format!("SELECT {COLUMNS}, written < now() - interval '1 second' AS late FROM fswake_devices WHERE {which}");
    let page = async |rows: &[Row]| page(Page::of(rows)?).await;
    moment.pages(&select, values, first_within, page).await
}

/// Puts all rows at once. If PostgreSQL can never store one of them, each is put by itself, and those are left out.
pub(super) async fn put_rows<T>(
    rows: &[T],
    put: impl AsyncFn(&[T]) -> Result<(), SharedError>,
    refused: impl Fn(&SharedError),
) -> Result<(), SharedError> {
    match put(rows).await {
        Err(error) if error.is_about_a_row() => {}
        done => return done,
    }
    for row in rows {
        match put(std::slice::from_ref(row)).await {
            Err(error) if error.is_about_a_row() => refused(&error),
            done => done?,
        }
    }
    Ok(())
}
