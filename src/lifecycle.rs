//! The daemon's life as systemd sees it: ready, alive, draining, gone.

use std::time::{Duration, Instant};

use crate::words;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing::debug;

/// Everything listens: systemd may start what depends on it.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// No new holds from now on.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The configuration is being read again; [`ready`] ends it (sd_notify(3), `RELOADING=1`).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(error = words::of_io(&error), "cannot notify systemd");
    }
}

/// Feeds systemd's watchdog. The driver's loop itself calls this, so systemd ends a daemon whose loop hangs. Does
/// nothing without a watchdog.
pub fn heartbeat() -> impl FnMut() + Send {
    let every = sd_notify::watchdog_enabled().map(|limit| limit / 3);
    let mut last: Option<Instant> = None;
    move || {
        let Some(every) = every else { return };
        let now = Instant::now();
        if last.is_none_or(|last| now.duration_since(last) >= every.saturating_sub(Duration::from_millis(500))) {
            tell(&[NotifyState::Watchdog]);
            last = Some(now);
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT: end.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals that the daemon handles.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP from now on.
    ///
    /// # Errors
    /// When the process may not catch signals.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// Waits for the next one that asks to end.
    pub async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}
