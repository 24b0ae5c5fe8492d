//! Sends answers to the notifications that FreeSWITCH's events ask for, on a separate connection.
//!
//! There are two reasons for a separate connection. Whoever asked may look for `uuid` and `response` in exactly that
//! case, as mod_apn writes them, and [`freeswitch_esl_tokio`] writes `Uuid`. And the connection that registrations come
//! on must never wait for the reply to an answer. It is opened for the first answer and closed after it was idle for a
//! while.

use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::inbound::Settings;
use super::notifications::{Uuid, answer};
use super::query::{Query, QueryConnection};
use crate::words;

/// A connection is closed after this long without an answer.
const IDLE: Duration = Duration::from_secs(30);

/// An answer to send.
#[derive(Debug)]
pub struct Answer {
    /// The ID that came with the question.
    pub to: Uuid,
    /// Whether at least one device's provider accepted it.
    pub sent: bool,
}

/// Gives the answers.
pub struct Answerer {
    /// Where to.
    pub settings: watch::Receiver<Settings>,
    /// What.
    pub answers: mpsc::Receiver<Answer>,
    /// The end.
    pub stop: CancellationToken,
}

impl Answerer {
    /// Runs until stopped, or until no sender is left.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        let mut line: Option<QueryConnection> = None;
        loop {
            let idle = if line.is_some() { IDLE } else { Duration::MAX };
            let next = tokio::select! {
                () = stop.cancelled() => return,
                next = timeout(idle, self.answers.recv()) => next,
            };
            match next {
                Ok(Some(answer)) => line = self.give(line, &answer).await,
                Ok(None) => return,
                Err(_idle) => line = None,
            }
        }
    }

    async fn give(&self, line: Option<QueryConnection>, answer: &Answer) -> Option<QueryConnection> {
        let endpoint = self.settings.borrow().endpoint.clone();
        let given = QueryConnection::run(line, endpoint, answer).await;
        given
            .map_err(|error| {
                warn!(error = words::of_io(&error), "cannot send the answer to a notification");
            })
            .ok()
            .map(|(line, ())| line)
    }
}

impl Query for Answer {
    type Output = ();

    async fn run(&self, line: &mut QueryConnection) -> io::Result<()> {
        let reply = line.command(&answer(&self.to, self.sent)).await?;
        if reply.is_success() {
            Ok(())
        } else {
            Err(io::Error::other("FreeSWITCH refuses sendevent"))
        }
    }
}
