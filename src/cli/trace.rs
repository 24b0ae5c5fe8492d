//! `fswake trace`: a wake as a timeline, from the journal. Needs no daemon.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::table::{self, wrapped};
use crate::clock::{now_ms, span, stamp};
use crate::config::{self, Config};
use crate::journal::{Journal, Wake, Whose};
use crate::types::{Aor, CallId, Printable};

/// Most wakes that are printed: the latest.
const MOST: usize = 50;

/// Whose wakes, and since when.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    /// A call id (as in logs, `fswake_call` and X-Fswake-Call), `user@domain`, or `user` in any domain
    #[arg(value_name = "CALL|USER@DOMAIN")]
    whose: String,
    /// How far back to look for a user's wakes: "90s", "30m", "2h", "7d"
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = config::duration_arg)]
    since: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Traces {
    /// Oldest first.
    wakes: Vec<Wake>,
    /// Since when wakes of other daemons are missing, in milliseconds since 1970 (UTC); `null` if none is.
    others_missing_since_ms: Option<i64>,
}

/// Prints the timelines.
pub(super) fn trace(config: &Config, args: &TraceArgs, wide: bool) -> anyhow::Result<()> {
    let journal = Journal::open(&config.store.path)?;
    if let Some(since) = journal.others_missing_since_ms() {
        let mut err = std::io::stderr().lock();
        let since = match since {
            0 => String::new(),
            since => format!(" since {} UTC", stamp(since)),
        };
        writeln!(
            err,
            "fswake: wakes of other daemons{since} are missing: PostgreSQL does not answer, or fswake does not run (hint: `fswake \
             doctor`)"
        )?;
    }
    let whose = args.whose.trim();
    let wakes = if let Ok(call) = whose.parse::<Uuid>() {
        let found: Vec<_> = journal.wake(CallId(call))?.into_iter().collect();
        if found.is_empty() {
            bail!("the journal has no call {call} (hint: lines older than store.journal-keep are deleted)");
        }
        found
    } else {
        let since = i64::try_from(args.since.as_millis()).unwrap_or(i64::MAX);
        let whose = whose.strip_prefix("sip:").unwrap_or(whose);
        let names = match whose.rsplit_once('@') {
            Some((user, domain)) => Whose::new(&Aor::new(user, domain), &config.policy),
            None => Whose::user(whose),
        };
        let found = journal.wakes_of(&names, now_ms().saturating_sub(since), MOST)?;
        if found.is_empty() {
            bail!(
                "the journal has no call to {} in the last {} (hint: --since looks further back; calls that never reached \
                 fswake are not in it)",
                Printable(whose),
                span(since)
            );
        }
        found
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(
            &mut out,
            &Traces {
                wakes,
                others_missing_since_ms: journal.others_missing_since_ms(),
            },
        )?;
        writeln!(out)?;
        return Ok(());
    }
    for (i, wake) in wakes.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        print(&mut out, wake, table::width(wide))?;
    }
    if wakes.len() == MOST {
        let mut err = std::io::stderr().lock();
        writeln!(
            err,
            "fswake: only the latest {MOST} calls are shown (hint: a shorter --since, or the call id)"
        )?;
    }
    Ok(())
}

/// Which fswake, and at which FreeSWITCH.
fn place(daemon: Option<&str>, node: Option<&str>) -> Option<String> {
    match (daemon.map(Printable), node.map(Printable)) {
        (None, None) => None,
        (Some(daemon), None) => Some(format!("by {daemon}")),
        (None, Some(node)) => Some(format!("at {node}")),
        (Some(daemon), Some(node)) => Some(format!("by {daemon} at {node}")),
    }
}

/// One wake.
fn print(out: &mut impl Write, wake: &Wake, width: usize) -> std::io::Result<()> {
    let about = &wake.overview;
    let by = place(about.daemon.as_deref(), about.node.as_deref());
    let by = by.map(|by| format!("  {by}")).unwrap_or_default();
    writeln!(
        out,
        "{}  {} UTC  to {}{by}",
        about.call,
        stamp(about.held_at_ms),
        about.aor
    )?;
    for step in &wake.steps {
        let (seconds, ms) = (step.after_ms.div_euclid(1000), step.after_ms.rem_euclid(1000));
        let device = step.device.as_deref().map(|d| format!("{}  ", Printable(d)));
        let device = device.unwrap_or_default();
        let name = Printable(&step.step).to_string();
        let by = place(step.daemon.as_deref(), step.node.as_deref());
        let by = by.map(|by| format!(" ({by})")).unwrap_or_default();
        let line = format!("{seconds:>6}.{ms:03} s  {name:<20}  {device}{}{by}", step.words);
        wrapped(out, &line, 34, width)?;
    }
    if wake.overview.result.is_none() {
        writeln!(out, "           -  still held, or fswake ended meanwhile")?;
    }
    if let Some(diagnosis) = &wake.diagnosis {
        wrapped(out, &format!("  => {}", diagnosis.says), 5, width)?;
    }
    Ok(())
}
