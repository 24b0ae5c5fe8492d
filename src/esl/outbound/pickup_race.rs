//! Who has the caller while a pick-up (or a transfer) crosses the answer of his phone.
//!
//! FreeSWITCH tells of neither in time: CHANNEL_UNPARK comes up to a tick late, a caller who is taken from a bridge that only
//! begins is told of on no channel, and a loopback whose caller is taken ends as if he had given up. But it writes down at once
//! what has moved a channel last (`transfer_source`, here [`TransferSource`]), so all these questions look there.
//!
//! Races, by the moment in which the caller is picked up; tests in `tests/daemon/pickup_race.rs`, and with the real one in
//! `tests/live/pickup_race.rs`:
//! - before the order to bridge: the order itself looks ([`encode::bridge`]), and so do we before the caller is answered;
//! - between the order and the bridge, some 20 ms in which FreeSWITCH's threads follow it: whoever picks the caller up has him, the
//!   phone's leg may stay up, answered and alone, and nobody is told: we ask while we wait, and end it. Should this process end
//!   in those milliseconds, the scheduler ends it ([`encode::end_alone`]);
//! - as the bridge begins: FreeSWITCH says CHANNEL_BRIDGE, and whoever picks the caller up comes too late. His own channel would stay
//!   answered, in silence: the scheduler ends it, unless he has the caller all the same ([`encode::end_latecomer`]);
//! - the leg is picked up, and not the caller: the held channel ends with PICKED_OFF, as a loopback does whose caller is picked up. Whose
//!   the leg is then, and whether it is alone, FreeSWITCH is asked.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType, EslResponse};
use tracing::info;

use super::command::api;
use super::connection::{Connection, Place};
use super::transfer_source::{CallerEnd, TransferSource};
use crate::engine::Event;
use crate::esl::{decode, encode, link};
use crate::types::LegId;

/// A bridge is confirmed sooner than this on an idle machine. Until it is, FreeSWITCH is asked this often whether somebody has the caller.
pub(super) const SOON: Duration = Duration::from_millis(90);

/// How long a channel that is being taken may take to say so: a tick, on an idle machine.
pub(super) const UNPARK_PATIENCE: Duration = Duration::from_millis(300);

/// How long the last event of a caller's channel that is gone may take: a busy FreeSWITCH forgets a channel before it has sent that.
const END_IS_TOLD: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(150),
];

impl Connection {
    async fn ask_who_moved(&mut self, channel: &str) -> Result<TransferSource, EslError> {
        let replies = self.all(vec![api(encode::who_moved(channel))]).await?;
        Ok(TransferSource::by(replies.first()))
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
        let known = self.held.parent.moved_by.clone().map(TransferSource);
        let moved = TransferSource::by(answer);
        if answer.is_none() || known.is_none_or(|known| moved == known) {
            return !self.is_still_held().await;
        }
        // FreeSWITCH says it in a moment, or has said it before anybody listened. Without `async` it says nothing.
        let patience = if self.held.socket.is_static {
            Duration::ZERO
        } else {
            UNPARK_PATIENCE
        };
        if self.is_held_for(patience).await {
            self.was_moved_by(&moved).await;
        }
        true
    }

    /// Whether somebody else has the A leg that we have ordered to be bridged with this one.
    pub(super) async fn is_taken_from_bridge(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        if matches!(self.place, Place::Gone | Place::Taken) {
            return Ok(false);
        }
        let moved = self.ask_who_moved(a_leg).await?;
        if moved.is_gone() || moved.is_to(&leg.channel().to_string()) {
            return Ok(false);
        }
        self.was_moved_by(&moved).await;
        Ok(true)
    }

    /// Whether the bridge that FreeSWITCH has told of stands, or somebody has the caller who picked him up while its threads began it. Who
    /// did and has not got him ends.
    pub(super) async fn has_the_caller(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        let own = leg.channel().to_string();
        let [ask_partner, give_partner] = encode::partner(a_leg, leg);
        let questions = [encode::who_moved(a_leg), ask_partner, encode::is_not_alone(leg)];
        let replies = self.all(questions.map(api).into()).await?;
        let moved = TransferSource::by(replies.first());
        if moved.to_channel().is_none_or(|other| other == own) {
            // It was taken away after the bridge had given it back.
            let partner = replies.get(1).and_then(EslResponse::body);
            if partner.is_some_and(|partner| partner.trim() == decode::UNSET) {
                self.api(give_partner).await?;
            }
            return Ok(true);
        }
        tokio::time::sleep(SOON).await;
        let questions = [encode::bridged_with(a_leg), encode::all_moves(a_leg)];
        let replies = self.all(questions.map(api).into()).await?;
        let text = |n: usize| replies.get(n).and_then(EslResponse::body).unwrap_or_default().trim();
        if text(0) != own {
            self.was_moved_by(&moved).await;
            return Ok(false);
        }
        for other in decode::channels_since(text(1), &own) {
            info!(other, "picked the caller up too late: that channel ends");
            self.api(encode::end_latecomer(&other, a_leg, leg)).await?;
        }
        Ok(true)
    }

    /// Ends a leg that has answered and that nobody talks to: the caller has gone, or is with somebody else. The engine cannot tell
    /// whether this leg was picked up, too; FreeSWITCH can.
    pub(super) async fn end_unused_leg(&mut self, leg: LegId) -> Result<(), EslError> {
        let moved = self.ask_who_moved(&leg.channel().to_string()).await?;
        // Our own order has moved it, too.
        let is_ours = match moved.to_channel() {
            Some(other) => other == self.held.channel || Some(&other) == self.held.parent.channel.as_ref(),
            None => moved.is_nothing(),
        };
        if is_ours {
            self.api(encode::kill(leg.channel(), "LOSE_RACE")).await?;
        }
        Ok(())
    }

    /// Whether the caller behind the loopback that was held has gone to somebody else. FreeSWITCH ends the loopback as if he had given up
    /// (ORIGINATOR_CANCEL, or NORMAL_CLEARING once the loopback was answered; measured): where he is transferred or parked, where a ringing
    /// phone of his is picked up, and where a pick-up crosses the loopback's answer.
    pub(super) async fn is_taken_from_loopback(&mut self) -> bool {
        let caller = self.caller_behind().map(str::to_owned);
        let (Some(caller), Some(known)) = (caller, self.held.parent.moved_by.clone().map(TransferSource)) else {
            return false;
        };
        let Ok(moved) = self.ask_who_moved(&caller).await else {
            return false;
        };
        if moved.is_gone() {
            let Some(end) = self.caller_end(&caller).await else {
                return false;
            };
            if &*end.cause == "PICKED_OFF" {
                // One of his phones was, while it rang.
                let (call, cause) = (self.call, end.cause);
                self.place = Place::Gone;
                self.emit(Event::CallerGone { call, cause }).await;
                return true;
            }
            if end.moved == known {
                return false;
            }
            self.was_moved_by(&end.moved).await;
            return true;
        }
        if moved != known {
            self.was_moved_by(&moved).await;
            return true;
        }
        let is_parked = self.is_parked_elsewhere(&caller).await;
        if is_parked {
            self.was_taken(decode::TransferTarget::Park).await;
        }
        is_parked
    }

    /// Whether somebody has parked a channel: `uuid_park` leaves no note of it.
    pub(super) async fn is_parked_elsewhere(&mut self, channel: &str) -> bool {
        let dump = self.ask(format!("uuid_dump {channel}")).await.unwrap_or_default();
        let dump = link::dump(&dump);
        decode::is_parked(|name| link::header(&dump, name))
    }

    /// How the caller behind the loopback has ended, whose channel is gone.
    async fn caller_end(&mut self, caller: &str) -> Option<CallerEnd> {
        for wait in END_IS_TOLD {
            if self.caller_end.is_some() {
                break;
            }
            tokio::time::sleep(wait).await;
            // FreeSWITCH sends what it has to say before it answers.
            let _ = self.ask_who_moved(caller).await;
            self.caller_end = self.link.kept().find_map(|event| self.end_of_the_caller(event));
        }
        self.caller_end.take()
    }

    /// How the caller behind the loopback ends, where this event is his end.
    pub(super) fn end_of_the_caller(&self, event: &EslEvent) -> Option<CallerEnd> {
        let caller = self.caller_behind()?;
        let is_caller_end =
            event.event_type() == Some(EslEventType::ChannelHangup) && event.header_str("Unique-ID") == Some(caller);
        let moved = event.header_str("variable_transfer_source").unwrap_or(decode::UNSET);
        is_caller_end.then(|| CallerEnd {
            cause: event.header_str("Hangup-Cause").unwrap_or_default().into(),
            moved: TransferSource(moved.to_owned()),
        })
    }

    /// The held channel is gone, or somebody else has it.
    pub(super) async fn was_moved_by(&mut self, moved: &TransferSource) {
        if moved.is_gone() {
            let (call, cause) = (self.call, "ORIGINATOR_CANCEL".into());
            self.place = Place::Gone;
            self.emit(Event::CallerGone { call, cause }).await;
        } else {
            self.was_taken(decode::transfer_target(&moved.0, "")).await;
        }
    }
}
