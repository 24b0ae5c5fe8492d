//! Registrations and profiles as `sofia xmlstatus` lists them. Pure.

use std::time::Duration;

use super::encode::Word;
use super::registrations::{self, RegistrationEvent};
use crate::contact::{ContactRules, NetworkHint};
use crate::engine::{Event, Registration, Source};
use crate::types::{Aor, UnixSeconds};
use crate::xml::lines;

/// The names of the running profiles in `sofia xmlstatus`, without gateways and aliases.
pub fn running(xmlstatus: &str) -> impl Iterator<Item = String> {
    let blocks = xmlstatus.split("<profile>").skip(1);
    let is_up = |block: &&str| lines(block, "state").next().is_some_and(|s| s.starts_with("RUNNING"));
    let names = blocks.filter(is_up).filter_map(|block| lines(block, "name").next());
    names.filter(|name| Word::new(name).is_some()).map(str::to_owned)
}

/// A list that is read line by line. FreeSWITCH writes each value on a line of its own, and does not escape what phones
/// say.
#[derive(Default)]
pub(super) struct List {
    block: Option<String>,
    /// Its end was found: without it the answer is not a list.
    pub(super) is_whole: bool,
}

/// The longest registration: the Contact has 1 KiB, and headers of a REGISTER are limited as well.
const LONGEST_BLOCK: usize = 64 * 1024;

impl List {
    /// Takes the next line. Returns a registration after its last line.
    pub(super) fn take(&mut self, line: &str) -> Option<String> {
        if line == "    <registration>" {
            self.block = Some(String::new());
        } else if line == "    </registration>" {
            return self.block.take();
        } else if line == "  </registrations>" {
            self.is_whole = true;
        } else if let Some(block) = self.block.as_mut().filter(|b| b.len() + line.len() < LONGEST_BLOCK) {
            block.push_str(line);
            block.push('\n');
        }
        None
    }
}

/// The registrations in `sofia xmlstatus profile P user U`.
pub(super) fn listed(
    xml: &str,
    profile: &str,
    number: u64,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Vec<RegistrationEvent> {
    let mut list = List::default();
    let blocks = xml.lines().filter_map(|line| list.take(line));
    blocks
        .filter_map(|block| registration(&block, profile, number, rules, at))
        .collect()
}

pub(super) fn registration(
    block: &str,
    profile: &str,
    number: u64,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Option<RegistrationEvent> {
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
    Some(RegistrationEvent {
        event: Event::Registered(Registration {
            aor: Aor::new(user, domain),
            call_id: field("call-id").into(),
            target: read.target,
            push: read.push,
            wants_no_push: read.wants_no_push,
            user_agent: agent.into(),
            expires: Duration::from_secs(seconds),
            at,
            stamp: at.saturating_mul(1_000_000),
            source: Source::Resync(number),
        }),
        warnings: read.warnings,
    })
}

pub(super) fn lasts(heard: &RegistrationEvent) -> Duration {
    match &heard.event {
        Event::Registered(reg) => reg.expires,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::contact::ParamNames;

    fn rules() -> ContactRules {
        ContactRules {
            names: ParamNames::default(),
            strip_push: true,
        }
    }

    /// FreeSWITCH's recorded answer to a command with this prefix.
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

    fn summary(heard: &[RegistrationEvent]) -> Vec<(String, bool, bool)> {
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
            match registrations::from_event("sofia::register", header, &rules(), 0)
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
                RegistrationEvent {
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
