//! `fswake calls`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, talk};
use super::table;
use crate::config::Config;
use crate::types::Printable;

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct CallsArgs {
    /// Keep running, and print a line for each call that arrives, changes or ends
    #[arg(long, short)]
    follow: bool,
    /// JSON, as from /v1/calls; with --follow one object a line
    #[arg(long)]
    json: bool,
}

/// The calls that are held now.
pub(super) fn calls(config: &Config, args: &CallsArgs, wide: bool) -> anyhow::Result<()> {
    let client = Client::new(config)?;
    if args.follow {
        return talk(follow(&client, args.json));
    }
    let answer: Value = talk(client.get("/v1/calls"))?;
    if args.json {
        return Ok(table::json(&answer)?);
    }
    let rows: Vec<_> = table::list(&answer, "calls").iter().map(row).collect();
    let headings = ["CALL", "CALLEE", "CALLER", "HELD", "LEFT", "PHONES"];
    Ok(table::write(headings, &rows, wide)?)
}

fn row(call: &Value) -> [String; 6] {
    [
        table::text(&call["call"]),
        table::text(&call["aor"]),
        table::text(&call["caller"]),
        seconds(&call["held_ms"]),
        seconds(&call["left_ms"]),
        phones(call),
    ]
}

fn seconds(ms: &Value) -> String {
    let ms = ms.as_u64().unwrap_or(0);
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

fn phones(call: &Value) -> String {
    let devices = table::list(call, "devices").iter();
    let all: Vec<_> = devices
        .map(|d| format!("{} {}", table::text(&d["device"]), table::text(&d["state"])))
        .collect();
    if all.is_empty() { "-".into() } else { all.join(", ") }
}

/// The fields of a call that cause a new line when they change.
fn state(call: &Value) -> String {
    format!("{}, {}", table::text(&call["state"]), phones(call))
}

async fn follow(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let answer: Value = client.get("/v1/calls").await?;
        let mut seen = BTreeSet::new();
        for call in table::list(&answer, "calls") {
            let id = table::text(&call["call"]);
            let state = state(call);
            if known.get(&id) != Some(&state) {
                tell(json, &id, call, &state)?;
            }
            known.insert(id.clone(), state);
            seen.insert(id);
        }
        for id in known.keys().filter(|id| !seen.contains(*id)) {
            let over = serde_json::json!({ "call": id, "state": "over" });
            tell(json, id, &over, "over")?;
        }
        known.retain(|id, _| seen.contains(id));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn tell(json: bool, id: &str, call: &Value, state: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        return writeln!(out, "{call}");
    }
    let (id, state) = (Printable(id), Printable(state));
    match call["aor"].as_str() {
        Some(aor) => writeln!(out, "{id} {} {state}", Printable(aor)),
        None => writeln!(out, "{id} {state}"),
    }
}
