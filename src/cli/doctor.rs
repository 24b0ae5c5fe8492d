//! `fswake doctor`: checks everything that a wake needs, and gives advice.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::client::Client;
use super::table::{self, wrapped};
use crate::config::{self, Config};
use crate::doctor::{self, Check, CheckState, Daemon, DaemonApps, DaemonAttention};

/// How far back, and in which form.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// How much of the journal counts: "24h", "7d"
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = config::duration_arg)]
    since: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Default for DoctorArgs {
    fn default() -> Self {
        Self {
            since: Duration::from_hours(7 * 24),
            json: false,
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct DoctorReport {
    errors: usize,
    warnings: usize,
    checks: Vec<Check>,
}

/// Prints every check. Fails when one of them is an error.
pub(super) fn doctor(config: &Config, args: &DoctorArgs, wide: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a thread")?;
    let checks = runtime.block_on(async {
        let daemon = find(config).await;
        doctor::examine(config, args.since, &daemon).await
    });
    let count = |state| doctor::count(&checks, state);
    let (errors, warnings) = (count(CheckState::Error), count(CheckState::Warning));
    let first = doctor::first_to_fix(&checks).map(Check::title);
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = DoctorReport {
            errors,
            warnings,
            checks,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        let width = table::width(wide);
        print(&mut out, &checks, width)?;
        places(&mut out, &checks, width)?;
        let (ok, warnings, errors) = (
            count(CheckState::Ok),
            crate::words::count(warnings, "warning"),
            crate::words::count(errors, "error"),
        );
        writeln!(out, "{ok} ok, {warnings}, {errors}")?;
    }
    match (errors, first) {
        (0, _) | (_, None) => Ok(()),
        (1, Some(first)) => bail!("1 error: {first}"),
        (n, Some(first)) => bail!("{n} errors; fix this one first: {first}"),
    }
}

/// What the running daemon knows.
async fn find(config: &Config) -> Daemon {
    let Ok(client) = Client::new(config) else {
        return Daemon::Absent;
    };
    match client.find::<DaemonApps>("/v1/apps").await {
        Ok(Some(mut said)) => {
            let attention = client.find::<DaemonAttention>("/v1/attention").await;
            said.attention = attention.ok().flatten().unwrap_or_default().items;
            // An older daemon has none.
            let cluster = client.find("/v1/cluster").await.unwrap_or_default();
            Daemon::Answers(said, cluster)
        }
        _ => Daemon::Absent,
    }
}

fn print(out: &mut impl Write, checks: &[Check], width: usize) -> std::io::Result<()> {
    let mut family = "";
    for check in checks {
        if check.family != family {
            family = check.family;
            writeln!(out, "{family}")?;
        }
        let seen = format!("  {:<8} {}: {}", check.state.as_str(), check.name, check.seen);
        wrapped(out, &seen, 11, width)?;
        if let Some(advice) = &check.advice {
            wrapped(out, &format!("           -> {advice}"), 14, width)?;
        }
        if let Some(other) = &check.follows_from {
            wrapped(
                out,
                &format!("           (the same fault as {other}: counted there)"),
                14,
                width,
            )?;
        }
    }
    Ok(())
}

/// The folder of the files that advice names: a package installs them elsewhere.
fn places(out: &mut impl Write, checks: &[Check], width: usize) -> std::io::Result<()> {
    let all = || checks.iter().filter_map(|check| check.advice.as_deref());
    if !all().any(|advice| advice.contains("fs-conf/") || advice.contains("docs/")) {
        return Ok(());
    }
    let line = "If a package installed fswake, fs-conf/ is in /usr/share/fswake and docs/ in /usr/share/doc/fswake; else both are \
                in its sources.";
    wrapped(out, line, 0, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::WIDTH;

    #[test]
    fn long_findings_are_on_lines_of_a_terminals_width_and_lose_no_word() {
        let print_at = |width| {
            let seen = "one two three ".repeat(30);
            let checks = [Check {
                family: "store",
                name: "file".into(),
                state: CheckState::Error,
                seen: seen.trim().into(),
                advice: Some("do this ".repeat(30).trim().into()),
                pattern: None,
                follows_from: None,
            }];
            let mut out = Vec::new();
            print(&mut out, &checks, width).unwrap();
            String::from_utf8(out).unwrap()
        };
        let (long, short) = (print_at(usize::MAX), print_at(WIDTH));
        assert_eq!(long.lines().count(), 3);
        assert!(long.starts_with("store\n  error    file: one two"), "{long}");
        assert!(
            short.lines().all(|line| line.len() <= WIDTH) && short.lines().count() > 6,
            "{short}"
        );
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&long), words(&short));
    }
}
