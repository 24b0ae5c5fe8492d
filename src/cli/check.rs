//! `fswake check`: says that the configuration is good; what is wrong with one that is not was said when it was read.
//! It reads what `fswake run` reads, by the same functions, and says what that would log.

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
    /// The file that was checked; `null` for what is built in.
    file: Option<String>,
    apps: Vec<AppSummary>,
    /// What is wrong.
    problems: Vec<String>,
    /// What is odd, and works.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AppSummary {
    name: String,
    provider: String,
}

/// Reads what the apps name (keys, certificates, accounts, templates), and says which file was checked and which apps
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
            // Whoever reads this may have gone.
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

/// What keeps apps from waking phones, as far as their files say.
fn problems(config: &Config) -> Vec<SetupError> {
    let now = SystemTime::now();
    let unfit: Vec<_> = config.apps.iter().filter_map(|app| unfit(app, now)).collect();
    if !unfit.is_empty() {
        return unfit;
    }
    Pushers::new(config.apps.clone()).err().into_iter().collect()
}
