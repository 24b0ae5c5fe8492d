//! What all calls share: the only state that a call may change besides its own.

use std::collections::VecDeque;
use std::sync::Arc;

use super::command::Command;
use super::directory::{AorKey, Directory};
use super::ids::IdMap;
use super::limits::Callers;
use super::node::Nodes;
use super::policy::Policy;
use super::step::Step;
use crate::types::push::{PushError, PushReceipt};
use crate::types::{CallId, Device, DeviceKey, Moment, NotificationId, PushId, PushToken};

/// What all calls share. There is one, made with the engine; every call's step gets it, and no call gets another call.
#[derive(Clone, Debug)]
pub struct World {
    /// The moment of the event that is being handled.
    pub now: Moment,
    /// The settings.
    pub policy: Policy,
    /// All devices and bindings.
    pub directory: Directory,
    /// Which FreeSWITCHes can be reached.
    pub nodes: Nodes,
    /// Rate limits by caller.
    pub callers: Callers,
    /// Pushes under way.
    pub pushes: Pushes,
    /// Where commands go.
    pub out: VecDeque<Command>,
}

impl World {
    /// A world with these settings and devices.
    pub fn new(policy: Policy, devices: Vec<Device>) -> Self {
        let mut directory = Directory::new(policy.registrations_are_told);
        for device in devices {
            directory.restore(&device, false, &policy);
        }
        Self {
            now: Moment::default(),
            policy,
            directory,
            nodes: Nodes::default(),
            callers: Callers::default(),
            pushes: Pushes::default(),
            out: VecDeque::new(),
        }
    }
}

/// A push whose outcome is awaited.
#[derive(Clone, Debug)]
pub struct PendingPush {
    /// Whose device.
    pub key: AorKey,
    /// Which device.
    pub device: Arc<DeviceKey>,
    /// Who has to learn of its outcome.
    pub purpose: Purpose,
    /// When it was given to the provider.
    pub since: Moment,
}

impl PendingPush {
    /// Hashes what decides ([`super::digest`]).
    pub fn what_decides(&self) -> (&Purpose, &AorKey, &DeviceKey) {
        let Self {
            key,
            device,
            purpose,
            // For the journal.
            since: _,
        } = self;
        (purpose, key, device)
    }

    /// The journal's step for a push that was taken.
    pub fn accepted(&self, device: Arc<str>, receipt: &PushReceipt, now: Moment) -> Step {
        Step::PushAccepted {
            device,
            provider_id: receipt.provider_id.as_deref().map(Arc::from),
            status: receipt.status,
            attempts: receipt.attempts,
            took: now.since(self.since),
        }
    }

    /// The journal's step for a push that was not.
    pub fn refused(&self, device: Arc<str>, error: &PushError, now: Moment) -> Step {
        Step::PushRefused {
            device,
            reason: error.to_string().into(),
            class: error.class(),
            error: error.kind(),
            status: error.kind().status(),
            took: now.since(self.since),
        }
    }
}

/// What a push is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// It wakes a phone for this call, which has to learn of the outcome.
    Wake(CallId),
    /// News of a call's end: its outcome is ignored.
    News,
    /// It asks a phone to register again, by this token.
    Refresh(PushToken),
    /// A notification, which has to learn of the outcome, and the token that it went to.
    Notification(NotificationId, PushToken),
}

/// Pushes under way: every one of them ends in exactly one outcome.
#[derive(Clone, Debug, Default)]
pub struct Pushes {
    last: u64,
    pending: IdMap<PushId, PendingPush>,
}

impl Pushes {
    /// Numbers a push and records its purpose.
    pub fn begin(&mut self, push: PendingPush) -> PushId {
        self.last += 1;
        let id = PushId(self.last);
        self.pending.insert(id, push);
        id
    }

    /// A number for another daemon's push, whose end is not awaited.
    pub fn of_another(&mut self) -> PushId {
        self.last += 1;
        PushId(self.last)
    }

    /// All that are under way, in no order.
    pub fn under_way(&self) -> impl Iterator<Item = (PushId, &PendingPush)> {
        let Self {
            pending,
            // So that the next gets a new number.
            last: _,
        } = self;
        pending.iter().map(|(id, push)| (*id, push))
    }

    /// AORs are compared differently from now on.
    pub fn refile(&mut self, policy: &Policy) {
        for pending in self.pending.values_mut() {
            pending.key = AorKey::of(&pending.device.aor, policy);
        }
    }

    /// Ends a push. `None`: it had ended before.
    pub fn end(&mut self, id: PushId) -> Option<PendingPush> {
        self.pending.remove(&id)
    }
}
