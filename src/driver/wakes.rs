//! Wakes that somebody asks for: who waits for which answer.

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{CallLine, DriverLoop};
use crate::engine::{Event, HeldCall, HoldResult, WakeReport};
use crate::input::{OtherWake, Waker};
use crate::types::{CallId, NodeId};

impl DriverLoop {
    /// Begins a wake; a second request of the same name waits for the same answer.
    pub(super) fn wake(&mut self, asked: HeldCall, answer: Waker) {
        let call = asked.call;
        if let Some(line) = self.calls.get(&call) {
            match self.wakers.get_mut(&call).filter(|_| line.aor == asked.aor) {
                Some(wakers) => {
                    debug!(call.id = %call, "wake asked for again: both get its answer");
                    wakers.push(answer);
                }
                None => _ = answer.send(Err(OtherWake)),
            }
            return;
        }
        self.calls
            .insert(call, CallLine::new(None, NodeId::FIRST, asked.aor.clone()));
        self.wakers.insert(call, vec![answer]);
        self.feed(Event::CallHeld(asked));
    }

    /// Gives a wake up if nobody waits for it any more.
    pub(super) fn wake_left(&mut self, call: CallId) {
        let Some(wakers) = self.wakers.get_mut(&call) else {
            return;
        };
        wakers.retain(|waker| !waker.is_closed());
        if wakers.is_empty() {
            self.feed(Event::AskerGone(call));
        }
    }

    /// Answers everybody who waits.
    pub(super) fn wake_ended(&mut self, report: &WakeReport) {
        if let Some(mut line) = self.calls.remove(&report.call)
            && report.result == HoldResult::Woken
        {
            // Pushes to the user's other phones go on: whoever asked rings what registers.
            line.over = CancellationToken::new();
        }
        for waker in self.wakers.remove(&report.call).into_iter().flatten() {
            // A dropped receiver is ignored.
            let _ = waker.send(Ok(report.clone()));
        }
    }
}
