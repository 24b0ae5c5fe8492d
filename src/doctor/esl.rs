//! Questions to FreeSWITCH over its event socket.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use freeswitch_esl_tokio::{
    EslClient, EslConnectOptions, EslError, EslEvent, EslEventStream, EslEventType, EslResponse, EventFormat,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::check::Check;
use crate::esl::inbound::Endpoint;
use crate::types::Printable;
use crate::words;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A logged-in connection.
pub(super) struct Session {
    client: EslClient,
    /// Ends of channels, from the events that were asked for. All other events are read and dropped: replies come after
    /// them.
    ends: mpsc::UnboundedReceiver<EslEvent>,
    /// Where, for reports.
    pub address: String,
    /// The login, for reports.
    pub user: String,
    /// A command got no answer: no other is sent, so that the doctor ends in time.
    is_silent: bool,
    /// The commands that got no answer.
    pub unanswered: BTreeMap<String, ApiFailure>,
}

/// A command's name.
pub(super) fn verb(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

/// Why FreeSWITCH has not answered a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiFailure {
    /// The user's `esl-allowed-api` lacks it.
    NotAllowed,
    /// FreeSWITCH does not know the command: its module is not loaded.
    NotThere,
    /// FreeSWITCH accepts commands and does not answer them.
    Silent,
    /// The connection failed.
    Failed(String),
}

impl ApiFailure {
    /// What an error in place of an answer means.
    fn of(command: &str, reply: &EslResponse) -> Option<Self> {
        let word = reply.reply_text().filter(|_| reply.body().is_none());
        let text = word.or(reply.body()).unwrap_or_default().trim();
        if text == "-ERR permission denied" {
            return Some(Self::NotAllowed);
        }
        (text == format!("-ERR {command} Command not found!")).then_some(Self::NotThere)
    }

    /// The problem, for these commands.
    pub(super) fn says(&self, commands: &[&str], user: &str) -> String {
        let commands: Vec<String> = commands.iter().map(|command| format!("`{command}`")).collect();
        let commands = commands.join(", ");
        match self {
            Self::NotAllowed => format!("{} may not run {commands} (esl-allowed-api)", Printable(user)),
            Self::NotThere => format!("FreeSWITCH has no command {commands}"),
            Self::Silent => "FreeSWITCH takes commands and does not answer them".into(),
            Self::Failed(why) => why.clone(),
        }
    }

    /// What to do about it.
    pub(super) fn advice(&self, commands: &[&str]) -> String {
        match self {
            Self::NotAllowed => format!("add {} to the user's esl-allowed-api", commands.join(", ")),
            Self::NotThere => "load the module that has it: mod_commands, or mod_sofia for `sofia`".into(),
            Self::Silent => "check FreeSWITCH: if `fs_cli -x status` does not answer, restart it".into(),
            Self::Failed(_) => "look at FreeSWITCH's log, and run the doctor again".into(),
        }
    }
}

impl Session {
    /// Logs in; the error otherwise.
    pub(super) async fn open(settings: &Endpoint) -> Result<Self, Box<Check>> {
        let address = format!("{}:{}", settings.host, settings.port);
        let user = settings.user.clone().unwrap_or_else(|| "the default user".into());
        let options = EslConnectOptions::new();
        let connect = EslClient::connect_with_auth(&settings.host, settings.port, settings.login(), options);
        match tokio::time::timeout(PATIENCE, Box::pin(connect)).await {
            Ok(Ok((client, events))) => {
                client.set_command_timeout(PATIENCE);
                let (sender, ends) = mpsc::unbounded_channel();
                tokio::spawn(read(events, sender));
                Ok(Self {
                    client,
                    ends,
                    address,
                    user,
                    is_silent: false,
                    unanswered: BTreeMap::new(),
                })
            }
            Ok(Err(error)) => Err(Box::new(refused(&address, &user, &error))),
            Err(_) => Err(Box::new(Check::error(
                "freeswitch",
                "login",
                format!("{address} does not answer within {PATIENCE:?}"),
                "look for a firewall between the two hosts, and at FreeSWITCH itself (`fs_cli -x status`)",
            ))),
        }
    }

    /// One API command's answer, without the line break at its end, or what failed: no answer is not an empty
    /// one.
    pub(super) async fn api(&mut self, command: &str) -> Result<String, String> {
        let verb = verb(command);
        let unanswered = if self.is_silent {
            ApiFailure::Silent
        } else {
            match self.client.api(command).await {
                Ok(reply) => match ApiFailure::of(verb, &reply) {
                    None => return Ok(reply.body().unwrap_or_default().trim_end().to_owned()),
                    Some(unanswered) => unanswered,
                },
                Err(EslError::CommandFailed { reply_text, .. }) if reply_text.contains("permission denied") => {
                    ApiFailure::NotAllowed
                }
                Err(error) => match self.failed(&error) {
                    _ if self.is_silent => ApiFailure::Silent,
                    why => ApiFailure::Failed(why),
                },
            }
        };
        let says = unanswered.says(&[verb], &self.user);
        self.unanswered.insert(verb.to_owned(), unanswered);
        Err(says)
    }

    /// The reason and the advice for checks that were skipped because one of these commands got no answer.
    pub(super) fn unanswered_of(&self, commands: &[&str]) -> Option<(String, String)> {
        let found = |command: &&&str| self.unanswered.contains_key(**command);
        let unanswered: Vec<&str> = commands.iter().filter(found).copied().collect();
        let why = self.unanswered.get(*unanswered.first()?)?;
        let same: Vec<&str> = unanswered
            .into_iter()
            .filter(|command| self.unanswered.get(*command) == Some(why))
            .collect();
        Some((why.says(&same, &self.user), why.advice(&same)))
    }

    /// Advice if it accepts commands and answers nothing.
    pub(super) fn silence(&self) -> Option<String> {
        self.is_silent.then(|| ApiFailure::Silent.advice(&[]))
    }

    /// Advice for a command that has just failed without an answer.
    pub(super) fn advice_on(&self, command: &str, otherwise: &str) -> String {
        let unanswered = self.unanswered.get(command);
        unanswered.map_or_else(|| otherwise.to_owned(), |why| why.advice(&[command]))
    }

    /// Waits for the end of a channel; returns a variable of it.
    pub(super) async fn end_of(&mut self, channel: Uuid, variable: &str) -> Option<String> {
        let (channel, header) = (channel.to_string(), format!("variable_{variable}"));
        loop {
            let event = self.ends.recv().await?;
            if event.header_str("Unique-ID") == Some(&channel) {
                return event.header_str(&header).map(str::to_owned);
            }
        }
    }

    /// Subscribes to events; the error otherwise.
    pub(super) async fn subscribe(&mut self, events: &str) -> Result<(), String> {
        if self.is_silent {
            return Err(ApiFailure::Silent.says(&[], &self.user));
        }
        let asked = self.client.subscribe_events_raw(EventFormat::Plain, events).await;
        asked.map_err(|error| self.failed(&error))
    }

    fn failed(&mut self, error: &EslError) -> String {
        self.is_silent |= matches!(error, EslError::Timeout { .. });
        words::of_esl(error)
    }
}

async fn read(mut events: EslEventStream, ends: mpsc::UnboundedSender<EslEvent>) {
    while let Some(event) = events.recv().await {
        let Ok(event) = event else { continue };
        if event.event_type() == Some(EslEventType::ChannelHangupComplete) && ends.send(event).is_err() {
            return;
        }
    }
}

fn refused(address: &str, user: &str, error: &EslError) -> Check {
    let hangs = ApiFailure::Silent.advice(&[]);
    let (seen, advice) = match error {
        EslError::Timeout { .. } => (format!("{address}: {}", words::of_esl(error)), hangs.as_str()),
        EslError::AuthenticationFailed { .. } => (
            format!("{address}: FreeSWITCH rejects the password of {user}"),
            "compare freeswitch.password-file with autoload_configs/event_socket.conf.xml (or the user's esl-password)",
        ),
        EslError::Io(e) if e.kind() == ErrorKind::ConnectionRefused => (
            format!("{address}: connection refused"),
            "is FreeSWITCH running, is mod_event_socket loaded, and does it listen there (listen-ip, listen-port)?",
        ),
        EslError::AccessDenied { .. } => (
            format!("{address}: {}", words::of_esl(error)),
            "add this host's address to the list that apply-inbound-acl names (autoload_configs/acl.conf.xml, \
             autoload_configs/event_socket.conf.xml; fs-conf/autoload_configs/acl.conf.xml is an example)",
        ),
        EslError::ConnectionClosed | EslError::NotConnected => (
            format!("{address}: FreeSWITCH closed the connection"),
            "look at FreeSWITCH's log; an apply-inbound-acl that does not allow this host may be the cause \
             (fs-conf/autoload_configs/acl.conf.xml)",
        ),
        other => (
            format!("{address}: {}", words::of_esl(other)),
            "compare [freeswitch] with autoload_configs/event_socket.conf.xml; add this host's address to its apply-inbound-acl",
        ),
    };
    Check::error("freeswitch", "login", seen, advice)
}
