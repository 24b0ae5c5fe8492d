//! A phone's part in one call: the unit in which patterns are counted.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::doctor::check::CheckState;
use crate::engine::HoldResult;
use crate::journal::diagnosis::of_attempt;
use crate::journal::{Attempt, Pattern, Wake};
use crate::push::app::App;
use crate::types::Printable;

/// Fewer than this may be chance.
pub(super) const FEW: usize = 3;

pub(super) const SOME_PERCENT: usize = 20;

/// One phone's part in one call, with its diagnosis.
pub(super) struct Part {
    pub attempt: Attempt,
    /// Of the callee.
    pub domain: String,
    pub pattern: Option<Pattern>,
}

impl Part {
    /// The app that serves it now.
    pub fn app<'a>(&self, config: &'a Config) -> Option<&'a App> {
        App::find(
            &config.apps,
            |app| app,
            &self.attempt.provider(),
            self.attempt.app(),
            &self.domain,
        )
    }
}

/// What counts: every phone of a call that it could have taken. If the caller hung up at once, or another phone took
/// the call, phones that did not come prove nothing.
pub(super) fn parts(wakes: &[Wake]) -> Vec<Part> {
    let mut parts = Vec::new();
    for wake in wakes {
        let cut_short = match wake.result() {
            Some(HoldResult::Abandoned) => wake.overview.held_ms.unwrap_or(0) < 5_000,
            Some(HoldResult::Unreachable | HoldResult::Timeout | HoldResult::NoDevice) => false,
            Some(
                HoldResult::Connected
                | HoldResult::Taken
                | HoldResult::Woken
                | HoldResult::Declined
                | HoldResult::Draining
                | HoldResult::HandsOff
                | HoldResult::Error,
            )
            | None => true,
        };
        for attempt in wake.attempts() {
            let came = attempt.registered_ms.is_some() || attempt.woke_late().is_some() || attempt.rang;
            let refused = attempt.refused.is_some() && !attempt.accepted;
            if cut_short && !came && !refused {
                continue;
            }
            let pattern = of_attempt(&attempt).and_then(|d| d.pattern);
            // An INVITE that another phone's answer ended has not failed.
            let cut_off =
                cut_short && pattern == Some(Pattern::InviteAfterRegisterFails) && attempt.failed_awake.is_none();
            // How long a caller waits before hanging up does not matter.
            let his_own = wake.result() == Some(HoldResult::Abandoned) && pattern == Some(Pattern::LateRegisters);
            let pattern = pattern.filter(|_| !cut_off && !his_own);
            let domain = wake.overview.aor.rsplit_once('@').map_or("", |(_, domain)| domain);
            parts.push(Part {
                attempt,
                domain: domain.to_owned(),
                pattern,
            });
        }
    }
    parts
}

pub(super) type Finding = Option<(CheckState, String, String)>;

pub(super) fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(0)
}

/// Phones with a pattern, and all phones to compare with, by app (and User-Agent, if the maker matters).
pub(super) fn groups(
    parts: &[Part],
    pattern: Pattern,
    is_base: impl Fn(&Attempt) -> bool,
    name: impl Fn(&Attempt) -> String,
) -> BTreeMap<String, (usize, usize)> {
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for part in parts {
        let has = part.pattern == Some(pattern);
        if !has && !is_base(&part.attempt) {
            continue;
        }
        let group = groups.entry(name(&part.attempt)).or_default();
        group.0 += usize::from(has);
        group.1 += 1;
    }
    groups
}

pub(super) fn app(attempt: &Attempt) -> String {
    format!("{} {}", Printable(attempt.provider_name()), Printable(attempt.app()))
}

pub(super) fn app_and_agent(attempt: &Attempt) -> String {
    let agent = if attempt.user_agent.is_empty() {
        "unknown"
    } else {
        &attempt.user_agent
    };
    format!("{} on {}", app(attempt), Printable(agent))
}
