//! Caller and phone are connected: the held channel is answered and bridged with a leg that has left its originate.
//!
//! Races, each with its test in `tests/daemon/` or `tests/live/`:
//! - FreeSWITCH's thread of `originate .. &park()` still runs when the phone has answered, and would take the leg out of a
//!   bridge (5 of 3,700 calls, measured): the leg is bridged once it is parked;
//! - the phone hangs up between its answer and the bridge: no bridge, and the caller is not left alone;
//! - the caller behind a loopback is taken from his bridge with it while that only begins: FreeSWITCH says CHANNEL_BRIDGE before
//!   both of its threads are in it, and the loopback's would hang up on the caller (1 of 2,500 calls on a busy machine, measured
//!   by `benches/live_answer.rs`): he is taken once the loopback's thread has read a digit, which it does inside the bridge only;
//! - somebody takes the held channel meanwhile: it is not touched (`pickup_race`).

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::command::api;
use super::connection::{Connection, PICK_UP, Place};
use super::loopback::mark_loopback;
use super::outcome::{NotBridged, WaitOutcome};
use super::pickup_race::{SOON, UNPARK_PATIENCE};
use crate::engine::{Cause, Connect, Event, LegEnd};
use crate::esl::{decode, encode};
use crate::types::LegId;

/// How long FreeSWITCH may take to let go of a leg, and to bridge it; less than the leg's `park_timeout`.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long the leg may take to be told whom it reaches.
const NAME_PATIENCE: Duration = Duration::from_millis(100);

/// When the other phones' leases are renewed first while one is waited for: their last renewal may be long ago.
const FIRST_RENEWAL: Duration = Duration::from_millis(500);

/// FreeSWITCH is nudged this often meanwhile: each step of a bridge begins when the one before it is heard of.
const NUDGE: Duration = Duration::from_millis(1);

impl Connection {
    /// Bridges the caller with a leg; says what came of it. Where nothing did, the caller's codecs are his own again.
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
                // No bridge was ordered: nobody else ends this leg.
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

    /// Answers the caller, and waits for the leg. The channel that the leg is to be bridged with.
    async fn make_ready(&mut self, connect: &Connect) -> Result<String, NotBridged> {
        let leg = connect.leg;
        self.ringing.retain(|l| *l != leg);
        // Somebody took the channel after this was ordered.
        if self.place != Place::Held {
            return Err(NotBridged::Failed(None));
        }
        // First of all the lease: it would cut the call.
        let mut commands = vec![self.lease_end(leg)];
        // A leg that is parked reads them a tick later.
        commands.extend(self.name_callee(leg));
        let is_asked = self.who_moved_it();
        let answer = is_asked.is_some().then_some(commands.len());
        commands.extend(is_asked);
        let replies = self.all(commands).await?;
        if self.was_taken_by(answer.and_then(|n| replies.get(n))).await {
            return Err(NotBridged::Failed(None));
        }
        // The leg takes a tick to be parked: the caller's answer, and his bridge with the loopback, need not wait for that.
        self.answer(connect).await?;
        if self.held.socket.is_static && self.replaceable(connect.early).is_none() {
            self.stand_by().await;
        }
        self.is_parked(leg).await?;
        // A display is not worth a call: it is waited for only a moment.
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
        let prepare = encode::prepare_answer(channel, self.call, connect.codec.as_deref(), parent.codecs.as_deref());
        let mut commands = vec![api(prepare)];
        if let Some((_, end)) = self.replaceable(connect.early) {
            commands.extend(mark_loopback(&end));
        }
        let answer = if connect.early {
            "uuid_pre_answer"
        } else {
            "uuid_answer"
        };
        let nth = commands.len();
        commands.push(api(format!("{answer} {channel}")));
        commands.push(api(encode::forget_leg(channel)));
        let replies = self.all(commands).await?;
        if replies.get(nth).is_some_and(|answered| answered.api_result().is_ok()) {
            return Ok(());
        }
        // Most likely the caller has hung up, and that is what became of the call.
        self.is_held_for(UNPARK_PATIENCE).await;
        Err(NotBridged::Failed(None))
    }

    /// Bridges them, and waits until FreeSWITCH has.
    async fn bridge(&mut self, a_leg: &str, connect: &Connect) -> Result<Event, NotBridged> {
        if !self.is_still_held().await {
            return Err(NotBridged::Failed(None));
        }
        if self.has_to_leave(a_leg) {
            self.use_second_link();
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
        // From here on it is we who have written it: on the A leg, and not on a caller whose loopback was bridged.
        if is_replaced || self.held.parent.channel.is_none() {
            self.held.parent.moved_by = None;
        }
        let leaves = self.has_to_leave(a_leg);
        if leaves {
            self.end_other_legs().await?;
            self.leave().await?;
        } else {
            // With socket_resume the end of this connection would end the call (measured, both ways in).
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
        // Nothing leads back to a connection that was left.
        let is_left = is_replaced || leaves;
        let mut is_lost = false;
        let heard = loop {
            let heard = self.wait(leg, SOON, is_bridge).await?;
            // Whoever takes the caller in this moment has him, if his order came after ours.
            if !matches!(heard, WaitOutcome::Done) && self.is_taken_from_bridge(a_leg, leg).await? {
                return Err(NotBridged::Failed(None));
            }
            if !matches!(heard, WaitOutcome::Nothing) || ordered_at.elapsed() > PATIENCE {
                break heard;
            }
        };
        let end = match heard {
            WaitOutcome::Done => {
                debug!("the bridge is confirmed");
                if !self.has_the_caller(a_leg, leg).await.unwrap_or(true) {
                    return Err(NotBridged::Failed(None));
                }
                // From here on it is a call, whatever becomes of this connection.
                let _ = self.is_bridged(a_leg, leg, early).await;
                return Ok(if early {
                    Event::EarlyBridged(leg)
                } else {
                    Event::Bridged(leg)
                });
            }
            // FreeSWITCH leaves a caller alone whose phone hung up in these milliseconds (measured).
            WaitOutcome::LegOver(end) => {
                if !self.api(encode::kill(a_leg, &end.cause)).await? && !is_replaced {
                    // It has hung up on him by itself, and says so in a moment.
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
                    self.hold_again().await?;
                }
                None
            }
        };
        if !is_replaced && !is_lost {
            return Err(NotBridged::Failed(end));
        }
        // Nothing is held any more: the loopback is gone.
        self.place = Place::Gone;
        let his_cause = self.caller_end.take().filter(|_| end.is_none()).map(|his| his.cause);
        let cause = his_cause.unwrap_or_else(|| "DESTINATION_OUT_OF_ORDER".into());
        Ok(Event::CallerGone { call: self.call, cause })
    }

    /// Orders the bridge; whether FreeSWITCH will follow it.
    pub(super) async fn order(&mut self, a_leg: &str, leg: LegId) -> Result<bool, EslError> {
        let caller = self.held.parent.channel.as_ref().unwrap_or(&self.held.channel);
        let order = encode::bridge(a_leg, leg, caller, self.held.parent.moved_by.as_deref());
        // Written at once: this process may end in between.
        let end_alone = encode::end_alone(a_leg, leg, PATIENCE + Duration::from_secs(1));
        let replies = self.all(vec![api(order), api(end_alone)]).await?;
        let is_ordered = replies.first().is_some_and(|reply| reply.api_result().is_ok());
        debug!(ok = is_ordered, "uuid_bridge ordered");
        if is_ordered {
            return Ok(true);
        }
        if self.is_being_taken().await? {
            return Ok(false);
        }
        // The leg is gone, or this FreeSWITCH runs no command while it reads another (`api-expansion`).
        let [order, forget] = encode::plain_bridge(a_leg, leg);
        let is_ordered = self.api(order).await?;
        if is_ordered {
            self.api(forget).await?;
        }
        Ok(is_ordered)
    }

    /// The bridge stands: the A leg's variables say so, as with `bridge`.
    async fn is_bridged(&mut self, a_leg: &str, leg: LegId, early: bool) -> Result<(), EslError> {
        let own_codecs = self.held.parent.own_codecs.as_deref();
        // A caller who is bridged in the loopback's place was told of no codec.
        let own_codecs = (a_leg == self.held.channel).then_some(own_codecs.unwrap_or_default());
        let user = &self.held.call.aor.user;
        let mut command = encode::bridged(a_leg, own_codecs, &self.dialed, user);
        if a_leg == self.held.channel {
            command.push_str(&self.forget_prepared());
        }
        self.api(command).await?;
        self.set_callee_variables_later(leg);
        self.name_caller(leg).await?;
        if self.held.parent.inherited.codecs.is_none() {
            // From now on the phone may offer others, and video, as on a bridge's leg.
            self.api(encode::own_codecs(&leg.channel().to_string(), None)).await?;
        }
        if early {
            return Ok(());
        }
        self.is_connected(a_leg).await?;
        if a_leg != self.held.channel {
            // The loopback ends by itself: nobody is behind it any more.
            self.api(encode::kill(&self.held.channel, "NORMAL_CLEARING")).await?;
        }
        Ok(())
    }

    /// Caller and phone talk.
    pub(super) async fn is_connected(&mut self, a_leg: &str) -> Result<(), EslError> {
        self.api(encode::report(a_leg, self.call, "connected", &self.record))
            .await?;
        let has_video = self.held.parent.codecs.as_deref().is_some_and(encode::has_video);
        // FreeSWITCH crashes when video is to go past it (measured).
        if self.held.bypass_media && !has_video {
            // FreeSWITCH replies when both sides have: that may take seconds.
            self.command(EslCommand::BgApi {
                command: format!("uuid_media off {a_leg}"),
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until it has happened; other events are passed on meanwhile.
    pub(super) async fn wait(
        &mut self,
        leg: LegId,
        patience: Duration,
        has_happened: impl Fn(&Self, Option<&EslEvent>) -> bool,
    ) -> Result<WaitOutcome, EslError> {
        let deadline = Instant::now() + patience;
        let mut renew_at = Instant::now() + FIRST_RENEWAL;
        let channel = leg.channel().to_string();
        let mut last: Option<EslEvent> = None;
        loop {
            let end = self.ended.iter().find(|(l, _)| *l == leg).map(|(_, end)| end.clone());
            if end.as_ref().is_some_and(LegEnd::is_picked_off) {
                // Most likely the held channel was, too, and says so in a moment.
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
            // However much is heard meanwhile.
            if Instant::now() >= renew_at {
                self.renew_leases().await?;
                renew_at = Instant::now() + self.shared.lease_time.renewal();
            }
            let event = tokio::select! {
                event = self.link.event() => event.ok_or(EslError::ConnectionClosed)?,
                () = tokio::time::sleep(NUDGE) => {
                    self.link.nudge();
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
