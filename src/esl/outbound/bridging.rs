//! Connects caller and phone: answers the held channel and bridges it with a leg that has left its originate.
//!
//! Races, each with its test in `tests/daemon/` or `tests/live/`:
//! - FreeSWITCH's `originate .. &park()` thread still runs when the phone has answered, and could take the leg out of a
//!   bridge (5 of 3,700 calls, measured). So the leg is bridged only after it is parked.
//! - The phone hangs up between its answer and the bridge. There is no bridge then, and the caller must not stay alone.
//! - The caller behind a loopback is moved while FreeSWITCH only begins their bridge. It sends CHANNEL_BRIDGE before
//!   both threads are inside, and the loopback's would hang up on the caller (1 of 2,500 calls on a busy machine,
//!   measured by `benches/live_answer.rs`). So the caller is moved after the loopback's thread has read a digit, which
//!   it does only inside the bridge.
//! - Somebody takes the held channel meanwhile: fswake leaves it alone (`pickup_race`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::command::api;
use super::connection::{Connection, MOST_NUDGED, PICK_UP, Place};
use super::loopback::mark_loopback;
use super::outcome::{NotBridged, WaitOutcome};
use super::pickup_race::{SOON, UNPARK_PATIENCE};
use super::shared::Counted;
use crate::engine::{Cause, Connect, Event, LegEnd};
use crate::esl::{decode, encode};
use crate::types::LegId;

/// How long FreeSWITCH may take to release a leg and to bridge it; less than the leg's `park_timeout`.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long an answered caller waits for the connection over which the bridge is reported.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// How long naming the callee to a leg may take.
const NAME_PATIENCE: Duration = Duration::from_millis(100);

/// What the channel's variables report of a call whose bridge stands.
const CONNECTED: &str = "connected";

/// How often FreeSWITCH is nudged meanwhile: each step of a bridge begins only after the last one was reported.
const NUDGE: Duration = Duration::from_millis(1);
/// How often fswake looks at the time while too many calls are bridged at once to nudge them.
const TICK: Duration = Duration::from_millis(20);

impl Connection {
    /// Bridges the caller with a leg and returns the result. If it fails, the caller's codecs are restored.
    pub(super) async fn connect(&mut self, connect: &Connect) -> Result<Event, EslError> {
        self.early = connect.early.then_some(connect.leg);
        let told = match self.make_ready(connect).await {
            Ok(a_leg) => self.bridge(&a_leg, connect).await,
            Err(error) => Err(error),
        };
        let end = match told {
            Ok(told) => return Ok(told),
            Err(NotBridged::Failed(end)) => end,
            Err(NotBridged::Lost(error)) => {
                // No bridge was ordered, so nothing else ends this leg.
                if self.place == Place::Held {
                    self.kill_elsewhere(connect.leg, Cause::NOBODY_THERE).await;
                }
                return Err(error);
            }
        };
        if self.is_still_held().await {
            let own_codecs = encode::own_codecs(&self.held.channel, self.held.parent.own_codecs.as_deref());
            if let Err(error) = self.api(own_codecs).await {
                self.kill_elsewhere(connect.leg, Cause::NOBODY_THERE).await;
                return Err(error);
            }
        }
        let leg = connect.leg;
        if self.place != Place::Held && end.is_none() {
            self.end_unused_leg(leg).await?;
        }
        self.early = None;
        if let Some(answer) = self.early_answer.take() {
            self.emit(answer).await;
        }
        Ok(Event::BridgeFailed { leg, end })
    }

    /// Answers the caller and waits for the leg. Returns the channel to bridge the leg with.
    async fn make_ready(&mut self, connect: &Connect) -> Result<String, NotBridged> {
        let leg = connect.leg;
        self.ringing.retain(|l| *l != leg);
        // Somebody took the channel after this order was given.
        if self.place != Place::Held {
            return Err(NotBridged::Failed(None));
        }
        // End the lease first: it would cut the call.
        let mut commands: Vec<_> = self.lease_ends(leg).collect();
        // A parked leg reads them one tick later.
        commands.extend(self.name_callee(leg));
        let is_asked = self.who_moved_it();
        let answer = is_asked.is_some().then_some(commands.len());
        commands.extend(is_asked);
        let replies = self.all(commands).await?;
        if self.was_taken_by(answer.and_then(|n| replies.get(n))).await {
            return Err(NotBridged::Failed(None));
        }
        // Parking takes a tick. The caller's answer and the bridge with the loopback need not wait for it.
        self.answer(connect).await?;
        if self.held.socket.is_static && self.replaceable(connect.early).is_none() {
            // Before the answer the caller hears that the phone rings.
            self.stand_by(if connect.early { PATIENCE } else { SILENCE }).await;
        }
        self.is_parked(leg).await?;
        // Wait only a moment: the phone's display must not cost the call.
        if let WaitOutcome::LegOver(end) = self
            .wait(leg, NAME_PATIENCE, |this, _| this.named.contains(&leg))
            .await?
        {
            return Err(NotBridged::Failed(Some(end)));
        }
        self.a_leg(leg, connect.early).await
    }

    /// Waits until the leg has left its originate.
    async fn is_parked(&mut self, leg: LegId) -> Result<(), NotBridged> {
        match self.wait(leg, PATIENCE, |this, _| this.parked.contains(&leg)).await? {
            WaitOutcome::Done => Ok(()),
            WaitOutcome::LegOver(end) => Err(NotBridged::Failed(Some(end))),
            WaitOutcome::HeldLost | WaitOutcome::Nothing => Err(NotBridged::Failed(None)),
        }
    }

    /// Answers the held channel.
    async fn answer(&mut self, connect: &Connect) -> Result<(), NotBridged> {
        let (channel, parent) = (&self.held.channel, &self.held.parent);
        let prepare = encode::prepare_answer(channel, connect.codec.as_deref(), parent.codecs.as_deref());
        let mut commands: Vec<_> = prepare.into_iter().map(api).collect();
        if let Some((_, end)) = self.replaceable(connect.early) {
            commands.extend(mark_loopback(&end));
        }
        let answer = if connect.early {
            "uuid_pre_answer"
        } else {
            "uuid_answer"
        };
        commands.extend(self.forget_own_hooks(|_| true));
        let nth = commands.len();
        commands.push(api(format!("{answer} {channel}")));
        commands.push(api(encode::forget_leg(channel)));
        let replies = self.all(commands).await?;
        if replies.get(nth).is_some_and(|answered| answered.api_result().is_ok()) {
            return Ok(());
        }
        // Most likely the caller has hung up: report that.
        self.is_held_for(UNPARK_PATIENCE).await;
        Err(NotBridged::Failed(None))
    }

    /// Orders the bridge and waits until FreeSWITCH has made it.
    async fn bridge(&mut self, a_leg: &str, connect: &Connect) -> Result<Event, NotBridged> {
        if !self.is_still_held().await {
            return Err(NotBridged::Failed(None));
        }
        if self.has_to_leave(a_leg) {
            self.use_second_link().await;
        }
        if !self.order(a_leg, connect.leg).await? {
            self.use_own();
            return Err(NotBridged::Failed(None));
        }
        self.confirm(a_leg, connect.leg, connect.early).await
    }

    /// Waits until FreeSWITCH has followed the order to bridge.
    pub(super) async fn confirm(&mut self, a_leg: &str, leg: LegId, early: bool) -> Result<Event, NotBridged> {
        let channel = self.held.channel.clone();
        let is_replaced = a_leg != channel;
        self.place = if is_replaced { Place::Replaced } else { Place::Bridging };
        // From here on `transfer_source` is fswake's own on the A leg, but not on a caller whose loopback was bridged.
        if is_replaced || self.held.parent.channel.is_none() {
            self.held.parent.moved_by = None;
        }
        let leaves = self.has_to_leave(a_leg);
        // The bridge may have been reported while there was no connection.
        let mut is_late = false;
        if leaves {
            self.end_other_legs().await?;
            is_late = self.is_on_its_own();
            if is_late {
                self.leave_before().await?;
            } else {
                self.leave().await?;
            }
        } else if !self.held.socket.is_static {
            // With socket_resume the end of this connection would end the call (measured, with either routing).
            self.let_go(&channel).await?;
        }
        let is_bridge = |_: &Self, event: Option<&EslEvent>| {
            event.is_some_and(|event| {
                let is = |header: &str, id: &str| event.header_str(header) == Some(id);
                event.event_type() == Some(EslEventType::ChannelBridge)
                    && is("Bridge-A-Unique-ID", a_leg)
                    && is("Bridge-B-Unique-ID", &leg.channel().to_string())
            })
        };
        let ordered_at = Instant::now();
        // A connection that was closed cannot be used again.
        let is_left = is_replaced || leaves;
        let mut is_lost = false;
        let heard = loop {
            if is_late && self.was_with(a_leg, leg).await? {
                break WaitOutcome::Done;
            }
            let heard = self.wait(leg, SOON, is_bridge).await?;
            // Whoever takes the caller now keeps the call, if that order came after fswake's.
            if !matches!(heard, WaitOutcome::Done) && self.is_taken_from_bridge(a_leg, leg).await? {
                return Err(NotBridged::Failed(None));
            }
            if !matches!(heard, WaitOutcome::Nothing) || ordered_at.elapsed() > PATIENCE {
                if is_late && matches!(heard, WaitOutcome::Nothing) {
                    // The call may be over long since, and the caller somewhere else.
                    return Err(NotBridged::Lost(EslError::ConnectionClosed));
                }
                break heard;
            }
        };
        let end = match heard {
            WaitOutcome::Done => {
                debug!("the bridge is confirmed");
                if !self.has_the_caller(a_leg, leg).await.unwrap_or(true) {
                    return Err(NotBridged::Failed(None));
                }
                // From here on the call is up, whatever happens to this connection.
                let _ = self.is_bridged(a_leg, leg, early).await;
                return Ok(if early {
                    Event::EarlyBridged(leg)
                } else {
                    Event::Bridged(leg)
                });
            }
            // If the phone hangs up in these milliseconds, FreeSWITCH leaves the caller alone (measured).
            WaitOutcome::LegOver(end) => {
                if !self.api(encode::kill(a_leg, &end.cause)).await? && !is_replaced {
                    // FreeSWITCH has hung up on the caller by itself; the event comes in a moment.
                    self.place = Place::Held;
                    self.is_held_for(UNPARK_PATIENCE).await;
                }
                Some(end)
            }
            WaitOutcome::HeldLost => None,
            WaitOutcome::Nothing => {
                warn!("FreeSWITCH has not confirmed the bridge");
                is_lost = leaves;
                if is_left {
                    self.api(encode::kill(a_leg, "DESTINATION_OUT_OF_ORDER")).await?;
                } else {
                    self.place = Place::Held;
                    self.holds_on = false;
                    self.api(encode::resumes(&channel, true)).await?;
                }
                None
            }
        };
        if !is_replaced && !is_lost {
            return Err(NotBridged::Failed(end));
        }
        // The loopback is gone, so nothing is held any more.
        self.place = Place::Gone;
        let his_cause = self.caller_end.take().filter(|_| end.is_none()).map(|his| his.cause);
        let cause = his_cause.unwrap_or_else(|| "DESTINATION_OUT_OF_ORDER".into());
        Ok(Event::CallerGone { call: self.call, cause })
    }

    /// Orders the bridge; returns whether FreeSWITCH will follow the order.
    pub(super) async fn order(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        let caller = self.held.parent.channel.as_ref().unwrap_or(&self.held.channel);
        let order = encode::bridge(a_leg, leg, caller, self.held.parent.moved_by.as_deref());
        // Written at once, because this process may end in between.
        let end_alone = encode::end_alone(a_leg, leg, PATIENCE + Duration::from_secs(1));
        let mut commands: Vec<_> = self.hide_caller(leg).into_iter().collect();
        let place = commands.len();
        commands.extend([api(order), api(end_alone)]);
        let replies = self.all(commands).await?;
        let is_ordered = replies.get(place).is_some_and(|reply| reply.api_result().is_ok());
        debug!(ok = is_ordered, "uuid_bridge ordered");
        if is_ordered {
            return Ok(true);
        }
        if self.is_being_taken().await? {
            return Ok(false);
        }
        // The leg is gone, or this FreeSWITCH does not run commands inside others (`api-expansion`).
        let [order, forget] = encode::plain_bridge(a_leg, leg);
        let is_ordered = self.api(order).await?;
        if is_ordered {
            self.api(forget).await?;
        }
        Ok(is_ordered)
    }

    /// Sets the A leg's variables as `bridge` does.
    async fn is_bridged(&mut self, a_leg: &str, leg: LegId, early: bool) -> Result<(), EslError> {
        let own_codecs = self.held.parent.own_codecs.as_deref();
        // FreeSWITCH has set no codec for a caller who is bridged in the loopback's place.
        let own_codecs = (a_leg == self.held.channel).then_some(own_codecs.unwrap_or_default());
        let user = &self.held.call.aor.user;
        let mut command = encode::bridged(a_leg, own_codecs, &self.dialed, user);
        if a_leg == self.held.channel {
            command.push_str(&self.forget_prepared());
        }
        if !early {
            command.push_str(&encode::reported(self.call, CONNECTED, &self.record));
        }
        self.api(command).await?;
        self.set_callee_variables_later(leg);
        self.name_caller(leg).await?;
        if self.held.parent.inherited.codecs.is_none() {
            // From now on the phone may offer other codecs, and video, as on a leg of `bridge`.
            self.api(encode::own_codecs(&leg.channel().to_string(), None)).await?;
        }
        if early {
            return Ok(());
        }
        self.bypass_media(a_leg).await?;
        if a_leg != self.held.channel {
            // The loopback ends by itself: it has no caller any more.
            self.api(encode::kill(&self.held.channel, "NORMAL_CLEARING")).await?;
        }
        Ok(())
    }

    /// Caller and phone are connected.
    pub(super) async fn is_connected(&mut self, a_leg: &str) -> Result<(), EslError> {
        self.api(encode::report(a_leg, self.call, CONNECTED, &self.record))
            .await?;
        self.bypass_media(a_leg).await
    }

    /// Takes FreeSWITCH out of the call's media, if the call asks for it.
    async fn bypass_media(&mut self, a_leg: &str) -> Result<(), EslError> {
        if self.held.bypasses_media() {
            // FreeSWITCH replies after both sides have, which may take seconds.
            self.command(EslCommand::BgApi {
                command: format!("uuid_media off {a_leg}"),
            })
            .await?;
        }
        Ok(())
    }

    /// Waits for an event; passes on all others meanwhile.
    pub(super) async fn wait(
        &mut self,
        leg: LegId,
        patience: Duration,
        has_happened: impl Fn(&Self, Option<&EslEvent>) -> bool,
    ) -> Result<WaitOutcome, EslError> {
        let _counted = Counted::new(&self.shared.bridging);
        let deadline = Instant::now() + patience;
        let channel = leg.channel().to_string();
        let mut last: Option<EslEvent> = None;
        loop {
            let end = self.ended.iter().find(|(l, _)| *l == leg).map(|(_, end)| end.clone());
            if end.as_ref().is_some_and(LegEnd::is_picked_off) {
                // Most likely the held channel was picked up, too; its event comes in a moment.
                self.is_held_for(PICK_UP).await;
            }
            if matches!(self.place, Place::Gone | Place::Taken) {
                return Ok(WaitOutcome::HeldLost);
            }
            if let Some(end) = end {
                return Ok(WaitOutcome::LegOver(end));
            }
            if has_happened(self, last.as_ref()) {
                return Ok(WaitOutcome::Done);
            }
            if Instant::now() >= deadline {
                return Ok(WaitOutcome::Nothing);
            }
            // Even if events keep coming.
            if Instant::now() >= self.renew_at {
                self.renew_leases().await?;
            }
            let is_nudged = self.shared.bridging.load(Ordering::Relaxed) <= MOST_NUDGED;
            let event = tokio::select! {
                event = self.link.event() => event.ok_or(EslError::ConnectionClosed)?,
                () = tokio::time::sleep(if is_nudged { NUDGE } else { TICK }) => {
                    if is_nudged {
                        self.link.nudge();
                    }
                    continue;
                }
            };
            let of = event.header_str("Unique-ID");
            if event.event_type() == Some(EslEventType::ChannelHangup) {
                if of == Some(&channel) {
                    self.leg_is_over(leg, decode::leg_end(|h| event.header_str(h)));
                    continue;
                }
                if self.place == Place::Replaced && of == self.caller_behind() {
                    self.caller_end = self.end_of_the_caller(&event);
                    return Ok(WaitOutcome::HeldLost);
                }
            }
            self.on_event(&event).await;
            last = Some(event);
        }
    }
}
