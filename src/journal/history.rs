//! What the journal has of one call: what its diagnosis is made from.

use super::attempt::{self, Attempt};
use super::step::{self, DroppedToken, TimelineStep};
use crate::engine::{HoldResult, StepKind};

/// One call's steps and what follows from them.
pub(super) struct History<'a> {
    steps: &'a [TimelineStep],
    /// How it ended; `None` while it is held, and for a result of a later version.
    pub result: Option<HoldResult>,
    /// How long it was held; 0 while it is.
    pub held_ms: i64,
    /// The callee's last token that was dropped before this call, where the call misses one.
    pub dropped: Option<&'a DroppedToken>,
    /// What was tried with each phone.
    pub attempts: Vec<Attempt>,
}

impl<'a> History<'a> {
    pub(super) fn new(steps: &'a [TimelineStep], dropped: Option<&'a DroppedToken>) -> Self {
        let over = steps.iter().rev().find(|step| step.kind == Some(StepKind::CallOver));
        Self {
            steps,
            result: over.and_then(|over| HoldResult::from_word(over.text("result"))),
            held_ms: over.map_or(0, |over| over.after_ms),
            dropped,
            attempts: attempt::all(steps, dropped),
        }
    }

    /// Whether a step of this kind was taken.
    pub(super) fn has(&self, kind: StepKind) -> bool {
        step::first(self.steps, kind).is_some()
    }
}
