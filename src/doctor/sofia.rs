//! The profiles that phones register with, and the parameters that waking depends on.

use super::check::Check;
use super::esl::Session;
use super::handlers::{Handler, Handlers};
use super::profiles::RunningProfile;
use crate::esl::encode;
use crate::types::Printable;
use crate::xml::{Tag, tags};

const FAMILY: &str = "freeswitch";

/// The right value of a parameter.
struct Recommendation {
    name: &'static str,
    /// Whether a value (empty: not set) is good.
    good: fn(&str) -> bool,
    /// The line to add.
    line: &'static str,
    /// What goes wrong without it.
    because: &'static str,
}

/// Whether FreeSWITCH takes a parameter's value for true.
pub(super) fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "true" | "yes" | "on" | "1" | "enabled" | "active" | "allow"
    )
}

/// fs-conf/sip_profiles/fswake.xml sets the same.
const RECOMMENDED: [Recommendation; 7] = [
    Recommendation {
        name: "multiple-registrations",
        // By the Contact or by the Call-ID of the REGISTER; FreeSWITCH treats unknown values as `false`.
        good: |value| {
            ["contact", "call-id"]
                .iter()
                .any(|kind| value.eq_ignore_ascii_case(kind))
                || is_true(value)
        },
        line: "multiple-registrations=contact",
        because: "now a user's last phone to register replaces the others",
    },
    Recommendation {
        name: "accept-blind-reg",
        good: |value| !is_true(value),
        line: "accept-blind-reg=false",
        because: "now anyone can register and get the calls",
    },
    Recommendation {
        name: "inbound-reg-force-matching-username",
        good: is_true,
        line: "inbound-reg-force-matching-username=true",
        because: "now a user can register as another one",
    },
    Recommendation {
        name: "tcp-unreg-on-socket-close",
        good: is_true,
        line: "tcp-unreg-on-socket-close=true",
        because: "now INVITEs go to closed connections",
    },
    Recommendation {
        name: "nat-options-ping",
        good: is_true,
        line: "nat-options-ping=true",
        because: "now phones that are awake are pushed too",
    },
    Recommendation {
        name: "unregister-on-options-fail",
        good: |value| !is_true(value),
        line: "unregister-on-options-fail=false",
        because: "now a sleeping phone loses its registration",
    },
    Recommendation {
        name: "inbound-late-negotiation",
        good: is_true,
        line: "inbound-late-negotiation=true",
        because: "now calls are transcoded without need",
    },
];

/// A profile with its parameters, as the configuration has it.
#[derive(Default)]
pub(super) struct ProfileParams {
    pub name: String,
    pub params: Vec<(String, String)>,
}

/// All profiles of the configuration; or the error.
pub(super) async fn written(session: &mut Session) -> Result<Vec<ProfileParams>, String> {
    let written = session.api(&encode::ask_configuration("sofia.conf")).await?;
    Ok(profiles(&tags(&written)))
}

pub(super) fn checks(
    session: &Session,
    running: &Result<Vec<RunningProfile>, String>,
    written: &Result<Vec<ProfileParams>, String>,
    handlers: Handlers,
) -> Vec<Check> {
    let running = match running {
        Ok(running) => running,
        Err(reason) => {
            let advice = session.advice_on("sofia", "");
            return vec![Check::warning(
                FAMILY,
                "profiles",
                format!("not checked: {reason}"),
                advice,
            )];
        }
    };
    if running.is_empty() {
        let advice = "phones register with a profile of mod_sofia: look at `sofia status`";
        return vec![Check::error(FAMILY, "profiles", "no profile is running", advice)];
    }
    let written = match written {
        Ok(written) => written,
        Err(reason) => {
            let advice = session.advice_on("xml_locate", "");
            let seen = format!("running; their parameters were not checked: {reason}");
            return vec![Check::warning(FAMILY, "profiles", seen, advice)];
        }
    };
    let some_phones = running.iter().any(|profile| profile.registrations > Some(0));
    let mut checks = Vec::new();
    for RunningProfile {
        name, registrations, ..
    } in running
    {
        if some_phones && *registrations == Some(0) {
            checks.push(Check::ok(
                FAMILY,
                label(name),
                "running; no phone is registered with it",
            ));
            continue;
        }
        let Some(profile) = written.iter().find(|p| p.name == *name) else {
            let seen = "running; its parameters cannot be read";
            let advice =
                "compare them with fs-conf/sip_profiles/fswake.xml yourself (`xml_locate` does not know this profile)";
            checks.push(Check::warning(FAMILY, label(name), seen, advice));
            continue;
        };
        checks.push(of_profile(profile, handlers.configuration));
    }
    checks
}

fn label(name: &str) -> String {
    format!("profile {}", Printable(name))
}

fn of_profile(profile: &ProfileParams, handler: Option<Handler>) -> Check {
    let value = |name: &str| {
        // Of several, the last one counts.
        let found = profile.params.iter().rev().find(|(n, _)| n == name);
        match found.map_or("", |(_, value)| value.as_str()) {
            // This enables it as well (mod_sofia/sofia.c), by the Call-ID instead of the Contact.
            "" if name == "multiple-registrations" && is_true(shares(profile)) => "call-id",
            value => value,
        }
    };
    // Either kind of ping is proof of life.
    let pings = is_true(value("all-reg-options-ping"));
    let wrong: Vec<&Recommendation> = RECOMMENDED
        .iter()
        .filter(|recommended| {
            !((recommended.good)(value(recommended.name)) || pings && recommended.name == "nat-options-ping")
        })
        .collect();
    if wrong.is_empty() {
        return Check::ok(FAMILY, label(&profile.name), "running, with all recommended parameters");
    }
    let seen: Vec<_> = wrong
        .iter()
        .map(|w| format!("{}: {}", w.line.replacen('=', " should be ", 1), w.because))
        .collect();
    let advice = if handler == Some(Handler::FusionPbx) {
        "if phones register with it: set and enable them under Advanced > SIP Profiles, then Status > SIP Status > Flush \
         Cache, and Restart there when no call is up"
    } else {
        "if phones register with it: take them from fs-conf/sip_profiles/fswake.xml, and `sofia profile NAME restart` when \
         no call is up"
    };
    Check::warning(
        FAMILY,
        label(&profile.name),
        format!("running; {}", seen.join("; ")),
        advice,
    )
}

/// The value of `manage-shared-appearance`.
fn shares(profile: &ProfileParams) -> &str {
    let found = profile
        .params
        .iter()
        .rev()
        .find(|(n, _)| n == "manage-shared-appearance");
    found.map_or("", |(_, value)| value.as_str())
}

fn profiles(tags: &[Tag]) -> Vec<ProfileParams> {
    let mut all: Vec<ProfileParams> = Vec::new();
    for tag in tags {
        match (tag.name.as_str(), all.last_mut()) {
            ("profile", _) => all.push(ProfileParams {
                name: tag.attribute("name").to_owned(),
                params: Vec::new(),
            }),
            ("param", Some(profile)) => {
                let (name, value) = (tag.attribute("name"), tag.attribute("value"));
                profile.params.push((name.to_owned(), value.to_owned()));
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shipped snippet as a profile.
    fn shipped(without: &str) -> ProfileParams {
        let snippet = include_str!("../../fs-conf/sip_profiles/fswake.xml");
        let found = profiles(&tags(&format!("<profile name=\"internal\">{snippet}</profile>")));
        let mut profile = found.into_iter().next().unwrap();
        profile.params.retain(|(name, _)| name != without);
        profile
    }

    #[test]
    fn shipped_profile_has_all_that_is_asked_for() {
        assert_eq!(of_profile(&shipped(""), None).state, super::super::CheckState::Ok);
    }

    #[test]
    fn each_parameter_that_is_missing_is_named_where_its_absence_matters() {
        for recommended in &RECOMMENDED {
            let check = of_profile(&shipped(recommended.name), None);
            let matters = !(recommended.good)("");
            let line = recommended.line.replacen('=', " should be ", 1);
            assert_eq!(
                check.seen.contains(&line),
                matters,
                "{}: {}",
                recommended.name,
                check.seen
            );
        }
    }

    /// Measured on 1.11.2: with it alone, two phones of a user are registered side by side.
    #[test]
    fn shared_appearance_switches_several_registrations_on() {
        let with = |more: &[(&str, &str)]| {
            let mut profile = shipped("multiple-registrations");
            let more = more
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            profile.params.extend(more);
            of_profile(&profile, None).state
        };
        assert_eq!(
            with(&[("manage-shared-appearance", "true")]),
            super::super::CheckState::Ok
        );
        assert_eq!(
            with(&[("manage-shared-appearance", "false")]),
            super::super::CheckState::Warning
        );
        let off = [
            ("manage-shared-appearance", "true"),
            ("multiple-registrations", "false"),
        ];
        assert_eq!(with(&off), super::super::CheckState::Warning);
    }

    #[test]
    fn fusionpbx_keeps_profiles_in_its_database_and_the_advice_names_its_menu() {
        let advice = |handler| of_profile(&shipped("nat-options-ping"), handler).advice.unwrap();
        assert!(advice(Some(Handler::FusionPbx)).contains("Advanced > SIP Profiles"));
        assert!(advice(None).contains("fs-conf/sip_profiles/fswake.xml"));
    }

    #[test]
    fn several_registrations_are_on_by_contact_or_call_id_and_off_by_what_freeswitch_does_not_know() {
        let state = |value: &str| {
            let mut profile = shipped("multiple-registrations");
            profile
                .params
                .push(("multiple-registrations".to_owned(), value.to_owned()));
            of_profile(&profile, None).state
        };
        for value in ["contact", "call-id", "Call-ID", "true", "yes"] {
            assert_eq!(state(value), super::super::CheckState::Ok, "{value}");
        }
        for value in ["", "false", "no", "contacts", "callid", "0"] {
            assert_eq!(state(value), super::super::CheckState::Warning, "{value}");
        }
    }
}
