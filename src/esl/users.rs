//! Questions to FreeSWITCH's directory: whose number was dialled?
//!
//! Each has a connection of its own. A directory behind HTTP may take seconds, and FreeSWITCH waits with whoever asks: on a call's
//! own connection the call would wait for it, even to be handed back (mod_event_socket ends a connection after its last `bgapi`),
//! and on the one for registrations everybody would.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::encode;
use super::inbound::{Endpoint, Settings};
use super::line::Line;
use crate::driver::Input;
use crate::engine::{DIRECTORY, Event};
use crate::types::{Aor, CallId};

/// Questions under way at once: with a directory that hangs, each costs FreeSWITCH a thread.
const MOST: usize = 64;

/// Who is called?
#[derive(Debug)]
pub struct Question {
    /// Which call wants to know.
    pub call: CallId,
    /// What was dialled.
    pub aor: Aor,
}

/// Asks.
pub struct Users {
    /// Where FreeSWITCH is.
    pub settings: watch::Receiver<Settings>,
    /// What is to be asked.
    pub questions: mpsc::Receiver<Question>,
    /// To the driver.
    pub inputs: mpsc::Sender<Input>,
    /// The end.
    pub stop: CancellationToken,
}

impl Users {
    /// Asks until it is told to stop, or nobody is left who could want to know.
    pub async fn run(mut self) {
        let under_way = Arc::new(Semaphore::new(MOST));
        loop {
            let question = tokio::select! {
                () = self.stop.cancelled() => return,
                question = self.questions.recv() => question,
            };
            let Some(Question { call, aor }) = question else { return };
            let endpoint = self.settings.borrow().endpoint.clone();
            let (inputs, turn) = (self.inputs.clone(), under_way.clone().try_acquire_owned());
            tokio::spawn(async move {
                let user = if let Ok(_turn) = turn {
                    find(&endpoint, &aor).await
                } else {
                    debug!(call.id = %call, "the directory is not asked: too many questions wait for it");
                    None
                };
                let _ = inputs.send(Input::Event(Event::UserFound { call, user })).await;
            });
        }
    }
}

/// The id of the user who has this number.
async fn find(endpoint: &Endpoint, aor: &Aor) -> Option<Arc<str>> {
    let command = encode::ask_user(aor)?;
    let answer = match timeout(DIRECTORY, ask(endpoint, &command)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            debug!(%aor, %error, "FreeSWITCH's directory cannot be asked who is called");
            return None;
        }
        Err(_) => {
            debug!(%aor, "FreeSWITCH's directory has not said in time who is called");
            return None;
        }
    };
    encode::plain_user(answer.trim()).map(Arc::from)
}

async fn ask(endpoint: &Endpoint, command: &str) -> io::Result<String> {
    Line::open(endpoint.clone()).await?.api(command).await
}
