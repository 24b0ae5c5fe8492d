//! Times of the dialplan and of dial-strings that end a call's wait before fswake does.
//!
//! FreeSWITCH ends a bridge by the caller's `call_timeout`, an `originate` by `originate_timeout` and a leg by
//! `leg_timeout`, each of which `[..]`, `{..}` and `<..>` of a dial-string may set too; `user/` takes a `call_timeout`
//! from there. fswake waits no longer than the shortest of them (`esl::options`).

use std::time::Duration;

use super::dialplan::Action;
use crate::doctor::check::{Check, ROUTING as FAMILY};

/// The variables that end a wait.
const NAMES: [&str; 3] = ["call_timeout", "leg_timeout", "originate_timeout"];

/// A time limit, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Limit {
    pub seconds: u64,
    pub name: &'static str,
}

impl Limit {
    fn of(name: &str, value: &str) -> Option<Self> {
        let name = NAMES.into_iter().find(|known| *known == name.trim())?;
        let seconds = value.trim().trim_matches('\'').parse().ok()?;
        // 0 means no limit to FreeSWITCH.
        (seconds > 0).then_some(Self { seconds, name })
    }

    /// Whether a call with this limit ends before `max_wait`.
    pub(super) fn is_shorter_than(&self, max_wait: Duration) -> bool {
        Duration::from_secs(self.seconds) < max_wait
    }

    /// Its effect on calls, if it is shorter. `place` is where it is set.
    pub(super) fn finding(&self, name: String, place: &str, max_wait: Duration) -> Check {
        let (Self { seconds, name: limit }, max) = (self, max_wait.as_secs());
        let seen = format!(
            "{limit}={seconds}{place} ends the call after {seconds} s, not wake.max-wait ({max} s): slower phones are missed"
        );
        let advice = format!("set {limit} to {max} or more, or lower wake.max-wait");
        Check::warning(FAMILY, name, seen, advice)
    }
}

/// The shortest limit of a dialplan's actions for what follows them, given only those before it.
pub(super) fn of_actions<'a>(before: impl IntoIterator<Item = &'a Action>) -> Option<Limit> {
    let mut set: [Option<Limit>; NAMES.len()] = Default::default();
    for action in before {
        let exported = action.application == "export";
        if !exported && action.application != "set" {
            continue;
        }
        let Some((name, value)) = action.data.split_once('=') else {
            continue;
        };
        let name = name.trim();
        let name = name
            .strip_prefix("nolocal:")
            .filter(|n| *n != "call_timeout")
            .unwrap_or(name);
        // Without `export` it does not reach the legs; the caller's own channel has `call_timeout` only.
        let counts = exported || name == "call_timeout";
        if let Some(place) = NAMES.iter().position(|known| *known == name).filter(|_| counts) {
            set[place] = Limit::of(name, value);
        }
    }
    set.into_iter().flatten().min()
}

/// The shortest limit that a dial-string sets for one of its legs; `is_ours` selects the legs.
pub(super) fn of_dial_string(dial_string: &str, is_ours: impl Fn(&str) -> bool) -> Option<Limit> {
    let (all, rest) = variables(dial_string.trim(), '<', '>');
    let mut found = Vec::new();
    for part in split(rest, &[":_:"]) {
        let (of_part, rest) = variables(part.trim(), '{', '}');
        for leg in split(rest, &[",", "|"]) {
            let (of_leg, endpoint) = variables(leg.trim(), '[', ']');
            if is_ours(endpoint.trim()) {
                found.extend(all.iter().chain(&of_part).cloned());
                found.extend(of_leg);
            }
        }
    }
    found.into_iter().min()
}

/// The limits in the brackets that a text begins with, and what follows them.
fn variables(mut text: &str, open: char, close: char) -> (Vec<Limit>, &str) {
    let mut limits = Vec::new();
    while text.starts_with(open) {
        let Some(end) = closing(text, open, close) else { break };
        let inside = &text[1..end];
        // `^^:a=1:b=2` uses another separator than the comma.
        let mut list = inside;
        let mut by = ",";
        if let Some(rest) = inside.strip_prefix("^^") {
            let width = rest.chars().next().map_or(0, char::len_utf8);
            (by, list) = rest.split_at(width);
        }
        if !by.is_empty() {
            let pairs = split(list, &[by]);
            limits.extend(pairs.into_iter().filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Limit::of(name, value)
            }));
        }
        text = text[end + close.len_utf8()..].trim_start();
    }
    (limits, text)
}

/// The end of the bracket that a text begins with.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// Splits a text outside brackets.
fn split<'a>(text: &'a str, by: &[&str]) -> Vec<&'a str> {
    let (mut parts, mut from, mut depth, mut skip) = (Vec::new(), 0, 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && at >= skip => {
                if let Some(found) = by.iter().find(|by| text[at..].starts_with(**by)) {
                    parts.push(&text[from..at]);
                    from = at + found.len();
                    skip = from;
                }
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_a_dial_string_are_read_in_every_bracket_of_the_legs_that_lead_here() {
        let ours = |leg: &str| leg.starts_with("loopback/");
        let leg = "loopback/${dialed_user}@${dialed_domain}/fswake";
        for (text, expected) in [
            ("", None),
            ("[leg_timeout=10]", Some(("leg_timeout", 10))),
            ("{call_timeout=12}", Some(("call_timeout", 12))),
            ("<originate_timeout=14>", Some(("originate_timeout", 14))),
            (
                "{a=b,originate_timeout=15}[leg_timeout=20]",
                Some(("originate_timeout", 15)),
            ),
            ("[x=${a(b,c)},leg_timeout=9]", Some(("leg_timeout", 9))),
            ("{^^:leg_timeout=8:x=1,2}", Some(("leg_timeout", 8))),
            ("{x=1}{call_timeout='7'}", Some(("call_timeout", 7))),
            ("[leg_timeout=${call_timeout}]", None),
            ("[leg_timeout=0]", None),
            ("[my_leg_timeout=3,progress_timeout=3]", None),
        ] {
            let found = of_dial_string(&format!("{text}{leg}"), ours);
            assert_eq!(found.as_ref().map(|l| (l.name, l.seconds)), expected, "{text}");
        }
        // Of other legs' limits only those for all legs count.
        for (text, expected) in [
            ("[leg_timeout=5]sofia/gateway/x/1,LEG", None),
            ("[leg_timeout=5]${sofia_contact(*/1@d)}:_:[leg_timeout=6]LEG", Some(6)),
            ("{leg_timeout=5}sofia/x/1:_:LEG", None),
            ("<leg_timeout=5>sofia/x/1:_:{leg_timeout=9}LEG", Some(5)),
            ("{leg_timeout=4}sofia/x/1|LEG", Some(4)),
        ] {
            let found = of_dial_string(&text.replace("LEG", leg), ours);
            assert_eq!(found.map(|l| l.seconds), expected, "{text}");
        }
        for odd in ["[", "{leg_timeout=5", "^^", "{^^}", "<<", "[leg_timeout=ü]", "ü"] {
            assert_eq!(of_dial_string(odd, |_| true), None, "{odd}");
        }
    }

    #[test]
    fn only_what_reaches_the_call_counts_in_a_dialplan() {
        let action = |text: &str| {
            let (application, data) = text.split_once(' ').unwrap();
            Action {
                application: application.into(),
                data: data.into(),
            }
        };
        for (actions, expected) in [
            (vec!["set call_timeout=10"], Some(10)),
            (vec!["set call_timeout=10", "set call_timeout=30"], Some(30)),
            (vec!["set call_timeout=10", "set call_timeout=${x}"], None),
            (vec!["set originate_timeout=10"], None),
            (vec!["set leg_timeout=10"], None),
            (vec!["export leg_timeout=10", "set call_timeout=20"], Some(10)),
            (vec!["export nolocal:leg_timeout=10"], Some(10)),
            (vec!["export nolocal:call_timeout=10"], None),
            (vec!["log call_timeout=10"], None),
        ] {
            let actions: Vec<Action> = actions.into_iter().map(action).collect();
            assert_eq!(of_actions(&actions).map(|l| l.seconds), expected, "{actions:?}");
        }
    }
}
