//! The engine's commands. Each command's effect comes back as one event at most.

use std::sync::Arc;
use std::time::Duration;

use super::count::Count;
use super::event::{DirectoryQuery, Routing};
use super::order::CallOrder;
use super::step::Step;
use super::wake_report::WakeReport;
use crate::types::push::{PushError, PushReceipt, PushRequest};
use crate::types::{Aor, CallId, Device, DeviceKey, NodeId, NotificationId, UnixMicros};
use crate::word_enum;

/// A command, in the order of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An order for the call's own connection.
    Call(CallId, CallOrder),
    /// Ask FreeSWITCH's directory. Ends in `UserFound` or `WhoRings`, or in nothing.
    AskDirectory {
        /// The call.
        call: CallId,
        /// What was dialled.
        aor: Aor,
        /// The question.
        query: DirectoryQuery,
    },
    /// Ask FreeSWITCH which registrations a user has, after it has finished what its last event announced. Ends in
    /// `Listed`, or in nothing if FreeSWITCH cannot be asked.
    AskRegistrations {
        /// The FreeSWITCH to ask.
        node: NodeId,
        /// The user's AOR as registered.
        aor: Aor,
        /// Returned with the answer.
        number: u64,
        /// The profiles to ask.
        profiles: Vec<Arc<str>>,
    },
    /// Send a push. Ends in `PushEnded`.
    Push(Box<PushRequest>),
    /// Write a device to the store.
    StoreDevice(Arc<Device>),
    /// Remove a device from the store.
    ForgetDevice {
        /// Which.
        key: Arc<DeviceKey>,
        /// When it was dropped. A later REGISTER at another daemon overrules it.
        changed: UnixMicros,
        /// Why, for the log.
        why: &'static str,
    },
    /// The result of a notification; exactly one for each.
    Answer(NotificationId, Delivery),
    /// What came of a wake that somebody asked for; exactly one for each.
    WakeEnded(Box<WakeReport>),
    /// A step in the life of a wake, for the journal and the debug log.
    Note(Note),
    /// Something to count.
    Count(Count),
    /// The call, or the wake that was asked for, is over: one line for the log.
    Summarize(Box<Summary>),
}

impl Command {
    /// The call that it is about, if any.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Call(call, _) | Self::AskDirectory { call, .. } => Some(*call),
            Self::Push(push) => push.call().map(|about| about.call),
            Self::Note(note) => note.call,
            Self::Summarize(summary) => Some(summary.call),
            Self::WakeEnded(report) => Some(report.call),
            Self::StoreDevice(_)
            | Self::ForgetDevice { .. }
            | Self::AskRegistrations { .. }
            | Self::Answer(..)
            | Self::Count(_) => None,
        }
    }
}

word_enum! {
    /// Why a call goes back to the dialplan.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum HoldResult {
        /// Caller and callee are connected. Never released with it; set on the channel for CDRs.
        Connected = "connected",
        /// A phone rang, and nobody answered within the wait.
        Timeout = "timeout",
        /// The callee has neither a device nor a binding.
        NoDevice = "no-device",
        /// No phone rang: none registered in time, or none is left that could.
        Unreachable = "unreachable",
        /// Every device declined, or the last that could ring did.
        Declined = "declined",
        /// Something broke here.
        Error = "error",
        /// The daemon is stopping.
        Draining = "draining",
        /// The caller hung up first.
        Abandoned = "abandoned",
        /// Somebody else took the call: pick-up, transfer, another phone of a ring group.
        Taken = "taken",
        /// A phone can be rung now, and the dialplan rings it (wake-only mode).
        Woken = "woken",
        /// Somebody else handles this call: nothing was done (`originate_reg_token`).
        HandsOff = "hands-off",
    }
}

/// One step in the life of a wake, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The call, if it is about one.
    pub call: Option<CallId>,
    /// Whose.
    pub aor: Aor,
    /// The step.
    pub step: Step,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The call.
    pub call: CallId,
    /// Who was called.
    pub aor: Aor,
    /// How it came to us.
    pub routing: Routing,
    /// How it ended.
    pub result: HoldResult,
    /// How many devices and bindings were considered.
    pub devices: u32,
    /// How many of them have a push token.
    pub mobiles: u32,
    /// How many pushes were sent for it.
    pub pushes: u32,
    /// How many legs were rung.
    pub legs: u32,
    /// Who answered: the device's label, or `binding` for a phone without a token.
    pub answered_by: Option<Arc<str>>,
    /// From the hold to the end of it.
    pub held: Duration,
    /// From the hold to the first push.
    pub call_to_push: Option<Duration>,
    /// From the first push to the REGISTER of a device that was pushed.
    pub push_to_register: Option<Duration>,
    /// From that REGISTER to the INVITE to it.
    pub register_to_invite: Option<Duration>,
}

/// The result of a notification, device by device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// The devices that it was for, in the order in which they ended.
    pub devices: Vec<DeviceDelivery>,
    /// Why it was for no device, if it was.
    pub nobody: Option<Nobody>,
}

impl Delivery {
    /// How many devices' providers accepted it. mod_apn's "sent" means one or more.
    pub fn sent(&self) -> usize {
        self.devices.iter().filter(|d| d.outcome.is_ok()).count()
    }
}

/// The result of a notification for one device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceDelivery {
    /// The device's label ([`DeviceKey::label`]).
    pub device: Arc<str>,
    /// The provider's receipt, or why there is none.
    pub outcome: Result<PushReceipt, NotSent>,
}

/// Why a device did not get a notification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NotSent {
    /// The push was refused or not delivered in time.
    Push(PushError),
    /// Its token is set aside until its next REGISTER, for this reason.
    SetAside(Arc<str>),
    /// The device's limit per minute is reached.
    Limited,
}

impl std::fmt::Display for NotSent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Push(error) => error.fmt(f),
            Self::SetAside(reason) => write!(f, "its token is set aside until its next REGISTER: {reason}"),
            Self::Limited => f.write_str("the limit of notifications per minute is reached"),
        }
    }
}

/// Why a notification was for no device at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nobody {
    /// No device of this user is known, or no such user.
    NoDevice,
    /// None of the user's devices has the app.
    NoSuchApp,
    /// None of them has a token of the type.
    NoToken,
    /// All of them are registered, and it was only for unregistered ones.
    AllPresent,
    /// It was about voicemail, and no app of the user's devices wants to know.
    NotWanted,
    /// It was about voicemail, and nothing has changed.
    Unchanged,
}

impl Nobody {
    /// The word for logs, answers and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoDevice => "no-device",
            Self::NoSuchApp => "no-such-app",
            Self::NoToken => "no-token",
            Self::AllPresent => "all-registered",
            Self::NotWanted => "not-wanted",
            Self::Unchanged => "unchanged",
        }
    }
}
