//! `fswake check`: says that the configuration is good; what is wrong with one that is not was said when it was read.

use std::io::Write;

use crate::config::Config;
use crate::push::Pushers;

/// Reads what the apps name (keys, certificates, accounts, templates), and says which file was checked and which apps it has.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
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
