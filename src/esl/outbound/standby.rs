//! Spare logged-in connections to the event socket, for calls whose own connection has to end before FreeSWITCH carries
//! out the last orders: those of `socket` without `async`.
//!
//! Each serves one call for some hundred milliseconds, and then the next. There are more only while many calls are
//! answered at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError};
use tracing::debug;

use super::command::{all_events, api, filter};
use crate::esl::endpoint::Endpoint;
use crate::esl::event_socket::EventSocket;
use crate::esl::link::Link;
use crate::words;

/// Connections that are kept for the next call.
const KEPT: usize = 8;
/// How long a call waits for its turn to connect.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Lends connections.
#[derive(Clone)]
pub(super) struct Standby {
    socket: EventSocket,
    idle: Arc<Mutex<Vec<(Endpoint, Link)>>>,
}

impl Standby {
    pub(super) fn new(socket: EventSocket) -> Self {
        Self {
            socket,
            idle: Arc::default(),
        }
    }

    /// A connection with all events of calls that pass these filters; `None` if FreeSWITCH refuses the login or a
    /// command.
    pub(super) async fn lend(&self, filters: &[EslCommand]) -> Option<Link> {
        let endpoint = self.socket.endpoint();
        while let Some((known, link)) = self.pop() {
            // FreeSWITCH may have closed it meanwhile, which shows only now.
            if known == endpoint
                && let Some(link) = after(link, filters).await
            {
                return Some(link);
            }
        }
        match self.log_in(&endpoint).await {
            Ok(link) => after(link, filters).await,
            Err(error) => {
                debug!(error = words::of_esl(&error), "no second connection to FreeSWITCH");
                None
            }
        }
    }

    async fn log_in(&self, endpoint: &Endpoint) -> Result<Link, EslError> {
        let turn = self.socket.turn_to_connect(TURN_WITHIN).await;
        // Another call may have given one back meanwhile.
        if let Some((_, link)) = self.pop().filter(|(known, _)| known == endpoint) {
            return Ok(link);
        }
        let link = {
            let _turn = turn?;
            Link::log_in(endpoint).await?
        };
        after(link, &subscribed()).await.ok_or(EslError::ConnectionClosed)
    }

    /// Takes one back. The next call may get events of this one that FreeSWITCH has queued, and ignores them.
    pub(super) async fn give_back(&self, mut link: Link) {
        let (header, value) = ("Unique-ID".to_owned(), None);
        if link.send(EslCommand::FilterDelete { header, value }).await.is_err() {
            return;
        }
        drop(link.take_kept());
        let endpoint = self.socket.endpoint();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push((endpoint, link));
        }
    }

    fn pop(&self) -> Option<(Endpoint, Link)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// What is the same for all calls. It is sent once: FreeSWITCH reads commands byte by byte. The first filter lets no
/// event pass while no call has the connection; without any filter all would.
fn subscribed() -> [EslCommand; 3] {
    // If its login may not run such commands, find out now and not when it matters.
    let expands = api("expand uuid_setvar_multi".into());
    [expands, filter("fswake", "lent"), all_events()]
}

/// The connection after these commands; `None` if one is refused.
async fn after(mut link: Link, commands: &[EslCommand]) -> Option<Link> {
    let replies = link.send_all(commands).await.ok()?;
    let refused = replies.iter().find(|reply| !reply.is_success());
    if let Some(refused) = refused {
        let reply = refused.reply_text().unwrap_or_default();
        debug!(reply, "FreeSWITCH refuses what a call needs on a second connection");
        return None;
    }
    Some(link)
}
