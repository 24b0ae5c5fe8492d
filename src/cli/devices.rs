//! `fswake devices`.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Client, talk};
use super::table;
use crate::clock::with_date;
use crate::config::Config;
use crate::types::Printable;

/// Devices in one answer.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(super) struct DevicesArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// JSON, as from /v1/devices; lists are one object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All devices, or one user's (the default)
    List {
        /// user@domain
        aor: Option<String>,
    },
    /// One device and where its phone is
    Show {
        /// The id, as in the list
        id: String,
    },
    /// Forget a device until it registers again (or until fswake restarts, if it is still registered)
    Forget {
        /// The id, as in the list
        id: String,
    },
}

/// Lists, shows or forgets.
pub(super) fn devices(config: &Config, args: &DevicesArgs, wide: bool) -> anyhow::Result<()> {
    let client = Client::new(config)?;
    match &args.what {
        None => talk(list(&client, None, args.json, wide)),
        Some(What::List { aor }) => talk(list(&client, aor.as_deref(), args.json, wide)),
        Some(What::Show { id }) => {
            let device: Value = talk(client.get(&path(id)))?;
            if args.json {
                return Ok(table::json(&device)?);
            }
            Ok(show(&device)?)
        }
        Some(What::Forget { id }) => {
            talk(client.delete(&path(id)))?;
            let mut out = std::io::stdout().lock();
            Ok(writeln!(out, "forgotten: {id}")?)
        }
    }
}

fn path(id: &str) -> String {
    format!("/v1/devices/{}", encoded(id))
}

/// Text encoded for a path or a query.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Page by page, so that a million devices are not in memory at once, except for a table, whose widths must be
/// measured.
async fn list(client: &Client, aor: Option<&str>, json: bool, wide: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let aor = aor.map(|aor| format!("&aor={}", encoded(aor))).unwrap_or_default();
    let mut after = 0;
    loop {
        let answer: Value = client
            .get(&format!("/v1/devices?limit={PAGE}&after={after}{aor}"))
            .await?;
        for device in table::list(&answer, "devices") {
            if json {
                writeln!(std::io::stdout().lock(), "{device}")?;
            } else {
                rows.push(row(device));
            }
        }
        match answer["next"].as_i64() {
            Some(next) => after = next,
            None => break,
        }
    }
    if !json {
        let headings = ["ID", "AOR", "PROVIDER", "APP", "SERVED BY", "LAST SEEN", "STATE"];
        table::write(headings, &rows, wide)?;
    }
    Ok(())
}

fn row(device: &Value) -> [String; 7] {
    let state = match device["set_aside"].as_str() {
        Some(reason) => format!("set aside: {}", with_date(reason)),
        None => "ok".into(),
    };
    [
        table::text(&device["id"]),
        table::text(&device["aor"]),
        table::text(&device["provider"]),
        table::text(&device["app"]),
        table::text(&device["served_by"]),
        table::when(&device["last_seen"]),
        state,
    ]
}

fn show(device: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let lines = [
        ("id", table::text(&device["id"])),
        ("aor", table::text(&device["aor"])),
        ("provider", table::text(&device["provider"])),
        ("app", table::text(&device["app"])),
        ("served by", table::text(&device["served_by"])),
        ("call token", table::text(&device["call_token"])),
        ("remote token", table::text(&device["remote_token"])),
        ("user agent", table::text(&device["user_agent"])),
        ("first seen", table::when(&device["first_seen"])),
        ("last seen", table::when(&device["last_seen"])),
        ("set aside", with_date(&table::text(&device["set_aside"]))),
    ];
    for (name, value) in &lines {
        writeln!(out, "{name:<13} {}", Printable(value))?;
    }
    for binding in table::list(device, "bindings") {
        let contact = table::text(&binding["contact"]);
        let left = table::text(&binding["expires_in_s"]);
        writeln!(out, "{:<13} {} (expires in {left} s)", "contact", Printable(&contact))?;
    }
    Ok(())
}
