//! How keeping in touch with the shared store is going.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::SharedError;
use crate::clock::unix_now;
use crate::store::WriteFailure;

/// How other daemons' changes come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewsBy {
    /// Not known yet.
    #[default]
    Unknown,
    /// PostgreSQL notifies of them.
    Notify,
    /// Only by asking for them every two seconds: a pooler, or replication between servers, keeps notifications back.
    Poll,
}

impl NewsBy {
    /// The word in metrics and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Notify => "notify",
            Self::Poll => "poll",
        }
    }
}

/// How the shared store is doing, as seen from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedHealth {
    /// Set while it cannot be used.
    pub failing: Option<WriteFailure>,
    /// Changes that wait in this daemon's file.
    pub waiting: usize,
    /// Changes sent since the start.
    pub sent: u64,
    /// Other daemons' changes taken since the start.
    pub taken: u64,
    /// Changes that it can never take, since the start.
    pub refused: u64,
    /// How other daemons' changes come.
    pub news_by: NewsBy,
}

#[derive(Debug)]
pub(super) struct State {
    health: Mutex<SharedHealth>,
    place: String,
    path: PathBuf,
    pub(super) written: Arc<Notify>,
    /// Whether the loop is to hear of news.
    pub(super) is_loud: AtomicBool,
    pub(super) stop: CancellationToken,
    /// When its thread is over.
    pub(super) ended: CancellationToken,
}

impl State {
    pub(super) fn new(place: String, path: PathBuf) -> Self {
        Self {
            health: Mutex::default(),
            place,
            path,
            written: Arc::default(),
            is_loud: AtomicBool::new(false),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn health(&self) -> SharedHealth {
        self.lock().clone()
    }

    pub(super) fn set(&self, set: impl FnOnce(&mut SharedHealth)) {
        set(&mut self.lock());
    }

    /// It cannot be used: that is logged when it begins.
    pub(super) fn failed(&self, why: &SharedError) {
        let reason = why.to_string();
        let mut health = self.lock();
        let since = health.failing.as_ref().map_or_else(unix_now, |failing| failing.since);
        let begins = health.failing.is_none();
        health.failing = Some(WriteFailure {
            since,
            reason: reason.clone(),
        });
        drop(health);
        if begins {
            error!(
                store = self.place,
                reason,
                path = %self.path.display(),
                "the shared store cannot be used: calls are woken from memory, and changes wait in the file"
            );
        }
    }

    /// It can be used, again.
    pub(super) fn works(&self) {
        let mut health = self.lock();
        let failed = health.failing.take();
        let (sent, taken) = (health.sent, health.taken);
        drop(health);
        if let Some(failing) = failed {
            let seconds = unix_now().saturating_sub(failing.since);
            info!(
                store = self.place,
                seconds, sent, taken, "the shared store can be used again"
            );
        }
    }

    /// It can never take some changes: they stay in this daemon's file.
    pub(super) fn refused(&self, why: &SharedError) {
        self.lock().refused += 1;
        error!(store = self.place, reason = %why, "the shared store refused a change: other daemons will not know of it");
    }

    fn lock(&self) -> MutexGuard<'_, SharedHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
