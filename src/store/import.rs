//! Imports devices of another system into the store, in one transaction.
//!
//! It may run while the daemon runs: SQLite's locks separate the two, and what the daemon has learned from a REGISTER
//! is kept. The daemon reads devices only at its start.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::database::{self, Options};
use super::outbox;
use super::queue::Change;
use super::rows::{self, Origin};
use super::schema::{self, StoreError};
use crate::types::{Aor, Device, DeviceKey, Tokens};

/// How long the daemon's writer may hold the file.
const BUSY: Duration = Duration::from_secs(10);

/// The result for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is new to the store.
    Added,
    /// The store knew it, with less or older data.
    Renewed,
    /// The token moves from this AOR, which registered earlier.
    Taken(Aor),
    /// The store has the same or better data.
    Known,
    /// The token belongs to this AOR, which registered later.
    Kept(Aor),
}

/// An open transaction: nothing is in the store before [`Import::commit`].
#[derive(Debug)]
pub struct Import {
    connection: Connection,
    path: PathBuf,
    /// The result for each device, in the order they were given.
    pub fates: Vec<Fate>,
}

impl Import {
    /// Writes the devices into a transaction that is still open; a store that is missing is made.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing has changed.
    pub fn begin(path: &Path, devices: &[Device]) -> Result<Self, StoreError> {
        let is_new = !path.exists();
        let connection = database::connect(path, &Options::default())?;
        if is_new {
            give_to_owner_of_directory(path);
        }
        let begun = connection.busy_timeout(BUSY);
        let begun = begun.and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"));
        begun.map_err(|e| schema::failure(path, &e))?;
        let is_shared = outbox::is_shared(&connection).map_err(|e| schema::failure(path, &e))?;
        let put = devices.iter().map(|d| (d.key(), d));
        let fates = put.map(|(key, device)| {
            let (fate, row) = fate(&connection, &key, device)?;
            if let Some(row) = row {
                rows::put(&connection, &key, &row, Origin::Here)?;
                if is_shared {
                    outbox::add(&connection, &key, &Change::Put(row.into()))?;
                }
            }
            Ok(fate)
        });
        let fates = fates
            .collect::<rusqlite::Result<_>>()
            .map_err(|e| schema::failure(path, &e))?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            fates,
        })
    }

    /// Commits.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing has changed.
    pub fn commit(self) -> Result<Vec<Fate>, StoreError> {
        let done = self.connection.execute_batch("COMMIT");
        done.map_err(|e| schema::failure(&self.path, &e))?;
        Ok(self.fates)
    }

    /// The planned results, without any change.
    ///
    /// # Errors When the store exists and cannot be read.
    pub fn foresee(path: &Path, devices: &[Device]) -> Result<Vec<Fate>, StoreError> {
        let added = || devices.iter().map(|_| Fate::Added).collect();
        if !path.exists() {
            return Ok(added());
        }
        let read = || -> rusqlite::Result<Vec<Fate>> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if version == 0 {
                return Ok(added());
            }
            let put = devices.iter().map(|d| (d.key(), d));
            put.map(|(key, device)| Ok(fate(&connection, &key, device)?.0))
                .collect()
        };
        read().map_err(|e| schema::failure(path, &e))
    }
}

/// If root creates the file, gives it to the daemon's user, who owns the directory.
pub(super) fn give_to_owner_of_directory(path: &Path) {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
    let owner = std::fs::metadata(directory.unwrap_or(Path::new(".")));
    if let (Ok(owner), Ok(file)) = (owner, std::fs::metadata(path))
        && owner.uid() != file.uid()
    {
        // Not permitted: then this user owns it, like any new file.
        let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
        for beside in ["-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(beside);
            let _ = chown(name, Some(owner.uid()), Some(owner.gid()));
        }
    }
}

/// The result for a device, and the row that it needs.
fn fate(db: &Connection, key: &DeviceKey, device: &Device) -> rusqlite::Result<(Fate, Option<Device>)> {
    let known = db
        .prepare_cached(&format!(
            "SELECT {} FROM devices WHERE provider = ?1 AND app = ?2 AND token = ?3",
            rows::columns(db)?
        ))?
        .query_row(params![key.provider.name(), key.app, key.token.expose()], rows::device)
        .optional()?
        .flatten();
    let Some(known) = known else {
        let fate = if is_part_of_another(db, key, device)? {
            Fate::Known
        } else {
            Fate::Added
        };
        let row = (fate == Fate::Added).then(|| device.clone());
        return Ok((fate, row));
    };
    let same = known.aor.user == device.aor.user && known.aor.domain.eq_ignore_ascii_case(&device.aor.domain);
    // Other daemons that share the store take the row only if it is later than the known one.
    let changed = known.changed.saturating_add(1).max(device.changed);
    Ok(match (same, known.last_seen < device.last_seen) {
        (false, false) => (Fate::Kept(known.aor), None),
        (false, true) => {
            let row = Device {
                changed,
                ..device.clone()
            };
            (Fate::Taken(known.aor), Some(row))
        }
        (true, newer) => {
            // A REGISTER's values stay; missing ones are filled in.
            let mut row = known.clone();
            row.last_seen = known.last_seen.max(device.last_seen);
            if newer || known.register_call_id.is_empty() {
                row.push.tokens = joined(&known.push.tokens, &device.push.tokens);
            }
            if row == known {
                (Fate::Known, None)
            } else {
                row.changed = changed;
                (Fate::Renewed, Some(row))
            }
        }
    })
}

/// The tokens of a device, with missing ones filled in from the other.
fn joined(tokens: &Tokens, others: &Tokens) -> Tokens {
    let call = tokens.call().or(others.call()).cloned();
    let remote = tokens.remote().or(others.remote()).cloned();
    Tokens::new(call, remote).unwrap_or_else(|| tokens.clone())
}

/// Whether a device known by its message token alone is the store's device with a call token as well.
fn is_part_of_another(db: &Connection, key: &DeviceKey, device: &Device) -> rusqlite::Result<bool> {
    let Tokens::Remote(remote) = &device.push.tokens else {
        return Ok(false);
    };
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM devices WHERE aor_user = ?1 AND aor_domain = ?2 AND provider = ?3 AND app = ?4
                                                AND remote_token = ?5)",
    )?
    .query_row(
        params![
            key.aor.user,
            key.aor.domain,
            key.provider.name(),
            key.app,
            remote.expose()
        ],
        |row| row.get(0),
    )
}
