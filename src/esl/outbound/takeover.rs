//! Notices that somebody else takes a channel which `socket` holds without `async`.
//!
//! FreeSWITCH fires no event of the channel then: its thread serves fswake's connection, and a pick-up waits for the
//! connection's end. So fswake asks what moved the channel last (`transfer_source`):
//! - when an API command has named it (`uuid_transfer`, `uuid_bridge`, `uuid_park`, ..): FreeSWITCH fires an event API
//!   after each;
//! - when another channel that has run `intercept` has become its partner;
//! - while its phones ring, when it is answered, but not by fswake: a pick-up answers it;
//! - when one of the call's phones was picked off, which happens to the partner of a channel that is picked up;
//! - once a second, for whatever else there is (`sched_transfer`, a SIP REFER).

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType};

use super::command::api;
use super::connection::{Connection, Place};
use super::transfer_source::TransferSource;
use crate::esl::{decode, encode};

impl Connection {
    /// The command that takes back a snippet's `socket_resume` for a connection without `async`.
    pub(super) fn without_async(&self) -> Option<EslCommand> {
        let socket = &self.held.socket;
        (socket.is_static && socket.is_told_to_resume).then(|| api(encode::resumes(&self.held.channel, false)))
    }

    /// Whether this event may mean that somebody takes the channel.
    pub(super) fn may_be_taken(&mut self, event: &EslEvent) {
        let Some(watch) = &mut self.watch else { return };
        let of = event.header_str("Unique-ID").unwrap_or_default();
        if of == self.held.channel && event.event_type() == Some(EslEventType::ChannelAnswer) {
            watch.soon();
        }
    }

    /// Checks whether somebody else has the channel.
    pub(super) async fn look(&mut self, is_named: bool) -> Result<(), EslError> {
        // After an order to bridge, fswake itself has moved the channel. Only the connection that holds it has this
        // command.
        if self.place != Place::Held || !self.is_on_its_own() {
            return Ok(());
        }
        let name = "transfer_source".into();
        let reply = self.link.send(EslCommand::GetVar { name }).await?;
        // FreeSWITCH's answer for an unset variable.
        let moved = reply.reply_text().filter(|text| !text.starts_with("-ERR"));
        let moved = moved.filter(|text| !text.is_empty()).unwrap_or(decode::UNSET);
        if moved != self.held.socket.moved_by {
            let moved = TransferSource(moved.to_owned());
            self.was_moved_by(&moved).await;
        } else if is_named {
            let channel = self.held.channel.clone();
            let is_parked = self.is_parked_elsewhere(&channel).await;
            if is_parked && self.place == Place::Held {
                self.was_taken(decode::TransferTarget::Park).await;
            }
        }
        Ok(())
    }
}
