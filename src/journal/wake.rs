//! One wake as the journal has it: what it came to, and its steps.

use serde::Serialize;
use serde_json::{Map, Value};

use super::attempt::{self, Attempt};
use super::diagnosis::{self, Diagnosis};
use super::facts::{is_only_logged, never_left};
use super::reason::{self, Reason};
use super::words;
use crate::types::Aor;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub at_ms: i64,
    pub aor: Aor,
    pub step: String,
    pub detail: Map<String, Value>,
}

/// What a wake came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The call id, as in logs and in the INVITEs' `X-Fswake-Call`.
    pub call: String,
    /// Who was called.
    pub aor: String,
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

/// One step of a wake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Milliseconds since the call was held.
    pub after_ms: i64,
    /// Its name, one of those that docs/ARCHITECTURE.md lists.
    pub step: String,
    /// The device it is about: `provider:app:fingerprint`, or `binding` for a phone without a token.
    pub device: Option<String>,
    /// The same in words, fit for a terminal.
    pub words: String,
    /// Its details as they were written.
    pub detail: Map<String, Value>,
}

/// One wake.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wake {
    /// What it came to.
    #[serde(flatten)]
    pub overview: Overview,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// What it says, where it is known.
    pub diagnosis: Option<Diagnosis>,
    /// The callee's last token that was dropped before this call, where the call misses one.
    #[serde(skip)]
    pub dropped: Option<Dropped>,
}

/// A token that a provider called gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// The device's label.
    pub device: String,
    /// The provider's reason.
    pub reason: String,
}

impl Wake {
    /// Reads one call's lines; `None` when there are none.
    pub(super) fn of(call: &str, lines: Vec<Line>) -> Option<Self> {
        let first = lines.first()?;
        let mut overview = Overview {
            call: call.to_owned(),
            aor: first.aor.to_string(),
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
        let mut steps: Vec<Step> = Vec::with_capacity(lines.len());
        for line in lines {
            let step = Step::of(line, overview.held_at_ms);
            match step.step.as_str() {
                "call-held" => {
                    step.text("caller").clone_into(&mut overview.caller);
                    overview.devices = step.number("devices").unwrap_or(0);
                }
                "push-sent" => overview.pushes += 1,
                "push-refused" if never_left(step.text("reason")) => {
                    overview.pushes = overview.pushes.saturating_sub(1);
                    reword_push(&mut steps, &step, "no push: nothing could be sent");
                }
                "push-accepted" if is_only_logged(step.number("status")) => {
                    overview.pushes = overview.pushes.saturating_sub(1);
                    reword_push(&mut steps, &step, "no push: its app has no provider");
                }
                "leg-started" => overview.legs += 1,
                "leg-answered" => overview.answered_by.clone_from(&step.device),
                "call-over" => {
                    overview.result = Some(step.text("result").to_owned());
                    overview.held_ms = Some(step.after_ms);
                }
                _ => {}
            }
            steps.push(step);
        }
        if overview.result.as_deref() != Some("connected") {
            overview.answered_by = None;
        }
        let mut wake = Self {
            overview,
            steps,
            diagnosis: None,
            dropped: None,
        };
        wake.judge();
        Some(wake)
    }

    /// Whether a token that was dropped earlier explains it: a phone that is registered had one, or the callee has no phone.
    pub(super) fn misses_a_token(&self) -> bool {
        self.result() == "no-device" || self.attempts().iter().any(Attempt::lost_its_token)
    }

    /// Adds what the journal has of the callee from before the call.
    pub(super) fn recall(&mut self, dropped: Option<Dropped>) {
        self.dropped = dropped;
        self.judge();
    }

    fn judge(&mut self) {
        self.diagnosis = diagnosis::of(self);
        self.overview.reason = reason::of(self);
    }

    /// What was tried with each of the callee's phones.
    pub fn attempts(&self) -> Vec<Attempt> {
        attempt::all(self)
    }

    /// How it ended; empty while it is held.
    pub fn result(&self) -> &str {
        self.overview.result.as_deref().unwrap_or_default()
    }

    /// The first step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.step == name)
    }
}

/// Says of the last push of a device what became known of it later.
fn reword_push(steps: &mut [Step], of: &Step, words: &str) {
    let is_it = |s: &&mut Step| s.step == "push-sent" && s.device == of.device;
    if let Some(sent) = steps.iter_mut().rev().find(is_it) {
        words.clone_into(&mut sent.words);
    }
}

impl Step {
    fn of(line: Line, held_at_ms: i64) -> Self {
        let device = line.detail.get("device").and_then(Value::as_str);
        Self {
            at_ms: line.at_ms,
            after_ms: line.at_ms.saturating_sub(held_at_ms),
            device: device.map(str::to_owned),
            words: words::of(&line.step, &line.detail),
            step: line.step,
            detail: line.detail,
        }
    }

    /// A detail that is text; empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        self.detail.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A detail that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.detail.get(name).and_then(Value::as_u64)
    }
}
