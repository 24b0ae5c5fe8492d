//! The connection on which a call's commands and events travel: one of its own, or its part of one that many calls share.

mod message;
mod own;
mod shared;
mod shared_connection;

use std::collections::VecDeque;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslResponse};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

pub(crate) use self::message::{Message, take};
use self::own::OwnLink;
pub(super) use self::shared::SharedLink;
pub(super) use self::shared_connection::SharedConnection;
use super::endpoint::Endpoint;
use super::frame::fields;

/// The connection on which a call's commands and events travel.
pub enum Link {
    /// Nobody else's.
    Own(OwnLink),
    /// Its part of one that many calls share.
    Shared(SharedLink),
}

impl Link {
    /// Takes over an accepted connection.
    pub fn new(socket: TcpStream) -> Self {
        Self::Own(OwnLink::new(socket))
    }

    /// Connects to FreeSWITCH's event socket and logs in.
    pub async fn log_in(endpoint: &Endpoint) -> Result<Self, EslError> {
        OwnLink::log_in(endpoint).await.map(Self::Own)
    }

    /// Sends a command whose reply comes when it comes; whether it came before the connection's end.
    pub async fn send_and_wait(&mut self, command: EslCommand) -> Result<bool, EslError> {
        match self {
            Self::Own(link) => link.send_and_wait(command).await,
            Self::Shared(link) => link.send_all(&[command]).await.map(|_| true),
        }
    }

    /// Sends a command and waits for its reply. After an error, or when it was cancelled, the link is of no more use.
    pub async fn send(&mut self, command: EslCommand) -> Result<EslResponse, EslError> {
        let replies = self.send_all(&[command]).await?;
        replies.into_iter().next().ok_or(EslError::ConnectionClosed)
    }

    /// Sends commands together and waits for the reply to each, in order: FreeSWITCH begins the next one without
    /// waiting for us.
    pub async fn send_all(&mut self, commands: &[EslCommand]) -> Result<Vec<EslResponse>, EslError> {
        match self {
            Self::Own(link) => link.send_all(commands).await,
            Self::Shared(link) => link.send_all(commands).await,
        }
    }

    /// The next event. `None`: the connection is over. Cancel-safe.
    pub async fn event(&mut self) -> Option<EslEvent> {
        match self {
            Self::Own(link) => link.event().await,
            Self::Shared(link) => link.event().await,
        }
    }

    /// Events that have come and that nobody has heard yet.
    pub fn kept(&self) -> impl Iterator<Item = &EslEvent> {
        match self {
            Self::Own(link) => link.kept().iter(),
            Self::Shared(link) => link.kept().iter(),
        }
    }

    /// Takes the events that have come and that nobody has heard yet.
    pub fn take_kept(&mut self) -> VecDeque<EslEvent> {
        match self {
            Self::Own(link) => std::mem::take(link.kept_mut()),
            Self::Shared(link) => std::mem::take(link.kept_mut()),
        }
    }

    /// Has these events heard before all others.
    pub fn keep(&mut self, mut events: VecDeque<EslEvent>) {
        events.append(&mut self.take_kept());
        match self {
            Self::Own(link) => *link.kept_mut() = events,
            Self::Shared(link) => *link.kept_mut() = events,
        }
    }

    /// Lets FreeSWITCH look at its event queue now rather than at its next 20 ms tick: a lone line feed between
    /// commands (measured with 1.10.12; mod_event_socket skips it). Never called while a command is being written.
    pub fn nudge(&self) {
        match self {
            Self::Own(link) => link.nudge(),
            Self::Shared(link) => link.nudge(),
        }
    }

    /// Has FreeSWITCH end the hold when fswake is gone, instead of when its first lease is over.
    pub async fn lease_hold(&mut self, first: Option<&str>) -> Result<(), EslError> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Shared(link) => link.lease(first).await,
        }
    }

    /// FreeSWITCH holds the channel no more: the link is over, with nothing left to be done on it.
    pub fn end(&mut self) {
        if let Self::Shared(link) = self {
            link.end();
        }
    }
}

/// The lines of a channel's dump (`uuid_dump`), values decoded.
pub fn dump(body: &str) -> Vec<(&str, String)> {
    fields(body)
        .map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy().into_owned()))
        .collect()
}

/// A header of a channel's dump.
pub fn header<'a>(dump: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    dump.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}
