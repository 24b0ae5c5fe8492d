//! `fswake run`.

use anyhow::Context;

use crate::config::Config;
use crate::handover::Handover;

/// Runs the daemon until a signal ends it.
pub(super) fn run(config: Config, handover: Handover) -> anyhow::Result<()> {
    let set_filter = crate::logging::init(&config.log)?;
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start threads")?;
    let ended = runtime.block_on(crate::daemon::run(config, set_filter, handover));
    // Does not wait for tasks that still wait for a disk or DNS.
    runtime.shutdown_background();
    ended
}
