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
use crate::types::Device;
use crate::words;

/// Entry point of the SQLite store.
#[derive(Debug)]
pub struct Sqlite;

impl Sqlite {
    /// Opens the file, making it (mode 0600) and its tables where they are missing, reads all devices,
    /// and starts the writer's thread.
    pub fn open(path: &Path, options: &Options) -> Result<(Snapshot, StoreWriter), StoreError> {
        let mut snapshot = Snapshot::default();
        let writer = Self::open_and_read(path, options, &mut |device, origin| match origin {
            Origin::Here => snapshot.devices.push(device),
            Origin::Elsewhere => snapshot.elsewhere.push(device),
        })?;
        Ok((snapshot, writer))
    }

    /// The same, giving the devices one by one: first those that this daemon changed last.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open_and_read(
        path: &Path,
        options: &Options,
        each: &mut dyn FnMut(Device, Origin),
    ) -> Result<StoreWriter, StoreError> {
        let mut db = Database {
            connection: None,
            file: None,
            path: path.to_owned(),
            options: options.clone(),
        };
        let only_reads = if options.waits { connect_to_read(path)? } else { None };
        let read = match &only_reads {
            Some(connection) => read(connection, each),
            None => read(db.open()?, each),
        };
        read.map_err(|e| failure(path, &e))?;
        StoreWriter::start(db, options).map_err(|e| StoreError::Unusable {
            path: path.to_owned(),
            reason: words::of_io(&e),
        })
    }
}

/// All devices as they are at one moment: another process may be writing.
fn read(connection: &Connection, each: &mut dyn FnMut(Device, Origin)) -> rusqlite::Result<()> {
    let _moment = connection.unchecked_transaction()?;
    for origin in [Origin::Here, Origin::Elsewhere] {
        devices_from(connection, origin, &mut |device| each(device, origin))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::StoreOp;
    use super::super::database::connect;
    use super::super::outbox::{self, FileAccess};
    use super::*;
    use crate::engine::DeviceChange;
    use crate::logging::tests::capture;
    use crate::types::{Aor, DeviceKey, Provider, PushToken};

    #[test]
    fn drops_that_a_shared_store_never_learns_of_are_logged_when_sharing_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fswake.db");
        let shared = Options {
            shared: Some(Arc::new(FileAccess::new("one".into()))),
            ..Options::default()
        };
        let (_, writer) = Sqlite::open(&path, &shared).unwrap();
        let key = DeviceKey {
            aor: Aor::new("u", "d"),
            provider: Provider::from_name("fcm"),
            app: "a".into(),
            token: PushToken::new("t".to_owned()),
        };
        writer.submit(StoreOp::Delete(key.clone(), 7));
        writer.flush(Duration::from_secs(60)).unwrap();
        drop(writer);
        let waiting = outbox::first(&connect(&path, &shared).unwrap(), 9).unwrap();
        let dropped = DeviceChange::Dropped { key, changed: 7 };
        assert_eq!(
            waiting.into_iter().map(|(_, change)| change).collect::<Vec<_>>(),
            [dropped]
        );
        let alone = || capture(|| drop(Sqlite::open(&path, &Options::default()).unwrap()));
        let logged = alone();
        assert!(
            logged.contains("WARN") && logged.contains("no longer shared") && logged.contains("discarded=1"),
            "{logged}"
        );
        assert!(!alone().contains("no longer shared"), "once");
    }
}
