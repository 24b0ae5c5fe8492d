//! A caller behind a loopback (the dial-string way) is bridged in the loopback's place, as soon as both of its threads are inside
//! its bridge with him: `bridging` has the race.

use std::time::Duration;

use freeswitch_esl_tokio::{EslCommand, EslError, EslEvent};

use super::connection::{Connection, api, filter};
use super::outcome::{Heard, NotBridged};
use crate::types::LegId;

/// How long the caller's own bridge with the loopback may take. Where there is none, the loopback stays for now.
const LOOPBACK_PATIENCE: Duration = Duration::from_millis(500);

/// The digit that the end of a loopback reads: no phone has it.
const MARK: char = 'D';

impl Connection {
    /// Whose side of the call the leg is bridged with. Behind a loopback that is the caller, as soon as FreeSWITCH has bridged
    /// it with the loopback: mod_loopback would do the same two seconds later (`bowout`), and only once both sides send audio.
    pub(super) async fn a_leg(&mut self, leg: LegId, early: bool) -> Result<String, NotBridged> {
        let channel = self.held.channel.clone();
        let Some((caller, end)) = self.replaceable(early) else {
            return Ok(channel);
        };
        let is_bridged = |this: &Self, _: Option<&EslEvent>| this.is_loopback_bridged;
        match self.wait(leg, LOOPBACK_PATIENCE, is_bridged).await? {
            Heard::Done => Ok(caller),
            Heard::LegOver(end) => Err(NotBridged::Failed(Some(end))),
            Heard::HeldLost => Ok(channel),
            // The loopback stays, and digits go through it.
            Heard::Nothing => {
                self.api(format!("uuid_setvar {end} bridge_filter_dtmf false")).await?;
                Ok(channel)
            }
        }
    }

    /// Hears what a caller behind a loopback, and the loopback's end, do while he is bridged in its place.
    pub(super) async fn hear_loopback(&mut self) -> Result<(), EslError> {
        let caller = self.held.behind.as_ref().and_then(|behind| behind.caller.as_deref());
        let mut commands: Vec<_> = caller.map(|caller| filter("Unique-ID", caller)).into_iter().collect();
        if let Some((_, end)) = self.replaceable(false) {
            let (format, events) = ("plain".into(), "DTMF".into());
            commands.push(filter("Unique-ID", &end));
            commands.push(EslCommand::Events { format, events });
        }
        self.all(commands).await?;
        Ok(())
    }

    /// The caller behind a loopback, and the loopback's end that he is bridged with, where he may be bridged in its place.
    pub(super) fn replaceable(&self, early: bool) -> Option<(String, String)> {
        let behind = self.held.behind.as_ref().filter(|behind| behind.may_leave && !early)?;
        behind.caller.clone().zip(behind.end.clone())
    }

    /// The end of the loopback has read a digit: inside its bridge, or before it (then it is lost).
    pub(super) fn loopback_has_read(&mut self, event: &EslEvent) {
        let end = self.held.behind.as_ref().and_then(|behind| behind.end.as_deref());
        let is = |header: &str, value: &str| event.header_str(header) == Some(value);
        if end.is_some_and(|end| is("Unique-ID", end)) && is("Channel-State", "CS_EXCHANGE_MEDIA") {
            self.is_loopback_bridged = true;
        }
    }
}

/// Leaves a digit for the loopback's end, which reads it as soon as it is inside its bridge with the caller, and drops it.
pub(super) fn mark_loopback(end: &str) -> [EslCommand; 2] {
    [
        api(format!("uuid_setvar {end} bridge_filter_dtmf true")),
        api(format!("uuid_recv_dtmf {end} {MARK}")),
    ]
}
