//! Users of FreeSWITCH's directory: the variables that the endpoint `user/` sets on its legs.
//!
//! A directory behind HTTP (mod_xml_curl) may take seconds, and FreeSWITCH makes the asking connection wait. So fswake
//! asks on separate connections while the push is under way. Neither an INVITE nor the bridge of a phone that answers
//! at once waits for the answer.
//!
//! Other short questions to the event socket are asked here too. A burst of them uses few connections, opened one after
//! the other: FreeSWITCH listens with a backlog of five (mod_event_socket.c, `switch_socket_listen`), and connections
//! beyond it wait for a second or two, or are reset.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::debug;

use super::encode;
use super::inbound::Endpoint;
use super::query::QueryConnection;
use crate::types::Aor;
use crate::words;
use crate::xml;

/// Questions at once: with a directory that hangs, each costs FreeSWITCH a thread.
const MOST: usize = 64;
/// Idle connections that are kept for the next question.
const KEPT: usize = 4;
/// Connections that are being opened at once: several fswakes share the backlog.
const OPENING: usize = 2;
/// How long one may wait for that.
const OPENS_WITHIN: Duration = Duration::from_secs(5);

/// What the directory has for a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `<variable>`: for the user's legs, once they are made.
    pub variables: Vec<(String, String)>,
    /// `<param name="dial-var-..">`: for their originate.
    pub dial_variables: Vec<(String, String)>,
}

impl User {
    /// By `find_user_xml`.
    fn read(answer: &str) -> Self {
        let mut user = Self::default();
        for tag in xml::tags(answer) {
            let (name, value) = (tag.attribute("name"), tag.attribute("value"));
            match &*tag.name {
                "variable" => user.variables.push((name.to_owned(), value.to_owned())),
                "param" => {
                    let name = name
                        .get(..9)
                        .filter(|start| start.eq_ignore_ascii_case("dial-var-"))
                        .map(|_| &name[9..]);
                    user.dial_variables
                        .extend(name.map(|name| (name.to_owned(), value.to_owned())));
                }
                _ => {}
            }
        }
        user
    }
}

/// Asks.
#[derive(Clone)]
pub struct Directory {
    endpoint: Arc<dyn Fn() -> Endpoint + Send + Sync>,
    under_way: Arc<Semaphore>,
    opening: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<QueryConnection>>>,
}

impl Directory {
    /// The directory of the FreeSWITCH that is configured at the time.
    pub fn new(endpoint: impl Fn() -> Endpoint + Send + Sync + 'static) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            under_way: Arc::new(Semaphore::new(MOST)),
            opening: Arc::new(Semaphore::new(OPENING)),
            idle: Arc::default(),
        }
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> Endpoint {
        (self.endpoint)()
    }

    /// What it has for this user; `None` if it cannot be asked, or does not know the user.
    pub async fn user(&self, aor: &Aor) -> Option<User> {
        let question = encode::ask_variables(aor)?;
        let Ok(_turn) = self.under_way.try_acquire() else {
            debug!(%aor, "the directory is not asked: too many questions wait for it");
            return None;
        };
        match self.api(&question).await {
            Ok(answer) if answer.trim_start().starts_with('<') => Some(User::read(&answer)),
            Ok(answer) => {
                debug!(%aor, answer = answer.lines().next(), "the directory does not know the user");
                None
            }
            Err(error) => {
                debug!(%aor, error = words::of_io(&error), "cannot query FreeSWITCH's directory");
                None
            }
        }
    }

    /// Runs commands for a call whose own connection is gone.
    pub async fn run(&self, commands: Vec<String>) {
        for command in commands {
            if let Err(error) = self.api(&command).await {
                debug!(error = words::of_io(&error), "FreeSWITCH refuses a command");
            }
        }
    }

    /// The answer to an API command, on a separate connection.
    pub(super) async fn api(&self, command: &str) -> io::Result<String> {
        // It may have ended unnoticed.
        while let Some(mut line) = self.idle() {
            if let Ok(answer) = line.api(command).await {
                self.keep(line);
                return Ok(answer);
            }
        }
        let turn = self.turn_to_connect().await?;
        // One that others used meanwhile is good.
        let mut line = match self.idle() {
            Some(line) => line,
            None => QueryConnection::open(self.endpoint()).await?,
        };
        drop(turn);
        let answer = line.api(command).await?;
        self.keep(line);
        Ok(answer)
    }

    /// Whoever opens a connection to the event socket, of which a burst may need many, has this meanwhile.
    pub(super) async fn turn_to_connect(&self) -> io::Result<SemaphorePermit<'_>> {
        match timeout(OPENS_WITHIN, self.opening.acquire()).await {
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

    fn keep(&self, line: QueryConnection) {
        let mut lines = self.lines();
        if lines.len() < KEPT {
            lines.push(line);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<QueryConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_has_variables_for_legs_and_for_their_originate() {
        let xml = r#"<user id="1001"><params><param name="password" value="x"/><param name="dial-string" value="y"/>
            <param name="Dial-Var-leg_delay_start" value="1"/></params>
            <variables><variable name="accountcode" value="a &amp; b"/><variable name="empty"/></variables></user>"#;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = User {
            variables: vec![pair("accountcode", "a & b"), pair("empty", "")],
            dial_variables: vec![pair("leg_delay_start", "1")],
        };
        assert_eq!(User::read(xml), expected);
        assert_eq!(User::read("<user id="), User::default());
    }
}
