//! `fswake check`: checks the configuration, and everything that `fswake run` would read. It uses the same functions,
//! and prints what the daemon would log.

use std::io::Write;
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::table;
use crate::config::{Config, ConfigError, LogConfig, LogFormat};
use crate::push::{Pushers, SetupError, unfit};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// JSON: ok, file, apps, problems, notes
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct CheckReport {
    ok: bool,
    /// The file that was checked; `null` for the built-in defaults.
    file: Option<String>,
    apps: Vec<AppSummary>,
    /// What is wrong.
    problems: Vec<String>,
    /// Warnings.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AppSummary {
    name: String,
    provider: String,
}

/// Reads the apps' files (keys, certificates, accounts, templates), and prints which file was checked and which apps
/// it has.
pub(super) fn check(config: Result<Config, ConfigError>, args: &CheckArgs) -> anyhow::Result<()> {
    if !args.json {
        return in_words(&config?);
    }
    let mut report = CheckReport::default();
    let failed: Option<anyhow::Error> = match config {
        Ok(config) => {
            report.file = config.file.as_ref().map(|file| file.display().to_string());
            let app = |app: &crate::push::app::App| AppSummary {
                name: app.name.clone(),
                provider: app.provider.name().to_owned(),
            };
            report.apps = config.apps.iter().map(app).collect();
            report.notes.clone_from(&config.notes);
            let problems = problems(&config);
            report.problems = problems.iter().map(ToString::to_string).collect();
            problems.into_iter().next_back().map(Into::into)
        }
        Err(error) => {
            report.file = Some(error.file.clone());
            report.problems.push(error.to_string());
            Some(error.into())
        }
    };
    report.ok = failed.is_none();
    table::json(&serde_json::to_value(&report)?)?;
    failed.map_or(Ok(()), Err)
}

fn in_words(config: &Config) -> anyhow::Result<()> {
    let _set_filter = crate::logging::init(&LogConfig {
        format: LogFormat::Pretty,
        filter: "warn".into(),
    })?;
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let mut problems = problems(config);
    if let Some(last) = problems.pop() {
        let mut err = std::io::stderr().lock();
        for problem in problems {
            // Stdout may be closed.
            let _ = writeln!(err, "fswake: {problem}");
        }
        return Err(last.into());
    }
    let mut out = std::io::stdout().lock();
    match &config.file {
        Some(file) => writeln!(out, "ok: {}", file.display())?,
        None => writeln!(out, "ok: built-in defaults, no configuration file")?,
    }
    for app in &config.apps {
        writeln!(out, "app {}: {}", app.name, app.provider.name())?;
    }
    Ok(())
}

/// Problems that keep apps from waking phones, according to their files.
fn problems(config: &Config) -> Vec<SetupError> {
    let now = SystemTime::now();
    let unfit: Vec<_> = config.apps.iter().filter_map(|app| unfit(app, now)).collect();
    if !unfit.is_empty() {
        return unfit;
    }
    Pushers::new(config.apps.clone()).err().into_iter().collect()
}
