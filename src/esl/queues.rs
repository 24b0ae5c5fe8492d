//! What the driver's loop has for fswake's own connection to a FreeSWITCH.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::peers::Told;
use super::user_registrations::RegistrationsQuery;
use crate::engine::Cause;
use crate::types::LegId;

/// Kills and news that may wait.
const WAITING: usize = 1024;
/// Questions about registrations that may wait, some 200 bytes each.
const QUESTIONS: usize = 16_384;

/// The loop's ends.
pub struct ToConnection {
    /// Legs to kill whose call's own connection is gone.
    pub kills: mpsc::Sender<(LegId, Cause)>,
    /// What other fswakes have to know.
    pub news: mpsc::Sender<Told>,
    /// Questions about one user's registrations.
    pub questions: mpsc::Sender<RegistrationsQuery>,
}

/// The connection's ends. They outlive it.
pub struct FromLoop {
    pub(super) kills: mpsc::Receiver<(LegId, Cause)>,
    pub(super) news: mpsc::Receiver<Told>,
    pub(super) questions: Arc<Mutex<mpsc::Receiver<RegistrationsQuery>>>,
}

/// The queues of one FreeSWITCH.
pub fn queues() -> (ToConnection, FromLoop) {
    let (kills, kills_rx) = mpsc::channel(WAITING);
    let (news, news_rx) = mpsc::channel(WAITING);
    let (questions, questions_rx) = mpsc::channel(QUESTIONS);
    let to = ToConnection { kills, news, questions };
    let from = FromLoop {
        kills: kills_rx,
        news: news_rx,
        questions: Arc::new(Mutex::new(questions_rx)),
    };
    (to, from)
}
