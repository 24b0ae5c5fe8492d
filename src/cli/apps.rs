//! `fswake apps`.

use clap::Args;
use serde_json::Value;

use super::client::{Client, talk};
use super::table;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct AppsArgs {
    /// JSON, as from /v1/apps
    #[arg(long)]
    json: bool,
}

/// One line for each app.
pub(super) fn apps(config: &Config, args: &AppsArgs, wide: bool) -> anyhow::Result<()> {
    let client = Client::new(config)?;
    let answer: Value = talk(client.get("/v1/apps"))?;
    if args.json {
        return Ok(table::json(&answer)?);
    }
    let rows: Vec<_> = table::list(&answer, "apps").iter().map(row).collect();
    let headings = ["NAME", "PROVIDER", "CREDENTIALS", "DAYS LEFT", "STATE", "LAST SUCCESS"];
    Ok(table::write(headings, &rows, wide)?)
}

fn row(app: &Value) -> [String; 6] {
    let problems = table::list(app, "problems").iter();
    let problems: Vec<_> = problems
        .map(|p| format!("{}: {}", table::text(&p["kind"]), table::text(&p["reason"])))
        .collect();
    let state = match app["state"].as_str() {
        _ if !problems.is_empty() => problems.join("; "),
        Some("untried") => match app["why"].as_str() {
            Some(why) => format!("not known yet: {why}"),
            None => "not known yet".to_owned(),
        },
        Some("only-logs") => "only writes to the log".to_owned(),
        Some("ok") | None => "ok".to_owned(),
        Some(state) => format!("{state}: {}", table::text(&app["why"])),
    };
    [
        table::text(&app["name"]),
        table::text(&app["provider"]),
        table::text(&app["credentials"]),
        table::text(&app["days_left"]),
        state,
        table::when(&app["last_success"]),
    ]
}
