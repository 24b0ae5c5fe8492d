//! Messages reduced to the parts that must be equal.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fswake_test_support::freeswitch::capture;

/// An event socket message.
#[derive(Debug, Clone)]
pub struct Message {
    /// The stream within which order matters.
    key: String,
    /// Decoded headers of an event or of channel data.
    headers: Vec<(String, String)>,
    /// The rest: the text, or an event's body.
    text: String,
}

impl Message {
    /// Splits up a whole message.
    pub fn read(text: &str) -> Self {
        let headers = capture::event_headers(text).unwrap_or_default();
        let get = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let key = match get("Event-Name") {
            Some("CHANNEL_DATA") => "replies".to_owned(),
            // For a leg, it is sent at the end of its originate.
            Some("CHANNEL_PARK") if get("Call-Direction") != Some("outbound") => "ignored".to_owned(),
            // The applications that a channel was still running when it ended.
            Some("CHANNEL_UNPARK" | "CHANNEL_EXECUTE_COMPLETE") if get("Hangup-Cause").is_some() => {
                "ignored".to_owned()
            }
            // The applications on the caller's own channel behind a loopback.
            Some("CHANNEL_EXECUTE_COMPLETE") if get("Application") == Some("bridge") => "ignored".to_owned(),
            Some("BACKGROUND_JOB") => {
                let [command, arg] = ["Job-Command", "Job-Command-Arg"].map(|name| get(name).unwrap_or(""));
                format!("job {command} {arg}")
            }
            // A leg's applications race with its originate.
            Some("CHANNEL_EXECUTE_COMPLETE") if get("Call-Direction") == Some("outbound") => {
                format!("applications of {}", get("Unique-ID").unwrap_or(""))
            }
            Some("CUSTOM") => get("Event-Subclass").unwrap_or("").to_owned(),
            Some(_) => format!("channel {}", get("Unique-ID").unwrap_or("")),
            None if text.contains("text/disconnect-notice") => "notices".to_owned(),
            None => "replies".to_owned(),
        };
        let text = match get("Event-Name") {
            Some("BACKGROUND_JOB") => text.splitn(3, "\n\n").nth(2).unwrap_or("").to_owned(),
            Some(_) => String::new(),
            None => text.to_owned(),
        };
        Self { key, headers, text }
    }
}

/// How much of an event is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// All headers, in their order.
    Whole,
    /// Values that say what happened to which channel.
    Essential,
}

/// The headers by which events of 1.11 are compared.
const ESSENTIAL: [&str; 13] = [
    "Event-Name",
    "Unique-ID",
    "Channel-Name",
    "Answer-State",
    "Hangup-Cause",
    "Bridge-A-Unique-ID",
    "Bridge-B-Unique-ID",
    "Application",
    "Application-Data",
    "Caller-Destination-Number",
    "Job-Command",
    "variable_read_codec",
    "variable_sip_term_status",
];

/// Messages, grouped by stream.
pub struct Streams(pub BTreeMap<String, Vec<Message>>);

impl Streams {
    /// Groups messages by stream.
    pub fn of(messages: &[Message], strictness: Strictness) -> Self {
        let mut all: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        let is_goodbye = |m: &Message| m.text.contains("+OK bye") || m.text.contains("Disposition: disconnect");
        // fswake closes the connection without waiting for it.
        let messages = messages
            .iter()
            .filter(|m| strictness == Strictness::Whole || !is_goodbye(m));
        for message in messages.filter(|message| message.key != "ignored") {
            all.entry(message.key.clone()).or_default().push(message.clone());
        }
        Self(all)
    }
}

/// The UUIDs in some texts. Those that a client sent must be returned unchanged.
pub fn uuids<'a>(texts: impl Iterator<Item = &'a str>) -> HashSet<String> {
    let is_uuid = |word: &&str| word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let in_text = |text: &'a str| text.split(|c: char| !c.is_ascii_hexdigit() && c != '-').filter(is_uuid);
    texts.flat_map(in_text).map(str::to_owned).collect()
}

fn without_foreign_uuids(text: &str, kept: &HashSet<String>) -> String {
    let found = uuids(std::iter::once(text));
    found
        .iter()
        .filter(|uuid| !kept.contains(*uuid))
        .fold(text.to_owned(), |text, uuid| text.replace(uuid, "<uuid>"))
}

/// Headers whose values depend on the moment, the packet or the machine. They must only be present and in place.
fn is_volatile(name: &str) -> bool {
    let parts = [
        "Event-Date",
        "Event-Sequence",
        "Core-UUID",
        "-Time",
        "epoch",
        "_stamp",
        "_sdp",
        "_tag",
        "_via",
        "_port",
        "ssrc",
        "rtp_audio",
        "cseq",
        "transfer_",
        "Transfer-Source",
        "duration",
        "sec",
        "session_id",
        "sip_contact_uri",
        "sip_full_from",
        "sip_full_to",
        "loopback_leg_uuid",
        "loopback_from_uuid",
        "current_application_data",
        "Application-Data",
        "sip_recover",
        "media_flow_start",
        "Event-Calling-Line",
        "hold_accum",
    ];
    parts.iter().any(|part| name.contains(part))
}

/// FreeSWITCH itself chooses a leg's SIP Call-ID.
fn is_own_choice(name: &str, headers: &[(String, String)]) -> bool {
    name == "variable_sip_call_id" && headers.iter().any(|(n, v)| n == "variable_is_outbound" && v == "true")
}

/// The differences between the streams of a recording and those of the stand-in.
pub fn compare(
    conn: &str,
    want: &Streams,
    got: &Streams,
    kept: &HashSet<String>,
    strictness: Strictness,
) -> Vec<String> {
    let mut found = Vec::new();
    let keys: BTreeSet<&String> = want.0.keys().chain(got.0.keys()).collect();
    for key in keys {
        let empty = Vec::new();
        let (want, got) = (want.0.get(key).unwrap_or(&empty), got.0.get(key).unwrap_or(&empty));
        let names = |all: &[Message]| -> Vec<String> {
            let name = |m: &Message| {
                m.headers
                    .iter()
                    .find(|(n, _)| n == "Event-Name")
                    .map(|(_, v)| v.clone())
            };
            all.iter().map(|m| name(m).unwrap_or_else(|| m.text.clone())).collect()
        };
        // fswake closes the connection when it is done, so its recordings lack what came later.
        let may_be_cut = |m: &Message| {
            let cut = [
                "BACKGROUND_JOB",
                "CHANNEL_EXECUTE_COMPLETE",
                "CHANNEL_HANGUP",
                "CHANNEL_UNPARK",
            ];
            let is_name = |(name, value): &(String, String)| name == "Event-Name" && cut.contains(&value.as_str());
            strictness == Strictness::Essential && m.headers.iter().any(is_name)
        };
        let more = got.get(want.len()..).unwrap_or_default();
        if want.len() > got.len() || !more.iter().all(may_be_cut) {
            found.push(format!(
                "{conn} {key}: recorded {:?}\n    got {:?}",
                names(want),
                names(got)
            ));
        }
        for (want, got) in want.iter().zip(got) {
            found.extend(
                compare_messages(want, got, kept, strictness)
                    .into_iter()
                    .map(|text| format!("{conn} {key}: {text}")),
            );
        }
    }
    found
}

fn compare_messages(want: &Message, got: &Message, kept: &HashSet<String>, strictness: Strictness) -> Vec<String> {
    let mut found = Vec::new();
    let event = want
        .headers
        .iter()
        .find(|(n, _)| n == "Event-Name")
        .map_or("", |(_, value)| value.as_str());
    let names = |message: &Message| message.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (want_names, got_names) = (names(want), names(got));
    let essential = strictness == Strictness::Essential;
    if !essential && want_names != got_names {
        let missing: Vec<_> = want_names.iter().filter(|name| !got_names.contains(name)).collect();
        let extra: Vec<_> = got_names.iter().filter(|name| !want_names.contains(name)).collect();
        found.push(format!(
            "{event}: missing headers {missing:?}, extra {extra:?}, or another order"
        ));
    }
    // A loopback's codec is L16 in 1.11. In 1.10 it was its caller's.
    let is_loopback = |(name, value): &(String, String)| name == "Channel-Name" && value.starts_with("loopback/");
    let of_a_loopback = want.headers.iter().any(is_loopback);
    let compared = |name: &str| {
        let of_codec = name == "variable_read_codec" && (of_a_loopback || event == "CHANNEL_EXECUTE_COMPLETE");
        !essential || (ESSENTIAL.contains(&name) && !of_codec)
    };
    for (name, value) in want.headers.iter().filter(|(name, _)| compared(name)) {
        let same = got
            .headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default();
        let (value, same) = (without_foreign_uuids(value, kept), without_foreign_uuids(same, kept));
        if value != same && !is_volatile(name) && !is_own_choice(name, &want.headers) {
            found.push(format!("{event} {name}: recorded {value:?}, got {same:?}"));
        }
    }
    // The variable is set a moment later.
    if essential && want.text.ends_with("\n\n_undef_") {
        return found;
    }
    let (want, got) = (settled(&want.text, kept), settled(&got.text, kept));
    // The recorded server had registrations from before the recording, in the order of its database.
    let same = if want.len() > 1 {
        got.is_subset(&want) && !got.is_empty()
    } else {
        want == got
    };
    if !same {
        let odd: Vec<_> = got.difference(&want).collect();
        found.push(format!(
            "{event}: text recorded {:?}, got {odd:?}",
            want.iter().take(2).collect::<Vec<_>>()
        ));
    }
    found
}

/// A text as a set of entries (only one, unless it is a list of registrations), without values that change over time.
///
/// The desk phone had just registered for 2 s. mod_sofia's lists did not have it yet, but FreeSWITCH's own list did.
fn settled(text: &str, kept: &HashSet<String>) -> BTreeSet<String> {
    let text = without_foreign_uuids(text, kept);
    let body = text.split_once("\n\n").map_or("", |(_, body)| body);
    if body.starts_with("{\"row_count\"") {
        let rows = body
            .split_once("\"rows\":[")
            .map_or("", |(_, rows)| rows)
            .trim_end_matches("]}");
        return rows
            .split("},{")
            .map(|row| without(row.trim_matches(['{', '}']), "\"expires\":\"", "\""))
            .collect();
    }
    if body.contains("<registration>") {
        let entry = |text: &str| {
            without(
                text.split("    </registration>").next().unwrap_or(""),
                "exp(",
                "</status>",
            )
        };
        return body
            .split("    <registration>")
            .map(entry)
            .filter(|text| !text.contains("Desk phone"))
            .collect();
    }
    if body.contains("Registrations:\n") {
        let entry = |text: &str| without(text.split("\n\n").next().unwrap_or(""), "EXP(", "\n");
        return body
            .split("Call-ID:")
            .map(entry)
            .filter(|text| !text.contains("Desk phone"))
            .collect();
    }
    if body.starts_with("sofia/") {
        return body.split(',').map(str::to_owned).collect();
    }
    let digits_vary = body.starts_with("UP 0 years");
    let text = if digits_vary { without_digits(body) } else { text };
    BTreeSet::from([text])
}

fn without_digits(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            _ => out.push(c),
        }
    }
    out
}

/// Removes the text between two marks.
fn without(text: &str, from: &str, to: &str) -> String {
    let Some((head, rest)) = text.split_once(from) else {
        return text.to_owned();
    };
    let tail = rest.split_once(to).map_or("", |(_, tail)| tail);
    format!("{head}{from}{to}{tail}")
}
