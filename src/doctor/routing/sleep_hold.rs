//! Where the dialplan holds calls by FreeSWITCH's application `sleep` (fs-conf/dialplan), and what is wrong there.

use super::dialplan::Action;
use crate::doctor::check::{Check, ROUTING as FAMILY};
use crate::esl::encode;
use crate::types::Printable;
use crate::xml::tags;

/// A `sleep` after an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SleepHold {
    /// FreeSWITCH ends it if fswake does not take the call.
    has_lease: bool,
    /// The announcement names the fswake that it is for.
    has_holder: bool,
}

/// Finds those of a context.
pub(super) fn sleep_holds(xml: &str) -> Vec<SleepHold> {
    let (mut found, mut before) = (Vec::new(), Vec::<Action>::new());
    for tag in tags(xml) {
        match tag.name.as_str() {
            "extension" => before.clear(),
            "action" => {
                let action = Action {
                    application: tag.attribute("application").to_owned(),
                    data: tag.attribute("data").to_owned(),
                };
                if action.application == "sleep" && before.iter().any(announces) {
                    found.push(SleepHold {
                        has_lease: sets(&before, encode::FIRST_LEASE, "sched_api("),
                        has_holder: sets(&before, encode::HOLDER, "fswake_holder"),
                    });
                }
                before.push(action);
            }
            _ => {}
        }
    }
    found
}

fn announces(action: &Action) -> bool {
    action.application == "event" && action.data.contains(encode::ANNOUNCEMENT)
}

/// Whether one of these actions sets the variable to a value that contains this text.
fn sets(actions: &[Action], name: &str, to: &str) -> bool {
    let is_set = |action: &Action| {
        let is_of = |(variable, value): (&str, &str)| variable.trim() == name && value.contains(to);
        action.application == "set" && action.data.split_once('=').is_some_and(is_of)
    };
    actions.iter().any(is_set)
}

impl SleepHold {
    /// What is wrong with it, in the context of this name.
    pub(super) fn findings(&self, context: &str) -> Vec<Check> {
        let name = format!("context {}", Printable(context));
        let advice = "take all lines marked \"fswake\" of fs-conf/dialplan/default/00_fswake_sleep.xml, in their order";
        let mut checks = Vec::new();
        if !self.has_lease {
            let seen = "sleep holds calls, and fswake_lease is not set before it: a caller is stuck when fswake dies";
            checks.push(Check::error(FAMILY, name.clone(), seen, advice));
        }
        if !self.has_holder {
            let seen = "sleep holds calls, and fswake_held is not set to ${fswake_holder} before it: fswake takes none of them";
            checks.push(Check::error(FAMILY, name, seen, advice));
        }
        checks
    }
}

/// The check for a fswake that holds calls by `sleep` and a dialplan that does not.
pub(super) fn unused() -> Check {
    let seen = "hold = \"sleep\", and no context that was checked uses it: all calls reach socket";
    let advice = "install the current fs-conf/dialplan/fswake.xml, or fs-conf/dialplan/default/00_fswake_sleep.xml, and \
                  `reloadxml`; or remove hold from fswake.toml";
    Check::warning(FAMILY, "calls held by sleep", seen, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNIPPET: &str = include_str!("../../../fs-conf/dialplan/default/00_fswake_sleep.xml");

    #[test]
    fn shipped_snippets_have_no_findings_and_a_missing_line_has_one() {
        let shipped = include_str!("../../../fs-conf/dialplan/fswake.xml");
        for xml in [SNIPPET, shipped] {
            let found = sleep_holds(xml);
            assert_eq!(found.len(), 1);
            assert!(found[0].findings("default").is_empty());
        }
        for (line, finding) in [("fswake_lease=", "stuck"), ("fswake_held=", "takes none")] {
            let without: Vec<&str> = SNIPPET.lines().filter(|l| !l.contains(line)).collect();
            let checks: Vec<Check> = sleep_holds(&without.join("\n"))
                .iter()
                .flat_map(|found| found.findings("default"))
                .collect();
            assert_eq!(checks.len(), 1, "{line}");
            assert!(format!("{:?}", checks[0]).contains(finding), "{checks:?}");
        }
        // A sleep of somebody's own.
        assert!(sleep_holds(&SNIPPET.replace("fswake::hold", "other")).is_empty());
    }
}
