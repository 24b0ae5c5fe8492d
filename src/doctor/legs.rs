//! Whether a FreeSWITCH takes legs from the others: the profile at `freeswitch.sip`, the extension in its context, and
//! its ACL.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::check::Check;
use super::esl::Session;
use super::profiles::{RunningProfile, port};
use super::sofia::{self, ProfileParams};
use crate::config::FreeSwitch;
use crate::contact::Uri;
use crate::esl::encode::{self, Argument, Word};
use crate::esl::leg_token::HEADER;
use crate::types::Printable;

const FAMILY: &str = "cluster";
const NAME: &str = "legs from other nodes";

/// Checks one that has an address for them.
pub(super) async fn checks(
    session: &mut Session,
    node: &FreeSwitch,
    others: &[&FreeSwitch],
    running: &[RunningProfile],
    written: &Result<Vec<ProfileParams>, String>,
) -> Vec<Check> {
    let Some(sip) = &node.sip else { return Vec::new() };
    let at_sip = profiles_at(sip, running);
    let mut checks = vec![is_in_dialplan(session, &at_sip, running).await];
    if let Ok(written) = written {
        checks.extend(are_let_in(session, &at_sip, others, written).await);
    }
    checks
}

/// The profiles that listen at the port of this address; all of them, if there is none: it may be translated on the
/// way.
fn profiles_at<'a>(sip: &str, running: &'a [RunningProfile]) -> Vec<&'a RunningProfile> {
    let port = port(sip);
    let there: Vec<_> = running
        .iter()
        .filter(|profile| port.is_some_and(|port| profile.ports.contains(&port)))
        .collect();
    if there.is_empty() {
        running.iter().collect()
    } else {
        there
    }
}

async fn is_in_dialplan(session: &mut Session, at_sip: &[&RunningProfile], running: &[RunningProfile]) -> Check {
    let of = |profiles: &[&RunningProfile]| -> BTreeSet<String> {
        profiles
            .iter()
            .flat_map(|profile| profile.contexts.iter().cloned())
            .collect()
    };
    let right = of(at_sip);
    let all = of(&running.iter().collect::<Vec<_>>());
    let mut elsewhere = Vec::new();
    // The right ones first: with one of them nothing else matters.
    for context in right.iter().chain(all.difference(&right)) {
        let Some(word) = Argument::new(context) else { continue };
        match session.api(&encode::ask_context(word)).await {
            Ok(text) if text.contains(HEADER) && right.contains(context) => {
                return Check::ok(FAMILY, NAME, format!("context {} takes them", Printable(context)));
            }
            Ok(text) if text.contains(HEADER) => elsewhere.push(context),
            Ok(_) => {}
            Err(reason) => {
                let advice = session.advice_on("xml_locate", "");
                return Check::warning(FAMILY, NAME, format!("not checked: {reason}"), advice);
            }
        }
    }
    let read = listed(right.iter());
    let lacks = match elsewhere.as_slice() {
        [] if read.is_empty() => "no SIP profile with a context is running".to_owned(),
        [] => {
            format!("no context of the SIP profile at freeswitch.sip has the extension that takes them (read: {read})")
        }
        found => format!(
            "the extension that takes them is in context {}, but the SIP profile at freeswitch.sip uses {read}",
            listed(found.iter().copied())
        ),
    };
    Check::error(
        FAMILY,
        NAME,
        format!("{lacks}: phones registered here are not rung by calls that other FreeSWITCHes hold"),
        "install fs-conf/dialplan/public/00_fswake_node.xml in the context of the profile at freeswitch.sip, and reloadxml; or \
         take freeswitch.sip out",
    )
}

fn listed<'a>(contexts: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = contexts.map(|context| Printable(context).to_string()).collect();
    names.join(", ")
}

/// Whether the profile takes the others' INVITEs without a password.
async fn are_let_in(
    session: &mut Session,
    at_sip: &[&RunningProfile],
    others: &[&FreeSwitch],
    written: &[ProfileParams],
) -> Option<Check> {
    const NAME: &str = "INVITEs of other nodes";
    let mut refused = Vec::new();
    let mut asked = 0;
    for profile in at_sip {
        let Some(params) = written.iter().find(|params| params.name == profile.name) else {
            continue;
        };
        let door = Door::of(params);
        for other in others {
            for address in addresses(other).await {
                asked += 1;
                match door.lets_in(session, address).await {
                    Ok(true) => {}
                    Ok(false) => refused.push((profile, other, address, door.answers())),
                    Err(reason) => {
                        let advice = session.advice_on("acl", "");
                        return Some(Check::warning(FAMILY, NAME, format!("not checked: {reason}"), advice));
                    }
                }
            }
        }
    }
    if refused.is_empty() {
        let seen = "the SIP profile at freeswitch.sip takes them without a password";
        return (asked > 0).then(|| Check::ok(FAMILY, NAME, seen));
    }
    let all: Vec<_> = refused
        .iter()
        .map(|(profile, other, address, status)| {
            let profile = Printable(&profile.name);
            format!(
                "profile {profile} answers {} ({address}) with {status}",
                Printable(&other.name)
            )
        })
        .collect();
    Some(Check::error(
        FAMILY,
        NAME,
        format!(
            "{}: phones registered here are not rung by calls that are held there",
            all.join(", ")
        ),
        "allow their addresses in the list that apply-inbound-acl of this profile names (autoload_configs/acl.conf.xml), and \
         `reloadacl`",
    ))
}

/// Where a FreeSWITCH's INVITEs come from, as far as its own section tells.
async fn addresses(node: &FreeSwitch) -> Vec<IpAddr> {
    let host = match node.sip.as_deref().map(Uri::parse) {
        Some(Ok(uri)) => uri.host().trim_matches(['[', ']']).to_owned(),
        _ => node.endpoint.host.clone(),
    };
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Whose INVITEs a profile takes without a password (sofia.c, `sofia_handle_sip_i_invite`): with lists, those of the
/// addresses in any of them.
struct Door {
    lists: Vec<String>,
    asks_others: bool,
}

impl Door {
    fn of(params: &ProfileParams) -> Self {
        let mut door = Self {
            lists: Vec::new(),
            asks_others: false,
        };
        for (name, value) in &params.params {
            match name.as_str() {
                "apply-inbound-acl" if value == "none" => door.lists.clear(),
                "apply-inbound-acl" => {
                    // Contexts may follow.
                    let list = value.split(':').next().unwrap_or_default();
                    door.lists.push(list.to_owned());
                }
                "auth-calls" => door.asks_others = sofia::is_true(value),
                _ => {}
            }
        }
        door
    }

    async fn lets_in(&self, session: &mut Session, address: IpAddr) -> Result<bool, String> {
        for list in &self.lists {
            // One that cannot be a word is not asked about.
            let Some(word) = Word::new(list) else { return Ok(true) };
            if session.api(&encode::ask_acl(address, word)).await? == "true" {
                return Ok(true);
            }
        }
        Ok(self.lists.is_empty() && !self.asks_others)
    }

    /// The status of its answer to others.
    fn answers(&self) -> u16 {
        if self.asks_others { 407 } else { 403 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, ports: &[u16]) -> RunningProfile {
        RunningProfile {
            name: name.into(),
            contexts: vec![format!("{name}-context")],
            ports: ports.iter().copied().collect(),
            registrations: None,
        }
    }

    #[test]
    fn profile_is_the_one_at_the_address_or_any() {
        let all = [profile("internal", &[5060, 5061]), profile("nodes", &[5080])];
        let names = |sip: &str| -> Vec<_> {
            profiles_at(sip, &all)
                .into_iter()
                .map(|profile| profile.name.clone())
                .collect()
        };
        assert_eq!(names("sip:192.0.2.1:5080"), ["nodes"]);
        assert_eq!(names("sip:192.0.2.1"), ["internal"]);
        assert_eq!(names("sips:[2001:db8::1]"), ["internal"]);
        assert_eq!(names("sip:192.0.2.1:5090;transport=tls"), ["internal", "nodes"]);
    }

    #[test]
    fn lists_are_those_that_the_profile_has_in_the_end() {
        let params = |all: &[(&str, &str)]| ProfileParams {
            name: "x".into(),
            params: all
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let door = Door::of(&params(&[
            ("apply-inbound-acl", "first"),
            ("apply-inbound-acl", "none"),
            ("apply-inbound-acl", "domains:public:default"),
            ("auth-calls", "$${internal_auth_calls}"),
        ]));
        assert_eq!(door.lists, ["domains"]);
        assert_eq!(door.answers(), 403);
        assert_eq!(Door::of(&params(&[("auth-calls", "true")])).answers(), 407);
    }
}
