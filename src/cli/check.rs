//! `fswake check`: says that the configuration is good; what is wrong with one that is not was said when it was read.

use std::io::Write;

use crate::config::Config;

/// Says which file was checked and which apps it has.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
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
