//! `fswake push`.

use std::io::{IsTerminal, Read, Write};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, talk};
use super::table;
use crate::config::Config;
use crate::files;
use crate::types::Printable;

const EXAMPLES: &str = r#"Examples:
  fswake push --user 1001 --realm example.org --payload '{"title":"Hello","body":"It works"}'
  fswake push --type voip --user 1001 --realm example.org --app com.example.acme

Exits with 0 when a provider took at least one push."#;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PushArgs {
    /// Which token to use: for calls (voip) or for messages (im)
    #[arg(long = "type", value_name = "TYPE", value_parser = ["voip", "im"], default_value = "im")]
    token_type: String,
    /// The user
    #[arg(long)]
    user: String,
    /// The user's domain
    #[arg(long, visible_alias = "domain")]
    realm: String,
    /// Only devices of this app
    #[arg(long)]
    app: Option<String>,
    /// The message, a JSON object (docs/PAYLOADS.md has the keys); - reads it from stdin
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// JSON, as from /v1/push
    #[arg(long)]
    json: bool,
}

/// Pushes, and prints the result for each device.
pub(super) fn push(config: &Config, args: &PushArgs) -> anyhow::Result<()> {
    let asked = json!({
        "aor": format!("{}@{}", args.user, args.realm),
        "type": args.token_type,
        "app": args.app,
        "payload": payload(args.payload.as_deref())?,
    });
    let answer: Value = talk(Client::new(config)?.post("/v1/push", &asked))?;
    if args.json {
        table::json(&answer)?;
    } else {
        show(&answer)?;
    }
    if answer["sent"].as_u64().unwrap_or(0) == 0 {
        let why = match answer["nobody"].as_str() {
            Some("no-device") => "no device of this user is known: see `fswake devices list USER@REALM`",
            Some("no-such-app") => "none of the user's devices has this app",
            Some("no-token") => "none of the user's devices has a token of this type",
            _ => "no provider took it",
        };
        bail!("not sent: {why}");
    }
    Ok(())
}

fn payload(given: Option<&str>) -> anyhow::Result<Map<String, Value>> {
    let text = match given {
        None => return Ok(Map::new()),
        Some("-") => {
            let mut bytes = Vec::new();
            let mut stdin = std::io::stdin().lock();
            if stdin.is_terminal() {
                let _ = writeln!(
                    std::io::stderr(),
                    "reading the payload from the terminal; end it with Ctrl-D"
                );
            }
            stdin.read_to_end(&mut bytes).context("stdin")?;
            files::decode(&bytes).context("stdin")?
        }
        Some(text) => text.to_owned(),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(_) => bail!("--payload: not a JSON object\nhint: {{\"body\":\"text\"}}"),
        Err(error) => bail!("--payload: not JSON: {error}"),
    }
}

fn show(answer: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for device in table::list(answer, "devices") {
        let name = table::text(&device["device"]);
        let result = if device["sent"].as_bool() == Some(true) {
            let id = device["provider_id"].as_str().map(|id| format!(" ({id})"));
            format!("sent{}", id.unwrap_or_default())
        } else {
            format!("not sent: {}", table::text(&device["problem"]))
        };
        writeln!(out, "{}  {}", Printable(&name), Printable(&result))?;
    }
    Ok(())
}
