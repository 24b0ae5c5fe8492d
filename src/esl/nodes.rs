//! The FreeSWITCHes that fswake serves, while it runs: where they are, whether they are connected, and which of them a
//! held call belongs to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::endpoint::Settings;
use super::leg_token::{ClusterKey, Refusal};
use crate::types::NodeId;

/// All of them. There is at least one.
#[derive(Clone)]
pub struct Nodes {
    all: Arc<[Node]>,
    key: Option<Arc<ClusterKey>>,
    refused: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

/// One FreeSWITCH.
pub struct Node {
    /// Its place in the configuration.
    pub id: NodeId,
    /// Its name; empty for the only one of a `[freeswitch]` without a name.
    pub name: Arc<str>,
    /// Where it is, and how its events are parsed.
    pub settings: watch::Receiver<Settings>,
    /// Whether it is connected and all its registrations were read.
    is_up: watch::Sender<bool>,
    identity: Mutex<Identity>,
}

/// What tells its connections from those of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Identity {
    /// FreeSWITCH's own id, new at each of its starts. Only who can log in to its event socket learns it.
    core: Option<String>,
    /// The addresses of its event socket.
    addresses: Vec<IpAddr>,
}

impl Nodes {
    /// With these names and settings, in the order of the configuration.
    pub fn new(all: Vec<(Arc<str>, watch::Receiver<Settings>)>, key: Option<ClusterKey>) -> Self {
        let node = |(n, (name, settings)): (usize, _)| Node {
            id: NodeId(u16::try_from(n).unwrap_or(u16::MAX)),
            name,
            settings,
            is_up: watch::channel(false).0,
            identity: Mutex::default(),
        };
        Self {
            all: all.into_iter().enumerate().map(node).collect(),
            key: key.map(Arc::new),
            refused: Arc::default(),
        }
    }

    /// Counts a leg from another FreeSWITCH that was refused.
    pub fn refused_leg(&self, why: Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(why.name()).or_default() += 1;
    }

    /// How many legs were refused since the start, by reason.
    pub fn refused_legs(&self) -> BTreeMap<&'static str, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.all.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// One of them.
    pub fn get(&self, id: NodeId) -> &Node {
        self.all.get(id.index()).unwrap_or(&self.all[0])
    }

    /// The one with this name.
    pub fn named(&self, name: &str) -> Option<&Node> {
        self.all.iter().find(|node| *node.name == *name)
    }

    /// Whether at least one is connected.
    pub fn any_up(&self) -> bool {
        self.all.iter().any(Node::is_up)
    }

    /// What signs legs from one to another.
    pub fn key(&self) -> Option<&ClusterKey> {
        self.key.as_deref()
    }

    /// The FreeSWITCH that a held channel is of: by the id that it had when fswake logged in to it, else by the address
    /// that the connection came from. `None`: none of them.
    pub fn of_connection(&self, core: Option<&str>, peer: IpAddr) -> Option<NodeId> {
        if self.all.len() == 1 {
            return Some(NodeId::FIRST);
        }
        let core = core?;
        let by_core = self
            .all
            .iter()
            .find(|node| node.identity().core.as_deref() == Some(core));
        if let Some(node) = by_core {
            return Some(node.id);
        }
        // It has just started: its event socket's connection is not up again.
        let mut there = self
            .all
            .iter()
            .filter(|node| node.identity().addresses.contains(&peer.to_canonical()));
        let node = there.next()?;
        there.next().is_none().then_some(node.id)
    }
}

impl Node {
    /// Whether it is connected and all its registrations were read.
    pub fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Its state, to wait for.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.is_up.subscribe()
    }

    /// All its registrations were read.
    pub fn set_up(&self) {
        self.is_up.send_replace(true);
    }

    /// It is not connected any more. Returns whether it was up.
    pub fn set_down(&self) -> bool {
        self.is_up.send_replace(false)
    }

    /// What its event socket says of it.
    pub fn identify(&self, core: &str, addresses: Vec<IpAddr>) {
        *self.lock() = Identity {
            core: Some(core.to_owned()).filter(|core| !core.is_empty()),
            addresses: addresses.iter().map(IpAddr::to_canonical).collect(),
        };
    }

    /// Whether both are the same FreeSWITCH.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let core = self.identity().core;
        core.is_some() && core == other.identity().core
    }

    /// Its event socket's address, for people.
    pub fn address(&self) -> String {
        let settings = self.settings.borrow();
        format!("{}:{}", settings.endpoint.host, settings.endpoint.port)
    }

    /// What people call it: its name, or its event socket's address.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            self.address()
        } else {
            self.name.to_string()
        }
    }

    fn identity(&self) -> Identity {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
