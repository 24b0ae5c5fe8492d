//! The daemon's life as systemd sees it: ready, alive, draining, gone.

use std::io::Read;
use std::net::TcpListener;
use std::os::fd::AsFd;
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

/// Another process is the main one from now on (`MAINPID=`). systemd accepts this only from the main process.
///
/// # Errors
/// When systemd cannot be notified.
pub fn main_process(pid: u32) -> std::io::Result<()> {
    sd_notify::notify(&[NotifyState::MainPid(pid)])
}

/// systemd keeps this socket for the next process (`FDSTORE=1`), if the unit has `FileDescriptorStoreMax=`.
///
/// # Errors
/// When systemd cannot be notified.
pub fn keep_socket(name: &str, socket: &TcpListener) -> std::io::Result<()> {
    sd_notify::notify_with_fds(&[NotifyState::FdStore, NotifyState::FdName(name)], &[socket.as_fd()])
}

/// systemd closes the sockets that it has kept by this name.
pub fn keep_no_socket(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// Waits until systemd has read everything that this process has said so far (`BARRIER=1`, sd_notify(3)). Blocks.
///
/// # Errors
/// When systemd cannot be notified.
pub fn wait_until_read() -> std::io::Result<()> {
    let (mut read, write) = std::io::pipe()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[write.as_fd()])?;
    drop(write);
    // systemd closes its end.
    read.read(&mut [0]).map(|_| ())
}

/// Whether systemd, or something like it, started this process and waits for notifications.
pub fn is_watched() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
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
    /// SIGUSR1: `systemctl restart`. Leave the service at once, and finish held calls in the background.
    Leave,
    /// SIGUSR2: start a new process, and hand over to it.
    HandOver,
}

/// The signals that the daemon handles.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    leave: tokio::signal::unix::Signal,
    hand_over: tokio::signal::unix::Signal,
    /// When a signal last asked to end.
    last_stop: Option<Instant>,
}

/// A signal that asks to end may come twice: `systemctl kill` sends it to all processes of the service, and the anchor
/// passes its own on.
const SAME_STOP: Duration = Duration::from_millis(300);

impl Signals {
    /// Catches SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 from now on.
    ///
    /// # Errors
    /// When the process may not catch signals.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            leave: signal(SignalKind::user_defined1())?,
            hand_over: signal(SignalKind::user_defined2())?,
            last_stop: None,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = self.hangup.recv() => return Signal::Reload,
                _ = self.leave.recv() => return Signal::Leave,
                _ = self.hand_over.recv() => return Signal::HandOver,
            }
            if self.last_stop.is_none_or(|last| last.elapsed() > SAME_STOP) {
                self.last_stop = Some(Instant::now());
                return Signal::Stop;
            }
        }
    }

    /// The end that was asked for begins only now: what has come meanwhile was for it.
    pub fn ending(&mut self) {
        self.last_stop = Some(Instant::now());
    }

    /// Waits for the next one that asks to end.
    pub async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}
