//! Events that only one of two processes answers, while one takes over from the other: those that ask for a push.

use freeswitch_esl_tokio::{EslEvent, EslEventType};

use super::{notifications, voicemail};
use crate::handover::{Claim, Duty};

/// Most events that wait until it is known who answers them.
const MOST: usize = 10_000;

/// The event that tells a process which events it gets: it sends the event itself, once it has subscribed to this and
/// to the others.
pub(super) const MARK: &str = "fswake::mark";
/// The mark's header with the process that has sent it.
const PROCESS: &str = "Fswake-Process";

/// The mark of this process.
pub(super) fn mark() -> EslEvent {
    let mut event = EslEvent::with_type(EslEventType::Custom);
    event.set_header("Event-Subclass", MARK);
    event.set_header(PROCESS, std::process::id().to_string());
    event
}

/// Events that came before this process was on duty.
#[derive(Default)]
pub struct EarlyEvents(Vec<EslEvent>);

impl EarlyEvents {
    /// Returns the event if this process handles it now. Registrations are handled by both processes.
    pub fn admit(&mut self, event: EslEvent, duty: &Duty) -> Option<EslEvent> {
        let is_mark = is_a(&event, MARK);
        if !is_mark && !asks_for_a_push(&event) {
            return Some(event);
        }
        let (core, number) = (event.header_str("Core-UUID").unwrap_or_default(), number_of(&event));
        if is_mark {
            let is_own = event.header_str(PROCESS) == Some(&*std::process::id().to_string());
            if let Some(number) = number.filter(|_| is_own) {
                duty.mark(core, number);
            }
            return None;
        }
        match duty.claims(core, number) {
            Claim::Ours => Some(event),
            Claim::Theirs => None,
            Claim::NotYet => {
                if self.0.len() < MOST {
                    self.0.push(event);
                }
                None
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that this process handles after all, now that it is on duty.
    pub fn admitted(&mut self, duty: &Duty) -> Vec<EslEvent> {
        let early = std::mem::take(&mut self.0);
        early.into_iter().filter_map(|event| self.admit(event, duty)).collect()
    }
}

/// Its number: the same for all who get it, upwards since FreeSWITCH's start.
pub(super) fn number_of(event: &EslEvent) -> Option<u64> {
    event.header_str("Event-Sequence")?.parse().ok()
}

fn is_a(event: &EslEvent, subclass: &str) -> bool {
    event.header_str("Event-Subclass") == Some(subclass)
}

fn asks_for_a_push(event: &EslEvent) -> bool {
    match event.header_str("Event-Name") {
        Some("MESSAGE" | voicemail::EVENT) => true,
        _ => is_a(event, notifications::QUESTION),
    }
}
