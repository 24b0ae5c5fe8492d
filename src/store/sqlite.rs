//! The embedded store: one SQLite file, read once at start and written by one thread.

use std::path::Path;

use rusqlite::Connection;

use super::Snapshot;
pub use super::database::Options;
use super::database::{Database, connect_to_read};
pub(crate) use super::rows::devices;
use super::rows::{Origin, devices_from};
use super::schema::failure;
pub use super::schema::{SCHEMA, SCHEMA_VERSION, StoreError};
use super::writer::StoreWriter;
use crate::clock::unix_now;
use crate::words;

/// Entry point of the SQLite store.
#[derive(Debug)]
pub struct Sqlite;

impl Sqlite {
    /// Opens the file, making it (mode 0600) and its tables where they are missing, reads all devices,
    /// and starts the writer's thread.
    pub fn open(path: &Path, options: &Options) -> Result<(Snapshot, StoreWriter), StoreError> {
        let mut db = Database {
            connection: None,
            path: path.to_owned(),
            options: options.clone(),
        };
        let only_reads = if options.waits { connect_to_read(path)? } else { None };
        let snapshot = match &only_reads {
            Some(connection) => snapshot(connection),
            None => snapshot(db.open()?),
        };
        let snapshot = snapshot.map_err(|e| failure(path, &e))?;
        let writer = StoreWriter::start(db, options).map_err(|e| StoreError::Unusable {
            path: path.to_owned(),
            reason: words::of_io(&e),
        })?;
        Ok((snapshot, writer))
    }
}

/// All devices as they are at one moment: another process may be writing.
fn snapshot(connection: &Connection) -> rusqlite::Result<Snapshot> {
    let _moment = connection.unchecked_transaction()?;
    Ok(Snapshot {
        devices: devices_from(connection, Origin::Here)?,
        elsewhere: devices_from(connection, Origin::Elsewhere)?,
        read_at: unix_now(),
    })
}
