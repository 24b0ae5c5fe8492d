//! A channel that FreeSWITCH's application `sleep` holds, without a connection of its own.
//!
//! A lease keeps it, and `uuid_break` releases it. When the application ends, somebody has taken the channel, or FreeSWITCH
//! goes on with the dialplan by itself.

use freeswitch_esl_tokio::{EslError, EslEvent};
use tracing::debug;

use super::connection::{Connection, Place};
use crate::esl::decode::{self, TransferTarget};
use crate::esl::encode;

impl Connection {
    /// Sets the lease that keeps the channel while fswake runs.
    pub(super) async fn keep_hold(&mut self) -> Result<(), EslError> {
        match &self.held.sleep {
            Some(sleep) => self.link.lease_hold(sleep.first_lease.as_deref()).await,
            None => Ok(()),
        }
    }

    /// Ends the link if the dialplan has gone on already: the announcement may have waited for fswake longer than the first
    /// lease.
    pub(super) async fn is_still_asleep(&mut self) -> Result<(), EslError> {
        let Some(sleep) = self.held.sleep.as_ref().filter(|_| self.place == Place::Held) else {
            return Ok(());
        };
        let holder = sleep.holder.clone();
        let command = encode::ask_holder_of(&self.held.channel);
        if self.ask(command).await?.trim() != holder {
            debug!("the dialplan went on before fswake could hold the call");
            self.link.end();
        }
        Ok(())
    }

    /// A channel that was given up shall go back to the dialplan after all.
    pub(super) async fn hold_again(&mut self) -> Result<(), EslError> {
        let channel = &self.held.channel;
        let command = match &self.held.sleep {
            Some(sleep) => encode::set_holder(channel, &sleep.holder),
            None => encode::resumes(channel, true),
        };
        self.api(command).await?;
        Ok(())
    }

    /// The hold is over, and fswake did not end it.
    pub(super) async fn has_left_sleep(&mut self, event: &EslEvent, to: TransferTarget) {
        if self.held.sleep.is_none() {
            return;
        }
        let moved_by = event.header_str("variable_transfer_source").unwrap_or(decode::UNSET);
        let channel = self.held.channel.clone();
        if moved_by != self.held.socket.moved_by {
            self.was_taken(to).await;
        } else if decode::is_parked(|name| event.header_str(name)) || self.is_parked_elsewhere(&channel).await {
            self.was_taken(TransferTarget::Park).await;
        } else {
            // A digit, somebody's uuid_break, or the lease: nobody has taken the channel, and the dialplan goes on.
            debug!("FreeSWITCH has ended the hold");
            self.link.end();
        }
    }
}
