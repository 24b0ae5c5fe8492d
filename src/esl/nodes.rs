//! The FreeSWITCHes that fswake serves, while it runs: where they are, whether they are connected, and which of them a
//! held call belongs to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::bonds::Bonds;
use super::directory::Directory;
use super::encode;
use super::endpoint::Settings;
use super::event_socket::EventSocket;
use super::leg_token::{ClusterKey, Refusal};
use super::peers::Peers;
use crate::clock::unix_now;
use crate::types::{NodeId, UnixSeconds};
use crate::words;

/// For how long a FreeSWITCH may be unreachable before what rings through it, or on its behalf, ends. A reconnection
/// takes less.
pub const LOST: Duration = Duration::from_secs(1);

/// How long a claim is remembered.
const CLAIMED: Duration = Duration::from_secs(60);

/// All of them. There is at least one.
#[derive(Clone)]
pub struct Nodes(Arc<Inner>);

/// What all clones share.
pub struct Inner {
    all: Box<[Node]>,
    key: Option<ClusterKey>,
    /// The other fswakes.
    pub peers: Peers,
    /// Channels whose call depends on another FreeSWITCH.
    pub bonds: Bonds,
    refused: Mutex<BTreeMap<&'static str, RefusedLegs>>,
    identifying: Mutex<()>,
}

impl Deref for Nodes {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Legs that were refused for one reason.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RefusedLegs {
    count: u64,
    /// When the last one was.
    last_at: UnixSeconds,
}

/// One FreeSWITCH.
pub struct Node {
    /// Its place in the configuration.
    pub id: NodeId,
    /// Its name; empty for the only one of a `[freeswitch]` without a name.
    pub name: Arc<str>,
    /// Where it is, and how its events are parsed.
    pub settings: watch::Receiver<Settings>,
    /// Its event socket, for short questions and orders.
    pub socket: EventSocket,
    /// Its directory.
    pub directory: Directory,
    /// Whether it is connected and all its registrations were read.
    is_up: AtomicBool,
    identity: Mutex<Identity>,
    held: Arc<AtomicUsize>,
    registrations: AtomicU64,
}

/// A call that is held at one of them, as long as this exists.
pub struct HeldAt(Arc<AtomicUsize>);

impl Drop for HeldAt {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What tells its connections from those of others.
#[derive(Debug, Default)]
struct Identity {
    /// FreeSWITCH's own id, new at each of its starts. Only who can log in to its event socket learns it.
    core: Option<String>,
    /// The addresses of its event socket.
    addresses: Vec<IpAddr>,
    /// fswake is logged in to it.
    is_connected: bool,
    /// Since when it is, or is not any more.
    since: Option<Instant>,
}

impl Nodes {
    /// With these names and settings, in the order of the configuration.
    pub fn new(all: Vec<(Arc<str>, watch::Receiver<Settings>)>, key: Option<ClusterKey>, peers: Peers) -> Self {
        let node = |(n, (name, settings)): (usize, (Arc<str>, watch::Receiver<Settings>))| {
            let known = settings.clone();
            let socket = EventSocket::new(move || known.borrow().endpoint.clone());
            Node {
                id: NodeId(u16::try_from(n).unwrap_or(u16::MAX)),
                name,
                directory: Directory::new(socket.clone()),
                socket,
                settings,
                is_up: AtomicBool::new(false),
                identity: Mutex::default(),
                held: Arc::default(),
                registrations: AtomicU64::new(0),
            }
        };
        Self(Arc::new(Inner {
            all: all.into_iter().enumerate().map(node).collect(),
            key,
            peers,
            bonds: Bonds::default(),
            refused: Mutex::default(),
            identifying: Mutex::default(),
        }))
    }
}

impl Inner {
    /// Counts a leg from another FreeSWITCH that was refused.
    pub fn refused_leg(&self, why: Refusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.entry(why.name()).or_default();
        refused.count += 1;
        refused.last_at = unix_now();
    }

    /// The legs that were refused since the start, by reason.
    pub fn refused_legs(&self) -> BTreeMap<&'static str, RefusedLegs> {
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

    /// Notes what the event socket of one says of it.
    ///
    /// # Errors
    /// If another is the same FreeSWITCH, and came first: its name.
    pub fn identify(&self, id: NodeId, core: &str, addresses: &[IpAddr]) -> Result<(), Arc<str>> {
        // One after the other: two that connect at the same time must see each other.
        let _one_at_a_time = self.identifying.lock().unwrap_or_else(PoisonError::into_inner);
        let is_twin = |other: &&Node| {
            let identity = other.lock();
            other.id != id && identity.is_connected && identity.core.as_deref() == Some(core)
        };
        if let Some(twin) = self.all.iter().find(is_twin) {
            return Err(Arc::clone(&twin.name));
        }
        *self.get(id).lock() = Identity {
            core: Some(core.to_owned()).filter(|core| !core.is_empty()),
            addresses: addresses.iter().map(IpAddr::to_canonical).collect(),
            is_connected: true,
            since: Some(Instant::now()),
        };
        Ok(())
    }

    /// Whether no other fswake listens to any of them.
    pub fn are_alone(&self) -> bool {
        self.all.iter().all(|node| self.peers.is_alone_at(node.id))
    }

    /// [`Node::claim`], at the first that is connected: mostly the same one for all fswakes.
    pub async fn claim(&self, name: &str) -> bool {
        match self.all.iter().find(|node| node.is_up()) {
            Some(node) => node.claim(name).await,
            None => true,
        }
    }

    /// What signs legs from one to another.
    pub fn key(&self) -> Option<&ClusterKey> {
        self.key.as_ref()
    }

    /// The FreeSWITCH that a held channel is of: by the id that it had when fswake logged in to it, else by the address
    /// that the connection came from. `None`: none of them.
    pub fn of_connection(&self, core: Option<&str>, peer: IpAddr) -> Option<NodeId> {
        if self.all.len() == 1 {
            return Some(NodeId::FIRST);
        }
        let core = core?;
        let by_core = |node: &&Node| node.lock().core.as_deref() == Some(core);
        if let Some(node) = self.all.iter().find(by_core) {
            return Some(node.id);
        }
        // It has just started: its event socket's connection is not up again.
        let peer = peer.to_canonical();
        let mut there = self.all.iter().filter(|node| node.lock().addresses.contains(&peer));
        let node = there.next()?;
        there.next().is_none().then_some(node.id)
    }
}

impl Node {
    /// The id that FreeSWITCH has given itself at its start, once it is known.
    pub fn core(&self) -> Option<String> {
        self.lock().core.clone()
    }

    /// Whether it has given itself another id since it had this one.
    pub fn has_restarted_since(&self, core: &str) -> bool {
        self.lock().core.as_deref().is_some_and(|now| now != core)
    }

    /// For how long it has not been connected; `None` while it is.
    pub fn down_for(&self) -> Option<Duration> {
        let identity = self.lock();
        (!identity.is_connected).then(|| identity.since.map(|since| since.elapsed()))?
    }

    /// Whether it is connected and all its registrations were read.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// All its registrations were read.
    pub fn set_up(&self) {
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// It is not connected any more. Returns whether it was, and whether it was up.
    pub fn set_down(&self) -> (bool, bool) {
        let mut identity = self.lock();
        let was_connected = std::mem::take(&mut identity.is_connected);
        if was_connected {
            identity.since = Some(Instant::now());
        }
        drop(identity);
        (was_connected, self.is_up.swap(false, Ordering::Relaxed))
    }

    /// Takes on what one of several fswakes has to do, by a name that is the same for all. `false`: another has taken
    /// it on. If FreeSWITCH cannot say, it is done: rather twice than never.
    pub async fn claim(&self, name: &str) -> bool {
        let [claim, forget] = encode::take_once(name, CLAIMED);
        match self.socket.api(&claim).await {
            Ok(answer) if encode::is_taken(&answer) => return false,
            Ok(_) => _ = self.socket.api(&forget).await,
            Err(error) => debug!(error = words::of_io(&error), "cannot ask FreeSWITCH who answers"),
        }
        true
    }

    /// Counts a call that it holds, until the value is dropped.
    pub fn hold(&self) -> HeldAt {
        self.held.fetch_add(1, Ordering::Relaxed);
        HeldAt(Arc::clone(&self.held))
    }

    /// Counts a REGISTER at it.
    pub fn count_register(&self) {
        self.registrations.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls it holds now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How many REGISTERs there were at it since the start.
    pub fn registrations(&self) -> u64 {
        self.registrations.load(Ordering::Relaxed)
    }

    /// Its event socket's address, for people.
    pub fn address(&self) -> String {
        let settings = self.settings.borrow();
        format!("{}:{}", settings.endpoint.host, settings.endpoint.port)
    }

    /// Its name, if it has one.
    pub fn own_name(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| !name.is_empty())
    }

    /// What people call it: its name, or its event socket's address.
    pub fn label(&self) -> String {
        self.own_name().map_or_else(|| self.address(), str::to_owned)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
