//! Questions to FreeSWITCH's directory: whose number was dialled, and who rings that user's phones?
//!
//! Each question has its own connection. A directory behind HTTP may take seconds, and FreeSWITCH makes the asking
//! connection wait. On a call's own connection the call would wait, even to be handed back (mod_event_socket ends a
//! connection after its last `bgapi`). On the one for registrations every call would wait.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::encode::{self, Word};
use super::event_socket::EventSocket;
use super::nodes::Nodes;
use super::other_leg;
use crate::engine::{DIRECTORY, DirectoryQuery, Event};
use crate::input::Input;
use crate::types::{Aor, CallId, NodeId};
use crate::words;

/// Questions at once: with a directory that hangs, each costs FreeSWITCH a thread.
const MOST: usize = 64;

/// A call's question.
#[derive(Debug)]
pub struct UserQuestion {
    /// The FreeSWITCH that the call is held at.
    pub node: NodeId,
    /// The call that asks.
    pub call: CallId,
    /// What was dialled.
    pub aor: Aor,
    /// What.
    pub query: DirectoryQuery,
}

/// Asks.
pub struct Users {
    /// Whose directories are asked.
    pub nodes: Nodes,
    /// What to ask.
    pub questions: mpsc::Receiver<UserQuestion>,
    /// To the driver.
    pub inputs: mpsc::Sender<Input>,
    /// The end.
    pub stop: CancellationToken,
}

impl Users {
    /// Runs until stopped, or until no sender is left.
    pub async fn run(mut self) {
        let under_way = Arc::new(Semaphore::new(MOST));
        loop {
            let question = tokio::select! {
                () = self.stop.cancelled() => return,
                question = self.questions.recv() => question,
            };
            let Some(question) = question else { return };
            let socket = self.nodes.get(question.node).socket.clone();
            let (inputs, turn) = (self.inputs.clone(), under_way.clone().try_acquire_owned());
            tokio::spawn(async move {
                let UserQuestion { call, aor, query, .. } = question;
                let answer = if let Ok(_turn) = turn {
                    find(&socket, &aor, query).await
                } else {
                    debug!(call.id = %call, "the directory is not asked: too many questions wait for it");
                    None
                };
                let event = match query {
                    DirectoryQuery::WhoseNumber => {
                        let user = answer.as_deref().and_then(|id| Word::new(id.trim()));
                        let user = user.map(|id| id.as_str().into());
                        Event::UserFound { call, user }
                    }
                    DirectoryQuery::WhoRings => {
                        let ringing = answer.as_deref().and_then(other_leg::who_rings);
                        Event::WhoRings { call, ringing }
                    }
                };
                let _ = inputs.send(Input::Event(event)).await;
            });
        }
    }
}

/// The directory's answer.
async fn find(socket: &EventSocket, aor: &Aor, query: DirectoryQuery) -> Option<String> {
    let command = match query {
        DirectoryQuery::WhoseNumber => encode::ask_user(aor),
        DirectoryQuery::WhoRings => other_leg::ask_dial_string(aor),
    }?;
    match timeout(DIRECTORY, socket.api(&command)).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            debug!(%aor, ?query, error = words::of_io(&error), "cannot query FreeSWITCH's directory");
            None
        }
        Err(_) => {
            debug!(%aor, ?query, "FreeSWITCH's directory has not answered in time");
            None
        }
    }
}
