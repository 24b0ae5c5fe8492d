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
    /// Set while it cannot be used.
    pub failing: Option<WriteFailure>,
    /// Changes that wait in this daemon's file.
    pub waiting: usize,
    /// Changes sent since the start.
    pub sent: u64,
    /// Other daemons' changes received since the start.
    pub received: u64,
    /// Changes that it can never store, since the start.
    pub refused: u64,
    /// How other daemons' changes arrive.
    pub arrival: Arrival,
    /// The shared journal.
    pub journal: JournalHealth,
}

/// The state of the shared journal, as this daemon sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalHealth {
    /// Set while lines cannot be exchanged.
    pub failing: Option<WriteFailure>,
    /// Lines that wait in this daemon's file.
    pub waiting: usize,
    /// Lines sent since the start.
    pub sent: u64,
    /// Other daemons' lines received since the start.
    pub received: u64,
    /// Lines that PostgreSQL can never store, since the start.
    pub refused: u64,
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
        let since = health.failing.as_ref().map_or_else(unix_now, |failing| failing.since);
        let is_first = health.failing.is_none();
        health.failing = Some(WriteFailure {
            since,
            reason: reason.clone(),
        });
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
        let failed = health.failing.take();
        let (sent, received) = (health.sent, health.received);
        drop(health);
        if let Some(failing) = failed {
            let seconds = unix_now().saturating_sub(failing.since);
            info!(
                store = self.place,
                seconds, sent, received, "the shared store can be used again"
            );
        }
    }

    /// Counts and logs a change that PostgreSQL can never store. It stays in this daemon's file.
    pub(super) fn refused(&self, why: &SharedError) {
        self.lock().refused += 1;
        error!(store = self.place, reason = %why, "the shared store refused a change: other daemons will not know of it");
    }

    /// Records that lines cannot be exchanged. If devices cannot be exchanged either, that has been logged.
    pub(super) fn journal_failed(&self, why: &SharedError, waiting: Option<usize>) {
        let reason = why.to_string();
        let mut health = self.lock();
        let is_known = health.failing.is_some() || health.journal.failing.is_some();
        let since = health
            .journal
            .failing
            .as_ref()
            .map_or_else(unix_now, |failing| failing.since);
        health.journal.failing = Some(WriteFailure {
            since,
            reason: reason.clone(),
        });
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
        let failed = health.journal.failing.take();
        let (sent, received) = (health.journal.sent, health.journal.received);
        drop(health);
        if let Some(failing) = failed {
            let seconds = unix_now().saturating_sub(failing.since);
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
