//! What an operator should know of one app: whether its credentials work, and since when they do not.
//!
//! An app's health outlives its credentials: a new key takes it over, and what a push with the old key still comes to
//! says nothing about the new one (`generation`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tracing::{error, info, warn};

use crate::push::apps::callees::Callees;
use crate::push::apps::expiry::{DAY, due};
use crate::push::apps::prober::Plan;
pub use crate::push::apps::standing::{AppState, LastFailure, Problem, ProblemKind, Standing};
use crate::push::clock::Now;
use crate::push::payload::preset::unix;
use crate::push::transport::probe::Proof;
use crate::types::push::{About, KeptBy, PushError, PushKind, PushOutcome, PushRequest};
use crate::types::{Aor, UnixSeconds};

/// Where a refusal was met: what clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// While connecting or getting an access token, between calls.
    Warming,
    /// In answer to a push or a probe.
    Answer,
}

/// The changing part of an app's state.
pub(crate) struct Health {
    app: Arc<str>,
    generations: AtomicU64,
    known: Mutex<Known>,
}

struct Known {
    generation: u64,
    expires: Option<SystemTime>,
    warned_at: Option<i64>,
    refused: Option<(Stage, Problem)>,
    broken_file: Option<Problem>,
    last_success: Option<UnixSeconds>,
    last_failure: Option<LastFailure>,
    heard: Heard,
    /// For whom the provider has refused calls since it last took a push: it is the app when they are several.
    rejected_for: Callees,
    /// For whom it has said that it takes no push for now.
    busy_for: Callees,
    checked: Option<UnixSeconds>,
    plan: Plan,
}

/// What the provider was last heard to say of the app, or that it was not.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing, with why where asking told too little.
    Nothing(Option<&'static str>),
    Ok,
    /// `Unreachable`, `NoAnswer`, `Busy` or `Rejected`.
    Trouble(Problem),
}

impl Health {
    pub(crate) fn new(app: &str) -> Arc<Self> {
        let known = Known {
            generation: 0,
            expires: None,
            warned_at: None,
            refused: None,
            broken_file: None,
            last_success: None,
            last_failure: None,
            heard: Heard::Nothing(None),
            rejected_for: Callees::default(),
            busy_for: Callees::default(),
            checked: None,
            plan: Plan::at_once(),
        };
        Arc::new(Self {
            app: app.into(),
            generations: AtomicU64::new(0),
            known: Mutex::new(known),
        })
    }

    /// The number of credentials that may come into use.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// Credentials are in use from now on: what was said about those before them is forgotten, and they are tried.
    pub(crate) fn renewed(&self, generation: u64, expires: Option<SystemTime>) {
        let mut known = self.known();
        known.generation = generation;
        known.refused = None;
        known.broken_file = None;
        known.heard = Heard::Nothing(None);
        known.rejected_for.clear();
        known.busy_for.clear();
        known.checked = None;
        known.plan = Plan::at_once();
        if known.expires != expires {
            (known.expires, known.warned_at) = (expires, None);
        }
    }

    /// Whether the provider is to be asked now, with these credentials: those before them do not take the turn of the new ones.
    pub(crate) fn is_due(&self, generation: u64, now: Instant) -> bool {
        let mut known = self.known();
        known.generation == generation && known.plan.take(now)
    }

    /// There is no provider to ask.
    pub(crate) fn has_nobody_to_ask(&self, generation: u64, now: Instant) {
        let mut known = self.known();
        if known.generation == generation {
            known.plan.settled(now);
        }
    }

    /// What a push came to.
    pub(crate) fn pushed(&self, generation: u64, req: &PushRequest, outcome: &PushOutcome, at: Now) {
        let about = &req.about;
        let is_call = matches!(about, About::Call(_));
        let is_ring = matches!(about, About::Call(call) if call.kind == PushKind::Call);
        let mut known = self.known();
        match outcome {
            Ok(_) => known.last_success = Some(unix(at.wall)),
            // Refused here, for what was asked: a phone without a token for news of calls, a type that the app does not
            // have. No provider was asked.
            Err(PushError::Rejected { status: 0, reason }) if !is_call || reason == "NoRemoteToken" => return,
            Err(error) => {
                known.last_failure = Some(LastFailure {
                    at: unix(at.wall),
                    class: error.class(),
                    reason: error.to_string(),
                });
            }
        }
        if known.generation != generation {
            return;
        }
        match outcome {
            Ok(_) => {
                self.is_well(&mut known, is_ring, at);
                known.plan.settled(at.monotonic);
            }
            Err(PushError::TokenGone { .. } | PushError::TokenBad { .. }) => self.is_well(&mut known, is_ring, at),
            // News and messages have topics and sizes of their own, which say nothing of calls.
            Err(PushError::Rejected { reason, .. }) if is_ring && known.is_the_apps(reason, &req.callee) => {
                self.is_in_trouble(&mut known, ProblemKind::Rejected, reason, at);
                known.plan.doubted(at.monotonic);
            }
            Err(PushError::Exhausted { kept_by, reason }) => {
                let kind = match kept_by {
                    // The phone's, or the app's? Several in a row are the app's.
                    KeptBy::BusyForThis { .. } => known.busy_for.is_several(&req.callee).then_some(ProblemKind::Busy),
                    other => trouble(*other),
                };
                if let Some(kind) = kind {
                    self.is_in_trouble(&mut known, kind, reason, at);
                    known.plan.doubted(at.monotonic);
                }
            }
            Err(PushError::Misconfigured { reason }) => {
                self.is_refused(&mut known, Stage::Answer, reason, at);
                known.plan.doubted(at.monotonic);
            }
            Err(PushError::Rejected { .. }) => {}
        }
    }

    /// What getting ready for the next push came to.
    pub(crate) fn warmed(&self, generation: u64, warmed: &Result<(), PushError>, at: Now) {
        let mut known = self.known();
        if known.generation != generation {
            return;
        }
        match warmed {
            Ok(()) => {
                if self.is_reached(&mut known) {
                    known.plan = Plan::at_once();
                }
            }
            Err(PushError::Exhausted { kept_by, reason }) => {
                if let Some(kind) = trouble(*kept_by) {
                    self.is_in_trouble(&mut known, kind, reason, at);
                }
                known.plan.doubted(at.monotonic);
            }
            Err(PushError::Misconfigured { reason }) => self.is_refused(&mut known, Stage::Warming, reason, at),
            Err(_) => {}
        }
    }

    /// What a probe came to.
    pub(crate) fn probed(&self, generation: u64, outcome: &Result<Proof, PushError>, at: Now) {
        let mut known = self.known();
        if known.generation != generation {
            return;
        }
        match outcome {
            Ok(Proof::Taken(how)) => {
                if known.heard != Heard::Ok {
                    info!(app = %self.app, how, "the push provider takes this app's credentials");
                }
                // What no probe meets, no probe finds mended.
                let refused = known.refused.as_ref().map(|(_, problem)| problem);
                let trouble = match &known.heard {
                    Heard::Trouble(problem) => Some(problem),
                    _ => None,
                };
                if refused.into_iter().chain(trouble).all(Problem::is_probed) {
                    self.is_well(&mut known, true, at);
                }
                known.plan.settled(at.monotonic);
            }
            Ok(proof @ (Proof::Connected | Proof::NoTopic)) => {
                self.is_reached(&mut known);
                if let Heard::Nothing(why) = &mut known.heard {
                    *why = proof.why_nothing_is_known();
                }
                known.plan.settled(at.monotonic);
            }
            // Of a token that cannot exist: all else is good.
            Err(PushError::TokenGone { .. } | PushError::TokenBad { .. }) => {
                self.is_well(&mut known, true, at);
                known.plan.settled(at.monotonic);
            }
            Err(PushError::Rejected { reason, .. }) => {
                self.is_in_trouble(&mut known, ProblemKind::Rejected, reason, at);
                known.plan.failed(at.monotonic);
            }
            Err(PushError::Exhausted { kept_by, reason }) => {
                match trouble(*kept_by) {
                    Some(kind) => self.is_in_trouble(&mut known, kind, reason, at),
                    None => drop(self.is_reached(&mut known)),
                }
                known.plan.failed(at.monotonic);
            }
            Err(PushError::Misconfigured { reason }) => {
                self.is_refused(&mut known, Stage::Answer, reason, at);
                known.plan.failed(at.monotonic);
            }
        }
    }

    /// The provider is there, and that is all that is known; whether it was not before.
    fn is_reached(&self, known: &mut Known) -> bool {
        known.refused.take_if(|(stage, _)| *stage == Stage::Warming);
        let is_back = known.is_away();
        if is_back {
            info!(app = %self.app, "the push provider is reached again");
            known.heard = Heard::Nothing(None);
        }
        is_back
    }

    /// The provider takes what the app sends; `is_ring` where that was a push for a call.
    fn is_well(&self, known: &mut Known, is_ring: bool, at: Now) {
        known.checked = Some(unix(at.wall));
        known.rejected_for.clear();
        known.busy_for.clear();
        if known.refused.take().is_some() {
            info!(app = %self.app, "the provider takes this app's pushes again");
        }
        if known.is_away() {
            info!(app = %self.app, "the push provider is reached again");
        }
        if known.is_in(ProblemKind::Busy) {
            info!(app = %self.app, "the push provider takes pushes again");
        }
        if is_ring || !known.is_in(ProblemKind::Rejected) {
            known.heard = Heard::Ok;
        }
    }

    fn is_in_trouble(&self, known: &mut Known, kind: ProblemKind, reason: &str, at: Now) {
        known.checked = Some(unix(at.wall));
        match &mut known.heard {
            Heard::Trouble(problem) if problem.kind == kind => reason.clone_into(&mut problem.reason),
            heard => {
                match kind {
                    ProblemKind::Unreachable => warn!(app = %self.app, reason, "cannot reach the push provider"),
                    ProblemKind::NoAnswer => warn!(app = %self.app, reason, "the push provider does not answer"),
                    ProblemKind::Busy => warn!(app = %self.app, reason, "the push provider takes no pushes for now"),
                    _ => warn!(app = %self.app, reason, "the provider refuses this app's pushes"),
                }
                *heard = Heard::Trouble(Problem {
                    kind,
                    since: unix(at.wall),
                    reason: reason.to_owned(),
                });
            }
        }
    }

    fn is_refused(&self, known: &mut Known, stage: Stage, reason: &str, at: Now) {
        if is_about_the_way(reason) {
            return self.is_in_trouble(known, ProblemKind::Unreachable, reason, at);
        }
        known.checked = Some(unix(at.wall));
        known.heard = Heard::Nothing(None);
        if let Some((met, problem)) = &mut known.refused {
            if stage == Stage::Answer {
                *met = stage;
            }
            reason.clone_into(&mut problem.reason);
            return;
        }
        error!(app = %self.app, reason, "refused: this app's phones are not woken");
        let problem = Problem {
            kind: ProblemKind::Refused,
            since: unix(at.wall),
            reason: reason.to_owned(),
        };
        known.refused = Some((stage, problem));
    }

    /// A new file cannot be used.
    pub(crate) fn file_broke(&self, reason: String, at: SystemTime) {
        error!(app = %self.app, reason, "a changed credential file cannot be used: keeping the previous one");
        let mut known = self.known();
        let since = known.broken_file.as_ref().map_or(unix(at), |known| known.since);
        known.broken_file = Some(Problem {
            kind: ProblemKind::BrokenFile,
            since,
            reason,
        });
    }

    /// The files are again those that are in use.
    pub(crate) fn file_mended(&self) {
        if self.known().broken_file.take().is_some() {
            info!(app = %self.app, "the credential files match those in use again");
        }
    }

    /// Says once for each of some days that the certificate ends, and once that it has ended.
    pub(crate) fn look_at_expiry(&self, wall: SystemTime) {
        let mut known = self.known();
        let Some(left) = known.expires.map(|end| unix(end) - unix(wall)) else {
            return;
        };
        let Some(due) = due(left, known.warned_at) else { return };
        known.warned_at = Some(due);
        if due == 0 {
            error!(app = %self.app, "the certificate has expired: its pushes will be refused");
        } else {
            warn!(app = %self.app, days = left / DAY, "the certificate expires soon");
        }
    }

    /// The state as it is seen at a time; `blank` has what does not change.
    pub(crate) fn fill(&self, blank: AppState, wall: SystemTime) -> AppState {
        let known = self.known();
        let left = known.expires.map(|end| unix(end) - unix(wall));
        let expired = known.expires.filter(|end| *end <= wall).map(|end| Problem {
            kind: ProblemKind::Expired,
            since: unix(end),
            reason: "the certificate has expired".into(),
        });
        // With an expired certificate nothing is sent: one problem, not two.
        let refused = known.refused.as_ref().filter(|_| expired.is_none());
        let refused = refused.map(|(_, problem)| problem.clone());
        let trouble = match &known.heard {
            Heard::Trouble(problem) if expired.is_none() => Some(problem.clone()),
            _ => None,
        };
        let problems = [refused, expired, trouble, known.broken_file.clone()];
        let problems: Vec<Problem> = problems.into_iter().flatten().collect();
        let (standing, why) = match (problems.first(), &known.heard) {
            (Some(problem), _) => (Standing::Problem(problem.kind), Some(problem.reason.clone())),
            _ if blank.only_logs() => (Standing::OnlyLogs, None),
            (None, Heard::Nothing(why)) => (Standing::Untried, why.map(str::to_owned)),
            (None, _) => (Standing::Ok, None),
        };
        AppState {
            standing,
            why,
            expires: known.expires.map(unix),
            days_left: left.map(|left| left.div_euclid(DAY)),
            problems,
            checked: known.checked,
            last_success: known.last_success,
            last_failure: known.last_failure.clone(),
            ..blank
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_in(&self, kind: ProblemKind) -> bool {
        matches!(&self.heard, Heard::Trouble(problem) if problem.kind == kind)
    }

    /// Whether a call that was refused says something of the app: a topic does, and anything that is refused for one callee after
    /// another. What is refused for one may be that one's (a caller's name that is too long, a user that a gateway does not have).
    fn is_the_apps(&mut self, reason: &str, callee: &Aor) -> bool {
        self.rejected_for.is_several(callee) || reason.contains("Topic")
    }

    fn is_away(&self) -> bool {
        self.is_in(ProblemKind::Unreachable) || self.is_in(ProblemKind::NoAnswer)
    }
}

/// What is wrong where pushes are kept from being taken; `None`: nothing that is known.
fn trouble(kept_by: KeptBy) -> Option<ProblemKind> {
    match kept_by {
        KeptBy::NoConnection => Some(ProblemKind::Unreachable),
        KeptBy::NoAnswer => Some(ProblemKind::NoAnswer),
        KeptBy::Busy { .. } => Some(ProblemKind::Busy),
        KeptBy::BusyForThis { .. } | KeptBy::Us => None,
    }
}

/// Whether it is not the credentials that are at fault, but that no trusted provider is reached.
fn is_about_the_way(reason: &str) -> bool {
    reason.starts_with("cannot connect to") && !reason.contains("refuses the app's certificate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_before_take_no_turn_of_the_new_ones() {
        let (health, now) = (Health::new("ios"), Instant::now());
        let (old, new) = (health.next_generation(), health.next_generation());
        health.renewed(old, None);
        assert!(!health.is_due(new, now), "not in use yet");
        assert!(health.is_due(old, now));
        health.renewed(new, None);
        // A list of apps that was taken before the change.
        assert!(!health.is_due(old, now));
        health.has_nobody_to_ask(old, now);
        assert!(health.is_due(new, now), "the new ones are asked with at once");
    }
}
