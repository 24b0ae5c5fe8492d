//! What a call may touch besides itself while it handles one event.

use std::collections::{HashMap, VecDeque};

use super::command::Command;
use super::directory::{AorKey, Directory};
use super::limits::Callers;
use super::policy::Policy;
use crate::types::{CallId, DeviceKey, Moment, PushId};

/// The call's surroundings for the time of one event.
pub struct World<'a> {
    /// The event's moment.
    pub now: Moment,
    /// The settings.
    pub policy: &'a Policy,
    /// All devices and bindings.
    pub directory: &'a mut Directory,
    /// Rate limits by caller.
    pub callers: &'a mut Callers,
    /// Pushes under way.
    pub pushes: &'a mut Pushes,
    /// Where commands go.
    pub out: &'a mut VecDeque<Command>,
}

/// A push whose outcome is awaited.
#[derive(Debug)]
pub struct PendingPush {
    /// For which call.
    pub call: CallId,
    /// Whose device.
    pub key: AorKey,
    /// Which device.
    pub device: DeviceKey,
    /// Whether it is a call push, which the call has to hear of.
    pub wakes: bool,
}

/// Pushes under way: every one of them ends in exactly one outcome.
#[derive(Debug, Default)]
pub struct Pushes {
    last: u64,
    pending: HashMap<PushId, PendingPush>,
}

impl Pushes {
    /// Numbers a push and remembers whom it is for.
    pub fn begin(&mut self, call: CallId, key: AorKey, device: DeviceKey, wakes: bool) -> PushId {
        self.last += 1;
        let id = PushId(self.last);
        self.pending.insert(
            id,
            PendingPush {
                call,
                key,
                device,
                wakes,
            },
        );
        id
    }

    /// Ends a push. `None`: it had ended before.
    pub fn end(&mut self, id: PushId) -> Option<PendingPush> {
        self.pending.remove(&id)
    }
}
