//! Users of FreeSWITCH's directory: the variables that the endpoint `user/` sets on its legs.
//!
//! A directory behind HTTP (mod_xml_curl) may take seconds, and FreeSWITCH makes the asking connection wait. So fswake
//! asks on separate connections while the push is under way. Neither an INVITE nor the bridge of a phone that answers
//! at once waits for the answer.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::debug;

use super::encode;
use super::event_socket::EventSocket;
use crate::types::Aor;
use crate::words;
use crate::xml;

/// Questions at once: with a directory that hangs, each costs FreeSWITCH a thread.
const MOST: usize = 64;

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
    socket: EventSocket,
    under_way: Arc<Semaphore>,
}

impl Directory {
    /// The directory of the FreeSWITCH with this event socket.
    pub fn new(socket: EventSocket) -> Self {
        Self {
            socket,
            under_way: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// What it has for this user; `None` if it cannot be asked, or does not know the user.
    pub async fn user(&self, aor: &Aor) -> Option<User> {
        let question = encode::ask_variables(aor)?;
        let Ok(_turn) = self.under_way.try_acquire() else {
            debug!(%aor, "the directory is not asked: too many questions wait for it");
            return None;
        };
        match self.socket.api(&question).await {
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
