//! The file as a copy of a shared store: changes to send, and changes received.
//!
//! Both are in the same transactions as the devices themselves. So however the daemon ends, a change that is in the
//! file is sent when fswake runs again, and what was received is not read again.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::queue::Change;
use super::rows::{self, DEVICE, Origin};
use crate::engine::DeviceChange;
use crate::types::{Aor, Device, DeviceKey, Provider, PushToken, Tokens};

/// What the two threads that write the file share: the file's writer, and the one that exchanges changes with the
/// shared store. They take turns, in the order in which they ask. SQLite's own lock has no order: in a burst of writes
/// one of the two would try until its time limit.
#[derive(Debug, Default)]
pub struct FileAccess {
    turn: Mutex<()>,
    changes: Notify,
    lines: Notify,
    daemon: Arc<str>,
}

impl FileAccess {
    /// Of the file of the fswake with this name.
    pub(super) fn new(daemon: Arc<str>) -> Self {
        Self {
            daemon,
            ..Self::default()
        }
    }

    /// This daemon's name.
    pub(super) fn daemon(&self) -> &str {
        &self.daemon
    }

    /// The synchronizer's turn to write, until it is dropped.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The writer's turn. Blocks the thread.
    pub(super) fn blocking_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.blocking_lock()
    }

    /// Wakes what synchronizes: the file has changes of devices to send, or lines of the journal.
    pub(super) fn set_written(&self, has_changes: bool, has_lines: bool) {
        if has_changes {
            self.changes.notify_one();
        }
        if has_lines {
            self.lines.notify_one();
        }
    }

    /// Waits for changes of devices to send.
    pub(super) async fn changes_written(&self) {
        self.changes.notified().await;
    }

    /// Waits for lines of the journal to send.
    pub(super) async fn lines_written(&self) {
        self.lines.notified().await;
    }
}

/// The place of a change in the outbox.
pub(super) type Place = i64;

/// Where reading the shared store continues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The server and its table, and when it had started; empty before the first time.
    pub(super) server: String,
    /// All its transactions before this one have been read.
    pub(super) read_to: i64,
}

impl Cursor {
    /// Whether it is of this server and table, whenever that has started. Files of older versions have no start.
    pub(super) fn is_of(&self, identity: &str) -> bool {
        is_of(&self.server, identity)
    }
}

/// Whether a place (`Server::place`) is of this server and table, whenever that has started.
pub(super) fn is_of(place: &str, identity: &str) -> bool {
    let start = place.strip_prefix(identity);
    start.is_some_and(|start| start.is_empty() || start.starts_with(' '))
}

/// Whether this file has never had devices: neither its own, nor all of a shared store.
pub(super) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM devices) AND NOT EXISTS (SELECT 1 FROM outbox)
                   AND NOT EXISTS (SELECT 1 FROM shared WHERE server <> '')";
    db.query_row(sql, [], |row| row.get(0))
}

/// `PRAGMA cache_size`: minus KiB of the file that are kept in memory.
const WHILE_FILLING: i64 = -(64 << 10);
const SQLITES_OWN: i64 = -2000;

/// Fills an empty file with all devices of a shared store, in one transaction and without the indexes that are not in
/// the order in which they come. A killed daemon has written nothing.
pub(super) struct Filling<'a> {
    tx: Transaction<'a>,
    indexes: Vec<String>,
    _cache: LargerCache<'a>,
}

/// More memory for pages, until it is dropped.
struct LargerCache<'a>(&'a Connection);

impl Drop for LargerCache<'_> {
    fn drop(&mut self) {
        // Best effort: the cache may stay large.
        let _ = self.0.pragma_update(None, "cache_size", SQLITES_OWN);
        let _ = self.0.execute_batch("PRAGMA shrink_memory");
    }
}

impl<'a> Filling<'a> {
    /// Begins. The file stays locked until [`Filling::end`].
    pub(super) fn begin(db: &'a Connection) -> rusqlite::Result<Self> {
        db.pragma_update(None, "cache_size", WHILE_FILLING)?;
        let cache = LargerCache(db);
        let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
        let sql =
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'devices' AND sql IS NOT NULL";
        let indexes: Vec<(String, String)> = tx
            .prepare(sql)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (name, _) in &indexes {
            tx.execute_batch(&format!("DROP INDEX {name}"))?;
        }
        let indexes = indexes.into_iter().map(|(_, sql)| sql).collect();
        Ok(Self {
            tx,
            indexes,
            _cache: cache,
        })
    }

    /// Adds some, except where this file has later changes. Returns how many it added.
    pub(super) fn add(&self, changes: Vec<DeviceChange>) -> rusqlite::Result<u64> {
        let mut added = 0;
        for change in changes {
            added += u64::from(apply_one(&self.tx, &change, Origin::Elsewhere)?);
        }
        Ok(added)
    }

    /// Commits them, and where reading continues.
    pub(super) fn end(self, cursor: &Cursor) -> rusqlite::Result<()> {
        for sql in &self.indexes {
            self.tx.execute_batch(sql)?;
        }
        set_cursor(&self.tx, cursor)?;
        self.tx.commit()
    }
}

/// Whether this file is a copy of a shared store.
pub(super) fn is_shared(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM shared)", [], |row| row.get(0))
}

/// From now on changes are also put into the outbox.
pub(super) fn begin(db: &Connection) -> rusqlite::Result<()> {
    db.execute("INSERT OR IGNORE INTO shared VALUES (1, '', 0, '')", [])?;
    Ok(())
}

/// Ends sharing. All devices stay in the file. Returns how many drops of tokens the shared store never gets to know.
pub(super) fn end(db: &Connection) -> rusqlite::Result<usize> {
    if !is_shared(db)? {
        return Ok(0);
    }
    let unsent: i64 = db.query_row("SELECT count(*) FROM outbox WHERE dropped = 1", [], |row| row.get(0))?;
    db.execute_batch("BEGIN IMMEDIATE; DELETE FROM shared; DELETE FROM outbox; COMMIT")?;
    Ok(usize::try_from(unsent).unwrap_or(0))
}

/// Adds a change at the end. It replaces an older change of the same token. A late delete for a former owner is
/// ignored.
pub(super) fn add(db: &Connection, key: &DeviceKey, change: &Change) -> rusqlite::Result<usize> {
    let new = match change {
        Change::Put(device) => DeviceChange::Kept(device.clone()),
        Change::Delete(changed) => DeviceChange::Dropped {
            key: key.clone(),
            changed: *changed,
        },
    };
    if waiting_change(db, key)?.is_some_and(|waiting| waiting.is_later_than(&new)) {
        return Ok(0);
    }
    let (device, changed) = match change {
        Change::Put(device) => (Some(&**device), device.changed),
        Change::Delete(changed) => (None, *changed),
    };
    let tokens = device.map(|device| &device.push.tokens);
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO outbox ({DEVICE}, token, changed, dropped)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    ))?
    .execute(params![
        key.aor.user,
        key.aor.domain,
        key.provider.name(),
        key.app,
        device.and_then(|d| d.push.team.as_deref()),
        tokens.and_then(Tokens::call).map(PushToken::expose),
        tokens.and_then(Tokens::remote).map(PushToken::expose),
        device.map_or("", |d| &d.user_agent),
        device.map_or("", |d| &d.register_call_id),
        device.map_or(0, |d| d.first_seen),
        device.map_or(0, |d| d.last_seen),
        device.and_then(|d| d.set_aside.as_deref()),
        key.token.expose(),
        changed,
        device.is_none(),
    ])
}

/// Adds all devices of this file: the server is another one, or has lost some.
pub(super) fn add_all(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        &format!(
            "INSERT OR IGNORE INTO outbox ({DEVICE}, token, changed, dropped) SELECT {DEVICE}, token, changed, 0 FROM devices"
        ),
        [],
    )
}

/// The oldest changes, with their places for [`remove`].
pub(super) fn first(db: &Connection, most: usize) -> rusqlite::Result<Vec<(Place, DeviceChange)>> {
    let sql = format!("SELECT {DEVICE}, token, changed, dropped, id FROM outbox ORDER BY id LIMIT ?1");
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        Ok(change(row)?.map(|change| (row.get("id"), change)))
    })?;
    rows.filter_map(Result::transpose)
        .map(|row| row.and_then(|(id, change)| Ok((id?, change))))
        .collect()
}

fn change(row: &Row<'_>) -> rusqlite::Result<Option<DeviceChange>> {
    if row.get("dropped")? {
        let key = DeviceKey {
            aor: Aor::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?),
            provider: Provider::from_name(&row.get::<_, String>(2)?),
            app: row.get(3)?,
            token: PushToken::new(row.get::<_, String>("token")?),
        };
        let changed = row.get("changed")?;
        return Ok(Some(DeviceChange::Dropped { key, changed }));
    }
    let device = rows::device(row)?;
    Ok(device.map(|device| DeviceChange::Kept(device.into())))
}

/// How many changes wait.
pub(crate) fn waiting(db: &Connection) -> rusqlite::Result<usize> {
    let count: i64 = db.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Removes changes that were sent. A change that was replaced in the meantime has another place, and stays.
pub(super) fn remove(db: &Connection, sent: &[(Place, DeviceChange)]) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    for (place, _) in sent {
        tx.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([place])?;
    }
    tx.commit()
}

/// Where reading continues.
pub(super) fn cursor(db: &Connection) -> rusqlite::Result<Cursor> {
    let row = db.query_row("SELECT server, read_to FROM shared", [], |row| {
        Ok(Cursor {
            server: row.get(0)?,
            read_to: row.get(1)?,
        })
    });
    Ok(row.optional()?.unwrap_or_default())
}

/// Stores where reading continues.
pub(super) fn set_cursor(db: &Connection, cursor: &Cursor) -> rusqlite::Result<()> {
    let sql = "UPDATE shared SET server = ?1, read_to = ?2 WHERE server <> ?1 OR read_to <> ?2";
    db.execute(sql, params![cursor.server, cursor.read_to])?;
    Ok(())
}

/// Stores how other daemons' changes arrive, for the doctor.
pub(super) fn set_arrival(db: &Connection, arrival: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE shared SET arrival = ?1 WHERE arrival <> ?1";
    db.execute(sql, [arrival])?;
    Ok(())
}

/// How other daemons' changes arrive.
pub(crate) fn arrival(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT arrival FROM shared", [], |row| row.get(0))
        .optional()
}

/// Applies changes of other daemons, except where this file has later ones. Returns those that were applied.
pub(super) fn apply(db: &Connection, changes: Vec<DeviceChange>) -> rusqlite::Result<Vec<DeviceChange>> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let mut applied = Vec::with_capacity(changes.len());
    for change in changes {
        if apply_one(&tx, &change, Origin::Elsewhere)? {
            applied.push(change);
        }
    }
    tx.commit()?;
    Ok(applied)
}

/// Returns whether the change was applied. It is not if this file has a later one.
fn apply_one(tx: &Connection, change: &DeviceChange, origin: Origin) -> rusqlite::Result<bool> {
    let key = change.key();
    let is_older = |known: Option<DeviceChange>| known.is_some_and(|known| !change.is_later_than(&known));
    if is_older(waiting_change(tx, &key)?) || is_older(known(tx, &key)?) {
        return Ok(false);
    }
    match change {
        DeviceChange::Kept(device) => rows::put(tx, &key, device, origin)?,
        DeviceChange::Dropped { .. } => tx
            .prepare_cached("DELETE FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3")?
            .execute(params![key.provider.name(), key.app, key.token.expose()])?,
    };
    Ok(true)
}

/// Applies devices of another store as if they had registered here, except where this file has later changes. Returns
/// how many were applied. It is one transaction: a killed import has changed nothing, and can be repeated.
pub(super) fn import(db: &Connection, devices: &[Arc<Device>]) -> rusqlite::Result<usize> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let is_shared = is_shared(&tx)?;
    let mut applied = 0;
    for device in devices {
        if apply_one(&tx, &DeviceChange::Kept(device.clone()), Origin::Here)? {
            applied += 1;
            if is_shared {
                add(&tx, &device.key(), &Change::Put(device.clone()))?;
            }
        }
    }
    tx.commit()?;
    Ok(applied)
}

/// A token's change that waits to be sent.
fn waiting_change(db: &Connection, key: &DeviceKey) -> rusqlite::Result<Option<DeviceChange>> {
    let sql =
        format!("SELECT {DEVICE}, token, changed, dropped FROM outbox WHERE provider = ?1 AND app = ?2 AND token = ?3");
    let found = db
        .prepare_cached(&sql)?
        .query_row(params![key.provider.name(), key.app, key.token.expose()], change)
        .optional()?;
    Ok(found.flatten())
}

/// The device with a token.
fn known(db: &Connection, key: &DeviceKey) -> rusqlite::Result<Option<DeviceChange>> {
    let sql = format!("SELECT {DEVICE}, changed FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3");
    let found: Option<Option<Device>> = db
        .prepare_cached(&sql)?
        .query_row(params![key.provider.name(), key.app, key.token.expose()], rows::device)
        .optional()?;
    Ok(found.flatten().map(|device| DeviceChange::Kept(device.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::SCHEMA;

    #[test]
    fn failed_filling_gives_its_memory_back() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let cache = || {
            db.pragma_query_value(None, "cache_size", |row| row.get::<_, i64>(0))
                .unwrap()
        };
        let filling = Filling::begin(&db).unwrap();
        assert_eq!(cache(), WHILE_FILLING);
        drop(filling);
        assert_eq!(cache(), SQLITES_OWN);
    }
}
