//! What an operator should know of one app: whether its credentials work, and since when they do not.
//!
//! An app's health outlives its credentials: a new key takes it over, and the results of pushes with the old key do not
//! count for the new one (`generation`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tracing::{error, info, warn};

use crate::clock::unix;
use crate::push::apps::condition::{Condition, LastWord, Stage, trouble};
use crate::push::apps::expiry::{DAY, due};
use crate::push::apps::schedule::ProbeSchedule;
use crate::push::apps::status::{AppState, AppStatus, LastFailure, Problem, ProblemKind};
use crate::push::clock::Now;
use crate::push::transport::probe::Proof;
use crate::types::push::{About, Fault, KeptBy, OwnRefusal, PushError, PushKind, PushOutcome, PushRequest};

/// One app's health, for as long as the app is configured.
pub(crate) struct Health {
    app: Arc<str>,
    generations: AtomicU64,
    known: Mutex<Condition>,
}

/// Whose server it is that did not take a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The app's only provider.
    Provider,
    /// The phone's own choice (web push): one that is unreachable does not count against the app.
    Phones,
}

impl Health {
    pub(crate) fn new(app: &str) -> Arc<Self> {
        Arc::new(Self {
            app: app.into(),
            generations: AtomicU64::new(0),
            known: Mutex::default(),
        })
    }

    /// A number for credentials that may come into use.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// New credentials are in use: what was known of the previous ones is forgotten, and a probe is due.
    pub(crate) fn renewed(&self, generation: u64, expires: Option<SystemTime>) {
        let mut known = self.known();
        known.begin_with(generation, expires);
    }

    /// Whether a probe with these credentials is due. Replaced credentials never take the turn of the new ones.
    pub(crate) fn is_due(&self, generation: u64, now: Instant) -> bool {
        let mut known = self.known();
        known.generation == generation && known.schedule.take(now)
    }

    /// The app has no provider to probe.
    pub(crate) fn has_nobody_to_ask(&self, generation: u64, now: Instant) {
        let mut known = self.known();
        if known.generation == generation {
            known.schedule.settled(now);
        }
    }

    /// Records the outcome of a push.
    pub(crate) fn pushed(&self, generation: u64, whose: Whose, req: &PushRequest, outcome: &PushOutcome, at: Now) {
        let about = &req.about;
        let is_call = matches!(about, About::Call(_));
        let is_ring = matches!(about, About::Call(call) if call.kind == PushKind::Call);
        let mut known = self.known();
        match outcome {
            Ok(_) => known.last_success = Some(unix(at.wall)),
            // The request could not be sent: the phone has no token for news of calls, or the app no such profile. No
            // provider was asked.
            Err(PushError::Refused(why)) if !is_call || *why == OwnRefusal::NoRemoteToken => return,
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
                known.schedule.settled(at.monotonic);
            }
            Err(PushError::TokenGone { .. } | PushError::TokenBad { .. }) => self.is_well(&mut known, is_ring, at),
            // News and messages have their own topics and sizes, and do not show whether calls work.
            Err(error @ (PushError::Rejected { .. } | PushError::Refused(_)))
                if is_ring && known.is_the_apps(error, &req.callee) =>
            {
                self.is_in_trouble(&mut known, ProblemKind::Rejected, error, at);
                known.schedule.doubted(at.monotonic);
            }
            Err(error @ PushError::Exhausted { kept_by, .. }) => {
                let kind = match kept_by {
                    // One phone may have had too many; several in a row are the app's.
                    KeptBy::BusyForThis { .. } | KeptBy::BusyForPhone { .. } => {
                        known.busy_for.is_several(&req.callee).then_some(ProblemKind::Busy)
                    }
                    other => {
                        trouble(*other).filter(|_| whose == Whose::Provider || known.busy_for.is_several(&req.callee))
                    }
                };
                if let Some(kind) = kind {
                    self.is_in_trouble(&mut known, kind, error, at);
                    known.schedule.doubted(at.monotonic);
                }
            }
            Err(error @ PushError::Misconfigured { fault, .. }) => {
                self.is_refused(&mut known, Stage::Answer, *fault, error, at);
                known.schedule.doubted(at.monotonic);
            }
            Err(PushError::Rejected { .. } | PushError::Refused(_) | PushError::NoApp { .. } | PushError::CallOver) => {
            }
        }
    }

    /// Records whether the connection and the token are ready.
    pub(crate) fn warmed(&self, generation: u64, warmed: &Result<(), PushError>, at: Now) {
        let mut known = self.known();
        if known.generation != generation {
            return;
        }
        match warmed {
            Ok(()) => {
                if self.is_reached(&mut known) {
                    known.schedule = ProbeSchedule::at_once();
                }
            }
            Err(error @ PushError::Exhausted { kept_by, .. }) => {
                if let Some(kind) = trouble(*kept_by) {
                    self.is_in_trouble(&mut known, kind, error, at);
                }
                known.schedule.doubted(at.monotonic);
            }
            Err(error @ PushError::Misconfigured { fault, .. }) => {
                self.is_refused(&mut known, Stage::Warming, *fault, error, at);
            }
            Err(_) => {}
        }
    }

    /// Records the outcome of a probe.
    pub(crate) fn probed(&self, generation: u64, outcome: &Result<Proof, PushError>, at: Now) {
        let mut known = self.known();
        if known.generation != generation {
            return;
        }
        match outcome {
            Ok(Proof::Taken(how)) => {
                if known.last_word != LastWord::Ok {
                    info!(app = %self.app, how, "the push provider takes this app's credentials");
                }
                // A probe cannot clear a problem that it cannot see.
                let refused = known.refused.as_ref().map(|(_, problem)| problem);
                let trouble = match &known.last_word {
                    LastWord::Trouble(problem) => Some(problem),
                    _ => None,
                };
                if refused.into_iter().chain(trouble).all(Problem::is_probed) {
                    self.is_well(&mut known, true, at);
                }
                known.schedule.settled(at.monotonic);
            }
            Ok(proof @ (Proof::Connected | Proof::NoEndpoint | Proof::NoTopic)) => {
                self.is_reached(&mut known);
                if let LastWord::Nothing(why) = &mut known.last_word {
                    *why = proof.why_nothing_is_known();
                }
                known.schedule.settled(at.monotonic);
            }
            // The probe's token cannot exist, so this answer means that everything else is good.
            Err(PushError::TokenGone { .. } | PushError::TokenBad { .. }) => {
                self.is_well(&mut known, true, at);
                known.schedule.settled(at.monotonic);
            }
            Err(error @ (PushError::Rejected { .. } | PushError::Refused(_))) => {
                self.is_in_trouble(&mut known, ProblemKind::Rejected, error, at);
                known.schedule.failed(at.monotonic);
            }
            Err(error @ PushError::Exhausted { kept_by, .. }) => {
                match trouble(*kept_by) {
                    Some(kind) => self.is_in_trouble(&mut known, kind, error, at),
                    None => drop(self.is_reached(&mut known)),
                }
                known.schedule.failed(at.monotonic);
            }
            Err(error @ PushError::Misconfigured { fault, .. }) => {
                self.is_refused(&mut known, Stage::Answer, *fault, error, at);
                known.schedule.failed(at.monotonic);
            }
            // No probe ends so.
            Err(PushError::NoApp { .. } | PushError::CallOver) => {}
        }
    }

    /// The provider can be reached, and nothing more is known. Whether it was out of reach before.
    fn is_reached(&self, known: &mut Condition) -> bool {
        known.refused.take_if(|(stage, _)| *stage == Stage::Warming);
        let is_back = known.is_away();
        if is_back {
            info!(app = %self.app, "the push provider is reached again");
            known.last_word = LastWord::Nothing(None);
        }
        is_back
    }

    /// The provider takes the app's pushes; `is_ring` if this one was for a call.
    fn is_well(&self, known: &mut Condition, is_ring: bool, at: Now) {
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
            known.last_word = LastWord::Ok;
        }
    }

    fn is_in_trouble(&self, known: &mut Condition, kind: ProblemKind, error: &PushError, at: Now) {
        known.checked = Some(unix(at.wall));
        match &mut known.last_word {
            LastWord::Trouble(problem) if problem.kind == kind => problem.is_now(error),
            last_word => {
                let reason = error.reason();
                match kind {
                    ProblemKind::Unreachable => warn!(app = %self.app, reason, "cannot reach the push provider"),
                    ProblemKind::NoAnswer => warn!(app = %self.app, reason, "the push provider does not answer"),
                    ProblemKind::Busy => warn!(app = %self.app, reason, "the push provider takes no pushes for now"),
                    _ => warn!(app = %self.app, reason, "the provider refuses this app's pushes"),
                }
                *last_word = LastWord::Trouble(Problem::met(kind, unix(at.wall), error));
            }
        }
    }

    fn is_refused(&self, known: &mut Condition, stage: Stage, fault: Fault, error: &PushError, at: Now) {
        // The credentials are not at fault: another server answers in the provider's place.
        if fault == Fault::Untrusted {
            return self.is_in_trouble(known, ProblemKind::Unreachable, error, at);
        }
        known.checked = Some(unix(at.wall));
        known.last_word = LastWord::Nothing(None);
        if let Some((met, problem)) = &mut known.refused {
            if stage == Stage::Answer {
                *met = stage;
            }
            problem.is_now(error);
            return;
        }
        error!(app = %self.app, reason = error.reason(), "refused: this app's phones are not woken");
        known.refused = Some((stage, Problem::met(ProblemKind::Refused, unix(at.wall), error)));
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
            error: None,
        });
    }

    /// The files match those in use again.
    pub(crate) fn file_mended(&self) {
        if self.known().broken_file.take().is_some() {
            info!(app = %self.app, "the credential files match those in use again");
        }
    }

    /// Logs that the certificate ends soon, once for each of [`super::expiry::due`]'s days, and once that it has ended.
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

    /// The state at a time; `blank` has what does not change, and problems that others know of.
    pub(crate) fn fill(&self, mut blank: AppState, wall: SystemTime) -> AppState {
        let known = self.known();
        let left = known.expires.map(|end| unix(end) - unix(wall));
        let expired = known.expires.filter(|end| *end <= wall).map(|end| Problem {
            kind: ProblemKind::Expired,
            since: unix(end),
            reason: "the certificate has expired".into(),
            error: Some(PushError::certificate_expired()),
        });
        // An expired certificate is one problem, not two: nothing is sent with it.
        let refused = known.refused.as_ref().filter(|_| expired.is_none());
        let refused = refused.map(|(_, problem)| problem.clone());
        let trouble = match &known.last_word {
            LastWord::Trouble(problem) if expired.is_none() => Some(problem.clone()),
            _ => None,
        };
        let problems = [refused, expired, trouble, known.broken_file.clone()];
        let others = std::mem::take(&mut blank.problems);
        let problems: Vec<Problem> = problems.into_iter().flatten().chain(others).collect();
        let (status, why) = match (problems.first(), &known.last_word) {
            (Some(problem), _) => (AppStatus::Problem(problem.kind), Some(problem.reason.clone())),
            _ if blank.only_logs() => (AppStatus::OnlyLogs, None),
            (None, LastWord::Nothing(why)) => (AppStatus::Untried, why.map(str::to_owned)),
            (None, _) => (AppStatus::Ok, None),
        };
        AppState {
            status,
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

    fn known(&self) -> MutexGuard<'_, Condition> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        // A task may still hold the list of apps from before the change.
        assert!(!health.is_due(old, now));
        health.has_nobody_to_ask(old, now);
        assert!(health.is_due(new, now), "the new ones are asked with at once");
    }
}
