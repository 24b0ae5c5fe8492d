//! Finds out who has the caller if a pick-up or a transfer comes at the same moment as the phone's answer.
//!
//! FreeSWITCH's events come too late for this. CHANNEL_UNPARK comes up to a tick late. No channel reports a caller who
//! is taken while a bridge begins. A loopback whose caller is taken ends as if the caller had given up. But FreeSWITCH
//! writes down at once what moved a channel last (`transfer_source`, here [`TransferSource`]), so all these questions
//! read that.
//!
//! Races, by the moment of the pick-up. Tests are in `tests/daemon/pickup_race.rs`, and with a real FreeSWITCH in
//! `tests/live/pickup_race.rs`:
//! - Before the order to bridge: the order itself checks ([`encode::bridge`]), and fswake checks before it answers the
//!   caller.
//! - Between the order and the bridge, some 20 ms in which FreeSWITCH's threads follow it: whoever picks the caller up
//!   keeps the call. The phone's leg may stay answered and alone, and no event reports it. fswake asks while it waits,
//!   and ends that leg. If fswake dies in these milliseconds, the scheduler ends it ([`encode::end_alone`]).
//! - As the bridge begins: FreeSWITCH sends CHANNEL_BRIDGE, and the pick-up is too late. Its channel would stay
//!   answered, in silence. The scheduler ends it, unless it has the caller after all ([`encode::end_latecomer`]).
//! - The leg is picked up, and not the caller: the held channel ends with PICKED_OFF, as a loopback does if its caller
//!   is picked up. fswake asks FreeSWITCH who has the leg, and whether it is alone.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType, EslResponse};
use tracing::info;

use super::command::api;
use super::connection::{Connection, Place};
use super::transfer_source::{CallerEnd, TransferSource};
use crate::engine::Event;
use crate::esl::{decode, encode, link};
use crate::types::LegId;

/// On an idle machine a bridge is confirmed sooner than this. Until then fswake asks this often whether somebody has
/// the caller.
pub(super) const SOON: Duration = Duration::from_millis(90);

/// How long CHANNEL_UNPARK may take while the channel is being taken: a tick on an idle machine.
pub(super) const UNPARK_PATIENCE: Duration = Duration::from_millis(300);

/// How late the last event of a caller's channel may come: a busy FreeSWITCH forgets a channel before it has sent that.
const END_DELAYS: [Duration; 4] = [
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

    /// Whether somebody has taken the caller, or is about to.
    pub(super) async fn is_being_taken(&mut self) -> Result<bool, EslError> {
        let question: Vec<_> = self.who_moved_it().into_iter().collect();
        let replies = self.all(question).await?;
        Ok(self.was_taken_by(replies.first()).await)
    }

    /// The question who has moved the caller last; `None` after fswake has.
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
        // The event comes in a moment, or came before fswake subscribed. Without `async` there is none.
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

    /// Whether the A leg is or was bridged with this leg. An error if it is gone: then nobody knows any more.
    pub(super) async fn was_with(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        let other = self.ask(encode::last_bridged_with(a_leg)).await?;
        if TransferSource(other.trim().to_owned()).is_gone() {
            return Err(EslError::ConnectionClosed);
        }
        Ok(other.trim() == leg.channel().to_string())
    }

    /// Whether somebody else has taken the A leg that fswake has ordered to be bridged with this leg.
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

    /// Whether the announced bridge stands, or somebody picked the caller up while its threads began it. A pick-up that
    /// failed is ended.
    pub(super) async fn has_the_caller(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        let own = leg.channel().to_string();
        let [ask_partner, give_partner] = encode::partner(a_leg, leg);
        let questions = [encode::who_moved(a_leg), ask_partner, encode::is_not_alone(leg)];
        let replies = self.all(questions.map(api).into()).await?;
        let moved = TransferSource::by(replies.first());
        if moved.to_channel().is_none_or(|other| other == own) {
            // The variable was cleared after the bridge had set it.
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
            info!(
                other,
                "the caller was picked up too late: the channel of the pick-up ends"
            );
            self.api(encode::end_latecomer(&other, a_leg, leg)).await?;
        }
        Ok(true)
    }

    /// Ends a leg that has answered and has no partner: the caller is gone or with somebody else. The engine does not
    /// know whether this leg was picked up, too; FreeSWITCH does.
    pub(super) async fn end_unused_leg(&mut self, leg: LegId) -> Result<(), EslError> {
        let moved = self.ask_who_moved(&leg.channel().to_string()).await?;
        // fswake's own order has moved it, too.
        let is_ours = match moved.to_channel() {
            Some(other) => other == self.held.channel || Some(&other) == self.held.parent.channel.as_ref(),
            None => moved.is_nothing(),
        };
        if is_ours {
            self.api(encode::kill(leg.channel(), "LOSE_RACE")).await?;
        }
        Ok(())
    }

    /// Whether the caller behind the held loopback is with somebody else. FreeSWITCH ends the loopback as if the caller
    /// had given up (ORIGINATOR_CANCEL, or NORMAL_CLEARING once the loopback was answered; measured). It does so if the
    /// caller is transferred or parked, if a ringing phone of the call is picked up, and if a pick-up comes as the
    /// loopback is answered.
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
                // One of the call's phones was picked up while it rang.
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

    /// Whether somebody has parked a channel: `uuid_park` does not write `transfer_source`.
    pub(super) async fn is_parked_elsewhere(&mut self, channel: &str) -> bool {
        let dump = self.ask(format!("uuid_dump {channel}")).await.unwrap_or_default();
        let dump = link::dump(&dump);
        decode::is_parked(|name| link::header(&dump, name))
    }

    /// How the caller behind the loopback ended, after its channel is gone.
    async fn caller_end(&mut self, caller: &str) -> Option<CallerEnd> {
        for wait in END_DELAYS {
            if self.caller_end.is_some() {
                break;
            }
            tokio::time::sleep(wait).await;
            // FreeSWITCH sends queued events before it answers.
            let _ = self.ask_who_moved(caller).await;
            self.caller_end = self.link.kept().find_map(|event| self.end_of_the_caller(event));
        }
        self.caller_end.take()
    }

    /// The caller's end, if this event reports it.
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
