//! How a call of `socket` without `async` closes its connection before its end.
//!
//! FreeSWITCH serves that connection in the channel's own thread. It carries out a bridge, a transfer or a pick-up only
//! after the connection has ended. The results arrive on a second connection, which is ready before it is needed.
//!
//! Races, each with its test in `tests/daemon/without_async.rs`:
//! - An event arrives on the connection that is being closed: it is handled afterwards.
//! - Another phone's `originate` still runs on it, and FreeSWITCH would wait for its end. So that leg ends first.
//! - No second connection can be had in time: the bridge is ordered anyway, and FreeSWITCH is asked for its result
//!   later. If it cannot be asked, the result is unknown.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError};
use tokio::time::timeout;
use tracing::warn;

use super::command::{api, filter};
use super::connection::Connection;
use super::second_link::SecondLink;
use crate::engine::Cause;
use crate::esl::encode;
use crate::types::LegId;

/// How long a call that has ordered its bridge waits for the second connection.
const LATE: Duration = Duration::from_secs(15);

impl Connection {
    /// Whether the held channel's bridge begins only after this connection has ended.
    pub(super) fn has_to_leave(&self, a_leg: &str) -> bool {
        self.held.socket.is_static && a_leg == self.held.channel
    }

    /// Whether commands still go over the connection that holds the channel.
    pub(super) fn is_on_its_own(&self) -> bool {
        matches!(
            self.second_link,
            SecondLink::None | SecondLink::Coming(_) | SecondLink::Ready(_)
        )
    }

    /// Prepares the second connection, and waits this long for it.
    pub(super) async fn stand_by(&mut self, patience: Duration) {
        let standby = self.shared.standby.clone();
        match std::mem::take(&mut self.second_link) {
            SecondLink::None => {}
            // It may lack the filters of phones that were rung since.
            SecondLink::Coming(link) => link.abort(),
            SecondLink::Ready(link) => {
                let standby = standby.clone();
                tokio::spawn(async move { standby.give_back(link).await });
            }
            in_use => return self.second_link = in_use,
        }
        let filters = self.filters();
        let mut coming = tokio::spawn(async move { standby.lend(&filters).await });
        self.second_link = match timeout(patience, &mut coming).await {
            Ok(link) => link.ok().flatten().map_or(SecondLink::None, SecondLink::Ready),
            Err(_) => SecondLink::Coming(coming),
        };
    }

    /// The second connection's filters.
    fn filters(&self) -> Vec<EslCommand> {
        let mut filters = vec![filter("Unique-ID", &self.held.channel)];
        filters.extend(self.legs.keys().map(|leg| filter("Unique-ID", leg)));
        filters.extend(self.events_of_loopback());
        filters
    }

    /// Ends the connection that holds the channel although the second one is not ready, and then waits for that. Events
    /// in between are lost.
    pub(super) async fn leave_before(&mut self) -> Result<(), EslError> {
        let coming = std::mem::take(&mut self.second_link);
        let lost = self.leave().await;
        if let SecondLink::Coming(link) = coming
            && let Ok(Ok(Some(mut link))) = timeout(LATE, link).await
        {
            link.keep(self.link.take_kept());
            self.link = link;
            return Ok(());
        }
        warn!("no second connection to FreeSWITCH: fswake does not know whether this call is connected");
        lost
    }

    /// From here on commands go over the second connection, if there is one.
    pub(super) async fn use_second_link(&mut self) {
        self.second_link = match std::mem::take(&mut self.second_link) {
            SecondLink::Coming(link) if link.is_finished() => match link.await {
                Ok(Some(link)) => SecondLink::InUse(std::mem::replace(&mut self.link, link)),
                _ => SecondLink::None,
            },
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
        self.use_second_link().await;
        match std::mem::replace(&mut self.second_link, SecondLink::Left) {
            SecondLink::InUse(mut own) => {
                // Whatever the reply, that connection is over.
                let _ = own.send(EslCommand::Exit).await;
                self.link.keep(own.take_kept());
                Ok(())
            }
            SecondLink::Left => Ok(()),
            SecondLink::None | SecondLink::Coming(_) | SecondLink::Ready(_) => {
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
            SecondLink::None | SecondLink::Coming(_) | SecondLink::InUse(_) => {}
        }
    }

    /// Ends all legs but one: FreeSWITCH keeps a connection until every `originate` that was ordered on it has ended.
    pub(super) async fn end_other_legs(&mut self) -> Result<(), EslError> {
        let cause = Cause::COMPLETED_ELSEWHERE;
        let ends = |leg: LegId| api(encode::kill(leg.channel(), cause.as_str()));
        let commands = std::mem::take(&mut self.ringing).into_iter().map(ends).collect();
        self.all(commands).await?;
        Ok(())
    }
}
