//! Orders for a held call's own connection, which carries them out one after another.

use std::sync::Arc;
use std::time::Duration;

use super::command::HoldResult;
use super::event::LegEnd;
use super::node::Via;
use crate::types::{Aor, LegId, Target};

/// An order for one call's connection. Orders are carried out in order; [`CallOrder::Release`] and [`CallOrder::Close`]
/// are the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOrder {
    /// Send the caller ringing (`ring_ready`). Once per call.
    Alert,
    /// Originate a leg. Boxed: every held call has a queue with room for 32 orders.
    Ring(Box<Ring>),
    /// Hang a leg up with this cause.
    Kill {
        /// The leg.
        leg: LegId,
        /// FreeSWITCH's cause: with `LOSE_RACE` the phone shows "Call completed elsewhere".
        cause: Cause,
    },
    /// Answer the caller with the leg's codec and bridge the two. Ends in `Bridged` or `BridgeFailed`. With early media
    /// the caller is not answered, and it ends in `EarlyBridged`.
    Connect(Connect),
    /// From now on the call is for this user: the dialled number is an alias.
    CallUser(Aor),
    /// Ask for the state of FreeSWITCH's own leg to this contact. Ends in `OtherLegSeen`.
    AskOtherLeg(Target),
    /// Channel variables for the call's own record (CDR): written with the next command to its channel.
    Record {
        /// What to write.
        record: Box<Record>,
        /// Write it now: there may be no further command before the caller hangs up.
        at_once: bool,
    },
    /// Hand the channel back: the dialplan goes on with its next action.
    Release {
        /// Why; also the channel variable `fswake_result`.
        result: HoldResult,
        /// What the dialplan's own bridge does next.
        next: Next,
    },
    /// The connection is not needed any more: close it.
    Close,
}

impl CallOrder {
    /// Whether the connection has nothing more to do after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Release { .. } | Self::Close)
    }

    /// What remains to do if the call's connection is gone: end the leg that it had to end or to bridge.
    pub fn leg_to_end(&self) -> Option<(LegId, Cause)> {
        match self {
            Self::Kill { leg, cause } => Some((*leg, cause.clone())),
            Self::Connect(connect) => Some((connect.leg, Cause::NOBODY_THERE)),
            _ => None,
        }
    }
}

/// A leg to be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The leg; its channel is [`LegId::channel`].
    pub leg: LegId,
    /// Where to: a safe dial-string.
    pub target: Target,
    /// Which way.
    pub via: Via,
    /// The callee as dialled by whoever carries the leg on.
    pub aor: Aor,
    /// The INVITE's Call-ID: the one that the device's push carried.
    pub sip_call_id: Arc<str>,
    /// How long it may ring.
    pub timeout: Duration,
    /// How long it may stay answered without a bridge.
    pub park_timeout: Duration,
    /// Offer any codec: the phone supports none of the caller's.
    pub any_codec: bool,
    /// It rings alone: the caller hears its early media.
    pub early_media: bool,
}

/// A leg to be bridged with the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The leg that answered, or that has early media.
    pub leg: LegId,
    /// Its codec.
    pub codec: Option<Arc<str>>,
    /// It has early media: the caller is not answered yet.
    pub early: bool,
}

/// What a call's own record contains about its wake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How many pushes were sent for it.
    pub pushes: u32,
    /// From the hold to the REGISTER of the first phone that was woken.
    pub wake: Option<Duration>,
    /// Who answered, else who was woken: the device's label, or `binding`.
    pub device: Option<Arc<str>>,
    /// FreeSWITCH rings registered phones: the dialplan's bridge must not ring them again.
    pub rung_by_freeswitch: bool,
}

/// What the dialplan's own `bridge` does with a call that was handed back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It rings the phones, for this long if the call has a limit of its own.
    Ring(Option<Duration>),
    /// It fails with the phones' cause, as if it had rung them itself: no phone rings twice.
    Fail {
        /// FreeSWITCH's cause.
        cause: Arc<str>,
        /// The SIP status of the phone that gave the cause, where there was one.
        sip_status: Option<u16>,
    },
}

impl Next {
    /// It fails as this leg did.
    pub fn fails(end: &LegEnd) -> Self {
        Self::Fail {
            cause: end.cause.clone(),
            sip_status: end.sip_status,
        }
    }
}

/// A hangup cause as FreeSWITCH names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One that the engine chose.
    Ours(&'static str),
    /// The cause with which the caller ended.
    PassedOn(Arc<str>),
}

impl Cause {
    /// Another phone, or somebody else, has the call: the phone shows "Call completed elsewhere".
    pub const COMPLETED_ELSEWHERE: Self = Self::Ours("LOSE_RACE");
    /// How a leg ends whose caller is gone.
    pub const NOBODY_THERE: Self = Self::Ours("ORIGINATOR_CANCEL");

    /// The cause; text from FreeSWITCH when it is passed on.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ours(cause) => cause,
            Self::PassedOn(cause) => cause,
        }
    }
}
