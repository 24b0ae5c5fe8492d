//! `fswake wake`.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, talk};
use super::table;
use crate::clock::{millis, span};
use crate::config::{self, Config};
use crate::types::Printable;

const EXAMPLES: &str = "Examples:
  fswake wake 1001@example.org
  fswake wake 1001@example.org --wait 10s --caller 1002 --json

An iPhone shows a call for every such push. Exits with 0 when a phone can be rung.";

/// The daemon answers by then.
const SLACK: Duration = Duration::from_secs(5);
/// The longest `wake.max-wait`.
const LONGEST: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct WakeArgs {
    /// Whose phones
    #[arg(value_name = "USER@REALM")]
    aor: String,
    /// How long to wait, at most wake.max-wait: "10s"
    #[arg(long, value_name = "TIME", value_parser = config::duration_arg)]
    wait: Option<Duration>,
    /// Wait for all phones that are pushed
    #[arg(long)]
    all: bool,
    /// Push phones that seem awake too
    #[arg(long)]
    force: bool,
    /// The caller's number that the push carries
    #[arg(long, value_name = "NUMBER", default_value = "")]
    caller: String,
    /// The caller's name that the push carries
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// JSON, as from /v1/wake
    #[arg(long)]
    json: bool,
}

/// Wakes, waits, and says what came of it.
pub(super) fn wake(config: &Config, args: &WakeArgs) -> anyhow::Result<()> {
    let asked = json!({
        "aor": args.aor,
        "caller": args.caller,
        "caller_name": args.name,
        "wait_ms": args.wait.map(millis),
        "wait_for": if args.all { "all" } else { "first" },
        "force": args.force,
    });
    let patience = args.wait.unwrap_or(config.policy.max_wait).min(LONGEST) + SLACK;
    let answer = talk(async { Client::new(config)?.post_and_wait("/v1/wake", &asked, patience).await })?;
    if args.json {
        table::json(&answer)?;
    } else {
        show(&answer)?;
    }
    if answer["result"] != "woken" {
        bail!(
            "not woken: {}",
            Printable(answer["detail"].as_str().unwrap_or("no reason given"))
        );
    }
    Ok(())
}

fn show(answer: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for device in table::list(answer, "devices") {
        let name = table::text(&device["device"]);
        let state = table::text(&device["state"]);
        let after = device["push_to_register_ms"]
            .as_i64()
            .map(|ms| format!(", {} after the push", span(ms)));
        let contact = device["contact"].as_str().map(|contact| format!(", at {contact}"));
        let problem = device["problem"].as_str().map(|problem| format!(": {problem}"));
        let said = [Some(state), after, contact, problem];
        let said: String = said.into_iter().flatten().collect();
        writeln!(out, "{}  {}", Printable(&name), Printable(&said))?;
    }
    if let Some(ms) = answer["ms"].as_i64().filter(|_| answer["result"] == "woken") {
        writeln!(out, "a phone can be rung, after {}", span(ms))?;
    }
    Ok(())
}
