//! `fswake doctor`: looks at everything that a wake needs, and says what to do.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::config::{self, Config};
use crate::doctor::{self, Check, State};

/// How far back, and in which form.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// How much of the journal counts: "24h", "7d"
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = config::duration_arg)]
    since: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    errors: usize,
    warnings: usize,
    checks: Vec<Check>,
}

/// Prints every check. Fails when one of them is an error.
pub(super) fn doctor(config: &Config, args: &Doctor) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a thread")?;
    let checks = runtime.block_on(doctor::examine(config, args.since));
    let count = |state| checks.iter().filter(|c| c.state == state).count();
    let (errors, warnings) = (count(State::Error), count(State::Warning));
    let first = doctor::first_to_fix(&checks).map(|check| check.name.clone());
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = Report {
            errors,
            warnings,
            checks,
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        print(&mut out, &checks)?;
        writeln!(out, "{} ok, {warnings} warnings, {errors} errors", count(State::Ok))?;
    }
    match (errors, first) {
        (0, _) | (_, None) => Ok(()),
        (1, Some(first)) => bail!("1 error: {first}"),
        (n, Some(first)) => bail!("{n} errors; fix this one first: {first}"),
    }
}

fn print(out: &mut impl Write, checks: &[Check]) -> std::io::Result<()> {
    let mut family = "";
    for check in checks {
        if check.family != family {
            family = check.family;
            writeln!(out, "{family}")?;
        }
        writeln!(out, "  {:<8} {}: {}", check.state.as_str(), check.name, check.seen)?;
        if let Some(advice) = &check.advice {
            writeln!(out, "           -> {advice}")?;
        }
    }
    Ok(())
}
