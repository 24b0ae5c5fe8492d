//! FreeSWITCH's event socket, for short questions and orders: a few connections for all of them.
//!
//! A burst of questions opens few connections, one after the other. FreeSWITCH listens with a backlog of five
//! (mod_event_socket.c, `switch_socket_listen`): connections beyond it wait for a second or two, or are reset.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::debug;

use super::endpoint::Endpoint;
use super::query::QueryConnection;
use crate::words;

/// Idle connections that are kept for the next question.
const KEPT: usize = 4;
/// Connections that are being opened at once: several fswakes share the backlog.
const OPENING: usize = 2;
/// How long a question waits for its turn to connect.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// One FreeSWITCH's.
#[derive(Clone)]
pub struct EventSocket {
    endpoint: Arc<dyn Fn() -> Endpoint + Send + Sync>,
    opening: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<QueryConnection>>>,
}

impl EventSocket {
    /// That of the FreeSWITCH that is configured at the time.
    pub fn new(endpoint: impl Fn() -> Endpoint + Send + Sync + 'static) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            opening: Arc::new(Semaphore::new(OPENING)),
            idle: Arc::default(),
        }
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> Endpoint {
        (self.endpoint)()
    }

    /// Runs commands for a call whose own connection is gone.
    pub(super) async fn run(&self, commands: Vec<String>) {
        for command in commands {
            if let Err(error) = self.api(&command).await {
                debug!(error = words::of_io(&error), "FreeSWITCH refuses a command");
            }
        }
    }

    /// The answer to an API command. It may run twice: on a connection that has ended unnoticed, and on another one.
    pub(super) async fn api(&self, command: &str) -> io::Result<String> {
        while let Some(mut line) = self.idle() {
            match line.api(command).await {
                Err(error) if error.kind() != io::ErrorKind::TimedOut => {}
                answered => return self.keep(line, answered),
            }
        }
        let turn = self.turn_to_connect(TURN_WITHIN).await;
        // Another task may have returned one meanwhile.
        let mut line = if let Some(line) = self.idle() {
            line
        } else {
            let _turn = turn?;
            QueryConnection::open(self.endpoint()).await?
        };
        let answered = line.api(command).await;
        self.keep(line, answered)
    }

    /// A permit to connect and log in. Hold it until the login is done.
    pub(super) async fn turn_to_connect(&self, within: Duration) -> io::Result<SemaphorePermit<'_>> {
        match timeout(within, self.opening.acquire()).await {
            Ok(turn) => turn.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// An idle connection to the FreeSWITCH that is configured now.
    fn idle(&self) -> Option<QueryConnection> {
        let endpoint = self.endpoint();
        let mut lines = self.lines();
        lines.retain(|line| line.goes_to(&endpoint));
        lines.pop()
    }

    /// Keeps the connection for the next question if this one was answered.
    fn keep(&self, line: QueryConnection, answered: io::Result<String>) -> io::Result<String> {
        let answer = answered?;
        let mut lines = self.lines();
        if lines.len() < KEPT {
            lines.push(line);
        }
        Ok(answer)
    }

    fn lines(&self) -> MutexGuard<'_, Vec<QueryConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
