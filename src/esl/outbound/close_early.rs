//! How a call of `socket` without `async` closes its connection before its end.
//!
//! FreeSWITCH serves that connection in the channel's own thread. It carries out a bridge, a transfer or a pick-up only
//! after the connection has ended. The results arrive on a second connection, which is ready before it is needed.
//!
//! Races, each with its test in `tests/daemon/without_async.rs`:
//! - An event arrives on the connection that is being closed: it is handled afterwards.
//! - Another phone's `originate` still runs on it, and FreeSWITCH would wait for its end. So that leg ends first.
//! - No second connection can be had: the bridge is ordered anyway, and its result is unknown.

use freeswitch_esl_tokio::{EslCommand, EslError};
use tracing::warn;

use super::command::filter;
use super::connection::Connection;
use super::second_link::SecondLink;
use crate::engine::Cause;
use crate::esl::encode;

impl Connection {
    /// Whether the held channel's bridge begins only after this connection has ended.
    pub(super) fn has_to_leave(&self, a_leg: &str) -> bool {
        self.held.socket.is_static && a_leg == self.held.channel
    }

    /// Whether commands still go over the connection that holds the channel.
    pub(super) fn is_on_its_own(&self) -> bool {
        matches!(self.second_link, SecondLink::None | SecondLink::Ready(_))
    }

    /// Prepares the second connection.
    pub(super) async fn stand_by(&mut self) {
        match std::mem::take(&mut self.second_link) {
            SecondLink::None => {}
            // It may lack the filters of phones that were rung since.
            SecondLink::Ready(link) => self.shared.standby.give_back(link).await,
            in_use => return self.second_link = in_use,
        }
        let mut commands = vec![filter("Unique-ID", &self.held.channel)];
        commands.extend(self.legs.keys().map(|leg| filter("Unique-ID", leg)));
        commands.extend(self.events_of_loopback());
        if let Some(link) = self.shared.standby.lend(&commands).await {
            self.second_link = SecondLink::Ready(link);
        } else {
            warn!("no second connection to FreeSWITCH: fswake will not know whether this call is connected");
        }
    }

    /// From here on commands go over the second connection, if there is one.
    pub(super) fn use_second_link(&mut self) {
        self.second_link = match std::mem::take(&mut self.second_link) {
            SecondLink::Ready(link) => SecondLink::InUse(std::mem::replace(&mut self.link, link)),
            as_it_is => as_it_is,
        };
    }

    /// Goes back to the first connection: the channel stays held.
    pub(super) fn use_own(&mut self) {
        self.second_link = match std::mem::take(&mut self.second_link) {
            SecondLink::InUse(own) => {
                let mut link = std::mem::replace(&mut self.link, own);
                // The first connection gets the same events.
                drop(link.take_kept());
                SecondLink::Ready(link)
            }
            as_it_is => as_it_is,
        };
    }

    /// Ends the connection that holds the channel.
    pub(super) async fn leave(&mut self) -> Result<(), EslError> {
        self.use_second_link();
        match std::mem::replace(&mut self.second_link, SecondLink::Left) {
            SecondLink::InUse(mut own) => {
                // Whatever the reply, that connection is over.
                let _ = own.send(EslCommand::Exit).await;
                self.link.keep(own.take_kept());
                Ok(())
            }
            SecondLink::Left => Ok(()),
            SecondLink::None | SecondLink::Ready(_) => {
                let _ = self.link.send(EslCommand::Exit).await;
                Err(EslError::ConnectionClosed)
            }
        }
    }

    /// Returns the second connection for the next call.
    pub(super) async fn give_back(self) {
        match self.second_link {
            SecondLink::Left => self.shared.standby.give_back(self.link).await,
            SecondLink::Ready(link) => self.shared.standby.give_back(link).await,
            SecondLink::None | SecondLink::InUse(_) => {}
        }
    }

    /// Ends all legs but one: FreeSWITCH keeps a connection until every `originate` that was ordered on it has ended.
    pub(super) async fn end_other_legs(&mut self) -> Result<(), EslError> {
        for leg in std::mem::take(&mut self.ringing) {
            let cause = Cause::COMPLETED_ELSEWHERE;
            self.api(encode::kill(leg.channel(), cause.as_str())).await?;
        }
        Ok(())
    }
}
