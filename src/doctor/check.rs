//! What a check reports, and what checks of one family pass on to another.

use serde::Serialize;

use crate::config::{For, UnreadFile};
use crate::journal::{JournalError, Pattern};

/// The family of the apps' checks.
pub(super) const APPS: &str = "apps";
/// The family of the checks that calls are routed to fswake.
pub(super) const ROUTING: &str = "routing";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works, and could work better; or it could not be checked.
    Warning,
    /// Phones are not woken because of it, or soon will not be.
    Error,
}

impl CheckState {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its family.
    pub family: &'static str,
    /// What was checked.
    pub name: String,
    /// How it ended.
    pub state: CheckState,
    /// What was found, safe for a terminal.
    pub seen: String,
    /// What to do, if anything.
    pub advice: Option<String>,
    /// The known pattern behind it.
    pub pattern: Option<Pattern>,
    /// The check that found the same fault: fixing that fixes this.
    pub follows_from: Option<String>,
}

impl Check {
    pub(super) fn new(
        family: &'static str,
        name: impl Into<String>,
        state: CheckState,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            family,
            name: name.into(),
            state,
            seen: seen.into(),
            advice: None,
            pattern: None,
            follows_from: None,
        }
    }

    pub(super) fn ok(family: &'static str, name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(family, name, CheckState::Ok, seen)
    }

    pub(super) fn warning(
        family: &'static str,
        name: impl Into<String>,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(family, name, CheckState::Warning, seen).advise(advice)
    }

    pub(super) fn error(
        family: &'static str,
        name: impl Into<String>,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(family, name, CheckState::Error, seen).advise(advice)
    }

    /// Its name outside its family.
    pub fn title(&self) -> String {
        format!("{}, {}", self.family, self.name)
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What checks of one family pass on to another.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The provider rejected an app's credentials, or its certificate has expired.
    pub refused: Vec<AppFault>,
    /// An app's provider could not be reached.
    pub unreachable: Vec<AppFault>,
    /// Devices that no app serves, by provider and app id.
    pub unserved: Vec<String>,
}

/// What is wrong with an app.
#[derive(Debug)]
pub(super) struct AppFault {
    pub app: String,
    pub says: String,
    pub advice: String,
    /// The check that reports it.
    pub check: String,
}

/// A store that this user may not read may still work for the daemon; any other unreadable store does not.
pub(super) fn unread(family: &'static str, name: &str, error: &JournalError) -> Check {
    let state = match error {
        JournalError::NotAllowed { .. } => CheckState::Warning,
        _ => CheckState::Error,
    };
    Check::new(family, name, state, error.to_string()).advise(error.advice())
}

/// What cannot be checked because this user may not read a file that the daemon may.
pub(super) fn not_by_this_user(family: &'static str, name: impl Into<String>, unread: &UnreadFile) -> Check {
    let error = &unread.error;
    let advice = match unread.to {
        For::AnotherUser => "run the doctor as root, or as a user who may read the file",
        For::Systemd => {
            "nothing is wrong if the unit gives it to the daemon (LoadCredential=); else the daemon does not start with it"
        }
        For::Nobody => {
            let advice = "`fswake check` says the same; the daemon does not start with it";
            return Check::error(family, name, error.to_string(), advice);
        }
    };
    Check::warning(family, name, format!("not checked: {error}"), advice)
}

/// How many faults of this kind there are, each counted once, however many checks found it.
pub fn count(checks: &[Check], state: CheckState) -> usize {
    let of_state = checks.iter().filter(|check| check.state == state);
    of_state.filter(|check| check.follows_from.is_none()).count()
}

/// Which error to fix first: a wrong clock makes credentials look wrong; everything else is in the order in which a
/// wake needs it.
pub fn first_to_fix(checks: &[Check]) -> Option<&Check> {
    let mut errors = checks
        .iter()
        .filter(|check| check.state == CheckState::Error && check.follows_from.is_none());
    let clock = errors.clone().find(|check| check.name == "clock");
    clock.or_else(|| errors.next())
}

/// A list of at most so many items, and how many there are beyond that.
pub(super) fn first_of(items: &[String], most: usize) -> String {
    let text = items[..items.len().min(most)].join(", ");
    match items.len().saturating_sub(most) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
