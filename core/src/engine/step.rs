//! The steps in the life of a wake, as recorded in the journal.
//!
//! A step is cheap to make: shared texts and numbers, no JSON. It becomes text on the store's thread, or in a debug
//! line.
//!
//! To add a step, add its entry here and its name to docs/ARCHITECTURE.md, "The journal". To add a detail, add a field
//! with the name that it has in the journal. Tokens only as fingerprints.

mod detail;
mod kinds;

use std::sync::Arc;
use std::time::Duration;

use self::detail::Detail;
pub use self::detail::DetailValue;
pub use self::kinds::{Caller, RegisterKind, Ringer, TakeoverKind};
use super::command::HoldResult;
use super::event::Routing;
use super::party::Origin;
use crate::types::push::{CancelReason, PushErrorKind};
use crate::word_enum;

/// Declares [`Step`] and [`StepKind`]: each step with its name in the journal, each detail with its own.
macro_rules! steps {
    ($(
        $(#[$doc:meta])*
        $step:ident = $name:literal { $( $(#[$detail_doc:meta])* $detail:ident: $of:ty = $key:literal ),* $(,)? }
    )*) => {
        /// One step in the life of a wake.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Step {
            $(
                $(#[$doc])*
                $step {
                    $(
                        #[doc = concat!("`", $key, "` in the journal.")]
                        $(#[$detail_doc])*
                        $detail: $of,
                    )*
                },
            )*
        }

        word_enum! {
            /// Which step it is.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum StepKind {
                $(
                    $(#[$doc])*
                    $step = $name,
                )*
            }
        }

        impl Step {
            /// Which step it is.
            pub fn kind(&self) -> StepKind {
                match self {
                    $( Self::$step { .. } => StepKind::$step, )*
                }
            }

            /// Its name in the journal.
            pub fn name(&self) -> &'static str {
                self.kind().as_str()
            }

            /// Shows every detail with its name, in the order of their declaration.
            pub fn each_detail(&self, mut show: impl FnMut(&'static str, DetailValue<'_>)) {
                // For steps without details.
                let _ = &mut show;
                match self {
                    $( Self::$step { $($detail),* } => { $( show($key, $detail.value()); )* } )*
                }
            }
        }
    };
}

steps! {
    /// FreeSWITCH handed over a channel, and it is held; or somebody asked for a wake.
    CallHeld = "call-held" {
        /// The caller's number; may be empty.
        caller: Arc<str> = "caller",
        /// How many devices and bindings could answer.
        devices: u32 = "devices",
        /// How long it is held at most.
        wait: Duration = "wait-ms",
        /// How FreeSWITCH routed it to fswake.
        routing: Routing = "way",
        /// The options of its channel or dial-string, in words.
        options: Option<Arc<str>> = "wishes",
        /// What was dialled, if FreeSWITCH's directory was asked whose number it is.
        dialled: Option<Arc<str>> = "dialled",
        /// How long the directory took, or was waited for.
        asked: Option<Duration> = "asked-ms",
    }
    /// A device has recent proof of life: it is rung first, and pushed only if it does not ring.
    DeviceAwake = "device-awake" {
        device: Arc<str> = "device",
        /// How long ago the proof of life was.
        seen: Duration = "seen-ms",
        /// When it is pushed unless it rings; a wake that was asked for does not push it.
        push_in: Option<Duration> = "push-in-ms",
    }
    /// A phone is registered without a push token: it can be rung, and not woken.
    DeviceWithoutToken = "device-without-token" {
        device: Arc<str> = "device",
        user_agent: Arc<str> = "user-agent",
    }
    /// A device's token was refused before and is not used until its next REGISTER.
    DeviceSetAside = "device-set-aside" {
        device: Arc<str> = "device",
        reason: Arc<str> = "reason",
    }
    /// A call push was given to the provider.
    PushSent = "push-sent" {
        device: Arc<str> = "device",
        /// 1 for the first in this call.
        tries: u32 = "try",
        user_agent: Arc<str> = "user-agent",
    }
    /// Another call has just pushed the device: this one waits for the same wake-up.
    PushShared = "push-shared" { device: Arc<str> = "device" }
    /// No push: the rate limit is reached.
    PushLimited = "push-limited" { device: Arc<str> = "device" }
    /// The provider took the push.
    PushAccepted = "push-accepted" {
        device: Arc<str> = "device",
        /// The provider's name for it.
        provider_id: Option<Arc<str>> = "provider-id",
        /// HTTP status.
        status: u16 = "status",
        /// How many requests it took.
        attempts: u32 = "attempts",
        /// How long the provider took, retries included.
        took: Duration = "ms",
    }
    /// The push was refused, or not delivered in time.
    PushRefused = "push-refused" {
        device: Arc<str> = "device",
        /// The error in words.
        reason: Arc<str> = "reason",
        /// What the failure asks for, as [`PushErrorKind::class`] has it.
        class: &'static str = "class",
        /// What kind of error it was.
        error: PushErrorKind = "code",
        /// The HTTP status of a provider that answered, where the kind has one.
        status: Option<u16> = "status",
        /// How long it took, retries included.
        took: Duration = "ms",
    }
    /// A phone of the callee registered.
    DeviceRegistered = "device-registered" {
        device: Arc<str> = "device",
        how: RegisterKind = "how",
        user_agent: Arc<str> = "user-agent",
        /// Since its last push in this call.
        since_push: Option<Duration> = "ms",
    }
    /// A phone that was pushed for a call registered when that call was over, unanswered.
    LateRegister = "late-register" {
        device: Arc<str> = "device",
        user_agent: Arc<str> = "user-agent",
        /// How long the call had been over.
        late: Duration = "late-ms",
        /// Since its last push in that call.
        since_push: Duration = "ms",
    }
    /// FreeSWITCH's directory was asked who rings the phones that were registered when the call came.
    WhoRings = "who-rings" {
        by: Ringer = "by",
        /// How long the directory took, or was waited for.
        asked: Duration = "asked-ms",
    }
    /// FreeSWITCH rings the phone itself, from the same dial-string: it is not rung again.
    RungByFreeSwitch = "rung-beside" {
        device: Arc<str> = "device",
        /// Whether the phone rings already.
        rings: bool = "rings",
    }
    /// A phone may sleep where it is registered over UDP: only its push wakes it (docs/ARCHITECTURE.md, "One dialog").
    NotRungAsleep = "not-rung-asleep" { device: Arc<str> = "device" }
    /// A leg was ordered.
    LegStarted = "leg-started" {
        device: Arc<str> = "device",
        /// Its number in the call.
        leg: u32 = "leg",
        why: Origin = "why",
        /// The FreeSWITCH that it goes through: the phone is registered there.
        node: Option<Arc<str>> = "node",
    }
    /// The phone is registered at a FreeSWITCH that the call's own one cannot reach now: it is pushed.
    NodeOutOfReach = "node-out-of-reach" {
        device: Arc<str> = "device",
        /// That FreeSWITCH.
        node: Arc<str> = "node",
    }
    /// A phone that registered has not rung since: it is pushed again.
    LegSilent = "leg-silent" {
        device: Arc<str> = "device",
        /// Since the leg was ordered.
        after: Duration = "ms",
    }
    /// 18x on a leg.
    LegRinging = "leg-ringing" {
        device: Arc<str> = "device",
        /// Since the leg was ordered.
        after: Duration = "ms",
    }
    /// A leg is over.
    LegEnded = "leg-ended" {
        device: Arc<str> = "device",
        /// FreeSWITCH's cause.
        cause: Arc<str> = "cause",
        /// The SIP status, or 0.
        sip: u16 = "sip",
        /// Since the leg was ordered.
        after: Duration = "ms",
    }
    /// 200 on a leg.
    LegAnswered = "leg-answered" {
        device: Arc<str> = "device",
        codec: Option<Arc<str>> = "codec",
    }
    /// The caller hears the early media of a phone that is not answered yet.
    EarlyMedia = "early-media" { device: Arc<str> = "device" }
    /// A leg that answered could not be bridged.
    BridgeFailed = "bridge-failed" { device: Arc<str> = "device" }
    /// The caller hung up.
    CallerGone = "caller-gone" {
        /// FreeSWITCH's cause.
        cause: Arc<str> = "cause",
    }
    /// Whoever asked for the wake has closed the connection before the answer.
    AskerGone = "asker-gone" {}
    /// A phone had answered, and FreeSWITCH ended the call instead of bridging the two.
    CallCut = "call-cut" {
        /// FreeSWITCH's cause.
        cause: Arc<str> = "cause",
    }
    /// Somebody else took the call.
    CallTaken = "call-taken" {
        how: TakeoverKind = "how",
        /// Who, or where to: a number, if FreeSWITCH names it.
        by: Option<Arc<str>> = "by",
    }
    /// The dial-string's own time was over before anybody answered.
    RingTimeOver = "ring-time-over" {
        /// FreeSWITCH's cause.
        cause: Arc<str> = "cause",
    }
    /// The call's own connection ended: FreeSWITCH goes on without us.
    ConnectionLost = "connection-lost" {}
    /// A cancel push to a phone that was woken: the call is over.
    CancelPushed = "cancel-pushed" {
        device: Arc<str> = "device",
        reason: CancelReason = "reason",
    }
    /// A push about a missed call.
    MissedCallPushed = "missed-call-pushed" { device: Arc<str> = "device" }
    /// The hold is over.
    CallOver = "call-over" {
        result: HoldResult = "result",
        /// What happens to the caller.
        caller: Caller = "caller",
        /// The phones' own cause, if the dialplan got one.
        cause: Option<Arc<str>> = "cause",
    }
    /// A push on request, without a call.
    NotificationAsked = "notification-asked" {
        /// Who: one word.
        by: &'static str = "by",
        /// For which of the devices' tokens: voip or im.
        token_type: &'static str = "type",
        /// For which app; empty for all.
        app: Option<Arc<str>> = "app",
        /// For how many devices.
        devices: u32 = "devices",
    }
    /// The provider took it for one device.
    NotificationAccepted = "notification-accepted" {
        device: Arc<str> = "device",
        /// The provider's name for it.
        provider_id: Option<Arc<str>> = "provider-id",
        /// HTTP status.
        status: u16 = "status",
        /// How many requests it took.
        attempts: u32 = "attempts",
    }
    /// One device did not get it.
    NotificationRefused = "notification-refused" {
        device: Arc<str> = "device",
        reason: Arc<str> = "reason",
    }
    /// A push that asks a phone to register again was refused, or not delivered in time.
    RefreshRefused = "refresh-refused" {
        device: Arc<str> = "device",
        /// The error in words.
        reason: Arc<str> = "reason",
        /// What the failure asks for, as [`PushErrorKind::class`] has it.
        class: &'static str = "class",
        /// What kind of error it was.
        error: PushErrorKind = "code",
        /// The HTTP status of a provider that answered, where the kind has one.
        status: Option<u16> = "status",
    }
    /// All of its pushes have ended.
    NotificationOver = "notification-over" {
        sent: u32 = "sent",
        not_sent: u32 = "not-sent",
        /// Why no device got it; empty if one did.
        reason: Option<Arc<str>> = "reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(step: &Step) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        step.each_detail(|name, value| all.push((name, format!("{value:?}"))));
        all
    }

    #[test]
    fn details_keep_their_order_and_what_is_not_known_is_empty() {
        let step = Step::PushAccepted {
            device: "apns:a:1".into(),
            provider_id: None,
            status: 200,
            attempts: 1,
            took: Duration::from_micros(59_900),
        };
        assert_eq!(step.name(), "push-accepted");
        let shown = details(&step);
        assert_eq!(
            shown.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            ["device", "provider-id", "status", "attempts", "ms"]
        );
        assert_eq!(
            (shown[1].1.as_str(), shown[2].1.as_str()),
            ("Text(\"\")", "Number(200)")
        );
        assert!(details(&Step::ConnectionLost {}).is_empty());
    }

    #[test]
    fn names_of_steps_are_distinct() {
        let mut names = StepKind::ALL.map(StepKind::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), StepKind::ALL.len());
    }
}
