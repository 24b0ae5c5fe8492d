//! `fswake check`: says that the configuration is good; what is wrong with one that is not was said when it was read. It reads
//! what `fswake run` reads, by the same functions, and says what that would log.

use std::io::Write;

use crate::config::{Config, LogConfig, LogFormat};
use crate::push::Pushers;

/// Reads what the apps name (keys, certificates, accounts, templates), and says which file was checked and which apps it has.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    let _set_filter = crate::logging::init(&LogConfig {
        format: LogFormat::Pretty,
        filter: "warn".into(),
    })?;
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    Pushers::new(config.apps.clone())?;
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
