//! The embedded store: one SQLite file, read once at start and written by one thread.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior, params};

use super::queue::Batch;
use super::writer::StoreWriter;
use super::{JournalEntry, Snapshot, upgrade};
use crate::clock::unix_now;
use crate::types::{Aor, Device, DeviceKey, Provider, PushParams, PushToken, Tokens};
use crate::words;

/// The schema, as shipped in `schema.sql`.
pub const SCHEMA: &str = include_str!("../../schema.sql");

/// The `user_version` that [`SCHEMA`] sets.
pub const SCHEMA_VERSION: i64 = 5;

/// How long one statement waits for another process that holds the file before it counts as a failure.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// How the store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Journal lines older than this are deleted.
    pub journal_keep: Duration,
    /// The journal's oldest lines are deleted when there are more than so many.
    pub journal_max_lines: u64,
    /// Journal lines that wait while the file cannot be written; older ones give way.
    pub max_queued_journal: usize,
    /// Devices whose changes wait while the file cannot be written; older ones give way.
    pub max_queued_devices: usize,
    /// Limit of the file's size in pages of 4 KiB (`PRAGMA max_page_count`); none by default.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal_keep: Duration::from_secs(30 * 24 * 3600),
            journal_max_lines: 5_000_000,
            max_queued_journal: 100_000,
            max_queued_devices: 1_000_000,
            max_pages: None,
        }
    }
}

/// Why the store could not be opened; all of them need an operator.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory is missing, locked or not ours.
    #[error(
        "{}: the store cannot be opened: {reason}; the directory must exist, and fswake must be able to write both",
        path.display()
    )]
    Unusable {
        /// The database file.
        path: PathBuf,
        /// What the system or SQLite says.
        reason: String,
    },
    /// The file is not a SQLite database, or a damaged one.
    #[error(
        "{}: the store is damaged ({reason}); restore a copy, or move the file and its -wal and -shm away and start again: \
         tokens are learned again as the phones register",
        path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A later fswake wrote the file.
    #[error(
        "{}: the store has schema version {found}, this fswake knows up to {SCHEMA_VERSION}: run the newer fswake, or name another store.path",
        path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
}

impl StoreError {
    /// What went wrong, without the file's name and advice.
    pub fn reason(&self) -> String {
        match self {
            Self::Unusable { reason, .. } | Self::Corrupt { reason, .. } => reason.clone(),
            Self::NewerSchema { found, .. } => format!("schema version {found}"),
        }
    }
}

/// Entry point of the SQLite store.
#[derive(Debug)]
pub struct Sqlite;

impl Sqlite {
    /// Opens the file, making it (mode 0600) and its tables where they are missing, reads all devices,
    /// and starts the writer's thread.
    pub fn open(path: &Path, options: &Options) -> Result<(Snapshot, StoreWriter), StoreError> {
        let connection = connect(path, options)?;
        let snapshot = Snapshot {
            devices: devices(&connection).map_err(|e| failure(path, &e))?,
            read_at: unix_now(),
        };
        let db = Database {
            connection: Some(connection),
            path: path.to_owned(),
            options: options.clone(),
        };
        let writer = StoreWriter::start(db, options).map_err(|e| StoreError::Unusable {
            path: path.to_owned(),
            reason: words::of_io(&e),
        })?;
        Ok((snapshot, writer))
    }
}

/// The file, with a connection except after a failure: the next write then makes a new one, since the file may have
/// been moved or mounted anew.
pub(super) struct Database {
    connection: Option<Connection>,
    path: PathBuf,
    options: Options,
}

impl Database {
    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a batch in one transaction. Returns how many of its changes the database can never take
    /// (too big, say): they are left out, lest they hold up all others for ever.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<u64, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path, &self.options)?,
        };
        let refused = write(&mut connection, batch).map_err(|e| failure(&self.path, &e))?;
        self.connection = Some(connection);
        Ok(refused)
    }

    /// Deletes up to `max` journal lines that are older than the setting, or too many; returns how many it found.
    pub(super) fn prune(&self, max: usize) -> rusqlite::Result<usize> {
        let Some(connection) = &self.connection else {
            return Ok(0);
        };
        let keep = i64::try_from(self.options.journal_keep.as_secs()).unwrap_or(i64::MAX);
        let before = unix_now().saturating_sub(keep).saturating_mul(1000);
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let old = connection
            .prepare_cached(
                "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)",
            )?
            .execute(params![before, max])?;
        // Ids are given upwards and lines go oldest first, so the newest id tells how many there are, without counting.
        let surplus = connection
            .prepare_cached(
                "DELETE FROM journal WHERE id IN
                     (SELECT id FROM journal WHERE id <= (SELECT max(id) FROM journal) - ?1 ORDER BY id LIMIT ?2)",
            )?
            .execute(params![
                i64::try_from(self.options.journal_max_lines).unwrap_or(i64::MAX),
                max
            ])?;
        Ok(old.max(surplus))
    }
}

/// A connection to a private file with an up-to-date schema.
pub(super) fn connect(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    make_private(path).map_err(|e| StoreError::Unusable {
        path: path.to_owned(),
        reason: words::of_io(&e),
    })?;
    let connection = open(path, options).map_err(|e| failure(path, &e))?;
    upgrade::upgrade(&connection, path)?;
    Ok(connection)
}

fn open(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(connection)
}

/// All devices.
pub(crate) fn devices(connection: &Connection) -> rusqlite::Result<Vec<Device>> {
    let mut query = connection.prepare(&format!("SELECT {DEVICE} FROM devices"))?;
    query.query_map([], device)?.filter_map(Result::transpose).collect()
}

fn write(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<u64> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut refused = 0;
    for (_, key, change) in &batch.changes {
        let done = match change {
            Some(device) => put(&tx, key, device),
            None => delete(&tx, key),
        };
        refused += left_out(done)?;
    }
    for entry in &batch.journal {
        refused += left_out(append(&tx, entry))?;
    }
    tx.commit()?;
    Ok(refused)
}

/// Makes the file if it is missing, and takes it from group and others: it holds tokens. SQLite gives the same
/// mode to the files beside it. An existing file is not opened: closing it would end SQLite's locks on it (POSIX).
fn make_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let mode = std::fs::metadata(path)?.permissions().mode();
            if mode & 0o777 == mode & 0o700 {
                return Ok(());
            }
            std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700))
        }
        done => done.map(|_| ()),
    }
}

pub(super) fn failure(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let reason = words::of_sqlite(error);
    match error.sqlite_error_code() {
        // Without a code it is not SQLite that complains: a row has a type or text that fswake never writes.
        None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, reason },
        Some(_) => StoreError::Unusable { path, reason },
    }
}

/// 1 for a change that can never be written, an error for one that may be later.
fn left_out(done: rusqlite::Result<usize>) -> rusqlite::Result<u64> {
    match done {
        Ok(_) => Ok(0),
        Err(e) => match e.sqlite_error_code() {
            Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => Ok(1),
            _ => Err(e),
        },
    }
}

pub(super) fn put(db: &Connection, key: &DeviceKey, device: &Device) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO devices (aor_user, aor_domain, provider, app, token, team, call_token, remote_token, user_agent,
                              register_call_id, first_seen, last_seen, set_aside, public_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (provider, app, token) DO UPDATE SET
             aor_user = excluded.aor_user, aor_domain = excluded.aor_domain, team = excluded.team,
             call_token = excluded.call_token, remote_token = excluded.remote_token,
             user_agent = excluded.user_agent, register_call_id = excluded.register_call_id,
             first_seen = excluded.first_seen, last_seen = excluded.last_seen, set_aside = excluded.set_aside",
    )?
    .execute(params![
        key.aor.user,
        key.aor.domain,
        key.provider.name(),
        key.app,
        key.token.expose(),
        device.push.team,
        device.push.tokens.call().map(PushToken::expose),
        device.push.tokens.remote().map(PushToken::expose),
        device.user_agent,
        device.register_call_id,
        device.first_seen,
        device.last_seen,
        device.set_aside,
        key.public_id().0.cast_signed(),
    ])
}

/// Only the owner's row: a late delete for a former owner takes nothing from the new one.
fn delete(db: &Connection, key: &DeviceKey) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "DELETE FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3 AND aor_user = ?4 AND aor_domain = ?5",
    )?
    .execute(params![
        key.provider.name(),
        key.app,
        key.token.expose(),
        key.aor.user,
        key.aor.domain,
    ])
}

fn append(db: &Connection, entry: &JournalEntry) -> rusqlite::Result<usize> {
    db.prepare_cached(
        "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        entry.at_ms,
        entry.call.map(|c| c.to_string()),
        entry.aor.user,
        entry.aor.domain,
        entry.step.name(),
        entry.detail(),
    ])
}

/// What [`device`] reads, in its order.
pub(super) const DEVICE: &str = "aor_user, aor_domain, provider, app, team, call_token, remote_token, user_agent, \
                                 register_call_id, first_seen, last_seen, set_aside";

/// One row's device; `None` for a row without a token, which fswake never writes.
pub(super) fn device(row: &Row<'_>) -> rusqlite::Result<Option<Device>> {
    let token = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.map(PushToken::new));
    let Some(tokens) = Tokens::new(token(5)?, token(6)?) else {
        return Ok(None);
    };
    Ok(Some(Device {
        aor: Aor::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
        push: PushParams {
            provider: Provider::from_name(&row.get::<_, String>(2)?),
            app: row.get(3)?,
            team: row.get(4)?,
            tokens,
        },
        user_agent: row.get(7)?,
        register_call_id: row.get(8)?,
        first_seen: row.get(9)?,
        last_seen: row.get(10)?,
        set_aside: row.get(11)?,
    }))
}
