//! Held calls: FreeSWITCH opens one connection to fswake per call, which carries everything of that call.
//!
//! Only the connection's task writes to it. It carries out the engine's orders in order, and turns FreeSWITCH's
//! messages into the engine's events. If it ends for any reason, FreeSWITCH goes on with the dialplan.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use freeswitch_esl_tokio::{EslCommand, EslError};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::{Instrument, debug, info_span, warn};
use uuid::Uuid;

use self::connection::Connection;
use self::hand_back::hand_back;
pub use self::shared::Outbound;
use super::decode;
use super::link::Link;
use crate::types::CallId;
use crate::words;

mod bridging;
mod callee;
mod callee_variables;
mod caller_ringing;
mod channel_commands;
mod close_early;
mod command;
mod connection;
mod dialing;
mod ending;
mod events;
mod failed_originates;
mod hand_back;
mod lease_time;
mod loopback;
mod nested_socket;
mod other_leg;
mod outcome;
mod parent;
mod passed_on;
mod pickup_race;
mod prepared_originate;
mod second_link;
mod shared;
mod standby;
mod taken_legs;
mod takeover;
mod through_node;
mod transfer_source;

/// How long a new connection may take to say which channel it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failure to accept.
const PAUSE: Duration = Duration::from_millis(50);

impl Outbound {
    /// Accepts connections until stopped. If there is no room for a call, its connection is closed at once. FreeSWITCH
    /// then goes on with the dialplan instead of waiting to be accepted.
    pub async fn listen(self, listener: TcpListener) {
        let mut spare = Spare::of(&listener);
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((_, peer)) if !(self.allow)(peer.ip()) => self.refused(peer, "not in listen.allow"),
                Ok(_) if self.tasks.len() >= self.most => {
                    self.no_room("as many are held as the limit of open files has room for");
                }
                Ok((stream, peer)) => {
                    let this = self.clone();
                    self.tasks.spawn(async move { this.serve(stream, peer).await });
                }
                Err(error) if is_out_of_files(&error) => {
                    self.no_room("out of file descriptors");
                    spare.turn_away(&listener).await;
                }
                Err(error) => {
                    warn!(error = words::of_io(&error), "cannot accept an outbound connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn no_room(&self, reason: &str) {
        if self.full.is_due("", Instant::now()) {
            let held = self.tasks.len();
            warn!(
                held,
                reason, "a call goes on without fswake: raise LimitNOFILE of the service"
            );
        } else {
            debug!(reason, "a call goes on without fswake");
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let call = CallId(Uuid::new_v4());
        let mut link = Link::new(stream);
        let data = match timeout(HELLO_TIMEOUT, link.send(EslCommand::Connect)).await {
            Ok(Ok(data)) => data,
            Ok(Err(error)) => return self.dropped(peer, kind(&error)),
            Err(_) => return self.dropped(peer, "silent"),
        };
        let Some(node) = self.nodes.of_connection(data.header("Core-UUID"), peer.ip()) else {
            self.refused(peer, "not held: it is of no [[freeswitch]] that fswake is connected to");
            return Box::pin(hand_back(link, &data)).await;
        };
        let this = self.at(node);
        if let Some(leg) = passed_on::header(&data) {
            let leg = leg.to_owned();
            return Box::pin(this.take_leg(link, &data, &leg)).await;
        }
        let held = decode::held_channel(|name| data.header(name), call, SystemTime::now());
        let held = match held {
            Ok(mut held) => {
                held.call.node = node;
                parent::inherit(&mut held, &data);
                drop(data);
                held
            }
            Err(reason) => {
                this.refused(peer, &format!("not held: {reason}"));
                return Box::pin(hand_back(link, &data)).await;
            }
        };
        let is_played_to = held.socket.is_static && held.ringback.is_played();
        if let Some(applications) = held.socket.with_async().filter(|_| is_played_to) {
            return nested_socket::park(link, &held, applications).await;
        }
        let span = info_span!("call", call.id = %call, aor = %held.call.aor);
        let connection = Connection::new(this, link, held);
        connection.run().instrument(span).await;
    }

    fn dropped(&self, peer: SocketAddr, reason: &str) {
        self.refused(peer, &format!("not FreeSWITCH ({reason})"));
    }

    /// Logs ten strangers a minute at most: whoever can reach the port could fill the log.
    fn refused(&self, peer: SocketAddr, reason: &str) {
        if self.warned.is_due(&format!("{} {reason}", peer.ip()), Instant::now()) {
            warn!(%peer, reason, "outbound connection refused");
        } else {
            debug!(%peer, reason, "outbound connection refused");
        }
    }
}

/// A spare descriptor, for turning calls away when there is no other.
struct Spare(Option<OwnedFd>);

impl Spare {
    fn of(listener: &TcpListener) -> Self {
        Self(listener.as_fd().try_clone_to_owned().ok())
    }

    /// Accepts one connection and closes it.
    async fn turn_away(&mut self, listener: &TcpListener) {
        self.0 = None;
        let turned_away = timeout(PAUSE, listener.accept()).await;
        *self = Self::of(listener);
        // Something else has taken the descriptor meanwhile.
        if matches!(turned_away, Ok(Err(_))) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// `EMFILE` and `ENFILE` (accept(2)).
fn is_out_of_files(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// An error's kind, without text from the wire.
fn kind(error: &EslError) -> &'static str {
    match error {
        EslError::Io(_) => "input/output error",
        EslError::Timeout { .. } => "timeout",
        EslError::ConnectionClosed | EslError::NotConnected => "closed",
        _ => "protocol error",
    }
}
