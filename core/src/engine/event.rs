//! Events: everything that happened outside, as values.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::options::{CallOptions, OtherLegState, Ringing};
use super::policy::Policy;
use crate::types::push::{Payload, PushOutcome};
use crate::types::{Aor, CallId, DeviceKey, LegId, NotificationId, PushId, PushParams, Target, TokenType, UnixSeconds};
use crate::word_enum;

/// Something that happened outside. Duplicate and late events are ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A REGISTER was accepted, or a registration was read again after a reconnect.
    Registered(Registration),
    /// A registration was taken back, or its connection closed.
    Unregistered(Unregistration),
    /// FreeSWITCH says which registrations a user has: the answer to [`super::Command::AskRegistrations`].
    Listed(Listing),
    /// FreeSWITCH's OPTIONS ping found a registered phone reachable, or not.
    Pinged {
        /// Whose registration.
        aor: Aor,
        /// `Call-ID` of its REGISTER.
        call_id: Arc<str>,
        /// The Contact that was pinged, where it can be read.
        target: Option<Target>,
        /// What the ping found.
        reachable: bool,
    },
    /// FreeSWITCH is (again) connected, or profiles of its have started: registrations are about to be read. Resyncs
    /// are numbered upwards, and other events come between what they bring.
    ResyncBegan(u64),
    /// All registrations of these profiles were read: their bindings that neither this resync nor an event since it
    /// began has named are over.
    ResyncEnded(u64, Vec<Arc<str>>),
    /// FreeSWITCH handed over a channel to hold, or somebody asks for a wake ([`Handover::Request`]).
    CallHeld(HeldCall),
    /// Nobody waits any more for the answer to a wake that was asked for.
    AskerGone(CallId),
    /// What FreeSWITCH's directory says to [`DirectoryQuery::WhoseNumber`].
    UserFound {
        /// The held call.
        call: CallId,
        /// The id of the user whose number was dialled; `None` where it names nobody, or does not say in time.
        user: Option<Arc<str>>,
    },
    /// What FreeSWITCH's directory says to [`DirectoryQuery::WhoRings`].
    WhoRings {
        /// The call.
        call: CallId,
        /// Who does; `None`: it does not tell.
        ringing: Option<Ringing>,
    },
    /// The leg's originate was written to FreeSWITCH.
    LegDialed(LegId),
    /// 18x from the phone.
    LegRinging(LegId),
    /// 183 with media from a phone that was to ring alone: it is for the caller.
    LegEarlyMedia {
        /// The leg.
        leg: LegId,
        /// The codec of its media, where FreeSWITCH says.
        codec: Option<Arc<str>>,
    },
    /// 200 from the phone.
    LegAnswered {
        /// The leg that answered.
        leg: LegId,
        /// The codec it answered with (`variable_read_codec`), where FreeSWITCH says.
        codec: Option<Arc<str>>,
    },
    /// The leg is over, or never came to be.
    LegEnded {
        /// The leg.
        leg: LegId,
        /// Why.
        end: LegEnd,
    },
    /// FreeSWITCH confirmed that caller and leg are bridged, and was told that the call no longer needs us.
    Bridged(LegId),
    /// Caller and leg are bridged, and the phone has not been answered yet: the caller hears its early media.
    EarlyBridged(LegId),
    /// The leg could not be bridged; the caller is still held.
    BridgeFailed {
        /// The leg.
        leg: LegId,
        /// How it ended, where the phone itself ended it before the bridge stood.
        end: Option<LegEnd>,
    },
    /// Somebody else has the held channel: it was picked up, transferred, parked.
    CallTaken {
        /// The held call.
        call: CallId,
        /// By whom, or where to.
        how: Takeover,
    },
    /// The caller hung up, or whoever dialled the loopback cancelled it.
    CallerGone {
        /// The held call.
        call: CallId,
        /// FreeSWITCH's hangup cause.
        cause: Arc<str>,
    },
    /// How FreeSWITCH's own leg to a contact stands; the answer to [`super::CallOrder::AskOtherLeg`].
    OtherLegSeen {
        /// The held call.
        call: CallId,
        /// The contact.
        target: Target,
        /// How its leg stands.
        leg: OtherLegState,
    },
    /// The call's own connection ended without a hangup: FreeSWITCH goes on without us.
    ConnectionLost(CallId),
    /// A push ended; exactly one for every [`super::Command::Push`].
    PushEnded {
        /// The push.
        push: PushId,
        /// How.
        outcome: PushOutcome,
        /// When (UTC), to compare with the device's last REGISTER.
        at: UnixSeconds,
    },
    /// Somebody asks for a notification; the number comes back with its one answer.
    NotificationAsked(NotificationId, Notification),
    /// FreeSWITCH says what a mailbox holds; the number comes back with its one answer.
    MessagesWaiting(NotificationId, MessagesWaiting),
    /// The policy changed; held calls use it too.
    PolicyChanged(Box<Policy>),
    /// An operator wants a device forgotten.
    ForgetAsked(DeviceKey),
    /// Devices of this AOR may have been unseen for too long: the policy says.
    AgeCheckDue {
        /// The user.
        aor: Aor,
        /// When (UTC).
        at: UnixSeconds,
    },
    /// The daemon is stopping: calls that come now go back to the dialplan at once.
    Draining,
    /// The drain's time is over: every held call goes back to the dialplan.
    DrainTimeUp,
}

impl Event {
    /// The call that it is about, if it is about one.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::CallHeld(held) => Some(held.call),
            Self::LegDialed(leg) | Self::LegRinging(leg) | Self::Bridged(leg) | Self::EarlyBridged(leg) => {
                Some(leg.call)
            }
            Self::LegAnswered { leg, .. }
            | Self::LegEarlyMedia { leg, .. }
            | Self::LegEnded { leg, .. }
            | Self::BridgeFailed { leg, .. } => Some(leg.call),
            Self::CallerGone { call, .. }
            | Self::CallTaken { call, .. }
            | Self::UserFound { call, .. }
            | Self::WhoRings { call, .. }
            | Self::OtherLegSeen { call, .. }
            | Self::AskerGone(call)
            | Self::ConnectionLost(call) => Some(*call),
            _ => None,
        }
    }
}

/// One accepted registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `from-user` @ `from-host`.
    pub aor: Aor,
    /// `Call-ID` of the REGISTER.
    pub call_id: Arc<str>,
    /// Where the phone is, as a safe dial-string (`sofia/<profile>/<uri>`). `None`: the Contact was refused.
    pub target: Option<Target>,
    /// The Contact's push parameters, if any.
    pub push: Option<PushParams>,
    /// Whether the Contact was read whole and names no token: the phone does not want pushes (any more).
    pub wants_no_push: bool,
    /// `User-Agent`, as sent.
    pub user_agent: Arc<str>,
    /// How long the registration lasts.
    pub expires: Duration,
    /// When it was heard (UTC).
    pub at: UnixSeconds,
    /// How it was heard.
    pub source: Source,
}

/// How a registration came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `sofia::register` event: the phone was alive just now.
    Event,
    /// Read from FreeSWITCH after (re)connecting: alive at some time before. The number tells one resync from the next.
    Resync(u64),
    /// FreeSWITCH has said so about one user, when it was asked or when it ended: alive at some time before. The number
    /// tells to which question.
    Answer(u64),
}

/// The end of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unregistration {
    /// Whose.
    pub aor: Aor,
    /// `Call-ID` of its REGISTERs.
    pub call_id: Arc<str>,
    /// The Contact as a dial-string, where the event has one.
    pub target: Option<Target>,
    /// The Contact's push parameters, where the event has them.
    pub push: Option<PushParams>,
    /// `User-Agent`, where the event has it.
    pub user_agent: Arc<str>,
    /// When it was heard (UTC).
    pub at: UnixSeconds,
    /// What ended it.
    pub why: UnregisterWhy,
}

/// All registrations that a user has in some profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whose, as it was asked.
    pub aor: Aor,
    /// The number of the question.
    pub number: u64,
    /// The profiles that were asked.
    pub profiles: Vec<Arc<str>>,
    /// What they have, the one that lasts longest first.
    pub registrations: Vec<Registration>,
}

/// What ended a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnregisterWhy {
    /// The phone said so (`Expires: 0`).
    Explicit,
    /// Its TCP, TLS or WebSocket connection closed.
    ConnectionClosed,
    /// It ran out.
    Expired,
}

/// A question that only FreeSWITCH's directory can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DirectoryQuery {
    /// Whose number was dialled? It may be another name of a user's (`number-alias`). Asked where nobody is known by
    /// it.
    WhoseNumber,
    /// Who rings the phones that were registered when the call came? The user's dial-string says. Until it has, nobody
    /// else does; without an answer, [`CallOptions::ringing`] holds.
    WhoRings,
}

/// A channel that waits in our hands, or a wake that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldCall {
    /// Ours.
    pub call: CallId,
    /// Who is called.
    pub aor: Aor,
    /// Caller's number; may be empty.
    pub caller_number: Arc<str>,
    /// Caller's name; may be empty, any text.
    pub caller_name: Arc<str>,
    /// How it came to us.
    pub handover: Handover,
    /// When FreeSWITCH connected to us (UTC), for payloads.
    pub at: SystemTime,
    /// How long the call may ring by its own limit (`call_timeout`, ..), where it has one.
    pub max_wait: Option<Duration>,
    /// What its channel or dial-string asks for.
    pub options: CallOptions,
    /// What FreeSWITCH's directory is asked about it.
    pub query: Option<DirectoryQuery>,
    /// The Call-ID of the INVITE that follows, where whoever asks for a wake knows it: pushes carry it.
    pub sip_call_id: Option<Arc<str>>,
}

impl HeldCall {
    /// When FreeSWITCH connected to us.
    pub fn since(&self) -> UnixSeconds {
        let at = self
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        UnixSeconds::try_from(at).unwrap_or(UnixSeconds::MAX)
    }
}

/// A notification that somebody asks for: mod_apn's event, the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// For whom.
    pub aor: Aor,
    /// To which of the devices' tokens.
    pub token_type: TokenType,
    /// Only to devices of this app; `None` means all.
    pub app: Option<Arc<str>>,
    /// What it says.
    pub payload: Arc<Payload>,
    /// Which of the user's devices get it.
    pub audience: Audience,
    /// Who asks, for the journal: one word.
    pub by: &'static str,
    /// When (UTC).
    pub at: UnixSeconds,
}

/// Which of a user's devices get a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// All.
    #[default]
    All,
    /// Those that are not registered now: FreeSWITCH has told the others.
    Absent,
    /// Those whose app wants news of voicemail ([`super::policy::AppPolicy::voicemail_push`]).
    WantsVoicemail,
}

/// What FreeSWITCH says of a mailbox (event MESSAGE_WAITING).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagesWaiting {
    /// Whose.
    pub aor: Aor,
    /// What it holds.
    pub mailbox: Mailbox,
    /// Somebody has asked (a SUBSCRIBE, a REGISTER): nothing need have changed.
    pub is_answer: bool,
    /// When (UTC).
    pub at: UnixSeconds,
}

/// How many messages a mailbox holds (RFC 3842 section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// New ones.
    pub new: u32,
    /// Those that were heard and kept.
    pub saved: u32,
    /// New and urgent ones.
    pub new_urgent: u32,
    /// Urgent ones that were heard and kept.
    pub saved_urgent: u32,
}

word_enum! {
    /// How a channel came to us.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Handover {
        /// `socket` on the caller's own channel.
        #[default]
        Dialplan = "dialplan",
        /// A loopback channel of a dial-string.
        DialString = "dial-string",
        /// There is no channel: somebody asked for a wake, and gets the answer ([`super::Command::WakeEnded`]).
        Request = "request",
    }
}

/// What became of a held channel that somebody else took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It talks to another channel now: call pick-up, `intercept`, `uuid_bridge`.
    PickedUp {
        /// That channel's caller number; may be empty.
        by: Arc<str>,
    },
    /// It is parked: `uuid_park`.
    Parked,
    /// It is somewhere else in the dialplan: `uuid_transfer`, a valet's lot, a conference.
    Transferred {
        /// Its new destination number; may be empty.
        to: Arc<str>,
    },
}

/// Why a leg is over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LegEnd {
    /// FreeSWITCH's hangup cause, or the text behind `-ERR`.
    pub cause: Arc<str>,
    /// The SIP status that the phone ended it with, where there was one.
    pub sip_status: Option<u16>,
}

/// What the end of a leg says about the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its user said no (486, 600, 603).
    Declined {
        /// Busy rather than declined: what a caller hears when the decline ends the call.
        busy: bool,
    },
    /// Nobody is there, as far as FreeSWITCH can see: the phone has to be woken.
    Unreachable,
    /// It rang until the time was up.
    NoAnswer,
    /// It has none of the codecs that it was offered (488, 606).
    NoCommonCodec,
    /// It refused in another way: the phone, or whatever is at its address.
    Refused,
}

impl LegEnd {
    /// Somebody took the call that it was a leg of, or took it itself (`intercept`, call pick-up).
    pub fn is_picked_off(&self) -> bool {
        &*self.cause == "PICKED_OFF"
    }

    /// Reads the SIP status where there is one, else the cause (FreeSWITCH maps 403 and 603 to the same cause).
    pub fn verdict(&self) -> Verdict {
        match (self.sip_status, &*self.cause) {
            (Some(486 | 600), _) | (None, "USER_BUSY") => Verdict::Declined { busy: true },
            (Some(603 | 607), _) | (None, "CALL_REJECTED") => Verdict::Declined { busy: false },
            (Some(488 | 606), _) | (None, "INCOMPATIBLE_DESTINATION") => Verdict::NoCommonCodec,
            (_, "NO_ANSWER" | "ALLOTTED_TIMEOUT" | "PROGRESS_TIMEOUT") => Verdict::NoAnswer,
            // 408 and 503 are FreeSWITCH's own as well, when nobody hears it. 477 and 478 are a proxy's (Kamailio,
            // OpenSIPS).
            (None | Some(408 | 430 | 477 | 478 | 480 | 503), _) => Verdict::Unreachable,
            _ => Verdict::Refused,
        }
    }
}
