//! Finds the parts of a recorded header value that depend on the call.

use super::template::{Form, Part, Slot, Symbols, When};

/// Headers whose whole value is one slot, whatever its recorded value.
fn whole(header: &str, value: &str) -> Option<Slot> {
    use Form::{Micros, Millis, Seconds};
    let time = |when, form| Some(Slot::Time(when, form));
    match header {
        "Core-UUID" => Some(Slot::CoreUuid),
        "FreeSWITCH-Hostname" | "FreeSWITCH-Switchname" => Some(Slot::Hostname),
        "Event-Sequence" => Some(Slot::Sequence),
        "Event-Date-Local" => Some(Slot::NowLocal),
        "Event-Date-GMT" => Some(Slot::NowGmt),
        "Event-Date-Timestamp" => Some(Slot::Now),
        "Hangup-Cause" | "variable_hangup_cause" => Some(Slot::Cause),
        "variable_hangup_cause_q850" => Some(Slot::Q850),
        "variable_transfer_source" if value.contains(":uuid_br:") => Some(Slot::TransferSource),
        "Caller-Privacy-Hide-Name" => Some(Slot::HidesName),
        "Caller-Privacy-Hide-Number" => Some(Slot::HidesNumber),
        "variable_session_id" => Some(Slot::OwnSessionId),
        "variable_ep_codec_string" => Some(Slot::OwnOffer),
        "variable_current_application" | "Application" | "variable_last_app" => Some(Slot::App),
        "variable_current_application_data" | "Application-Data" | "variable_last_arg" => Some(Slot::AppArg),
        "Application-UUID" => Some(Slot::AppUuid),
        "variable_duration" => Some(Slot::Lasted(Seconds, false)),
        "variable_mduration" => Some(Slot::Lasted(Millis, false)),
        "variable_uduration" => Some(Slot::Lasted(Micros, false)),
        "variable_billsec" => Some(Slot::Lasted(Seconds, true)),
        "variable_billmsec" => Some(Slot::Lasted(Millis, true)),
        "variable_billusec" => Some(Slot::Lasted(Micros, true)),
        "variable_sip_invite_stamp" => time(When::Created, Micros),
        _ => moment(header, value),
    }
}

fn moment(header: &str, value: &str) -> Option<Slot> {
    use Form::{Micros, Seconds, Stamp};
    use When::{Answered, Bridged, Created, Hangup, Media, Progress};
    if let Some(rest) = header
        .strip_prefix("Caller-")
        .or_else(|| header.strip_prefix("Channel-"))
    {
        let when = match rest.strip_suffix("-Time")?.trim_start_matches("Channel-") {
            "Profile-Created" | "Created" => Created,
            "Answered" => Answered,
            "Progress" => Progress,
            "Progress-Media" => Media,
            "Hangup" => Hangup,
            "Bridged" => Bridged,
            _ => return None,
        };
        return Some(Slot::Time(when, Micros));
    }
    let (name, form) = match header.strip_prefix("variable_")?.rsplit_once('_')? {
        (name, "stamp") => (name, Stamp),
        (name, "epoch") => (name, Seconds),
        (name, "uepoch") => (name, Micros),
        _ => return None,
    };
    let when = match name {
        "start" | "profile_start" => Created,
        "answer" => Answered,
        "bridge" => Bridged,
        "progress" => Progress,
        "progress_media" => Media,
        "end" => Hangup,
        _ => return None,
    };
    (value != "0").then_some(Slot::Time(when, form))
}

/// A recorded value, split into fixed text and slots.
pub(super) fn parts_of(header: &str, value: &str, symbols: &Symbols) -> Vec<Part> {
    if let Some(slot) = whole(header, value) {
        return vec![Part::Slot(slot)];
    }
    let codec = header.contains("Codec-Name")
        || (header.contains("_codec") && !header.ends_with("use_codec_string"))
        || header == "variable_rtp_use_codec_name";
    let numbers_vary = !header.ends_with("sec") && !header.ends_with("_cseq") && !header.ends_with("-Time");
    let codec_symbol = codec.then(|| ("PCMU".to_owned(), Slot::OwnCodec));
    let usable = symbols
        .iter()
        .chain(&codec_symbol)
        .filter(|(text, _)| numbers_vary || text.len() > 5);
    let mut parts = vec![Part::Text(value.to_owned())];
    for (text, slot) in usable {
        parts = parts.into_iter().flat_map(|part| split(part, text, *slot)).collect();
    }
    parts
}

/// Splits a text at every occurrence of `symbol` as a whole word.
fn split(part: Part, symbol: &str, slot: Slot) -> Vec<Part> {
    let Part::Text(text) = part else { return vec![part] };
    let mut parts = Vec::new();
    let (mut from, mut search) = (0, 0);
    while let Some(found) = text[search..].find(symbol) {
        let (at, end) = (search + found, search + found + symbol.len());
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let joined = |left: &str, right: &str| word(left.chars().next_back()) && word(right.chars().next());
        if joined(&text[..at], symbol) || joined(symbol, &text[end..]) {
            search = end;
            continue;
        }
        if at > from {
            parts.push(Part::Text(text[from..at].to_owned()));
        }
        parts.push(Part::Slot(slot));
        (from, search) = (end, end);
    }
    if from < text.len() {
        parts.push(Part::Text(text[from..].to_owned()));
    }
    parts
}
