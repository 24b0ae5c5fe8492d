//! What an operator should know of one app: whether its credentials work, and since when they do not.
//!
//! An app's health outlives its credentials: a new key takes it over, and what a push with the old key still comes to
//! says nothing about the new one (`generation`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::{error, info, warn};

use super::preset::unix;
use super::{PushError, PushOutcome};
use crate::types::{Provider, UnixSeconds};

/// An operator is told when so many days are left, once each.
const WARN_AT_DAYS: [i64; 6] = [60, 30, 14, 7, 3, 1];
const DAY: i64 = 86_400;

/// One app as operators see it. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppState {
    /// Its name.
    pub name: Arc<str>,
    /// Its provider.
    pub provider: Provider,
    /// Whose it is.
    pub tenant: Option<String>,
    /// The domains it is for; empty means all.
    pub domains: Vec<String>,
    /// What it proves itself with: `signing-key`, `certificate`, `service-account`, `bearer`, `basic`, `digest`, `header` or
    /// `none`.
    pub credentials: &'static str,
    /// When its certificate ends, if it has one.
    pub expires: Option<UnixSeconds>,
    /// Whole days until then; negative when it has ended.
    pub days_left: Option<i64>,
    /// What an operator has to mend, worst first; empty when all is well.
    pub problems: Vec<Problem>,
    /// What is known of it in a word: only `Ok` is said of what a provider has confirmed.
    pub standing: Standing,
    /// Why it stands so, where it is not well.
    pub why: Option<String>,
    /// When the provider last took a push.
    pub last_success: Option<UnixSeconds>,
    /// The last push that the provider did not take.
    pub last_failure: Option<LastFailure>,
}

impl AppState {
    /// Whether nothing has to be mended.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What is known of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No push since the start has told: nothing is known.
    #[default]
    Untried,
    /// The provider took the last push that it was asked for, or said something of its phone only.
    Ok,
    /// The provider cannot be reached.
    Unreachable,
    /// The provider refuses what is sent, whichever phone it is for (`TopicDisallowed`).
    Rejected,
    /// See the first of its problems.
    Problem(ProblemKind),
}

impl Standing {
    /// The word in JSON and on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::Problem(kind) => kind.as_str(),
        }
    }
}

/// Something that an operator has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// Since when.
    pub since: UnixSeconds,
    /// What is wrong, never with a file's content.
    pub reason: String,
}

/// What is wrong with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// The provider refuses the credentials, or cannot be trusted: no phone is woken.
    Refused,
    /// The certificate has ended.
    Expired,
    /// A new credential file cannot be used; the one before it is still in use.
    BrokenFile,
}

impl ProblemKind {
    /// All of them: the values of a metric's label.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Expired, Self::BrokenFile];

    /// The word in metrics, JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::BrokenFile => "broken-file",
        }
    }
}

/// A push that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When.
    pub at: UnixSeconds,
    /// What the failure asks for ([`PushError::class`]).
    pub class: &'static str,
    /// The error's text.
    pub reason: String,
}

/// Where a refusal was met: what clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// While connecting or getting an access token, between calls.
    Warming,
    /// In answer to a push.
    Push,
}

/// The changing part of an app's state.
pub(super) struct Health {
    app: Arc<str>,
    generations: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    generation: u64,
    expires: Option<SystemTime>,
    warned_at: Option<i64>,
    refused: Option<(Stage, Problem)>,
    broken_file: Option<Problem>,
    last_success: Option<UnixSeconds>,
    last_failure: Option<LastFailure>,
    /// What the provider was last heard to say, or that it was not, with why.
    heard: Standing,
    why: Option<String>,
}

impl Now {
    fn hears(&mut self, standing: Standing, why: Option<&str>) {
        (self.heard, self.why) = (standing, why.map(str::to_owned));
    }
}

impl Health {
    pub(super) fn new(app: &str) -> Arc<Self> {
        Arc::new(Self {
            app: app.into(),
            generations: AtomicU64::new(0),
            now: Mutex::default(),
        })
    }

    /// The number of credentials that may come into use.
    pub(super) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// Credentials are in use from now on: what was said about those before them is forgotten.
    pub(super) fn renewed(&self, generation: u64, expires: Option<SystemTime>) {
        let mut now = self.now();
        now.generation = generation;
        now.refused = None;
        now.broken_file = None;
        now.hears(Standing::Untried, None);
        if now.expires != expires {
            (now.expires, now.warned_at) = (expires, None);
        }
    }

    /// What a push came to; `is_call` when it was one of fswake's own making.
    pub(super) fn pushed(&self, generation: u64, is_call: bool, outcome: &PushOutcome, at: SystemTime) {
        let mut now = self.now();
        match outcome {
            Ok(_) => {
                now.last_success = Some(unix(at));
                now.hears(Standing::Ok, None);
                if now.generation == generation && now.refused.take().is_some() {
                    info!(app = %self.app, "the provider takes this app's pushes again");
                }
            }
            // Refused here, for what was asked: a phone without a token for news of calls, a type that the app does not
            // have. No provider was asked.
            Err(PushError::Rejected { status: 0, reason }) if !is_call || reason == "NoRemoteToken" => {}
            Err(error) => {
                now.last_failure = Some(LastFailure {
                    at: unix(at),
                    class: error.class(),
                    reason: error.to_string(),
                });
                match error {
                    PushError::TokenGone { .. } | PushError::TokenBad { .. } => now.hears(Standing::Ok, None),
                    PushError::Rejected { reason, .. } => now.hears(Standing::Rejected, Some(reason)),
                    // A caller who gave up says nothing of the provider.
                    PushError::Exhausted { reason } if is_of_the_provider(reason) => {
                        now.hears(Standing::Unreachable, Some(reason));
                    }
                    PushError::Exhausted { .. } | PushError::Misconfigured { .. } => {}
                }
                self.refused(&mut now, generation, Stage::Push, error, at);
            }
        }
    }

    /// What getting ready for the next push came to.
    pub(super) fn warmed(&self, generation: u64, warmed: &Result<(), PushError>, at: SystemTime) {
        let mut now = self.now();
        match warmed {
            Ok(()) => {
                let is_current = now.generation == generation;
                now.refused.take_if(|(stage, _)| *stage == Stage::Warming && is_current);
                if now.heard == Standing::Unreachable {
                    now.hears(Standing::Untried, None);
                }
            }
            Err(PushError::Exhausted { reason }) => now.hears(Standing::Unreachable, Some(reason)),
            Err(error) => self.refused(&mut now, generation, Stage::Warming, error, at),
        }
    }

    fn refused(&self, now: &mut Now, generation: u64, stage: Stage, error: &PushError, at: SystemTime) {
        let PushError::Misconfigured { reason } = error else {
            return;
        };
        if now.generation != generation {
            return;
        }
        if let Some((known, problem)) = &mut now.refused {
            if stage == Stage::Push {
                *known = stage;
            }
            problem.reason.clone_from(reason);
            return;
        }
        error!(app = %self.app, reason, "refused: this app's phones are not woken");
        let problem = Problem {
            kind: ProblemKind::Refused,
            since: unix(at),
            reason: reason.clone(),
        };
        now.refused = Some((stage, problem));
    }

    /// A new file cannot be used.
    pub(super) fn file_broke(&self, reason: String, at: SystemTime) {
        error!(app = %self.app, reason, "a changed credential file cannot be used: the one before it stays in use");
        let mut now = self.now();
        let since = now.broken_file.as_ref().map_or(unix(at), |known| known.since);
        now.broken_file = Some(Problem {
            kind: ProblemKind::BrokenFile,
            since,
            reason,
        });
    }

    /// The files are again those that are in use.
    pub(super) fn file_mended(&self) {
        if self.now().broken_file.take().is_some() {
            info!(app = %self.app, "the credential files are again those in use");
        }
    }

    /// Says once for each of [`WARN_AT_DAYS`] that the certificate ends, and once that it has ended.
    pub(super) fn look_at_expiry(&self, wall: SystemTime) {
        let mut now = self.now();
        let Some(left) = now.expires.map(|end| unix(end) - unix(wall)) else {
            return;
        };
        let Some(due) = due(left, now.warned_at) else { return };
        now.warned_at = Some(due);
        if due == 0 {
            error!(app = %self.app, "the certificate has expired: its pushes will be refused");
        } else {
            warn!(app = %self.app, days = left / DAY, "the certificate ends soon");
        }
    }

    /// The state as it is seen at a time; `blank` has what does not change.
    pub(super) fn fill(&self, blank: AppState, wall: SystemTime) -> AppState {
        let now = self.now();
        let left = now.expires.map(|end| unix(end) - unix(wall));
        let expired = now.expires.filter(|end| *end <= wall).map(|end| Problem {
            kind: ProblemKind::Expired,
            since: unix(end),
            reason: "the certificate has expired".into(),
        });
        // With an expired certificate nothing is sent: one problem, not two.
        let refused = now.refused.as_ref().filter(|_| expired.is_none());
        let refused = refused.map(|(_, problem)| problem.clone());
        let problems: Vec<Problem> = [refused, expired, now.broken_file.clone()]
            .into_iter()
            .flatten()
            .collect();
        // A log takes everything.
        let heard = if blank.credentials == "none" && now.heard == Standing::Untried {
            Standing::Ok
        } else {
            now.heard
        };
        let first = problems.first();
        AppState {
            standing: first.map_or(heard, |problem| Standing::Problem(problem.kind)),
            why: first.map_or_else(|| now.why.clone(), |problem| Some(problem.reason.clone())),
            expires: now.expires.map(unix),
            days_left: left.map(|left| left.div_euclid(DAY)),
            problems,
            last_success: now.last_success,
            last_failure: now.last_failure.clone(),
            ..blank
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a push that came to nothing in time did so because of the provider.
fn is_of_the_provider(reason: &str) -> bool {
    !["the call is over", "too many pushes", "no time left"]
        .iter()
        .any(|ours| reason.contains(ours))
}

/// Which of [`WARN_AT_DAYS`] is to be said when so many seconds are left, 0 standing for the end itself; `said` was.
fn due(left: i64, said: Option<i64>) -> Option<i64> {
    let due = if left <= 0 {
        0
    } else {
        WARN_AT_DAYS.into_iter().rev().find(|days| left <= days * DAY)?
    };
    said.is_none_or(|said| due < said).then_some(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_given_once_while_the_days_run_out() {
        let (mut said, mut given) = (None, Vec::new());
        for hour in (-48..24 * 90).rev() {
            if let Some(days) = due(hour * 3600, said) {
                said = Some(days);
                given.push((days, hour));
            }
        }
        let expected: Vec<_> = [60, 30, 14, 7, 3, 1, 0].map(|days| (days, days * 24)).to_vec();
        assert_eq!(given, expected);
    }

    #[test]
    fn daemon_that_starts_late_says_only_what_holds_now() {
        assert_eq!(due(20 * DAY, None), Some(30));
        assert_eq!(due(20 * DAY, Some(30)), None);
        assert_eq!(due(61 * DAY, None), None);
        assert_eq!(due(-5, Some(1)), Some(0));
        assert_eq!(due(-5, Some(0)), None);
    }
}
