//! What the tasks of all calls share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channel_commands::ChannelCommands;
use super::lease_time::LeaseTime;
use super::standby::Standby;
use super::taken_legs::TakenLegs;
use crate::esl::nodes::Nodes;
use crate::input::Input;
use crate::logging::rate_limit::RateLimit;
use crate::types::NodeId;

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
    /// The FreeSWITCH that the call is held at.
    pub node: NodeId,
    /// All of them.
    pub nodes: Nodes,
    /// What the calls of each of them share.
    by_node: Arc<[OfNode]>,
    /// Legs from other FreeSWITCHes that were taken.
    pub(super) taken_legs: Arc<TakenLegs>,
    /// The most calls at once.
    pub(super) most: usize,
    /// Limits log lines about calls without room.
    pub(super) full: Arc<RateLimit>,
    /// Limits log lines about strangers, by address and reason.
    pub(super) warned: Arc<RateLimit>,
    /// How many calls have legs that ring.
    pub(super) ringing: Arc<AtomicUsize>,
    /// How many calls are being bridged.
    pub(super) bridging: Arc<AtomicUsize>,
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
        nodes: Nodes,
    ) -> Self {
        let by_node: Arc<[OfNode]> = nodes
            .iter()
            .map(|node| OfNode {
                standby: Standby::new(node.socket.clone()),
                channel_commands: ChannelCommands::new(node.socket.clone(), stop.clone()),
            })
            .collect();
        let first = by_node[0].clone();
        Self {
            inputs,
            allow: Arc::new(allow),
            node: NodeId::FIRST,
            nodes,
            by_node,
            taken_legs: Arc::default(),
            standby: first.standby,
            channel_commands: first.channel_commands,
            stop,
            tasks,
            most,
            full: Arc::new(RateLimit::new(Duration::from_secs(60), 1)),
            warned: Arc::new(RateLimit::new(Duration::from_secs(60), 10)),
            ringing: Arc::default(),
            bridging: Arc::default(),
            lease_time: Arc::default(),
        }
    }

    /// For calls that are held at this FreeSWITCH.
    pub(super) fn at(mut self, node: NodeId) -> Self {
        if let Some(own) = self.by_node.get(node.index()).filter(|_| node != self.node).cloned() {
            self.node = node;
            self.standby = own.standby;
            self.channel_commands = own.channel_commands;
        }
        self
    }
}

/// Counts one call while it exists.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the calls of one FreeSWITCH share.
#[derive(Clone)]
struct OfNode {
    standby: Standby,
    channel_commands: ChannelCommands,
}
