//! The store that several daemons share: PostgreSQL.
//!
//! Each daemon works from its own file and its memory, as it does without PostgreSQL. It sends its changes to the
//! shared store, and reads those of other daemons from there:
//!
//! ```text
//! engine --StoreOp--> writer --> file with outbox --sync--> PostgreSQL --> the other daemons
//!    ^                             ^                 |
//!    +-- DeviceChangedElsewhere ---+-----------------+  other daemons' changes
//! ```
//!
//! The daemon that receives a REGISTER decides in its engine what changes. The others apply the outcome. One rule
//! decides between two changes of a token, in PostgreSQL, in the file and in memory: the later one
//! (`DeviceChange::is_later_than`).
//!
//! Races, each with its test in `tests/store/shared.rs`:
//! - several daemons start at once: one creates the tables, the others wait for it
//!   (`daemons_that_start_together_create_the_tables_once`);
//! - a token registers at two nodes, and the changes arrive in any order: the later REGISTER owns it
//!   (`later_register_owns_the_token_in_any_order_of_writing`);
//! - PostgreSQL or a daemon is killed before a change was sent: the outbox has it
//!   (`nothing_is_lost_while_postgresql_is_killed_and_down`);
//! - a transaction that began earlier commits later: reading continues at the oldest open transaction
//!   (`transaction_that_began_earlier_and_ends_later_is_not_missed`);
//! - a killed PostgreSQL uses transaction numbers again: after each of its starts the last ones are read again
//!   (`registrations_while_postgresql_is_down_reach_all_daemons_later` in `tests/daemon/shared.rs`);
//! - fswake is killed after PostgreSQL has taken lines and before the file has noted it: they are sent again, and stored once
//!   (`lines_of_a_killed_daemon_are_neither_lost_nor_doubled` in `tests/store/journal.rs`);
//! - a transaction with lines ends long after later ones (`line_of_a_transaction_that_ends_late_is_not_missed`, there too);
//! - the file's writer and the synchronizer write the file at once: they take turns (`outbox::FileAccess`,
//!   `burst_of_100_000_devices_loses_none`).

mod backoff;
mod error;
mod journal;
mod journal_server;
mod query;
mod rights;
mod row;
mod schema;
mod server;
mod sync;
mod thread;
mod version;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::error;

pub use self::error::SharedError;
use self::journal::JournalExchange;
pub use self::journal::JournalLimits;
pub(crate) use self::schema::Tables;
pub(crate) use self::server::{Page, Server};
use self::sync::{First, Synchronizer};
use self::thread::SyncThread;
pub use self::thread::{Arrival, ExchangeHealth, SharedHealth};
pub use self::version::{SCHEMA, SCHEMA_VERSION};
use super::database::{self, Options};
pub use super::outbox::FileAccess;
use super::{StoreError, lines, outbox, schema as file};
use crate::engine::DeviceChange;
use crate::handover::{Duty, Phase};
use crate::input::Input;
use crate::postgres::Dsn;
use crate::types::Device;
use crate::words;

/// This daemon's connection to the shared store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedStore(Arc<SyncThread>);

/// What a start needs.
#[derive(Debug)]
pub struct Start<'a> {
    /// The server.
    pub dsn: Dsn,
    /// This daemon's own file.
    pub path: &'a Path,
    /// The loop, which gets other daemons' changes.
    pub inputs: mpsc::Sender<Input>,
    /// `store.token-ttl` in seconds. Rows of dropped tokens stay as long, and a day.
    pub token_ttl: Arc<AtomicU64>,
    /// This daemon's name, on its lines of the journal.
    pub daemon: Arc<str>,
    /// How much of the shared journal is kept.
    pub journal: JournalLimits,
    /// Whether another process still synchronizes this file: this one begins when it is on duty.
    pub duty: Duty,
    /// How long to wait for other daemons' changes, or for the next of many devices. After that the daemon starts with
    /// what it has.
    pub wait: Duration,
}

/// Why a daemon cannot start with this store.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its own file.
    #[error(transparent)]
    File(#[from] StoreError),
    /// The shared store, where waiting does not help.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// The file as a copy of a shared store: a connection for devices, and one for the journal.
fn open_files(path: &Path, daemon: &Arc<str>) -> Result<(rusqlite::Connection, rusqlite::Connection), StoreError> {
    let local = database::connect(path, &Options::default())?;
    outbox::begin(&local)
        .and_then(|()| lines::begin(&local, daemon))
        .map_err(|e| file::failure(path, &e))?;
    Ok((local, database::connect(path, &Options::default())?))
}

impl SharedStore {
    /// Starts the thread that synchronizes, and waits until it has read other daemons' changes, or has failed to. Call
    /// [`SharedStore::feed_engine`] before the file is read. The receiver ends with the thread.
    ///
    /// If the file has nothing yet and `each` is given, that gets all devices, and the file is filled in the background
    /// from [`SharedStore::file_is_open`] on: it takes several times as long as reading them.
    ///
    /// # Errors
    /// When the file cannot be opened, or a newer fswake has changed the tables.
    pub fn start(
        start: Start<'_>,
        mut each: Option<&mut dyn FnMut(&Device)>,
    ) -> Result<(Self, oneshot::Receiver<()>), StartError> {
        let unusable = |e: &std::io::Error| StoreError::Unusable {
            path: start.path.to_owned(),
            reason: words::of_io(e),
        };
        let waits = start.duty.phase() == Phase::Waiting;
        let files = if waits {
            None
        } else {
            Some(open_files(start.path, &start.daemon)?)
        };
        let daemon = Arc::clone(&start.daemon);
        let status = Arc::new(SyncThread::new(start.dsn.place(), start.path.to_owned(), start.daemon));
        let (first, first_time) = std::sync::mpsc::sync_channel(4);
        let reads_all = each.is_some();
        let (running, ended) = oneshot::channel::<()>();
        let journal = {
            let (status, dsn, limits) = (Arc::clone(&status), start.dsn.clone(), start.journal);
            move |local| JournalExchange::new(dsn, local, status, limits)
        };
        let synchronizer = {
            let (status, dsn, inputs, token_ttl) = (Arc::clone(&status), start.dsn, start.inputs, start.token_ttl);
            move |local| Synchronizer::new(dsn, local, status, inputs, token_ttl, (first, reads_all))
        };
        let (duty, path, stop) = (start.duty, start.path.to_owned(), status.stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| unusable(&e))?;
        let over = status.ended.clone().drop_guard();
        let thread = std::thread::Builder::new().name("fswake-shared".into()).spawn(move || {
            let _running = (running, over);
            runtime.block_on(async {
                if stop.run_until_cancelled(duty.begun()).await.is_none() {
                    return;
                }
                match files.map_or_else(|| open_files(&path, &daemon), Ok) {
                    Ok((local, of_journal)) => {
                        tokio::join!(synchronizer(local).run(), journal(of_journal).run());
                    }
                    // The end of this thread ends the daemon.
                    Err(error) => error!(%error, "the shared store cannot be used"),
                }
            });
        });
        thread.map_err(|e| unusable(&e))?;
        if waits {
            return Ok((Self(status), ended));
        }
        loop {
            match first_time.recv_timeout(start.wait) {
                Ok(First::Devices(changes)) => {
                    for change in changes {
                        if let (DeviceChange::Kept(device), Some(each)) = (change, &mut each) {
                            each(&device);
                        }
                    }
                }
                Ok(First::Tried(Err(error))) if error.is_for_good() => {
                    status.stop.cancel();
                    return Err(error.into());
                }
                Ok(First::Tried(_)) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Ok((Self(status), ended));
                }
            }
        }
    }

    /// The daemon has opened its file: from now on this thread may keep it locked for longer.
    pub fn file_is_open(&self) {
        self.0.file_is_open.cancel();
    }

    /// From now on the engine gets other daemons' changes as events. Earlier ones are in the file.
    pub fn feed_engine(&self) {
        self.0.feeds_engine.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// What the file's writer needs to take turns with this thread, and to wake it.
    pub fn file_access(&self) -> Arc<FileAccess> {
        Arc::clone(&self.0.file)
    }

    /// Its health.
    pub fn health(&self) -> SharedHealth {
        self.0.health()
    }

    /// Whether every change and every line in the file has been sent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_synced(&self) -> Result<bool, rusqlite::Error> {
        let file = rusqlite::Connection::open(self.0.path())?;
        Ok(outbox::waiting(&file)? == 0 && lines::waiting(&file)? == 0)
    }

    /// Sends what still waits, at most `within`, and stops. What could not be sent stays in the file.
    pub async fn stop(&self, within: Duration) {
        self.0.stop.cancel();
        let _ = tokio::time::timeout(within, self.0.ended.cancelled()).await;
    }
}
