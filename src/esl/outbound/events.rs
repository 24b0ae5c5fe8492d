//! Handles FreeSWITCH's events on a call's own connection.

use std::time::Duration;

use freeswitch_esl_tokio::{EslEvent, EslEventType};
use tokio::time::{Instant, timeout_at};

use super::bridging::SILENCE;
use super::connection::{Connection, Place};
use crate::engine::{Event, Takeover};
use crate::esl::decode::{self, CallEvent, TransferTarget};
use crate::esl::encode;

/// How a loopback ends when its own time is over, a faster phone was found or one of its phones was picked up. With any
/// other cause its caller has either hung up or been taken: ORIGINATOR_CANCEL, NORMAL_CLEARING and
/// DESTINATION_OUT_OF_ORDER were seen.
const NOT_THE_CALLER: [&str; 4] = ["NO_ANSWER", "ALLOTTED_TIMEOUT", "LOSE_RACE", "PICKED_OFF"];

impl Connection {
    /// Handles one event.
    pub(super) async fn on_event(&mut self, event: &EslEvent) {
        self.caller_end = self.end_of_the_caller(event).or(self.caller_end.take());
        self.may_be_taken(event);
        self.is_caller_answered |= self.is_the_callers_answer(event);
        let name = match event.event_type() {
            Some(EslEventType::ChannelProgress) => "CHANNEL_PROGRESS",
            Some(EslEventType::ChannelProgressMedia) => "CHANNEL_PROGRESS_MEDIA",
            Some(EslEventType::ChannelAnswer) => "CHANNEL_ANSWER",
            Some(EslEventType::ChannelHangup) => "CHANNEL_HANGUP",
            Some(EslEventType::ChannelPark) => "CHANNEL_PARK",
            Some(EslEventType::ChannelUnpark) => "CHANNEL_UNPARK",
            Some(EslEventType::ChannelExecuteComplete) => "CHANNEL_EXECUTE_COMPLETE",
            Some(EslEventType::BackgroundJob) => "BACKGROUND_JOB",
            Some(EslEventType::Dtmf) => return self.loopback_has_read(event),
            _ => return,
        };
        let legs = &self.legs;
        let leg = |channel: &str| legs.get(channel).copied();
        let said = decode::call_event(
            name,
            |h| event.header_str(h),
            event.body(),
            &self.held.channel,
            leg,
            self.call,
        );
        match said {
            // The held loopback is not needed any more.
            Some(CallEvent::Event(Event::CallerGone { .. })) if self.place == Place::Replaced => {}
            Some(CallEvent::Event(Event::CallerGone { cause, .. }))
                if self.place == Place::Held
                    && !NOT_THE_CALLER.contains(&&*cause)
                    && self.is_taken_from_loopback().await => {}
            Some(CallEvent::Event(Event::LegEnded { leg, end })) if name == "BACKGROUND_JOB" => {
                self.originate_failed(leg, end);
            }
            Some(CallEvent::Event(told)) => {
                match &told {
                    Event::LegEnded { leg, end } => {
                        self.leg_is_over(*leg, end.clone());
                        if end.is_picked_off() && self.place == Place::Held {
                            let ends = self.picked_off.get_or_insert_with(|| (Instant::now(), Vec::new()));
                            ends.1.push(told);
                            if let Some(watch) = &mut self.watch {
                                watch.soon();
                            }
                            return;
                        }
                    }
                    Event::CallerGone { .. } => self.place = Place::Gone,
                    _ => {}
                }
                // If the originate has not named the callee, a phone that needs confirmation by a key gets the name
                // while it waits for the key, any other with the caller's answer.
                let is_answer = event.event_type() == Some(EslEventType::ChannelAnswer);
                let (to_name, at_once) = match &told {
                    Event::LegAnswered { leg, .. } | Event::LegEarlyMedia { leg, .. } => (Some(*leg), false),
                    Event::LegRinging(leg) if is_answer => (Some(*leg), true),
                    _ => (None, false),
                };
                if let Some(leg) = to_name {
                    let callee = |what: &str| {
                        event
                            .header_str(&format!("Caller-Callee-ID-{what}"))
                            .unwrap_or_default()
                    };
                    self.reached(leg, callee("Name"), callee("Number"));
                    if at_once {
                        let commands = self.name_callee(leg).collect();
                        let _ = self.all(commands).await;
                    }
                }
                let leg = match &told {
                    Event::LegRinging(leg) | Event::LegEarlyMedia { leg, .. } | Event::LegAnswered { leg, .. } => {
                        Some(*leg)
                    }
                    _ => None,
                };
                if let Some(leg) = leg {
                    self.was_taken_there(leg);
                }
                match told {
                    Event::LegAnswered { leg, .. } if self.early == Some(leg) => self.early_answer = Some(told),
                    Event::LegEnded { leg, end } => self.emit_end(leg, end).await,
                    told => self.emit(told).await,
                }
                if let Some(leg) = leg.filter(|leg| !self.with_variables.contains(leg)) {
                    self.with_variables.push(leg);
                    let _ = self.set_callee_variables(leg).await;
                }
            }
            Some(CallEvent::LegParked { leg, answered }) => {
                self.parked.push(leg);
                if let Some(codec) = answered {
                    self.emit(Event::LegAnswered { leg, codec }).await;
                }
            }
            Some(CallEvent::LegNamed(leg)) => self.named.push(leg),
            Some(CallEvent::LeftPark(to)) if self.place == Place::Held => {
                let moved_by = event.header_str("variable_transfer_source").unwrap_or(decode::UNSET);
                let is_parked = self.held.parent.moved_by.as_deref() == Some(moved_by);
                self.was_taken(if is_parked { TransferTarget::Park } else { to }).await;
            }
            Some(CallEvent::LeftPark(_)) | None => {}
        }
    }

    /// Somebody else has the held channel: the end of this connection must not end its call.
    pub(super) async fn was_taken(&mut self, how: TransferTarget) {
        self.place = Place::Taken;
        // If that fails, the connection is over and cannot harm the channel.
        if self.held.socket.is_static {
            // Whoever has the channel waits for the end of this connection.
            self.stand_by(SILENCE).await;
            let _ = self.leave().await;
        } else {
            let channel = self.held.channel.clone();
            let _ = self.let_go(&channel).await;
        }
        let how = match how {
            TransferTarget::Park => Takeover::Parked,
            TransferTarget::Dialplan(to) => Takeover::Transferred { to },
            TransferTarget::Channel(other) => {
                let command = format!("uuid_getvar {other} caller_id_number");
                let by = self.ask(command).await.unwrap_or_default();
                let by = by.trim();
                let is_known = !by.starts_with("-ERR") && by != decode::UNSET;
                let by = encode::number(if is_known { by } else { "" });
                Takeover::PickedUp { by: by.into() }
            }
        };
        let call = self.call;
        self.emit(Event::CallTaken { call, how }).await;
    }

    /// Whether fswake still has the held channel, by all events so far.
    pub(super) async fn is_still_held(&mut self) -> bool {
        self.is_held_for(Duration::ZERO).await
    }

    /// The same by all events within this time.
    pub(super) async fn is_held_for(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let looks = self.watch.is_some() && !patience.is_zero();
        if looks {
            let _ = self.look(false).await;
        }
        while self.place == Place::Held
            && let Ok(Some(event)) = timeout_at(until, self.link.event()).await
        {
            self.on_event(&event).await;
        }
        if looks {
            let _ = self.look(false).await;
        }
        self.place == Place::Held
    }

    /// The held channel was not picked up: report that the legs that were picked off are over.
    pub(super) async fn was_not_picked_up(&mut self) {
        if self.watch.is_some() {
            let _ = self.look(false).await;
        }
        for end in self.picked_off.take().into_iter().flat_map(|(_, ends)| ends) {
            self.emit(end).await;
        }
    }
}
