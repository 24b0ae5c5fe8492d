//! Bridges a caller behind a loopback (dial-string routing) in the loopback's place, as soon as both threads are inside
//! the bridge between the two: `bridging` describes the race.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent, EslEventType};

use super::command::{api, filter, subscription};
use super::connection::{Connection, Place};
use super::outcome::{NotBridged, WaitOutcome};
use crate::engine::Event;
use crate::types::LegId;

/// How long the caller's own bridge with the loopback may take. Without one, the loopback stays.
const LOOPBACK_PATIENCE: Duration = Duration::from_millis(500);

/// The digit that the loopback's end reads: no phone has it.
const MARK: char = 'D';

impl Connection {
    /// The channel that the leg is bridged with. Behind a loopback that is the caller, as soon as FreeSWITCH has
    /// bridged caller and loopback. mod_loopback would do the same two seconds later (`bowout`), and only after both
    /// sides send audio.
    pub(super) async fn a_leg(&mut self, leg: LegId, early: bool) -> Result<String, NotBridged> {
        let channel = self.held.channel.clone();
        let Some((caller, end)) = self.replaceable(early) else {
            return Ok(channel);
        };
        let is_bridged = |this: &Self, _: Option<&EslEvent>| this.is_loopback_bridged;
        match self.wait(leg, LOOPBACK_PATIENCE, is_bridged).await? {
            WaitOutcome::Done => Ok(caller),
            WaitOutcome::LegOver(end) => Err(NotBridged::Failed(Some(end))),
            WaitOutcome::HeldLost => Ok(channel),
            WaitOutcome::Nothing => {
                self.forget_mark(&end).await?;
                Ok(channel)
            }
        }
    }

    /// The engine knows that the caller hears a leg, but not yet that this leg has answered.
    pub(super) fn is_early_bridge_answered(&self) -> bool {
        self.place == Place::Bridging && self.early_answer.is_some()
    }

    /// The phone that the caller hears has answered, and FreeSWITCH connects them by itself. The caller takes the
    /// loopback's place now, as after any other answer.
    pub(super) async fn connect_early(&mut self) -> Result<(), EslError> {
        let (Some(leg), Some(answer)) = (self.early, self.early_answer.take()) else {
            return Ok(());
        };
        let told = match self.replace_loopback(leg).await {
            // FreeSWITCH handles the leg's end, as after any answer.
            Ok(Some(Event::Bridged(_))) | Err(NotBridged::Failed(Some(_))) => answer,
            Ok(Some(told)) => told,
            Ok(None) => {
                let channel = self.held.channel.clone();
                self.is_connected(&channel).await?;
                answer
            }
            // Somebody else has the caller, or the caller is gone.
            Err(NotBridged::Failed(None)) => return self.end_unused_leg(leg).await,
            Err(NotBridged::Lost(error)) => return Err(error),
        };
        self.emit(told).await;
        Ok(())
    }

    /// Bridges the caller in the place of a loopback that is bridged already; `None` if the loopback stays.
    async fn replace_loopback(&mut self, leg: LegId) -> Result<Option<Event>, NotBridged> {
        let Some((caller, end)) = self.replaceable(false) else {
            return Ok(None);
        };
        self.all(mark_loopback(&end).into()).await?;
        let both = |this: &Self, _: Option<&EslEvent>| this.is_loopback_bridged && this.is_caller_answered;
        match self.wait(leg, LOOPBACK_PATIENCE, both).await? {
            WaitOutcome::Done if self.order(&caller, leg).await? => self.confirm(&caller, leg, false).await.map(Some),
            WaitOutcome::Done | WaitOutcome::Nothing => {
                self.forget_mark(&end).await?;
                Ok(None)
            }
            WaitOutcome::LegOver(end) => Err(NotBridged::Failed(Some(end))),
            WaitOutcome::HeldLost => Err(NotBridged::Failed(None)),
        }
    }

    /// The loopback stays, and passes digits on.
    async fn forget_mark(&mut self, end: &str) -> Result<(), EslError> {
        self.api(format!("uuid_setvar {end} bridge_filter_dtmf false")).await?;
        Ok(())
    }

    /// Subscribes to the events of the caller and of the loopback's end for the time of the bridge.
    pub(super) async fn subscribe_to_loopback(&mut self) -> Result<(), EslError> {
        self.all(self.events_of_loopback()).await?;
        Ok(())
    }

    /// The commands that subscribe to the caller behind the loopback, and to what the loopback's end reads.
    pub(super) fn events_of_loopback(&self) -> Vec<EslCommand> {
        let caller = self.caller_behind().map(|caller| filter("Unique-ID", caller));
        let mut commands: Vec<_> = caller.into_iter().collect();
        if let Some((_, end)) = self.replaceable(false) {
            commands.extend([filter("Unique-ID", &end), subscription("DTMF")]);
        }
        commands
    }

    /// The caller behind the loopback.
    pub(super) fn caller_behind(&self) -> Option<&str> {
        self.held.behind.as_ref()?.caller.as_deref()
    }

    /// The caller behind a loopback and the loopback's end that faces it, if the caller may take the loopback's place.
    pub(super) fn replaceable(&self, early: bool) -> Option<(String, String)> {
        let behind = self.held.behind.as_ref().filter(|behind| behind.may_leave && !early)?;
        behind.caller.clone().zip(behind.end.clone())
    }

    /// Whether this event reports that the caller behind the loopback is answered.
    pub(super) fn is_the_callers_answer(&self, event: &EslEvent) -> bool {
        event.event_type() == Some(EslEventType::ChannelAnswer)
            && self
                .caller_behind()
                .is_some_and(|caller| event.header_str("Unique-ID") == Some(caller))
    }

    /// The loopback's end has read a digit: inside its bridge, or before it (then the digit is lost).
    pub(super) fn loopback_has_read(&mut self, event: &EslEvent) {
        let end = self.held.behind.as_ref().and_then(|behind| behind.end.as_deref());
        let is = |header: &str, value: &str| event.header_str(header) == Some(value);
        if end.is_some_and(|end| is("Unique-ID", end)) && is("Channel-State", "CS_EXCHANGE_MEDIA") {
            self.is_loopback_bridged = true;
        }
    }
}

/// Sends a digit to the loopback's end, which reads and drops it once it is inside its bridge with the caller.
pub(super) fn mark_loopback(end: &str) -> [EslCommand; 2] {
    [
        api(format!("uuid_setvar {end} bridge_filter_dtmf true")),
        api(format!("uuid_recv_dtmf {end} {MARK}")),
    ]
}
