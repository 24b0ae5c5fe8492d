//! The thread that synchronizes with the shared store, as the rest of the daemon sees it.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{FileAccess, SharedError};
use crate::clock::unix_now;
use crate::store::WriteFailure;

/// How other daemons' changes arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    /// Not known yet.
    #[default]
    Unknown,
    /// PostgreSQL notifies this daemon of them.
    Notify,
    /// They are read every two seconds: notifications do not pass a pooler, or replication between servers.
    Poll,
}

impl Arrival {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Notify => "notify",
            Self::Poll => "poll",
        }
    }
}

/// The state of the shared store, as this daemon sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedHealth {
    /// Devices.
    pub devices: ExchangeHealth,
    /// The shared journal.
    pub journal: ExchangeHealth,
    /// How other daemons' changes of devices arrive.
    pub arrival: Arrival,
}

/// How changes of devices, or lines of the journal, are exchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeHealth {
    /// Set while they cannot be.
    pub failing: Option<WriteFailure>,
    /// How many wait in this daemon's file.
    pub waiting: usize,
    /// Sent since the start.
    pub sent: u64,
    /// Those of other daemons that were received since the start.
    pub received: u64,
    /// Those that PostgreSQL can never store, since the start.
    pub refused: u64,
}

impl ExchangeHealth {
    fn fail(&mut self, reason: &str) {
        let since = self.failing.as_ref().map_or_else(unix_now, |failing| failing.since);
        let reason = reason.to_owned();
        self.failing = Some(WriteFailure { since, reason });
    }

    /// Returns for how many seconds it had failed.
    fn succeed(&mut self) -> Option<i64> {
        let failed = self.failing.take()?;
        Some(unix_now().saturating_sub(failed.since))
    }
}

/// Its health, and how it is woken and stopped.
#[derive(Debug)]
pub(super) struct SyncThread {
    health: Mutex<SharedHealth>,
    place: String,
    path: PathBuf,
    pub(super) file: Arc<FileAccess>,
    /// Whether other daemons' changes go to the engine.
    pub(super) feeds_engine: AtomicBool,
    pub(super) stop: CancellationToken,
    /// Cancelled when the daemon has opened its file.
    pub(super) file_is_open: CancellationToken,
    /// Cancelled when the first try to exchange devices is over.
    pub(super) tried: CancellationToken,
    /// Cancelled when the thread has ended.
    pub(super) ended: CancellationToken,
}

impl SyncThread {
    pub(super) fn new(place: String, path: PathBuf, daemon: Arc<str>) -> Self {
        Self {
            health: Mutex::default(),
            place,
            path,
            file: Arc::new(FileAccess::new(daemon)),
            feeds_engine: AtomicBool::new(false),
            stop: CancellationToken::new(),
            file_is_open: CancellationToken::new(),
            tried: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn health(&self) -> SharedHealth {
        self.lock().clone()
    }

    pub(super) fn update(&self, update: impl FnOnce(&mut SharedHealth)) {
        update(&mut self.lock());
    }

    /// Records a failure. Only the first of several in a row is logged.
    pub(super) fn failed(&self, why: &SharedError) {
        let reason = why.to_string();
        let mut health = self.lock();
        let is_first = health.devices.failing.is_none();
        health.devices.fail(&reason);
        drop(health);
        if is_first {
            error!(
                store = self.place,
                reason,
                path = %self.path.display(),
                "the shared store cannot be used: calls are woken from memory, and changes wait in the file"
            );
        }
    }

    /// Records success, and logs it after a failure.
    pub(super) fn succeeded(&self) {
        let mut health = self.lock();
        let failed = health.devices.succeed();
        let ExchangeHealth { sent, received, .. } = health.devices;
        drop(health);
        if let Some(seconds) = failed {
            info!(
                store = self.place,
                seconds, sent, received, "the shared store can be used again"
            );
        }
    }

    /// Counts and logs a change that PostgreSQL can never store. It stays in this daemon's file.
    pub(super) fn refused(&self, why: &SharedError) {
        self.lock().devices.refused += 1;
        error!(store = self.place, reason = %why, "the shared store refused a change: other daemons will not know of it");
    }

    /// Records that lines cannot be exchanged. If devices cannot be exchanged either, that has been logged.
    pub(super) fn journal_failed(&self, why: &SharedError, waiting: Option<usize>) {
        let reason = why.to_string();
        let mut health = self.lock();
        let is_known = health.devices.failing.is_some() || health.journal.failing.is_some();
        health.journal.fail(&reason);
        if let Some(waiting) = waiting {
            health.journal.waiting = waiting;
        }
        drop(health);
        if !is_known && !why.is_about_the_connection() {
            error!(
                store = self.place,
                reason,
                path = %self.path.display(),
                "the shared journal cannot be used: its lines wait in the file, and other daemons' wakes are missing here"
            );
        }
    }

    /// Records that lines are exchanged, and logs it after a failure.
    pub(super) fn journal_succeeded(&self) {
        let mut health = self.lock();
        let failed = health.journal.succeed();
        let ExchangeHealth { sent, received, .. } = health.journal;
        drop(health);
        if let Some(seconds) = failed {
            info!(
                store = self.place,
                seconds, sent, received, "the shared journal can be used again"
            );
        }
    }

    /// Counts and logs a line that PostgreSQL can never store. It stays in this daemon's file.
    pub(super) fn journal_refused(&self, why: &SharedError) {
        self.lock().journal.refused += 1;
        error!(store = self.place, reason = %why, "the shared journal refused a line: other daemons will not show it");
    }

    fn lock(&self) -> MutexGuard<'_, SharedHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
