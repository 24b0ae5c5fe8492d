//! Who has the caller while a pick-up (or a transfer) crosses the answer of his phone.
//!
//! FreeSWITCH tells of neither in time: CHANNEL_UNPARK comes up to a tick late, a caller who is taken from a bridge that only
//! begins is told of on no channel, and a loopback whose caller is taken ends as if he had given up. But it writes down at once who
//! has moved a channel last (`transfer_source`), so these questions look there.
//!
//! Races, by the moment in which the caller is picked up:
//! - before the order to bridge: the order itself looks ([`encode::bridge`]), and so do we before the caller is answered;
//! - between the order and the bridge, some 20 ms in which FreeSWITCH's threads follow it: he who picks the caller up has him. The phone's
//!   leg stays up, answered and alone, and nothing is said of it: we ask, and end it;
//! - as the bridge begins: FreeSWITCH says CHANNEL_BRIDGE, and he who picks the caller up comes too late. His own channel stays answered, in
//!   silence, and ends by an order of ours; or he has the caller all the same, and the leg ends;
//! - a pick-up of the leg, not of the caller: the engine cannot tell whose the leg is then, and FreeSWITCH is asked.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslResponse};
use tracing::info;

use super::connection::{Connection, Place, api};
use crate::engine::Event;
use crate::esl::{decode, encode};
use crate::types::LegId;

/// A bridge is confirmed sooner than this on an idle machine. Until it is, FreeSWITCH is asked this often whether somebody has the caller.
pub(super) const SOON: Duration = Duration::from_millis(90);

/// How long a channel that is being taken may take to say so: a tick, on an idle machine.
pub(super) const UNPARK_PATIENCE: Duration = Duration::from_millis(300);

impl Connection {
    /// Whether somebody else has the A leg that we have ordered to be bridged with this one. FreeSWITCH says nothing of it on either
    /// channel, and has written it down at once.
    pub(super) async fn is_taken_from_bridge(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        if matches!(self.place, Place::Gone | Place::Taken) {
            return Ok(false);
        }
        let moved_by = self.ask(encode::who_moved(a_leg)).await?;
        let moved_by = moved_by.trim();
        if moved_by.starts_with("-ERR") || moved_by.ends_with(&leg.channel().to_string()) {
            return Ok(false);
        }
        self.was_moved_by(moved_by).await;
        Ok(true)
    }

    /// Whether the bridge that FreeSWITCH has told of stands: somebody may pick the caller up while its threads begin it. Then he has
    /// the caller, or his own channel is left answered, in silence, and ends.
    pub(super) async fn has_the_caller(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        let [ask_partner, give_partner] = encode::partner(a_leg, leg);
        let replies = self.all(vec![api(encode::who_moved(a_leg)), api(ask_partner)]).await?;
        let text = |n: usize| replies.get(n).and_then(EslResponse::body).unwrap_or_default().trim();
        let (moved_by, partner) = (text(0).to_owned(), text(1).to_owned());
        let other = match decode::moved_to(&moved_by, "") {
            decode::LeftTo::Channel(other) if other != leg.channel().to_string() => other,
            _ => {
                // It was taken away after the bridge had given it back.
                if partner == decode::UNSET {
                    self.api(give_partner).await?;
                }
                return Ok(true);
            }
        };
        tokio::time::sleep(SOON).await;
        if self.ask(encode::bridged_with(a_leg)).await?.trim() == leg.channel().to_string() {
            info!(other, "picked the caller up too late: that channel ends");
            self.api(encode::end_latecomer(&other, a_leg, leg)).await?;
            return Ok(true);
        }
        self.was_moved_by(&moved_by).await;
        Ok(false)
    }

    /// Whether somebody has the caller, or is about to.
    pub(super) async fn is_being_taken(&mut self) -> Result<bool, EslError> {
        let question: Vec<_> = self.who_moved_it().into_iter().collect();
        let replies = self.all(question).await?;
        Ok(self.was_taken_by(replies.first()).await)
    }

    /// The question who has moved the caller last, where that is not us.
    pub(super) fn who_moved_it(&self) -> Option<EslCommand> {
        self.held.parent.moved_by.as_ref()?;
        let caller = self.held.parent.channel.as_ref().unwrap_or(&self.held.channel);
        Some(api(encode::who_moved(caller)))
    }

    /// The same as [`Self::is_being_taken`], by the answer to [`Self::who_moved_it`].
    pub(super) async fn was_taken_by(&mut self, answer: Option<&EslResponse>) -> bool {
        let (Some(answer), Some(known)) = (answer, &self.held.parent.moved_by) else {
            return !self.is_still_held().await;
        };
        let moved_by = answer.body().unwrap_or_default().trim().to_owned();
        if moved_by == *known {
            return !self.is_still_held().await;
        }
        // FreeSWITCH says it in a moment, or has said it before anybody listened.
        if self.is_held_for(UNPARK_PATIENCE).await {
            self.was_moved_by(&moved_by).await;
        }
        true
    }

    /// Ends a leg that has answered and that nobody talks to: the caller has gone, or is with somebody else. The engine cannot tell
    /// whether this leg was picked up, too; FreeSWITCH can.
    pub(super) async fn end_unused_leg(&mut self, leg: LegId) -> Result<(), EslError> {
        let moved_by = self.ask(encode::who_moved(&leg.channel().to_string())).await?;
        let moved_by = moved_by.trim();
        // Our own order has moved it, too.
        let is_ours = match decode::moved_to(moved_by, "") {
            decode::LeftTo::Channel(other) => {
                other == self.held.channel || Some(&other) == self.held.parent.channel.as_ref()
            }
            decode::LeftTo::Dialplan(_) => moved_by == decode::UNSET,
        };
        if is_ours {
            self.api(encode::kill(leg.channel(), "LOSE_RACE")).await?;
        }
        Ok(())
    }

    /// The held channel is gone, or somebody else has it, by the answer to a question for its `transfer_source`.
    async fn was_moved_by(&mut self, answer: &str) {
        if answer.starts_with("-ERR") {
            let (call, cause) = (self.call, "ORIGINATOR_CANCEL".into());
            self.place = Place::Gone;
            self.tell(Event::CallerGone { call, cause }).await;
        } else {
            self.was_taken(decode::moved_to(answer, "")).await;
        }
    }

    /// Whether the caller behind the loopback that was held is with somebody else. Where a pick-up crosses the loopback's answer, FreeSWITCH
    /// ends the loopback as if the caller had given up (ORIGINATOR_CANCEL, measured).
    pub(super) async fn is_taken_from_loopback(&mut self) -> bool {
        let behind = self.held.behind.as_ref();
        let caller = behind.and_then(|behind| behind.caller.as_deref());
        let (Some(caller), Some(known)) = (caller, self.held.parent.moved_by.clone()) else {
            return false;
        };
        let moved_by = self.ask(encode::who_moved(caller)).await.unwrap_or_default();
        let moved_by = moved_by.trim();
        if moved_by.is_empty() || moved_by.starts_with("-ERR") || moved_by == known {
            return false;
        }
        self.was_taken(decode::moved_to(moved_by, "")).await;
        true
    }
}
