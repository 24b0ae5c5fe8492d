//! All registrations at once, after a (re)connect.
//!
//! `show registrations as json` is one answer, and an answer may have 8 MiB (the ESL crate's limit, which ends the
//! connection). A large site is therefore read in parts: `sofia xmlstatus profile P reg X` lists the registrations whose
//! Contact contains X, and every Contact contains the last letters of its user part followed by `@`. Parts may overlap:
//! a registration that is read twice is the same registration.

use std::sync::Arc;
use std::time::Duration;

use freeswitch_esl_tokio::{EslClient, EslError};
use quick_xml::events::Event as Xml;
use serde::Deserialize;

use super::registrations::{self, Heard};
use crate::contact::{ContactRules, NetworkHint};
use crate::engine::{Event, Registration, Source};
use crate::types::{Aor, UnixSeconds};

/// Up to this many registrations are read in one answer: at 1.2 KiB each it stays below 8 MiB.
const AT_ONCE: usize = 6_000;
/// What may end a user part (RFC 3261 section 25.1: unreserved and user-unreserved), without SQL's wildcards `_` and `%`.
const ENDINGS: &str = "0123456789abcdefghijklmnopqrstuvwxyz-.+*#~!'()&=$,;?/";

/// Why the registrations could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection failed.
    #[error("{0}")]
    Esl(#[from] EslError),
    /// The answer to `show registrations as json` is not that JSON.
    #[error("`show registrations as json`: {0}")]
    Json(#[from] serde_json::Error),
    /// The answer to `sofia xmlstatus` is not that XML.
    #[error("`sofia xmlstatus`: {0}")]
    Xml(#[from] quick_xml::Error),
}

/// Reads all registrations; each is told with this number.
///
/// # Errors
/// When FreeSWITCH does not answer, or something else than registrations.
pub async fn read_all(
    client: &EslClient,
    number: u64,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Result<Vec<Heard>, ReadError> {
    let count = client.api("show registrations count").await?;
    let count = first_number(count.body().unwrap_or_default());
    if count <= AT_ONCE {
        let reply = client.api("show registrations as json").await?;
        return Ok(shown(reply.body().unwrap_or("{}"), number, rules, at)?);
    }
    let mut all = Vec::with_capacity(count);
    let profiles = client.api("sofia xmlstatus").await?;
    for profile in profiles_of(profiles.body().unwrap_or_default())? {
        for ending in endings(count) {
            let part = client
                .api(&format!("sofia xmlstatus profile {profile} reg {ending}@"))
                .await?;
            all.extend(listed(part.body().unwrap_or_default(), &profile, number, rules, at)?);
        }
    }
    Ok(all)
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

fn first_number(text: &str) -> usize {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
    digits.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The names of the profiles in `sofia xmlstatus`.
fn profiles_of(xml: &str) -> Result<Vec<String>, quick_xml::Error> {
    let mut names = Vec::new();
    each(xml, "profile", |field| names.extend(field("name")))?;
    names.retain(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    Ok(names)
}

/// The registrations in `sofia xmlstatus profile P reg X`.
fn listed(
    xml: &str,
    profile: &str,
    number: u64,
    rules: &ContactRules,
    at: UnixSeconds,
) -> Result<Vec<Heard>, quick_xml::Error> {
    let mut all = Vec::new();
    each(xml, "registration", |field| {
        let field = |name: &str| field(name).unwrap_or_default();
        let status = field("status");
        let seconds = status
            .rsplit_once("expsecs(")
            .and_then(|(_, rest)| rest.trim_end_matches(')').parse().ok());
        let (user, agent) = (field("user"), field("agent"));
        let (Some((user, domain)), Some(seconds)) = (user.rsplit_once('@'), seconds) else {
            return;
        };
        let hint = NetworkHint::from_event(&field("network-ip"), &field("network-port"), &status);
        let read = registrations::read(&field("contact"), profile, &agent, hint.as_ref(), rules);
        all.push(Heard {
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
        });
    })?;
    Ok(all)
}

/// Calls `visit` with every innermost element of this name, as a lookup of its children's texts.
fn each(xml: &str, name: &str, mut visit: impl FnMut(&dyn Fn(&str) -> Option<String>)) -> Result<(), quick_xml::Error> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut fields: Option<Vec<(String, String)>> = None;
    let mut open = String::new();
    loop {
        match reader.read_event()? {
            Xml::Start(tag) => {
                let tag = tag.name().as_ref().to_owned();
                if tag == name {
                    fields = Some(Vec::new());
                } else if let Some(fields) = &mut fields {
                    fields.push((tag.clone(), String::new()));
                }
                open = tag;
            }
            Xml::Text(text) => append(&mut fields, &open, &text),
            Xml::GeneralRef(entity) => {
                let text = format!("&{};", &*entity);
                append(
                    &mut fields,
                    &open,
                    &quick_xml::escape::unescape(&text).unwrap_or_default(),
                );
            }
            Xml::End(tag) => {
                if tag.name().as_ref() == name
                    && let Some(fields) = fields.take()
                {
                    visit(&|wanted| fields.iter().find(|(n, _)| n == wanted).map(|(_, v)| v.clone()));
                }
                open.clear();
            }
            Xml::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn append(fields: &mut Option<Vec<(String, String)>>, open: &str, text: &str) {
    if let Some((name, value)) = fields.as_mut().and_then(|f| f.last_mut())
        && name == open
    {
        value.push_str(text);
    }
}

/// The answer to `show registrations as json`.
#[derive(Debug, Deserialize)]
struct Shown {
    #[serde(default)]
    rows: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Row {
    reg_user: String,
    realm: String,
    /// The REGISTER's Call-ID.
    token: String,
    /// `sofia/<profile>/<uri>`.
    url: String,
    /// Seconds since 1970.
    expires: String,
    network_ip: String,
    network_port: String,
    #[serde(default)]
    network_proto: String,
}

/// Reads `show registrations as json`, one [`Heard`] for every row that can be read.
///
/// # Errors
/// When it is not that JSON. FreeSWITCH answers `{"row_count":0}` when there are none.
pub fn shown(json: &str, number: u64, rules: &ContactRules, at: UnixSeconds) -> Result<Vec<Heard>, serde_json::Error> {
    let shown: Shown = serde_json::from_str(json)?;
    Ok(shown
        .rows
        .into_iter()
        .filter_map(|row| serde_json::from_value::<Row>(row).ok()?.heard(number, rules, at))
        .collect())
}

impl Row {
    fn heard(self, number: u64, rules: &ContactRules, at: UnixSeconds) -> Option<Heard> {
        let (profile, uri) = self.url.strip_prefix("sofia/")?.split_once('/')?;
        let hint = NetworkHint::from_event(
            &self.network_ip,
            &self.network_port,
            &format!("Registered({})", self.network_proto),
        );
        // `User-Agent` is not in it: sets of names for particular agents apply when the phone registers again.
        let read = registrations::read(uri, profile, "", hint.as_ref(), rules);
        let expires: i64 = self.expires.parse().ok()?;
        let event = Event::Registered(Registration {
            aor: Aor::new(self.reg_user, self.realm),
            call_id: self.token.into(),
            target: read.target,
            push: read.push,
            wants_no_push: read.wants_no_push,
            user_agent: Arc::default(),
            expires: Duration::from_secs(u64::try_from(expires.checked_sub(at)?).ok()?),
            at,
            source: Source::Reading(number),
        });
        Some(Heard {
            event,
            warnings: read.warnings,
        })
    }
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
    fn both_listings_of_one_freeswitch_tell_the_same() {
        let recording = include_str!("../../tests/captures/registrations-behind-nat.jsonl");
        let at = 1_795_406_945;
        let json = shown(&answer(recording, "api show registrations as json"), 1, &rules(), at).unwrap();
        let xml = answer(recording, "api sofia xmlstatus profile internal reg");
        let xml = listed(&xml, "internal", 1, &rules(), at).unwrap();
        assert_eq!(summary(&json), summary(&xml));
        assert_eq!(json.len(), 3);
        assert!(summary(&xml).iter().all(|(_, target, push)| *target && *push));
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
    fn row_with_an_impossible_expiry_is_passed_over_and_the_others_are_read() {
        let row = |expires: &str| {
            format!(
                r#"{{"reg_user":"1","realm":"d","token":"c","url":"sofia/internal/sip:1@h","expires":"{expires}",
                    "network_ip":"192.0.2.1","network_port":"5060"}}"#
            )
        };
        let rows: Vec<_> = [i64::MIN, i64::MAX, 999, 1_060].map(|n| row(&n.to_string())).into();
        let json = format!(r#"{{"row_count":4,"rows":[{}]}}"#, rows.join(","));
        let heard = shown(&json, 1, &rules(), 1_000).unwrap();
        let lasts = heard.iter().map(|h| match &h.event {
            Event::Registered(r) => r.expires.as_secs(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lasts.collect::<Vec<_>>(), [i64::MAX as u64 - 1_000, 60]);
    }

    #[test]
    fn count_is_the_first_number_of_the_answer() {
        assert_eq!(first_number("\n6 total.\n"), 6);
        assert_eq!(first_number("-ERR no database"), 0);
    }

    #[test]
    fn profiles_are_named_in_the_status() {
        let xml = "<profiles><profile><name>internal</name><type>profile</type></profile>\
            <alias><name>fs.test</name></alias><profile><name>a b;c</name></profile></profiles>";
        assert_eq!(profiles_of(xml).unwrap(), ["internal"]);
    }
}
