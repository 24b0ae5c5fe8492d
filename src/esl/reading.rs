//! Registrations as FreeSWITCH lists them: all of them after a (re)connect, and one user's.
//!
//! Read from the profiles' own lists (`sofia xmlstatus profile P reg`). A profile writes a REGISTER there before it fires the event, so
//! whoever subscribes first and reads then misses none; `show registrations` is written up to a second later, and keeps rows that no profile has.
//!
//! An answer may have 8 MiB (the ESL crate's limit, which ends the connection). A large profile is therefore read in parts:
//! `.. reg X` lists the registrations whose Contact contains X, and every Contact contains the last letters of its user
//! part followed by `@`. Parts may overlap: a registration that is read twice is the same registration.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslError};

use super::encode;
use super::registrations::{self, Heard};
use crate::contact::{ContactRules, NetworkHint};
use crate::engine::{Event, Registration, Source};
use crate::types::{Aor, UnixSeconds};

/// Up to this many registrations are read in one answer: at 2 KiB each, which few have, it stays below 8 MiB.
const AT_ONCE: usize = 4_000;
/// What may end a user part (RFC 3261 section 25.1: unreserved and user-unreserved), without SQL's wildcards `_` and `%`.
const ENDINGS: &str = "0123456789abcdefghijklmnopqrstuvwxyz-.+*#~!'()&=$,;?/";

/// Reads all registrations of these profiles; each is told with this number. The ones that last longest come last.
///
/// # Errors
/// When FreeSWITCH does not answer.
pub async fn read_all(
    client: &EslClient,
    profiles: &BTreeSet<String>,
    number: u64,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Result<Vec<Heard>, EslError> {
    let mut all = Vec::new();
    for profile in profiles {
        let status = client.api(&format!("sofia xmlstatus profile {profile}")).await?;
        let count = lines(status.body().unwrap_or_default(), "registrations").next();
        let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
        let parts = if count > AT_ONCE { endings(count) } else { Vec::new() };
        let mut searches: Vec<_> = parts.iter().map(|ending| format!(" {ending}@")).collect();
        if parts.is_empty() {
            searches.push(String::new());
        }
        for search in searches {
            let part = client
                .api(&format!("sofia xmlstatus profile {profile} reg{search}"))
                .await?;
            all.extend(listed(part.body().unwrap_or_default(), profile, number, rules, at));
        }
    }
    all.sort_by_key(|heard| Reverse(lasts(heard)));
    Ok(all)
}

/// Reads the registrations of one user in one profile. `None`: FreeSWITCH cannot be asked for that name.
///
/// # Errors
/// When FreeSWITCH does not answer.
pub async fn read_user(
    client: &EslClient,
    aor: &Aor,
    profile: &str,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Result<Option<Vec<Heard>>, EslError> {
    let is_name = |name: &str| encode::is_plain(name, 255, b"-_.+*#~!&=:[]");
    if ![&aor.user, &aor.domain].into_iter().all(|name| is_name(name)) || !is_profile(profile) {
        return Ok(None);
    }
    let command = format!("sofia xmlstatus profile {profile} user {}@{}", aor.user, aor.domain);
    let answer = client.api(&command).await?;
    let answer = answer.body().unwrap_or_default();
    Ok(answer
        .contains("<registrations>")
        .then(|| listed(answer, profile, 0, rules, at)))
}

/// The profiles that run, by `sofia xmlstatus`, which has one for each of their transports.
///
/// # Errors
/// When FreeSWITCH does not answer.
pub async fn profiles(client: &EslClient) -> Result<BTreeSet<String>, EslError> {
    let status = client.api("sofia xmlstatus").await?;
    Ok(running(status.body().unwrap_or_default()).collect())
}

/// The names of the profiles that run in `sofia xmlstatus`; gateways and aliases are none.
pub fn running(xmlstatus: &str) -> impl Iterator<Item = String> {
    let blocks = xmlstatus.split("<profile>").skip(1);
    let is_up = |block: &&str| lines(block, "state").next().is_some_and(|s| s.starts_with("RUNNING"));
    let names = blocks.filter(is_up).filter_map(|block| lines(block, "name").next());
    names.filter(|name| is_profile(name)).map(str::to_owned)
}

fn is_profile(name: &str) -> bool {
    encode::is_plain(name, 128, b"-_.")
}

fn lasts(heard: &Heard) -> Duration {
    match &heard.event {
        Event::Registered(reg) => reg.expires,
        _ => Duration::ZERO,
    }
}

/// The endings by which `count` registrations are read: each of them matches few enough.
fn endings(count: usize) -> Vec<String> {
    let one = || ENDINGS.chars();
    if count <= AT_ONCE * 8 {
        return one().map(String::from).collect();
    }
    // Users with numbers are the many; they share ten last digits, so the last two are told apart.
    let digits = || '0'..='9';
    let two = digits().flat_map(|a| digits().map(move |b| format!("{a}{b}")));
    // `:7@`: a user part of one digit; `x7@` for every other letter before it.
    let before = one().chain([':']).filter(|c| !c.is_ascii_digit());
    let short = before.flat_map(|a| digits().map(move |b| format!("{a}{b}")));
    let letters = one().filter(|c| !c.is_ascii_digit()).map(String::from);
    two.chain(short).chain(letters).collect()
}

/// The registrations in `sofia xmlstatus profile P reg`.
fn listed(xml: &str, profile: &str, number: u64, rules: &ContactRules, at: UnixSeconds) -> Vec<Heard> {
    let blocks = xml.split("    <registration>\n").skip(1);
    blocks
        .filter_map(|block| registration(block, profile, number, rules, at))
        .collect()
}

fn registration(block: &str, profile: &str, number: u64, rules: &ContactRules, at: UnixSeconds) -> Option<Heard> {
    let field = |name| lines(block, name).next().unwrap_or_default();
    let encoded = |name| {
        let text = field(name);
        quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
    };
    let status = field("status");
    let (_, seconds) = status.rsplit_once("expsecs(")?;
    let seconds = seconds.trim_end_matches(')').parse().ok()?;
    let (user, domain) = field("user").rsplit_once('@')?;
    let agent = encoded("agent");
    let hint = NetworkHint::from_event(field("network-ip"), field("network-port"), status);
    let read = registrations::read(&encoded("contact"), profile, &agent, hint.as_ref(), rules);
    Some(Heard {
        event: Event::Registered(Registration {
            aor: Aor::new(user, domain),
            call_id: field("call-id").into(),
            target: read.target,
            push: read.push,
            wants_no_push: read.wants_no_push,
            user_agent: agent.into(),
            expires: Duration::from_secs(seconds),
            at,
            source: Source::Reading(number),
        }),
        warnings: read.warnings,
    })
}

/// The texts of the elements with this name. FreeSWITCH writes each on a line of its own and does not escape what phones say (a
/// Call-ID may hold `<`), so a line is an element whatever is inside it: no XML parser would be right.
fn lines<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (from, to) = (format!("<{name}>"), format!("</{name}>"));
    let each = xml.lines().map(str::trim);
    each.filter_map(move |line| line.strip_prefix(&from)?.strip_suffix(&to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::ParamNames;

    fn rules() -> ContactRules {
        ContactRules {
            names: ParamNames::default(),
            strip_push: true,
        }
    }

    /// What FreeSWITCH answered in this recording to a command that begins so.
    fn answer(recording: &str, command: &str) -> String {
        let lines: Vec<serde_json::Value> = recording
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
            .collect();
        let asked = lines
            .iter()
            .position(|l| l["from"] == "client" && l["data"].as_str().unwrap().starts_with(command));
        let data = lines[asked.expect("the command") + 1]["data"].as_str().unwrap();
        data.split_once("\n\n").unwrap().1.to_owned()
    }

    fn summary(heard: &[Heard]) -> Vec<(String, bool, bool)> {
        let mut all: Vec<_> = heard
            .iter()
            .map(|h| match &h.event {
                Event::Registered(r) => (r.aor.to_string(), r.target.is_some(), r.push.is_some()),
                other => panic!("{other:?}"),
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn phones_behind_nat_are_read_from_their_profile() {
        let recording = include_str!("../../tests/captures/registrations-behind-nat.jsonl");
        let xml = answer(recording, "api sofia xmlstatus profile internal reg");
        let found = summary(&listed(&xml, "internal", 1, &rules(), 1_795_406_945));
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|(_, target, push)| *target && *push));
    }

    #[test]
    fn list_and_event_name_the_same_contact() {
        let of_event = |contact: &str| {
            let header = |name: &str| match name {
                "from-user" => Some("1"),
                "from-host" => Some("d"),
                "profile-name" => Some("internal"),
                "contact" => Some(contact),
                "status" => Some("Registered(WS-NAT)"),
                "network-ip" => Some("127.0.0.1"),
                "network-port" => Some("52238"),
                _ => None,
            };
            match registrations::heard("sofia::register", header, &rules(), 0)
                .unwrap()
                .event
            {
                Event::Registered(reg) => reg.target.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let path = "sip%3A1%40127.0.0.1%3A52238%3Btransport%3Dws%3Bpn-prid%3Dabc";
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8().unwrap();
        let contact = "\"\" <sip:1@127.0.0.1:52238;transport=ws;pn-prid=abc;fs_nat=yes;fs_path=PATH>";
        let event = of_event(&contact.replace("PATH", &decoded));
        let encoded = contact.replace("PATH", path).replace('<', "&lt;").replace('>', "&gt;");
        let block = written("c", "60").replace("&quot;&quot; &lt;sip:1@192.0.2.1:5060;x=a&amp;b&gt;", &encoded);
        let block = block
            .replace("Registered(UDP)", "Registered(WS-NAT)")
            .replace("192.0.2.1", "127.0.0.1");
        let found = listed(&block.replace("5060", "52238"), "internal", 1, &rules(), 0);
        let Event::Registered(reg) = &found[0].event else {
            panic!()
        };
        assert_eq!(reg.target.as_ref().unwrap().as_str(), event.as_str());
    }

    /// One registration as FreeSWITCH writes it.
    fn written(call_id: &str, seconds: &str) -> String {
        format!(
            "    <registration>\n        <call-id>{call_id}</call-id>\n        <user>1@d</user>\n        \
             <contact>&quot;&quot; &lt;sip:1@192.0.2.1:5060;x=a&amp;b&gt;</contact>\n        <agent>a</agent>\n        \
             <status>Registered(UDP)(unknown) exp(2026-11-25 12:00:00) expsecs({seconds})</status>\n        \
             <network-ip>192.0.2.1</network-ip>\n        <network-port>5060</network-port>\n    </registration>\n"
        )
    }

    #[test]
    fn call_id_cannot_say_whose_registration_it_is() {
        for call_id in [
            "a</call-id><user>victim@d</user>",
            "</registration><registration><user>victim@d</user>",
            "<&<",
        ] {
            let found = listed(&written(call_id, "60"), "internal", 1, &rules(), 0);
            let [
                Heard {
                    event: Event::Registered(reg),
                    ..
                },
            ] = found.as_slice()
            else {
                panic!("{call_id}: {found:?}");
            };
            assert_eq!((reg.aor.to_string().as_str(), &*reg.call_id), ("1@d", call_id));
        }
    }

    #[test]
    fn registration_that_is_over_or_cannot_be_read_is_passed_over_and_the_others_are_read() {
        let all: String = ["-1", "", "x", "60"].map(|seconds| written("c", seconds)).concat();
        let found = listed(&all, "internal", 1, &rules(), 0);
        assert_eq!(found.iter().map(lasts).collect::<Vec<_>>(), [Duration::from_secs(60)]);
    }

    #[test]
    fn every_contact_of_a_large_site_is_in_some_part() {
        for count in [AT_ONCE + 1, AT_ONCE * 8 + 1] {
            let endings = endings(count);
            for user in [
                "1001",
                "7",
                "alice",
                "bob7",
                "x-",
                "a.b",
                "o'neil",
                "+4930123456",
                "ext-5",
            ] {
                let contact = format!("<sip:{user}@h>");
                assert!(
                    endings.iter().any(|e| contact.contains(&format!("{e}@"))),
                    "{user} among {count}"
                );
            }
        }
    }

    #[test]
    fn profile_is_named_once_however_many_transports_it_has() {
        let profile = |name: &str, state: &str| {
            format!("<profile>\n<name>{name}</name>\n<type>profile</type>\n<state>{state}</state>\n</profile>\n")
        };
        let xml = format!(
            "<profiles>\n{}{}{}{}<alias>\n<name>fs.test</name>\n<type>alias</type>\n</alias>\n</profiles>",
            profile("internal", "RUNNING (0)"),
            profile("internal", "RUNNING (0) (WSS)"),
            profile("external", "DOWN (0)"),
            profile("a b;c", "RUNNING (0)"),
        );
        assert_eq!(
            running(&xml).collect::<BTreeSet<_>>(),
            BTreeSet::from(["internal".to_owned()])
        );
    }
}
