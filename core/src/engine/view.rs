//! What operators may see of the engine: copies, each made in bounded time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Engine;
use super::directory::{AorEntry, AorKey, Binding};
use super::event::Routing;
pub use super::party::PushState;
use crate::types::{Aor, CallId, Device, DeviceKey, Moment, NodeId, Target, TargetDigest};

/// A held call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallView {
    /// fswake's own id.
    pub call: CallId,
    /// Who is called.
    pub aor: Aor,
    /// How it came to us.
    pub routing: Routing,
    /// Caller's number; may be empty.
    pub caller_number: Arc<str>,
    /// Caller's name; may be empty, any text.
    pub caller_name: Arc<str>,
    /// Since when it is held (UTC).
    pub at: SystemTime,
    /// For how long it has been held.
    pub held: Duration,
    /// What is left of the wait.
    pub left: Duration,
    /// Whether a phone has answered and is being bridged, or the caller hears its early media.
    pub connecting: bool,
    /// Who could answer.
    pub parties: Vec<PartyView>,
}

/// A device or binding that could answer a held call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyView {
    /// The device; `None` for a phone without a token.
    pub device: Option<Arc<DeviceKey>>,
    /// Its name in logs and CDRs.
    pub label: Arc<str>,
    /// How it stands.
    pub state: PartyState,
    /// `User-Agent` of its last REGISTER; may be empty, any text.
    pub user_agent: Arc<str>,
    /// How many pushes were sent to it for this call.
    pub pushes: u32,
    /// The state of the last of them.
    pub last_push: Option<PushState>,
}

/// The state of one party of a held call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartyState {
    /// Answered.
    Answered,
    /// 18x received.
    Ringing,
    /// An INVITE is under way.
    Dialing,
    /// Registered for this call, and not dialled yet.
    Registered,
    /// A push is due later: the phone may be awake, or has been pushed for another call.
    PushDue,
    /// Pushed; no REGISTER yet.
    Pushed,
    /// Its token is not used.
    SetAside,
    /// Cannot be reached in this call.
    Unreachable,
    /// Declined, or rang and stopped.
    Out,
}

impl PartyState {
    /// The word that programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Ringing => "ringing",
            Self::Dialing => "dialing",
            Self::Registered => "registered",
            Self::PushDue => "push-due",
            Self::Pushed => "pushed",
            Self::SetAside => "set-aside",
            Self::Unreachable => "unreachable",
            Self::Out => "out",
        }
    }
}

impl PushState {
    /// The word that programs read.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted => "taken",
            Self::Logged => "logged",
            Self::Refused(_) => "refused",
        }
    }
}

/// What one AOR has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AorView {
    /// Its devices, oldest first.
    pub devices: Vec<Arc<Device>>,
    /// Its live contacts, oldest first.
    pub bindings: Vec<BindingView>,
}

/// A live contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingView {
    /// The device that it belongs to, if it has a token.
    pub device: Option<Arc<DeviceKey>>,
    /// Where it is.
    pub target: Target,
    /// When it runs out, from now on.
    pub expires_in: Duration,
    /// How long ago the phone last showed life, if known.
    pub heard_ago: Option<Duration>,
}

impl AorView {
    fn of(entry: &AorEntry, now: Moment) -> Self {
        let bindings = entry.bindings.iter().filter(|b| b.expires > now);
        Self {
            devices: entry.devices.iter().map(|d| d.device.clone()).collect(),
            bindings: bindings
                .map(|b| BindingView {
                    device: b.device.clone(),
                    target: b.target.clone(),
                    expires_in: b.expires.since(now),
                    heard_ago: b.alive.map(|at| now.since(at)),
                })
                .collect(),
        }
    }
}

impl Engine {
    /// How many devices are known.
    pub fn devices(&self) -> usize {
        self.world.directory.devices()
    }

    /// The names of all held calls, in no order.
    pub fn call_ids(&self) -> Vec<CallId> {
        self.calls.keys().copied().collect()
    }

    /// One held call.
    pub fn call(&self, id: CallId, now: Moment) -> Option<CallView> {
        Some(self.calls.get(&id)?.call.view(now, &self.world))
    }

    /// What an AOR has, by any name that a call may use for it.
    pub fn aor(&self, aor: &Aor, now: Moment) -> AorView {
        let entry = self.world.directory.look(&AorKey::of(aor, &self.world.policy));
        entry.map(|e| AorView::of(&e, now)).unwrap_or_default()
    }

    /// The address with this digest at which a phone of this AOR is registered at this FreeSWITCH.
    pub fn address(&self, aor: &Aor, node: NodeId, digest: &TargetDigest, now: Moment) -> Option<Target> {
        let entry = self.world.directory.look(&AorKey::of(aor, &self.world.policy))?;
        let here = |b: &&Binding| b.expires > now && b.target.node() == node;
        let mut targets = entry.bindings.iter().filter(here).map(|b| &b.target);
        targets.find(|target| target.digest() == *digest).cloned()
    }

    /// Whether a device is known.
    pub fn knows(&self, device: &DeviceKey) -> bool {
        self.aor_has(&AorKey::of(&device.aor, &self.world.policy), device)
    }

    fn aor_has(&self, key: &AorKey, device: &DeviceKey) -> bool {
        let entry = self.world.directory.look(key);
        entry.is_some_and(|e| e.devices.iter().any(|d| d.device.key() == *device))
    }
}
