//! Events: everything that happened outside, as values.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::options::{CallOptions, OtherLegState, Ringing};
use super::policy::Policy;
use crate::types::push::{Payload, PushOutcome};
use crate::types::{
    Aor, CallId, Device, DeviceKey, LegId, NodeId, NotificationId, PublicId, PushId, PushParams, Target, TokenType,
    UnixMicros, UnixSeconds,
};
use crate::word_enum;

/// Something that happened outside. Duplicate and late events are ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A REGISTER was accepted, or a registration was read again after a reconnect.
    Registered(Registration),
    /// A registration was removed, or its connection closed.
    Unregistered(Unregistration),
    /// The registrations that FreeSWITCH has for a user: the answer to [`super::Command::AskRegistrations`].
    Listed(Listing),
    /// FreeSWITCH's OPTIONS ping found a registered phone reachable, or not.
    Pinged {
        /// The FreeSWITCH that pinged it.
        node: NodeId,
        /// Whose registration.
        aor: Aor,
        /// `Call-ID` of its REGISTER.
        call_id: Arc<str>,
        /// The Contact that was pinged, if it can be parsed.
        target: Option<Target>,
        /// What the ping found.
        reachable: bool,
    },
    /// This FreeSWITCH is connected (again), or some of its profiles have started: registrations are about to be read.
    /// Resyncs of all FreeSWITCHes are numbered upwards together, and other events may come in between.
    ResyncBegan(NodeId, u64),
    /// All registrations of these profiles of this FreeSWITCH were read. Its bindings that neither this resync nor an
    /// event since its start has named are over. From now on its phones can be rung from the others.
    ResyncEnded(NodeId, u64, Vec<Arc<str>>),
    /// This FreeSWITCH is not connected any more. Its bindings stay, and are not rung from the others.
    NodeLost(NodeId),
    /// FreeSWITCH handed over a channel to hold, or somebody asks for a wake ([`Routing::Request`]).
    CallHeld(HeldCall),
    /// Nobody waits any more for the answer to a wake that was asked for.
    AskerGone(CallId),
    /// The directory's answer to [`DirectoryQuery::WhoseNumber`].
    UserFound {
        /// The held call.
        call: CallId,
        /// The id of the user whose number was dialled; `None` if nobody has it, or the answer is late.
        user: Option<Arc<str>>,
    },
    /// The directory's answer to [`DirectoryQuery::WhoRings`].
    WhoRings {
        /// The call.
        call: CallId,
        /// Who rings; `None`: unknown.
        ringing: Option<Ringing>,
    },
    /// The leg's originate was written to FreeSWITCH.
    LegDialed(LegId),
    /// 18x from the phone.
    LegRinging(LegId),
    /// 183 with media from a phone that was to ring alone: the caller hears it.
    LegEarlyMedia {
        /// The leg.
        leg: LegId,
        /// The codec of its media, if FreeSWITCH names it.
        codec: Option<Arc<str>>,
    },
    /// 200 from the phone.
    LegAnswered {
        /// The leg that answered.
        leg: LegId,
        /// The codec it answered with (`variable_read_codec`), if FreeSWITCH names it.
        codec: Option<Arc<str>>,
    },
    /// The leg is over, or was never made.
    LegEnded {
        /// The leg.
        leg: LegId,
        /// Why.
        end: LegEnd,
    },
    /// FreeSWITCH has confirmed the bridge, and knows that the call no longer needs this connection.
    Bridged(LegId),
    /// Caller and leg are bridged before the answer: the caller hears the phone's early media.
    EarlyBridged(LegId),
    /// The leg could not be bridged; the caller is still held.
    BridgeFailed {
        /// The leg.
        leg: LegId,
        /// How it ended, if the phone itself ended it before the bridge was made.
        end: Option<LegEnd>,
    },
    /// Somebody else has the held channel: it was picked up, transferred or parked.
    CallTaken {
        /// The held call.
        call: CallId,
        /// By whom, or where to.
        how: Takeover,
    },
    /// The caller hung up, or the channel that dialled the loopback cancelled it.
    CallerGone {
        /// The held call.
        call: CallId,
        /// FreeSWITCH's hangup cause.
        cause: Arc<str>,
    },
    /// The state of FreeSWITCH's own leg to a contact; the answer to [`super::CallOrder::AskOtherLeg`].
    OtherLegSeen {
        /// The held call.
        call: CallId,
        /// The contact.
        target: Target,
        /// The leg's state.
        leg: OtherLegState,
    },
    /// The call's own connection ended without a hangup: FreeSWITCH goes on with the dialplan.
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
    /// A request for a notification; the number is returned with its one answer.
    NotificationAsked(NotificationId, Notification),
    /// FreeSWITCH says what a mailbox holds; the number comes back with its one answer.
    MessagesWaiting(NotificationId, MessagesWaiting),
    /// The policy changed; held calls use it too.
    PolicyChanged(Box<Policy>),
    /// Another daemon has changed a device in the store that all share.
    DeviceChangedElsewhere(DeviceChange),
    /// Another daemon has just pushed a phone for a call.
    PushedElsewhere {
        /// Whose phone.
        aor: Aor,
        /// Which phone.
        device: PublicId,
        /// The caller's number, if the push counts for the caller's limit.
        caller: Option<Arc<str>>,
    },
    /// An operator wants a device forgotten.
    ForgetAsked(DeviceKey),
    /// Devices of this AOR may be older than the policy's limit.
    AgeCheckDue {
        /// The user.
        aor: Aor,
        /// When (UTC).
        at: UnixSeconds,
    },
    /// The daemon is stopping: new calls go back to the dialplan at once.
    Draining,
    /// The drain's time is over: every held call goes back to the dialplan.
    DrainTimeUp,
}

impl Event {
    /// The same, as it was said by this FreeSWITCH. Parsers do not know which one they read.
    #[must_use]
    pub fn at(mut self, node: NodeId) -> Self {
        let place = |target: &mut Option<Target>| *target = target.take().map(|target| target.at(node));
        match &mut self {
            Self::Registered(registration) => place(&mut registration.target),
            Self::Unregistered(end) => {
                end.node = node;
                place(&mut end.target);
            }
            Self::Listed(listing) => {
                listing.node = node;
                for registration in &mut listing.registrations {
                    place(&mut registration.target);
                }
            }
            Self::Pinged { node: at, target, .. } => {
                *at = node;
                place(target);
            }
            Self::ResyncBegan(at, _) | Self::ResyncEnded(at, ..) | Self::NodeLost(at) => *at = node,
            Self::CallHeld(held) => held.node = node,
            _ => {}
        }
        self
    }

    /// The call that it is about, if any.
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

/// Another daemon's change of a device. It may be older than what is known here: the later change counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// The device as it is now.
    Kept(Arc<Device>),
    /// The device was dropped: nobody owns its token.
    Dropped {
        /// Which.
        key: DeviceKey,
        /// When it was dropped.
        changed: UnixMicros,
    },
}

/// One accepted registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `from-user` @ `from-host`.
    pub aor: Aor,
    /// `Call-ID` of the REGISTER.
    pub call_id: Arc<str>,
    /// Where the phone is, as a safe dial-string (`sofia/<profile>/<uri>`). `None`: the Contact was rejected.
    pub target: Option<Target>,
    /// The Contact's push parameters, if any.
    pub push: Option<PushParams>,
    /// Whether the Contact is complete and has no token: the phone does not want pushes (any more).
    pub wants_no_push: bool,
    /// `User-Agent`, as sent.
    pub user_agent: Arc<str>,
    /// How long the registration lasts.
    pub expires: Duration,
    /// When the event came (UTC).
    pub at: UnixSeconds,
    /// When it was accepted, by FreeSWITCH's clock; of one from a list, when the list was read.
    pub stamp: UnixMicros,
    /// How fswake learned of it.
    pub source: Source,
}

/// How fswake learned of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `sofia::register` event: the phone was alive just now.
    Event,
    /// Read from FreeSWITCH after (re)connecting: alive at some time before. Each resync has a number.
    Resync(u64),
    /// From FreeSWITCH's answer about one user, or from the registration's end: alive at some time before. The number
    /// is the question's.
    Answer(u64),
}

/// The end of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unregistration {
    /// The FreeSWITCH that it was registered at.
    pub node: NodeId,
    /// Whose.
    pub aor: Aor,
    /// `Call-ID` of its REGISTERs.
    pub call_id: Arc<str>,
    /// The Contact as a dial-string, if the event has one.
    pub target: Option<Target>,
    /// The Contact's push parameters, if the event has them.
    pub push: Option<PushParams>,
    /// `User-Agent`, if the event has it.
    pub user_agent: Arc<str>,
    /// When the event came (UTC).
    pub at: UnixSeconds,
    /// When it ended, by FreeSWITCH's clock.
    pub stamp: UnixMicros,
    /// What ended it.
    pub why: UnregisterWhy,
}

/// All registrations that a user has in some profiles of a FreeSWITCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The FreeSWITCH that answers.
    pub node: NodeId,
    /// The user, as asked for.
    pub aor: Aor,
    /// The number of the question.
    pub number: u64,
    /// The profiles that were asked.
    pub profiles: Vec<Arc<str>>,
    /// Their registrations, the longest-lasting first.
    pub registrations: Vec<Registration>,
}

/// What ended a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnregisterWhy {
    /// The phone asked for it (`Expires: 0`).
    Explicit,
    /// Its TCP, TLS or WebSocket connection closed.
    ConnectionClosed,
    /// It ran out.
    Expired,
}

/// A question that only FreeSWITCH's directory can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DirectoryQuery {
    /// Whose number was dialled? It may be an alias of a user (`number-alias`). Asked if nobody is known by it.
    WhoseNumber,
    /// Who rings the phones that were registered when the call came? The user's dial-string shows it. Until the answer
    /// nobody else rings; without an answer, [`CallOptions::ringing`] holds.
    WhoRings,
}

/// A channel that fswake holds, or a wake on request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldCall {
    /// fswake's own id.
    pub call: CallId,
    /// The FreeSWITCH that it is held at.
    pub node: NodeId,
    /// Who is called.
    pub aor: Aor,
    /// Caller's number; may be empty.
    pub caller_number: Arc<str>,
    /// Caller's name; may be empty, any text.
    pub caller_name: Arc<str>,
    /// How FreeSWITCH routed it to fswake.
    pub routing: Routing,
    /// When FreeSWITCH connected to fswake (UTC), for payloads.
    pub at: SystemTime,
    /// How long the call may ring by its own limit (`call_timeout`, ..), if it has one.
    pub max_wait: Option<Duration>,
    /// The options of its channel or dial-string.
    pub options: CallOptions,
    /// The question to FreeSWITCH's directory about it.
    pub query: Option<DirectoryQuery>,
    /// The Call-ID of the INVITE that follows, where whoever asks for a wake knows it: pushes carry it.
    pub sip_call_id: Option<Arc<str>>,
}

impl HeldCall {
    /// When FreeSWITCH connected to fswake.
    pub fn since(&self) -> UnixSeconds {
        let at = self
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        UnixSeconds::try_from(at).unwrap_or(UnixSeconds::MAX)
    }
}

/// A request for a notification: mod_apn's event, or the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The user.
    pub aor: Aor,
    /// To which of the devices' tokens.
    pub token_type: TokenType,
    /// Only to devices of this app; `None` means all.
    pub app: Option<Arc<str>>,
    /// Its content.
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
    /// How FreeSWITCH routed a call to fswake.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Routing {
        /// `socket` on the caller's own channel.
        #[default]
        Dialplan = "dialplan",
        /// A loopback channel of a dial-string.
        DialString = "dial-string",
        /// There is no channel: somebody asked for a wake, and gets the answer ([`super::Command::WakeEnded`]).
        Request = "request",
    }
}

/// What happened to a held channel that somebody else took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It is bridged with another channel now: call pick-up, `intercept`, `uuid_bridge`.
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

/// What a leg's end means for the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its user declined (486, 600, 603).
    Declined {
        /// Busy instead of declined: what the caller hears if the decline ends the call.
        busy: bool,
    },
    /// Not reachable, as far as FreeSWITCH can see: the phone has to be woken.
    Unreachable,
    /// It rang until the time was up.
    NoAnswer,
    /// It has none of the codecs that it was offered (488, 606).
    NoCommonCodec,
    /// It refused in another way: the phone, or whatever is at its address.
    Refused,
}

impl LegEnd {
    /// The FreeSWITCH that the phone is registered at has not taken the leg: its answer says nothing of the phone.
    pub fn not_taken() -> Self {
        Self {
            cause: "not taken by the phone's FreeSWITCH".into(),
            sip_status: None,
        }
    }

    /// Somebody took the call that the leg belonged to, or took the leg itself (`intercept`, call pick-up).
    pub fn is_picked_off(&self) -> bool {
        &*self.cause == "PICKED_OFF"
    }

    /// By the SIP status if there is one, else by the cause (FreeSWITCH maps 403 and 603 to the same cause).
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
