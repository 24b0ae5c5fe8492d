//! What the tasks of all calls share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channel_commands::ChannelCommands;
use super::lease_time::LeaseTime;
use super::standby::Standby;
use crate::esl::directory::Directory;
use crate::input::Input;
use crate::logging::rate_limit::RateLimit;

/// What the tasks of all calls share.
#[derive(Clone)]
pub struct Outbound {
    /// To the driver.
    pub inputs: mpsc::Sender<Input>,
    /// Who may connect.
    pub allow: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Ends the listeners; held calls go on.
    pub stop: CancellationToken,
    /// The calls' tasks.
    pub tasks: TaskTracker,
    /// Who the callees are.
    pub directory: Directory,
    /// The most calls at once.
    pub(super) most: usize,
    /// Limits log lines about calls without room.
    pub(super) full: Arc<RateLimit>,
    /// Limits log lines about strangers, by address and reason.
    pub(super) warned: Arc<RateLimit>,
    pub(super) ringing: Arc<AtomicUsize>,
    pub(super) lease_time: Arc<LeaseTime>,
    /// Connections for calls that have to close their own early.
    pub(super) standby: Standby,
    /// Channels that FreeSWITCH's commands have named.
    pub(super) channel_commands: ChannelCommands,
}

impl Outbound {
    /// The shared parts of all calls.
    pub fn new(
        inputs: mpsc::Sender<Input>,
        allow: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
        most: usize,
        stop: CancellationToken,
        tasks: TaskTracker,
        directory: Directory,
    ) -> Self {
        Self {
            inputs,
            allow: Arc::new(allow),
            standby: Standby::new(directory.clone()),
            channel_commands: ChannelCommands::new(directory.clone(), stop.clone()),
            stop,
            tasks,
            directory,
            most,
            full: Arc::new(RateLimit::new(Duration::from_secs(60), 1)),
            warned: Arc::new(RateLimit::new(Duration::from_secs(60), 10)),
            ringing: Arc::default(),
            lease_time: Arc::default(),
        }
    }
}
