//! INVITEs that failed right after the phone's REGISTER: each kind of end has its own advice.

use std::collections::BTreeMap;

use super::part::{FEW, Finding, Part, SOME_PERCENT, app_and_agent, groups, percent};
use crate::config::Config;
use crate::doctor::check::{CheckState, first_of};
use crate::journal::{InviteEnd, Pattern};

fn words(end: InviteEnd) -> &'static str {
    match end {
        InviteEnd::NoWay => "could not be sent",
        InviteEnd::Unavailable => "503",
        InviteEnd::Silence => "without an answer",
        InviteEnd::Incompatible => "no codec in common",
        InviteEnd::Refused => "refused or given up",
    }
}

fn advice(end: InviteEnd, settle_ms: u128) -> String {
    match end {
        InviteEnd::NoWay => "FreeSWITCH had no route to the address that the phone registered with: its log has the cause (NAT, a \
                             network that is down, a profile that does not run)"
            .into(),
        InviteEnd::Unavailable => "FreeSWITCH gives 503 itself when it has lost the phone's connection: the app is suspended again too \
                                   soon, or a NAT forgets the connection. A longer wake.settle-delay does not help there; it \
                                   helps if the phone's own log has the INVITE and the 503"
            .into(),
        InviteEnd::Silence => "no answer came: the app is suspended before the INVITE arrives, or never gets it (NAT, a half-open \
                               connection)"
            .into(),
        InviteEnd::Incompatible => "the app supports none of the offered codecs, or one side requires SRTP and the other does not use \
                                    it: compare its codecs and encryption with the profile's codec-prefs and the \
                                    callers' codecs"
            .into(),
        InviteEnd::Refused => {
            format!("the app registers before it can take a call: raise wake.settle-delay (now {settle_ms} ms) by 500 ms")
        }
    }
}

/// Apps and phone makers with many failed INVITEs, by how they ended.
pub(super) fn failed(parts: &[Part], config: &Config) -> Finding {
    let pattern = Pattern::InviteAfterRegisterFails;
    let groups = groups(parts, pattern, |a| a.registered_ms.is_some(), app_and_agent);
    let (mut bad, mut ends) = (Vec::new(), BTreeMap::<InviteEnd, usize>::new());
    for (name, (failed, all)) in groups {
        if failed < FEW || percent(failed, all) < SOME_PERCENT {
            continue;
        }
        let of_group = parts
            .iter()
            .filter(|p| p.pattern == Some(pattern) && app_and_agent(&p.attempt) == name);
        let mut here = BTreeMap::<InviteEnd, usize>::new();
        for part in of_group {
            *here
                .entry(InviteEnd::of(&part.attempt).unwrap_or(InviteEnd::Silence))
                .or_default() += 1;
        }
        let how: Vec<String> = here.iter().map(|(end, n)| format!("{n} × {}", words(*end))).collect();
        bad.push(format!(
            "{name}: {failed} of {all} INVITEs right after the REGISTER failed ({})",
            how.join(", ")
        ));
        for (end, n) in here {
            *ends.entry(end).or_default() += n;
        }
    }
    let settle = config.policy.settle_delay.as_millis();
    let mut ends: Vec<(InviteEnd, usize)> = ends.into_iter().collect();
    ends.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let several = ends.len() > 1;
    let advice: Vec<String> = ends
        .iter()
        .map(|(end, n)| {
            let advice = advice(*end, settle);
            if several {
                format!("{n} × {}: {advice}", words(*end))
            } else {
                advice
            }
        })
        .collect();
    (!bad.is_empty()).then(|| (CheckState::Warning, first_of(&bad, 5), advice.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::journal::Attempt;

    /// Phones of one app that registered and whose INVITE ended in the same way: cause and SIP status, or nothing at
    /// all.
    fn parts(ends: &[Option<(&str, u64)>]) -> Vec<Part> {
        let part = |end: &Option<(&str, u64)>| Part {
            attempt: Attempt {
                device: "apns:com.example.phone:0badcafe".into(),
                user_agent: "Phone".into(),
                registered_ms: Some(20),
                invited_awake: true,
                silent: u32::from(end.is_none()),
                failed_awake: end.map(|(cause, sip)| (cause.to_owned(), sip)),
                ..Attempt::default()
            },
            domain: "d".into(),
            pattern: Some(Pattern::InviteAfterRegisterFails),
        };
        ends.iter().map(part).collect()
    }

    #[test]
    fn longer_settle_delay_is_advised_for_the_ends_that_it_can_help() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fswake.toml");
        std::fs::write(&file, "").unwrap();
        let config = Config::load(Some(&file), &Environment::default()).unwrap();
        let (lost, no_way) = (
            Some(("NORMAL_TEMPORARY_FAILURE", 503)),
            Some(("NO_ROUTE_DESTINATION", 0)),
        );
        let refused = Some(("CALL_REJECTED", 480));
        let settle = "raise wake.settle-delay (now 0 ms) by 500 ms";
        for (ends, how, has, has_not) in [
            ([refused; 3].to_vec(), "(3 × refused or given up)", settle, "×"),
            ([no_way; 3].to_vec(), "(3 × could not be sent)", "had no route", settle),
            ([None; 3].to_vec(), "(3 × without an answer)", "no answer came", settle),
            (
                [Some(("INCOMPATIBLE_DESTINATION", 488)); 3].to_vec(),
                "(3 × no codec in common)",
                "compare its codecs",
                settle,
            ),
            // Only some of them: do not suggest a setting that does not help all.
            (
                vec![lost, no_way, no_way, None],
                "2 × could not be sent, 1 × 503",
                "1 × 503: FreeSWITCH gives",
                settle,
            ),
            (
                vec![lost, lost, refused],
                "2 × 503, 1 × refused",
                "1 × refused or given up: the app registers",
                "xx",
            ),
        ] {
            let (state, seen, advice) = failed(&parts(&ends), &config).unwrap();
            assert_eq!(state, CheckState::Warning);
            assert!(seen.contains(how), "{seen}");
            assert!(advice.contains(has) && !advice.contains(has_not), "{ends:?}: {advice}");
        }
        assert_eq!(failed(&parts(&[lost, lost]), &config), None, "chance");
    }
}
