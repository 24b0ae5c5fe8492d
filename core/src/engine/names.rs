//! The names of events and commands, for log lines and for tests that wait for one.

use super::command::Command;
use super::event::{DeviceChange, DirectoryQuery, Event, UnregisterWhy};
use super::order::CallOrder;
use crate::types::Aor;

impl Event {
    /// The variant's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Registered(_) => "Registered",
            Self::Unregistered(_) => "Unregistered",
            Self::Listed(_) => "Listed",
            Self::Pinged { .. } => "Pinged",
            Self::ResyncBegan(..) => "ResyncBegan",
            Self::ResyncEnded(..) => "ResyncEnded",
            Self::NodeLost(_) => "NodeLost",
            Self::PushedElsewhere { .. } => "PushedElsewhere",
            Self::CallHeld(_) => "CallHeld",
            Self::UserFound { .. } => "UserFound",
            Self::WhoRings { .. } => "WhoRings",
            Self::LegDialed(_) => "LegDialed",
            Self::LegRinging(_) => "LegRinging",
            Self::LegEarlyMedia { .. } => "LegEarlyMedia",
            Self::LegAnswered { .. } => "LegAnswered",
            Self::LegEnded { .. } => "LegEnded",
            Self::Bridged(_) => "Bridged",
            Self::EarlyBridged(_) => "EarlyBridged",
            Self::BridgeFailed { .. } => "BridgeFailed",
            Self::CallTaken { .. } => "CallTaken",
            Self::CallerGone { .. } => "CallerGone",
            Self::OtherLegSeen { .. } => "OtherLegSeen",
            Self::ConnectionLost(_) => "ConnectionLost",
            Self::AskerGone(_) => "AskerGone",
            Self::MessagesWaiting(..) => "MessagesWaiting",
            Self::PushEnded { .. } => "PushEnded",
            Self::NotificationAsked(..) => "NotificationAsked",
            Self::PolicyChanged(_) => "PolicyChanged",
            Self::DeviceChangedElsewhere(_) => "DeviceChangedElsewhere",
            Self::ForgetAsked(_) => "ForgetAsked",
            Self::AgeCheckDue { .. } => "AgeCheckDue",
            Self::Draining => "Draining",
            Self::DrainTimeUp => "DrainTimeUp",
        }
    }

    /// The AOR of an event that is not about a call, if it has one.
    pub fn aor(&self) -> Option<&Aor> {
        match self {
            Self::Registered(registration) => Some(&registration.aor),
            Self::Unregistered(end) => Some(&end.aor),
            Self::Listed(listing) => Some(&listing.aor),
            Self::CallHeld(held) => Some(&held.aor),
            Self::NotificationAsked(_, notification) => Some(&notification.aor),
            Self::MessagesWaiting(_, told) => Some(&told.aor),
            Self::DeviceChangedElsewhere(DeviceChange::Kept(device)) => Some(&device.aor),
            Self::DeviceChangedElsewhere(DeviceChange::Dropped { key, .. }) | Self::ForgetAsked(key) => Some(&key.aor),
            Self::Pinged { aor, .. } | Self::AgeCheckDue { aor, .. } => Some(aor),
            _ => None,
        }
    }
}

impl Command {
    /// The variant's name; of an order for a call, the order's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Call(_, order) => order.name(),
            Self::AskDirectory { query, .. } => match query {
                DirectoryQuery::WhoseNumber => "AskWhoseNumber",
                DirectoryQuery::WhoRings => "AskWhoRings",
            },
            Self::AskRegistrations { .. } => "AskRegistrations",
            Self::Push(_) => "Push",
            Self::StoreDevice(_) => "StoreDevice",
            Self::ForgetDevice { .. } => "ForgetDevice",
            Self::Answer(..) => "Answer",
            Self::Note(_) => "Note",
            Self::Count(_) => "Count",
            Self::Summarize(_) => "Summarize",
            Self::WakeEnded(_) => "WakeEnded",
        }
    }

    /// The AOR of a command that is not about a call, if it has one.
    pub fn aor(&self) -> Option<&Aor> {
        match self {
            Self::AskRegistrations { aor, .. } => Some(aor),
            Self::Push(push) => Some(&push.callee),
            Self::StoreDevice(device) => Some(&device.aor),
            Self::ForgetDevice { key, .. } => Some(&key.aor),
            _ => None,
        }
    }
}

impl CallOrder {
    /// The variant's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alert => "Alert",
            Self::Ring(_) => "Ring",
            Self::Kill { .. } => "Kill",
            Self::Connect(_) => "Connect",
            Self::CallUser(_) => "CallUser",
            Self::AskOtherLeg(_) => "AskOtherLeg",
            Self::Record { .. } => "Record",
            Self::Release { .. } => "Release",
            Self::Close => "Close",
        }
    }
}

impl UnregisterWhy {
    /// The variant's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Explicit => "Explicit",
            Self::ConnectionClosed => "ConnectionClosed",
            Self::Expired => "Expired",
        }
    }
}
