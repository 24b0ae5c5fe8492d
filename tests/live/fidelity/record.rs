//! What FreeSWITCH records or shows of a call: CDRs, `show calls`, lamps (BLF).

use std::time::{Duration, Instant};

use serde_json::Value;

use super::cast::Cast;
use super::row::Who;

/// Whether a text is or contains a user of this row.
fn is_ours(value: &Value, cast: &Cast<'_>) -> bool {
    let text = value.as_str().unwrap_or_default();
    (0..10).any(|phone| text.contains(&format!("{}{phone}", cast.id)))
}

/// The lines of `show calls` that belong to this row.
pub async fn calls(cast: &Cast<'_>) -> String {
    let shown: Value = serde_json::from_str(&cast.site.fs.api("show calls as json").await).unwrap_or_default();
    let rows = shown["rows"].as_array().cloned().unwrap_or_default();
    let names = ["cid_num", "dest", "callee_num", "b_cid_num", "b_dest", "b_callee_num"];
    let ours = rows
        .iter()
        .filter(|row| names.iter().any(|name| is_ours(&row[*name], cast)));
    let told: Vec<String> = ours
        .map(|row| {
            let words: Vec<&str> = names
                .iter()
                .map(|name| row[*name].as_str().unwrap_or_default())
                .collect();
            let kind = row["name"].as_str().unwrap_or_default();
            let kind = kind.split('/').next().unwrap_or_default().to_owned();
            format!(
                "{kind}: {} to {} ({}); {} to {} ({})",
                words[0], words[1], words[2], words[3], words[4], words[5]
            )
        })
        .collect();
    format!("{}: {}", told.len(), told.join(" + "))
}

/// The channels of this row, by their kind.
pub async fn channels(cast: &Cast<'_>) -> String {
    let channels = cast.site.fs.channels().await;
    let ours = channels
        .iter()
        .filter(|c| ["name", "dest", "cid_num"].iter().any(|word| is_ours(&c[*word], cast)));
    let (loopbacks, others): (Vec<&Value>, Vec<&Value>) =
        ours.partition(|c| c["name"].as_str().unwrap_or_default().starts_with("loopback/"));
    format!("{} and {} of loopbacks", others.len(), loopbacks.len())
}

/// These variables of each CDR.
pub async fn cdrs(cast: &Cast<'_>, names: &[&str]) -> String {
    // FreeSWITCH writes them asynchronously.
    let deadline = Instant::now() + Duration::from_secs(4);
    let file = |name: &str| name.contains(&cast.channel);
    while !cast.site.fs.cdr_files(cast.since).iter().any(|name| file(name)) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The other legs' records are written when those legs have ended.
    let is_left = |c: &Value| ["name", "dest", "cid_num"].iter().any(|word| is_ours(&c[*word], cast));
    while cast.stage.channels().await.iter().any(|(_, channel)| is_left(channel)) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let places = [
        "sip_from_user",
        "sip_to_user",
        "sip_req_user",
        "dialed_user",
        "channel_name",
    ];
    let all: Vec<_> = cast.stage.all().flat_map(|fs| fs.cdrs(cast.since)).collect();
    let ours = all.iter().filter(|(name, cdr)| {
        let variables = &cdr["variables"];
        file(name) || places.iter().any(|place| is_ours(&variables[*place], cast))
    });
    let mut told: Vec<String> = ours
        .map(|(name, cdr)| {
            let side = if name.starts_with("a_") { "A" } else { "B" };
            let words: Vec<String> = names
                .iter()
                .map(|name| format!("{name}={}", field(cdr, name)))
                .collect();
            format!("{side}: {}", words.join(" "))
        })
        .collect();
    told.sort();
    format!("{}: {}", told.len(), told.join(" + "))
}

/// Whether a text has a user of this row as a separate word.
fn names_ours(text: &str, cast: &Cast<'_>) -> bool {
    let before = ['>', ':', '/', '"', '+'];
    (0..10).any(|phone| {
        let user = format!("{}{phone}", cast.id);
        before.iter().any(|c| text.contains(&format!("{c}{user}")))
    })
}

/// These variables of each CDR in XML.
pub async fn xml_cdrs(cast: &Cast<'_>, names: &[&str]) -> String {
    cdrs(cast, &[]).await;
    let all: Vec<_> = cast.stage.all().flat_map(|fs| fs.all_cdrs(cast.since)).collect();
    let ours = all
        .iter()
        .filter(|(kind, _, text)| *kind == "xml" && names_ours(text, cast));
    let mut told: Vec<String> = ours
        .map(|(_, file, text)| {
            let side = if file.starts_with("a_") { "A" } else { "B" };
            let words: Vec<String> = names
                .iter()
                .map(|name| format!("{name}={}", xml_field(text, name)))
                .collect();
            format!("{side}: {}", words.join(" "))
        })
        .collect();
    told.sort();
    format!("{}: {}", told.len(), told.join(" + "))
}

fn xml_field<'a>(text: &'a str, name: &str) -> &'a str {
    let (part, name) = match name {
        "caller" => ("<caller_profile>", "caller_id_number"),
        "dest" => ("<caller_profile>", "destination_number"),
        name => ("<variables>", name),
    };
    let rest = text.split(part).nth(1).unwrap_or_default();
    let rest = rest.split(&format!("<{name}>")).nth(1).unwrap_or("-</");
    rest.split("</").next().unwrap_or_default()
}

/// Account, caller and destination of each CDR in CSV.
pub async fn csv_cdrs(cast: &Cast<'_>) -> String {
    cdrs(cast, &[]).await;
    // Writes out what mod_cdr_csv has buffered.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let all: Vec<_> = cast.stage.all().flat_map(|fs| fs.all_cdrs(cast.since)).collect();
    // mod_cdr_csv writes each line twice: to the account's file and to the common one.
    let lines = all
        .iter()
        .filter(|(kind, file, _)| *kind == "csv" && file == "Master.csv");
    let lines = lines
        .flat_map(|(.., text)| text.lines())
        .filter(|line| names_ours(line, cast));
    let mut told: Vec<String> = lines
        .map(|line| line.split(',').take(3).collect::<Vec<_>>().join(" ").replace('"', ""))
        .collect();
    told.sort();
    format!("{}: {}", told.len(), told.join(" + "))
}

/// The fields about the other leg in a channel's events.
pub async fn other_leg(cast: &Cast<'_>, channel: &str) -> String {
    let dump = cast.site.fs.api(&format!("uuid_dump {channel}")).await;
    let header = |name: &str| {
        let line = dump
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or("-").to_owned()
    };
    let names = [
        "Call-Direction",
        "Other-Type",
        "Other-Leg-Direction",
        "Other-Leg-Caller-ID-Number",
        "Other-Leg-Callee-ID-Number",
        "Other-Leg-Destination-Number",
        "Other-Leg-Context",
    ];
    names.map(header).join(" ")
}

/// Where CDRs contain a push token: in JSON the names of the variables, in the other formats whether there is one.
pub async fn tokens(cast: &Cast<'_>) -> String {
    cdrs(cast, &[]).await;
    // Writes out what mod_cdr_csv has buffered.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut told = Vec::new();
    let is_push = |text: &str| {
        ["pn-prid", "pn-provider", "pn-param"]
            .iter()
            .any(|name| text.contains(name))
    };
    for (kind, _, text) in cast.stage.all().flat_map(|fs| fs.all_cdrs(cast.since)) {
        let ours = names_ours(&text, cast) || text.contains(&cast.channel);
        let cdr: Value = serde_json::from_str(&text).unwrap_or_default();
        let variables = cdr["variables"].as_object().into_iter().flatten();
        let places: Vec<&str> = variables
            .filter(|(_, value)| is_push(&value.to_string()))
            .map(|(name, _)| name.as_str())
            .collect();
        let found = text
            .lines()
            .filter(|line| kind != "csv" || names_ours(line, cast))
            .any(is_push);
        let found = match (found, places.is_empty()) {
            (false, _) => "none".to_owned(),
            (true, true) => "a token".to_owned(),
            (true, false) => format!("a token in {}", places.join(" and ")),
        };
        if ours {
            told.push(format!("{kind}: {found}"));
        }
    }
    told.sort();
    told.dedup();
    told.join(", ")
}

fn field(cdr: &Value, name: &str) -> String {
    let profile = &cdr["callflow"][0]["caller_profile"];
    let value = match name {
        "caller" => &profile["caller_id_number"],
        "caller_name" => &profile["caller_id_name"],
        "dest" => &profile["destination_number"],
        name => &cdr["variables"][name],
    };
    let text = value.as_str().unwrap_or("-").to_owned();
    match name {
        // Lists, and UUIDs followed by more text.
        "originated_legs" | "originating_leg_uuid" | "bridge_uuid" | "bridge_to" if value.is_string() => {
            text.split(';').next().unwrap_or_default().to_owned()
        }
        _ => text,
    }
}

/// The states that a lamp has shown, in order.
pub fn lamp(cast: &Cast<'_>) -> String {
    let mut told = Vec::new();
    for notice in cast.phone(Who::Watcher).notices() {
        let part = |from: &str, to: &str| {
            let rest = notice.body.split(from).nth(1).unwrap_or_default();
            rest.split(to).next().unwrap_or_default().trim().to_owned()
        };
        if notice.at < cast.call.started {
            continue;
        }
        let remote = notice.body.split("<remote>").nth(1).unwrap_or_default();
        let remote = remote.split("sip:").nth(1).unwrap_or_default();
        let remote = remote.split(['<', '"', ';']).next().unwrap_or_default();
        told.push(
            format!("{} {} {remote}", part("<state>", "<"), part("direction=\"", "\""))
                .trim()
                .to_owned(),
        );
    }
    told.join(", ")
}
