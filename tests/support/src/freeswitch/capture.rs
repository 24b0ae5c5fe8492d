//! Recorded sessions of a real FreeSWITCH, the source of event templates and replays. Those in `1.11/` are of 1.11.2
//! with fswake as the client; lines of the connection `act` are actions of a third party. The others are of 1.10.12.

use std::collections::HashMap;
use std::sync::OnceLock;

/// A chunk of bytes sent by one side.
#[derive(Debug, Clone)]
pub struct Line {
    /// Milliseconds since the start of the recording.
    pub ms: f64,
    /// `inbound` or `outbound-1`.
    pub conn: String,
    /// Whether FreeSWITCH sent it (otherwise the client did).
    pub from_freeswitch: bool,
    /// The text on the wire.
    pub data: String,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../captures/", $name, ".jsonl")))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "1.11/answered-and-gone",
    "1.11/busy",
    "1.11/dial-string-busy",
    "1.11/dial-string-caller-cancels",
    "1.11/dial-string-caller-in-the-loopbacks-place",
    "1.11/dial-strings-own-time",
    "1.11/early-media-answered",
    "1.11/early-media-declined",
    "1.11/held-channel-intercepted",
    "1.11/held-channel-transferred",
    "1.11/held-loopback-intercepted",
    "1.11/ringing-leg-intercepted",
    "1.11/ringing-legs-other-side-intercepted",
    "1.11/wake-bridge-answered",
    "auth-refused",
    "command-errors",
    "legs-caller-cancels",
    "legs-declined",
    "legs-no-reply",
    "legs-two-devices-second-answers",
    "loopback-dial-string-leg-answered",
    "registrations",
    "registrations-behind-nat",
    "socket-caller-cancels-before-register",
    "socket-caller-cancels-while-ringing",
    "socket-timeout-resume-dialplan",
    "socket-wake-bridge-answered",
    "socket-wake-bridge-busy",
];

/// The names of all recordings.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The lines of recording `name`, in the order of the wire.
///
/// # Panics
///
/// If there is no such recording.
pub fn lines(name: &str) -> &'static [Line] {
    static PARSED: OnceLock<HashMap<&'static str, Vec<Line>>> = OnceLock::new();
    let all = PARSED.get_or_init(|| FILES.iter().map(|(name, text)| (*name, parse(text))).collect());
    all.get(name).unwrap_or_else(|| panic!("no capture named {name}"))
}

fn parse(text: &str) -> Vec<Line> {
    let field = |value: &serde_json::Value, key: &str| value[key].as_str().expect("capture field").to_owned();
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("capture line is JSON");
            Line {
                ms: value["ms"].as_f64().expect("ms"),
                conn: field(&value, "conn"),
                from_freeswitch: value["from"] == "fs",
                data: field(&value, "data"),
            }
        })
        .collect()
}

/// The headers of a recorded event or of the answer to `connect`, decoded, in order; `None` for other messages.
pub fn event_headers(data: &str) -> Option<Vec<(String, String)>> {
    let text = if data.starts_with("Event-Name:") {
        data
    } else {
        data.split_once("\n\n")?.1
    };
    if !text.contains("Event-Name: ") {
        return None;
    }
    let head = text.split("\n\n").next()?;
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    Some(
        headers
            .map(|(name, value)| (name.to_owned(), super::event::percent_decode(value)))
            .collect(),
    )
}
