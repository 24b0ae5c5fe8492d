//! An app's status for operators: what is known of it, its problem, and since when.

use std::sync::Arc;

use fswake_core::word_enum;

use crate::types::push::{Fault, PushError};
use crate::types::{Provider, UnixSeconds};

/// One app as operators see it. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppState {
    /// Its name.
    pub name: Arc<str>,
    /// Its provider.
    pub provider: Provider,
    /// The tenant it belongs to.
    pub tenant: Option<String>,
    /// The domains it is for; empty means all.
    pub domains: Vec<String>,
    /// How it authenticates: `signing-key`, `certificate`, `service-account`, `bearer`, `basic`, `digest`, `header` or
    /// `none`.
    pub credentials: &'static str,
    /// When its certificate ends, if it has one.
    pub expires: Option<UnixSeconds>,
    /// Whole days until then; negative when it has ended.
    pub days_left: Option<i64>,
    /// What an operator has to fix, worst first; empty if nothing is known to be wrong.
    pub problems: Vec<Problem>,
    /// Its status in a word: `Ok` only after a provider has confirmed it.
    pub status: AppStatus,
    /// The reason, unless it is ok.
    pub why: Option<String>,
    /// When a push or a probe last had a result.
    pub checked: Option<UnixSeconds>,
    /// When the provider last took a push.
    pub last_success: Option<UnixSeconds>,
    /// The last push that the provider did not take.
    pub last_failure: Option<LastFailure>,
}

impl AppState {
    /// Whether no problem is known.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether it only writes to the log.
    pub fn only_logs(&self) -> bool {
        self.status == AppStatus::OnlyLogs
    }

    /// Whether its phones would be woken now, as far as is known.
    ///
    /// Only problems that clear without a call count: no call may reach a daemon that is not ready, so one that waited
    /// for an accepted push would never become ready again.
    pub fn would_wake(&self) -> bool {
        !self.only_logs() && !self.problems.iter().any(|problem| self.is_out_by(problem))
    }

    fn is_out_by(&self, problem: &Problem) -> bool {
        match problem.kind {
            ProblemKind::Expired | ProblemKind::Unreachable | ProblemKind::NoAnswer => true,
            ProblemKind::Refused | ProblemKind::Rejected | ProblemKind::Busy => {
                matches!(self.credentials, "signing-key" | "certificate" | "service-account") && problem.is_probed()
            }
            ProblemKind::BrokenFile | ProblemKind::OldKey | ProblemKind::NextKey => false,
        }
    }
}

/// What is known of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppStatus {
    /// No push and no probe has had a result since the start, or since its credentials changed.
    #[default]
    Untried,
    /// The provider took the last push or probe, or rejected it because of one phone only.
    Ok,
    /// It writes to the log: it has no provider, and no phone is woken.
    OnlyLogs,
    /// The first of its problems.
    Problem(ProblemKind),
}

impl AppStatus {
    /// The word in JSON and on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Ok => "ok",
            Self::OnlyLogs => "only-logs",
            Self::Problem(kind) => kind.as_str(),
        }
    }
}

/// Something that an operator has to fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// Since when.
    pub since: UnixSeconds,
    /// What is wrong, never with a file's content.
    pub reason: String,
    /// The error that pushes get because of it, for advice. `None`: none.
    pub error: Option<PushError>,
}

impl Problem {
    /// The problem behind an error.
    pub(crate) fn met(kind: ProblemKind, since: UnixSeconds, error: &PushError) -> Self {
        Self {
            kind,
            since,
            reason: error.reason(),
            error: Some(error.clone()),
        }
    }

    /// Updates it to the latest error.
    pub(crate) fn is_now(&mut self, error: &PushError) {
        self.reason = error.reason();
        self.error = Some(error.clone());
    }

    /// Whether a probe would fail too, and so notice when it is fixed.
    pub(crate) fn is_probed(&self) -> bool {
        match self.kind {
            // Google's key for Apple: only pushes to iPhones need it.
            ProblemKind::Refused => !matches!(
                self.error,
                Some(PushError::Misconfigured {
                    fault: Fault::AppleKeyAtGoogle,
                    ..
                })
            ),
            ProblemKind::Rejected => self.error.as_ref().is_some_and(PushError::is_about_the_topic),
            ProblemKind::Unreachable | ProblemKind::NoAnswer | ProblemKind::Busy => true,
            ProblemKind::Expired | ProblemKind::BrokenFile | ProblemKind::OldKey | ProblemKind::NextKey => false,
        }
    }
}

word_enum! {
    /// What is wrong with an app; the worst first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ProblemKind {
        /// The provider refuses the credentials: no phone is woken.
        Refused = "refused",
        /// The certificate has expired.
        Expired = "expired",
        /// The provider takes the credentials and rejects all pushes, whatever the phone (`TopicDisallowed`).
        Rejected = "rejected",
        /// The provider cannot be reached, or another server answers in its place.
        Unreachable = "unreachable",
        /// The provider does not answer in time.
        NoAnswer = "no-answer",
        /// The provider answers that it takes no pushes for now.
        Busy = "busy",
        /// A new credential file cannot be used; keeping the previous one.
        BrokenFile = "broken-file",
        /// Apple refuses the app's signing key, and takes its next one.
        OldKey = "old-key",
        /// Apple refuses the app's next signing key: it could not take over.
        NextKey = "next-key",
    }
}

/// A push that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When.
    pub at: UnixSeconds,
    /// What the failure asks for ([`crate::push::PushError::class`]).
    pub class: &'static str,
    /// The error's text.
    pub reason: String,
}
