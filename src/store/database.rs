//! The file: opened with a schema that is up to date, written in batches.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use tracing::warn;

use super::lines::{self, NewLine};
use super::outbox::{self, FileAccess};
use super::queue::{Batch, Change};
use super::rows::{Origin, delete, put};
use super::schema::{StoreError, failure};
use super::upgrade;
use crate::clock::unix_now;
use crate::words;

/// How long one statement waits for another process that has locked the file, before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// How the store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Journal lines older than this are deleted.
    pub journal_keep: Duration,
    /// The journal's oldest lines are deleted when there are more than so many.
    pub journal_max_lines: u64,
    /// Most journal lines that wait while the file cannot be written; older ones are dropped.
    pub max_queued_journal: usize,
    /// The most devices with changes that wait while the file cannot be written; the oldest are dropped.
    pub max_queued_devices: usize,
    /// Limit of the file's size in pages of 4 KiB (`PRAGMA max_page_count`); none by default.
    pub max_pages: Option<u32>,
    /// Whether each write is on the disk before it counts as written, so that it survives a power failure. Without it
    /// the last writes may be lost then, but none if only fswake is killed.
    pub sync: bool,
    /// Whether another process still writes the file. Changes wait in memory until [`super::StoreWriter::begin`], and
    /// until then the file is not changed: if this process fails, the other goes on with its file.
    pub waits: bool,
    /// Set if the file is a copy of a shared store.
    pub shared: Option<Arc<FileAccess>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal_keep: Duration::from_secs(30 * 24 * 3600),
            journal_max_lines: 5_000_000,
            max_queued_journal: 100_000,
            max_queued_devices: 1_000_000,
            max_pages: None,
            sync: false,
            waits: false,
            shared: None,
        }
    }
}

/// The file and its connection. After a failure there is none: the next write opens a new one, because the file may
/// have been moved or mounted again.
pub(super) struct Database {
    pub connection: Option<Connection>,
    /// Which file that is.
    pub file: Option<FileId>,
    pub path: PathBuf,
    pub options: Options,
}

/// Device and inode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    /// The file of this name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        Some(Self(about.dev(), about.ino()))
    }
}

impl Database {
    /// Whether another file, or none, has the name of the file that is open.
    pub(super) fn is_replaced(&self) -> bool {
        self.connection.is_some() && self.file != FileId::of(&self.path)
    }

    /// Opens the file, with a schema that is up to date.
    pub(super) fn open(&mut self) -> Result<&Connection, StoreError> {
        let connection = connect(&self.path, &self.options)?;
        let shared = match &self.options.shared {
            Some(access) => outbox::begin(&connection)
                .and_then(|()| lines::begin(&connection, access.daemon()))
                .map(|()| 0),
            None => lines::end(&connection).and_then(|()| outbox::end(&connection)),
        };
        let discarded = shared.map_err(|e| failure(&self.path, &e))?;
        if discarded > 0 {
            warn!(
                path = %self.path.display(),
                discarded,
                "the store is no longer shared: PostgreSQL does not learn of dropped tokens that had not been sent"
            );
        }
        self.file = FileId::of(&self.path);
        Ok(self.connection.insert(connection))
    }

    /// Writes a batch in one transaction. Returns how many of its changes can never be written (for instance too big):
    /// they are left out, so that they do not block all others.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<u64, StoreError> {
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let connection = connect(&self.path, &self.options)?;
            self.file = FileId::of(&self.path);
            connection
        };
        let shared = self.options.shared.as_ref();
        let turn = shared.map(|access| access.blocking_turn());
        let daemon = shared.map(|access| access.daemon());
        let refused = write(&mut connection, batch, daemon).map_err(|e| failure(&self.path, &e))?;
        drop(turn);
        if let Some(access) = shared {
            access.set_written(!batch.changes.is_empty(), !batch.journal.is_empty());
        }
        self.connection = Some(connection);
        Ok(refused)
    }

    /// Deletes up to `max` journal lines that are older than the setting, or too many; returns how many it found.
    pub(super) fn prune(&self, max: usize) -> rusqlite::Result<usize> {
        let Some(connection) = &self.connection else {
            return Ok(0);
        };
        let _turn = self.options.shared.as_ref().map(|access| access.blocking_turn());
        let keep = i64::try_from(self.options.journal_keep.as_secs()).unwrap_or(i64::MAX);
        let before = unix_now().saturating_sub(keep).saturating_mul(1000);
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let old = connection
            .prepare_cached(
                "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)",
            )?
            .execute(params![before, max])?;
        // Ids grow, and the oldest lines are deleted first, so the newest id gives the number of lines without
        // counting.
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

/// A connection that only reads, to a file that another process writes. `None` if the file is missing, or of a version
/// that is too old to be read as it is.
pub(super) fn connect_to_read(path: &Path) -> Result<Option<Connection>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failure(path, &e))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| failure(path, &e))?;
    Ok(upgrade::can_be_read(&connection, path)?.then_some(connection))
}

fn open(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", if options.sync { "full" } else { "normal" })?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(connection)
}

/// `daemon` is this daemon's name if the store is shared.
fn write(connection: &mut Connection, batch: &Batch, daemon: Option<&str>) -> rusqlite::Result<u64> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut refused = 0;
    for (_, key, change) in &batch.changes {
        let done = match change {
            Change::Put(device) => put(&tx, key, device, Origin::Here),
            Change::Delete(changed) => delete(&tx, key, *changed),
        };
        refused += left_out(done)?;
        if daemon.is_some() {
            left_out(outbox::add(&tx, key, change))?;
        }
    }
    for entry in &batch.journal {
        let call = entry.call.map(|call| call.to_string());
        let line = NewLine {
            at_ms: entry.at_ms,
            call: call.as_deref(),
            aor_user: &entry.aor.user,
            aor_domain: &entry.aor.domain,
            event: entry.step.name(),
            detail: &entry.detail(),
            daemon: daemon.unwrap_or_default(),
            node: &entry.node,
        };
        refused += left_out(lines::append(&tx, &line))?;
    }
    tx.commit()?;
    Ok(refused)
}

/// Creates the file if it is missing, and removes access for group and others, because it contains tokens. SQLite gives
/// the files next to it the same mode. An existing file is not opened: closing it would end SQLite's locks on it
/// (POSIX).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_synced_only_where_the_options_say_so() {
        let dir = tempfile::tempdir().unwrap();
        // SQLite's numbers: 1 is NORMAL, 2 is FULL.
        for (sync, expected) in [(false, 1), (true, 2)] {
            let options = Options {
                sync,
                ..Options::default()
            };
            let connection = connect(&dir.path().join("fswake.db"), &options).unwrap();
            let found: i64 = connection
                .query_row("PRAGMA synchronous", [], |row| row.get(0))
                .unwrap();
            assert_eq!(found, expected);
        }
    }
}
