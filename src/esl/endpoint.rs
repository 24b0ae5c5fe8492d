//! Where FreeSWITCH's event socket is, and how its events are parsed.

use freeswitch_esl_tokio::{AuthMethod, EslCommand, Secret};

use crate::contact::ContactRules;
use crate::types;

/// What a connection needs: address, login and parsing rules. If this changes, fswake connects again and reads all
/// registrations again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the other FreeSWITCHes send INVITEs for its phones, if anywhere: a SIP URI without a user.
    pub sip: Option<String>,
    /// The SIP profile by which it sends INVITEs to the others; `None`: the one that the phone is registered at.
    pub profile: Option<String>,
    /// Where to.
    pub endpoint: Endpoint,
    /// How Contacts are parsed.
    pub rules: ContactRules,
    /// Whether events may ask for notifications.
    pub notifications: bool,
    /// Whether some app wants news of voicemail.
    pub voicemail: bool,
}

/// Where FreeSWITCH listens and how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port of mod_event_socket.
    pub port: u16,
    /// `user@domain` for `userauth`; without it the plain password.
    pub user: Option<String>,
    /// The password.
    pub password: types::Secret,
}

impl Endpoint {
    /// The login for the library's client.
    pub(crate) fn login(&self) -> AuthMethod {
        let password = self.password.expose();
        match &self.user {
            Some(user) => AuthMethod::user(user, password),
            None => AuthMethod::password(password),
        }
    }

    /// The login as a command.
    pub(super) fn login_command(&self) -> EslCommand {
        let password = Secret::new(self.password.expose());
        match self.user.clone() {
            Some(user) => EslCommand::UserAuth { user, password },
            None => EslCommand::Auth { password },
        }
    }
}
