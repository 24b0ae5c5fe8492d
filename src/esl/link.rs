//! The connection for a call's commands and events: its own, or its part of one that many calls share.

mod message;
mod own_link;
mod shared_connection;
mod shared_link;

use std::collections::VecDeque;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslResponse};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;

pub(crate) use self::message::{Message, take};
use self::own_link::OwnLink;
pub(super) use self::shared_connection::SharedConnection;
pub(super) use self::shared_link::SharedLink;
use super::endpoint::Endpoint;
use super::frame::fields;

/// The connection for a call's commands and events.
pub enum Link {
    /// The call's own connection.
    Own(OwnLink),
    /// The call's part of a connection that many calls share.
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

    /// Sends a command whose reply may take any time; returns whether it came before the connection's end.
    pub async fn send_and_wait(&mut self, command: EslCommand) -> Result<bool, EslError> {
        match self {
            Self::Own(link) => link.send_and_wait(command).await,
            Self::Shared(link) => link.send_all(&[command]).await.map(|_| true),
        }
    }

    /// Sends a command and waits for its reply. After an error or a cancellation the link is unusable.
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

    /// Events that have arrived and were not handled yet.
    pub fn kept(&self) -> impl Iterator<Item = &EslEvent> {
        match self {
            Self::Own(link) => link.kept().iter(),
            Self::Shared(link) => link.kept().iter(),
        }
    }

    /// Takes the events that have arrived and were not handled yet.
    pub fn take_kept(&mut self) -> VecDeque<EslEvent> {
        match self {
            Self::Own(link) => std::mem::take(link.kept_mut()),
            Self::Shared(link) => std::mem::take(link.kept_mut()),
        }
    }

    /// Puts these events before all others.
    pub fn keep(&mut self, mut events: VecDeque<EslEvent>) {
        events.append(&mut self.take_kept());
        match self {
            Self::Own(link) => *link.kept_mut() = events,
            Self::Shared(link) => *link.kept_mut() = events,
        }
    }

    /// Makes FreeSWITCH look at its event queue now instead of at its next 20 ms tick: a lone line feed between
    /// commands (measured with 1.10.12; mod_event_socket skips it). Never called while a command is being written.
    pub fn nudge(&self) {
        match self {
            Self::Own(link) => link.nudge(),
            Self::Shared(link) => link.nudge(),
        }
    }

    /// Sets the lease by which FreeSWITCH ends the hold if fswake dies, and removes the first one.
    pub async fn lease_hold(&mut self, first: Option<&str>) -> Result<(), EslError> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Shared(link) => link.lease(first).await,
        }
    }

    /// FreeSWITCH no longer holds the channel: ends the link without a further command to the channel.
    pub fn end(&mut self) {
        if let Self::Shared(link) = self {
            link.end();
        }
    }
}

/// The lines of a channel's dump (`uuid_dump`), with decoded values.
pub fn dump(body: &str) -> Vec<(&str, String)> {
    fields(body)
        .map(|(name, value)| (name, percent_decode_str(value).decode_utf8_lossy().into_owned()))
        .collect()
}

/// A header of a channel's dump.
pub fn header<'a>(dump: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    dump.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}
