//! The embedded store: one SQLite file, read once at start and written by one thread.

use std::path::Path;

use super::Snapshot;
pub use super::database::Options;
use super::database::{Database, connect};
use super::outbox;
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
        let connection = connect(path, options)?;
        let shared = match options.shared {
            Some(_) => outbox::begin(&connection),
            None => outbox::end(&connection),
        };
        shared.map_err(|e| failure(path, &e))?;
        let snapshot = Snapshot {
            devices: devices_from(&connection, Origin::Here).map_err(|e| failure(path, &e))?,
            elsewhere: devices_from(&connection, Origin::Elsewhere).map_err(|e| failure(path, &e))?,
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
