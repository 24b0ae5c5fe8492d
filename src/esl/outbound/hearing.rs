//! What FreeSWITCH says on a call's own connection.

use std::time::Duration;

use freeswitch_esl_tokio::{EslEvent, EslEventType};
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, Place};
use crate::engine::{Event, Taken};
use crate::esl::decode::{self, LeftTo, Said};
use crate::esl::{encode, link};

/// How a loopback ends whose caller gives up, or is taken while it rings. Its own time and a faster phone have causes of their own.
const GAVE_UP: &str = "ORIGINATOR_CANCEL";

impl Connection {
    /// Passes on what one event says.
    pub(super) async fn heard(&mut self, event: &EslEvent) {
        if let Some(moved_by) = self.last_move_of_the_caller(event) {
            self.moved_before_his_end = Some(moved_by);
        }
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
            // The loopback that was held is not needed any more.
            Some(Said::Event(Event::CallerGone { .. })) if self.place == Place::Replaced => {}
            Some(Said::Event(Event::CallerGone { cause, .. }))
                if self.place == Place::Held && &*cause == GAVE_UP && self.is_taken_from_loopback().await => {}
            Some(Said::Event(Event::LegEnded { leg, end })) if name == "BACKGROUND_JOB" => {
                self.originate_failed(leg, end);
            }
            Some(Said::Event(told)) => {
                match &told {
                    Event::LegEnded { leg, end } => {
                        self.leg_is_over(*leg, end.clone());
                        if end.is_picked_off() && self.place == Place::Held {
                            let ends = self.picked_off.get_or_insert_with(|| (Instant::now(), Vec::new()));
                            ends.1.push(told);
                            return;
                        }
                    }
                    Event::CallerGone { .. } => self.place = Place::Gone,
                    _ => {}
                }
                // A phone that has to be confirmed by a key is named while it waits for the key, any other with the caller's answer.
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
                    let reached = encode::name_callee(callee("Name"), callee("Number"));
                    self.reaches.insert(leg, reached);
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
                if let Event::LegAnswered { leg, .. } = &told {
                    self.answered.push(*leg);
                }
                if matches!(told, Event::LegAnswered { leg, .. } if self.early == Some(leg)) {
                    let channel = self.held.channel.clone();
                    let _ = self.is_connected(&channel).await;
                }
                self.tell(told).await;
                if let Some(leg) = leg.filter(|leg| !self.dressed.contains(leg)) {
                    self.dressed.push(leg);
                    let _ = self.dress(leg).await;
                }
            }
            Some(Said::LegParked { leg, answered }) => {
                self.parked.push(leg);
                if let Some(codec) = answered {
                    self.tell(Event::LegAnswered { leg, codec }).await;
                }
            }
            Some(Said::LegNamed(leg)) => self.named.push(leg),
            Some(Said::LeftPark(to)) if self.place == Place::Held => {
                let moved_by = event.header_str("variable_transfer_source").unwrap_or(decode::UNSET);
                let is_parked = self.held.parent.moved_by.as_deref() == Some(moved_by);
                self.was_taken(if is_parked { LeftTo::Park } else { to }).await;
            }
            Some(Said::LeftPark(_)) | None => {}
        }
    }

    /// The held channel is gone, or somebody else has it, by the answer to a question for its `transfer_source`.
    pub(super) async fn was_moved_by(&mut self, answer: &str) {
        if answer.starts_with("-ERR") {
            let (call, cause) = (self.call, "ORIGINATOR_CANCEL".into());
            self.place = Place::Gone;
            self.tell(Event::CallerGone { call, cause }).await;
        } else {
            self.was_taken(decode::moved_to(answer, "")).await;
        }
    }

    /// Whether the caller behind the loopback that was held has gone to somebody else. FreeSWITCH ends the loopback as if he had given up
    /// (ORIGINATOR_CANCEL, measured): where he is transferred, and where a pick-up crosses the loopback's answer.
    async fn is_taken_from_loopback(&mut self) -> bool {
        let behind = self.held.behind.as_ref();
        let caller = behind.and_then(|behind| behind.caller.clone());
        let (Some(caller), Some(known)) = (caller, self.held.parent.moved_by.clone()) else {
            return false;
        };
        let question = encode::who_moved(&caller);
        let mut moved_by = self.ask(question.clone()).await.unwrap_or_default();
        if moved_by.starts_with("-ERR") {
            // Whatever he went to has ended him already, and he has said so before FreeSWITCH reads another command.
            let _ = self.ask(question).await;
            let heard = self.link.kept().find_map(|event| self.last_move_of_the_caller(event));
            moved_by = self.moved_before_his_end.take().or(heard).unwrap_or_default();
        }
        let to = match moved_by.trim() {
            "" => return false,
            moved_by if moved_by == known => {
                let dump = self.ask(format!("uuid_dump {caller}")).await.unwrap_or_default();
                let dump = link::dump(&dump);
                if !decode::is_parked(|name| dump.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())) {
                    return false;
                }
                LeftTo::Park
            }
            moved_by => decode::moved_to(moved_by, ""),
        };
        self.was_taken(to).await;
        true
    }

    /// What moved the caller behind the loopback last (`transfer_source`), where this event is his end.
    fn last_move_of_the_caller(&self, event: &EslEvent) -> Option<String> {
        let caller = self.held.behind.as_ref()?.caller.as_deref()?;
        let is_his_end =
            event.event_type() == Some(EslEventType::ChannelHangup) && event.header_str("Unique-ID") == Some(caller);
        let moved_by = event.header_str("variable_transfer_source");
        is_his_end.then(|| moved_by.unwrap_or(decode::UNSET).to_owned())
    }

    /// Somebody else has the held channel. It lives without us from now on: the end of this connection must not end its call.
    async fn was_taken(&mut self, how: LeftTo) {
        self.place = Place::Taken;
        // Where that fails the connection is over, and so is its power over the channel.
        let channel = self.held.channel.clone();
        let _ = self.let_go(&channel).await;
        let how = match how {
            LeftTo::Park => Taken::Parked,
            LeftTo::Dialplan(to) => Taken::Transferred { to },
            LeftTo::Channel(other) => {
                let command = format!("uuid_getvar {other} caller_id_number");
                let by = self.ask(command).await.unwrap_or_default();
                let by = by.trim();
                let is_known = !by.starts_with("-ERR") && by != decode::UNSET;
                let by = encode::number(if is_known { by } else { "" });
                Taken::PickedUp { by: by.into() }
            }
        };
        let call = self.call;
        self.tell(Event::CallTaken { call, how }).await;
    }

    /// Whether the held channel is with us, by all that has been said so far.
    pub(super) async fn is_still_held(&mut self) -> bool {
        self.is_held_for(Duration::ZERO).await
    }

    /// The same by all that is said in this time.
    pub(super) async fn is_held_for(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.place == Place::Held
            && let Ok(Some(event)) = timeout_at(until, self.link.event()).await
        {
            self.heard(&event).await;
        }
        self.place == Place::Held
    }

    /// Nobody has picked the held channel up: the legs that were picked off are over, and that is all.
    pub(super) async fn was_not_picked_up(&mut self) {
        for end in self.picked_off.take().into_iter().flat_map(|(_, ends)| ends) {
            self.tell(end).await;
        }
    }
}
