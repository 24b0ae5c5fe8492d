//! One wake from the journal: its result and its steps.

use serde::Serialize;

use super::attempt::{self, Attempt};
use super::diagnosis::{self, Diagnosis};
use super::history::History;
use super::reason::{self, Reason};
use super::step::{self, DroppedToken, StepRow, TimelineStep};
use crate::engine::{HoldResult, StepKind};

/// The result of a wake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The call id, as in logs and in the INVITEs' `X-Fswake-Call`.
    pub call: String,
    /// The callee.
    pub aor: String,
    /// The fswake that held the call; `null` if the store is not shared.
    pub daemon: Option<String>,
    /// The FreeSWITCH that held it; `null` if it has no name.
    pub node: Option<String>,
    /// When the call was held, in milliseconds since 1970 (UTC).
    pub held_at_ms: i64,
    /// How long it was held, in milliseconds; `null` while it is.
    pub held_ms: Option<i64>,
    /// Caller's number; may be empty.
    pub caller: String,
    /// How it ended (`connected`, `timeout`, ..); `null` while it is held, or when the daemon died.
    pub result: Option<String>,
    /// Why it was not connected, where that is known.
    pub reason: Option<Reason>,
    /// Who answered: the device's label, or `binding` for a phone without a token.
    pub answered_by: Option<String>,
    /// How many phones of the callee were known.
    pub devices: u64,
    /// How many call pushes were sent.
    pub pushes: u64,
    /// How many legs were rung.
    pub legs: u64,
}

/// One wake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wake {
    /// Its result.
    #[serde(flatten)]
    pub overview: Overview,
    /// Its steps, in order.
    pub steps: Vec<TimelineStep>,
    /// The diagnosis, if known.
    pub diagnosis: Option<Diagnosis>,
    /// If the call misses a token: the callee's last one that was dropped before the call.
    #[serde(skip)]
    pub dropped: Option<DroppedToken>,
}

impl Wake {
    /// Reads one call's entries; `None` if there are none.
    pub(super) fn of(call: &str, entries: Vec<StepRow>) -> Option<Self> {
        let first = entries.first()?;
        let mut overview = Overview {
            call: call.to_owned(),
            aor: first.aor.to_string(),
            daemon: step::named(first.daemon.clone()),
            node: step::named(first.node.clone()),
            held_at_ms: first.at_ms,
            held_ms: None,
            caller: String::new(),
            result: None,
            reason: None,
            answered_by: None,
            devices: 0,
            pushes: 0,
            legs: 0,
        };
        let mut steps: Vec<TimelineStep> = Vec::with_capacity(entries.len());
        for entry in entries {
            let (daemon, node) = (overview.daemon.as_deref(), overview.node.as_deref());
            let step = TimelineStep::of(entry, overview.held_at_ms, daemon, node);
            match step.kind {
                Some(StepKind::CallHeld) => {
                    step.text("caller").clone_into(&mut overview.caller);
                    overview.devices = step.number("devices").unwrap_or(0);
                }
                Some(StepKind::PushSent) => overview.pushes += 1,
                Some(StepKind::PushRefused) if step.push_error().is_before_sending() => {
                    overview.pushes = overview.pushes.saturating_sub(1);
                    reword_push(&mut steps, &step, "no push: nothing could be sent");
                }
                Some(StepKind::PushAccepted) if step.is_only_logged() => {
                    overview.pushes = overview.pushes.saturating_sub(1);
                    reword_push(&mut steps, &step, "no push: its app has no provider");
                }
                Some(StepKind::LegStarted) => overview.legs += 1,
                Some(StepKind::LegAnswered) => overview.answered_by.clone_from(&step.device),
                Some(StepKind::CallOver) => {
                    overview.result = Some(step.text("result").to_owned());
                    overview.held_ms = Some(step.after_ms);
                }
                _ => {}
            }
            steps.push(step);
        }
        let mut wake = Self {
            overview,
            steps,
            diagnosis: None,
            dropped: None,
        };
        if wake.result() != Some(HoldResult::Connected) {
            wake.overview.answered_by = None;
        }
        wake.diagnose();
        Some(wake)
    }

    /// Whether a token that was dropped earlier explains it: a phone that is registered had one, or the callee has no
    /// phone.
    pub(super) fn misses_a_token(&self) -> bool {
        self.result() == Some(HoldResult::NoDevice) || self.attempts().iter().any(Attempt::lost_its_token)
    }

    /// Adds what the journal has about the callee from before the call.
    pub(super) fn recall(&mut self, dropped: Option<DroppedToken>) {
        self.dropped = dropped;
        self.diagnose();
    }

    fn diagnose(&mut self) {
        let history = History::new(&self.steps, self.dropped.as_ref());
        self.diagnosis = diagnosis::of(&history);
        self.overview.reason = reason::of(&history, self.diagnosis.as_ref());
    }

    /// What was tried with each of the callee's phones.
    pub fn attempts(&self) -> Vec<Attempt> {
        attempt::all(&self.steps, self.dropped.as_ref())
    }

    /// How it ended; `None` while it is held, and for a result of a later version.
    pub fn result(&self) -> Option<HoldResult> {
        HoldResult::from_word(self.overview.result.as_deref()?)
    }

    /// The first step of this kind.
    pub fn step(&self, kind: StepKind) -> Option<&TimelineStep> {
        step::first(&self.steps, kind)
    }
}

/// Corrects the words of a device's last push with what became known later.
fn reword_push(steps: &mut [TimelineStep], of: &TimelineStep, words: &str) {
    let is_it = |s: &&mut TimelineStep| s.kind == Some(StepKind::PushSent) && s.device == of.device;
    if let Some(sent) = steps.iter_mut().rev().find(is_it) {
        words.clone_into(&mut sent.words);
    }
}
