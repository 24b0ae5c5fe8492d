//! The condition of one app: its provider's last answer, and its problems.

use std::time::SystemTime;

use crate::push::apps::callees::Callees;
use crate::push::apps::schedule::ProbeSchedule;
use crate::push::apps::status::{LastFailure, Problem, ProblemKind};
use crate::types::push::{KeptBy, PushError};
use crate::types::{Aor, UnixSeconds};

/// When a refusal came, which decides what clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// While connecting or getting an access token, between calls.
    Warming,
    /// In answer to a push or a probe.
    Answer,
}

pub(crate) struct Condition {
    pub generation: u64,
    pub expires: Option<SystemTime>,
    pub warned_at: Option<i64>,
    pub refused: Option<(Stage, Problem)>,
    pub broken_file: Option<Problem>,
    pub last_success: Option<UnixSeconds>,
    pub last_failure: Option<LastFailure>,
    pub last_word: LastWord,
    /// Callees whose pushes the provider has refused since it last took one. Several in a row are the app's fault.
    pub rejected_for: Callees,
    /// Callees for whom it answered "not now" (429, a gateway's 5xx).
    pub busy_for: Callees,
    pub checked: Option<UnixSeconds>,
    pub schedule: ProbeSchedule,
}

/// The provider's last answer about the app.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// No answer yet; with the reason if a probe was inconclusive.
    Nothing(Option<&'static str>),
    Ok,
    /// `Unreachable`, `NoAnswer`, `Busy` or `Rejected`.
    Trouble(Problem),
}

impl Default for Condition {
    fn default() -> Self {
        Self {
            generation: 0,
            expires: None,
            warned_at: None,
            refused: None,
            broken_file: None,
            last_success: None,
            last_failure: None,
            last_word: LastWord::Nothing(None),
            rejected_for: Callees::default(),
            busy_for: Callees::default(),
            checked: None,
            schedule: ProbeSchedule::at_once(),
        }
    }
}

impl Condition {
    /// Starts over with new credentials: what was known of the previous ones is dropped.
    pub(crate) fn begin_with(&mut self, generation: u64, expires: Option<SystemTime>) {
        let before = std::mem::take(self);
        *self = Self {
            generation,
            expires,
            warned_at: before.warned_at.filter(|_| before.expires == expires),
            last_success: before.last_success,
            last_failure: before.last_failure,
            ..Self::default()
        };
    }

    pub(crate) fn is_in(&self, kind: ProblemKind) -> bool {
        matches!(&self.last_word, LastWord::Trouble(problem) if problem.kind == kind)
    }

    /// Whether a refused call is the app's fault: a topic is, and so is anything refused for several callees in a row.
    /// A refusal for one callee may be about that callee (a caller's name that is too long, a user that a gateway does
    /// not have).
    pub(crate) fn is_the_apps(&mut self, error: &PushError, callee: &Aor) -> bool {
        self.rejected_for.is_several(callee) || error.is_about_the_topic()
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_in(ProblemKind::Unreachable) || self.is_in(ProblemKind::NoAnswer)
    }
}

/// The problem behind a transient failure; `None` if it is not about the app.
pub(crate) fn trouble(kept_by: KeptBy) -> Option<ProblemKind> {
    match kept_by {
        KeptBy::NoAddress | KeptBy::NoConnection => Some(ProblemKind::Unreachable),
        KeptBy::NoAnswer => Some(ProblemKind::NoAnswer),
        KeptBy::Busy { .. } | KeptBy::BusyForKey { .. } => Some(ProblemKind::Busy),
        KeptBy::BusyForThis { .. } | KeptBy::BusyForPhone { .. } | KeptBy::Us => None,
    }
}
