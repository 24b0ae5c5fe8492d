//! What one call tried with one phone: the facts that a diagnosis is made of.

use super::cause::is_without_a_route;
use super::step::{self, DroppedToken, TimelineStep};
use crate::engine::StepKind;
use crate::types::Provider;
use crate::types::push::PushErrorKind;

/// A REGISTER later than this after the call came was hardly caused by the push: the phone's own timer was due, or
/// somebody opened the app. No caller waits this long either.
pub const LONGEST_USEFUL_WAIT_MS: u64 = 45_000;

/// A REGISTER after the call was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// By so much.
    pub by_ms: u64,
    /// So long after the call had come.
    pub after_ms: u64,
}

impl Late {
    /// Whether a caller who waits longer would have reached it.
    pub fn is_worth_a_wait(&self) -> bool {
        self.after_ms <= LONGEST_USEFUL_WAIT_MS
    }
}

/// One phone in one call.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about one phone, each set once"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The device's label, or `binding` for a phone without a token.
    pub device: String,
    /// `User-Agent` of its last REGISTER, if the journal has it.
    pub user_agent: String,
    /// How many call pushes were written.
    pub pushes: u32,
    /// The provider took one.
    pub accepted: bool,
    /// A push was only written to the log: its app has no provider.
    pub only_logged: bool,
    /// The journal has no answer of the provider to a push.
    pub unanswered: bool,
    /// The last push's error, and its text.
    pub refused: Option<(PushErrorKind, String)>,
    /// Why its token was set aside.
    pub set_aside: Option<String>,
    /// It was not pushed: the rate limit.
    pub limited: bool,
    /// It registers without a push token, or its token was dropped.
    pub without_token: bool,
    /// The token that was dropped, if the journal has it.
    pub dropped: Option<DroppedToken>,
    /// It shared another call's push.
    pub shared: bool,
    /// It registered during the call, so long after the first push (0 without one).
    pub registered_ms: Option<u64>,
    /// It registered after the call was over.
    pub late: Option<Late>,
    /// It was sent an INVITE after it had registered.
    pub invited_awake: bool,
    /// How long before the end of the call the last INVITE was sent, if its leg had not ended before.
    pub invited_for_ms: Option<u64>,
    /// How often it was pushed again because it did not ring after its REGISTER.
    pub silent: u32,
    /// An INVITE after its REGISTER failed before it rang: cause, SIP status.
    pub failed_awake: Option<(String, u64)>,
    /// It rang.
    pub rang: bool,
    /// It answered.
    pub answered: bool,
    /// A leg's last end: cause, SIP status.
    pub ended: Option<(String, u64)>,
}

impl Attempt {
    /// The provider in its label.
    pub fn provider(&self) -> Provider {
        Provider::from_name(self.provider_name())
    }

    /// The same, as it was written.
    pub fn provider_name(&self) -> &str {
        self.device.split(':').next().unwrap_or_default()
    }

    /// The app id in its label.
    pub fn app(&self) -> &str {
        let rest = self.device.split_once(':').map_or("", |(_, rest)| rest);
        rest.rsplit_once(':').map_or("", |(app, _)| app)
    }

    /// The provider took a push, and the phone did not register because of it.
    pub fn never_came(&self) -> bool {
        self.accepted && self.registered_ms.is_none() && self.woke_late().is_none() && !self.rang
    }

    /// It is registered, and its token was dropped. (A phone that never had one is noted with its `User-Agent`.)
    pub fn lost_its_token(&self) -> bool {
        self.without_token && self.user_agent.is_empty()
    }

    /// FreeSWITCH had no route for the INVITE after its REGISTER: it has no SIP status, because FreeSWITCH sent none.
    pub fn could_not_be_sent(&self) -> bool {
        let failed = self.failed_awake.as_ref();
        failed.is_some_and(|(cause, sip)| *sip == 0 && is_without_a_route(cause))
    }

    /// It registered after the call was over, and a longer wait would have reached it.
    pub fn woke_late(&self) -> Option<Late> {
        self.late.filter(Late::is_worth_a_wait)
    }
}

/// All phones of a wake, in the order in which they appear.
pub(super) fn all(steps: &[TimelineStep], dropped: Option<&DroppedToken>) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut pushed_at: Vec<Option<i64>> = Vec::new();
    let over_at = step::first(steps, StepKind::CallOver).map(|over| over.at_ms);
    for step in steps {
        let Some(device) = &step.device else { continue };
        let known = attempts.iter().position(|a| a.device == *device);
        let i = known.unwrap_or_else(|| {
            attempts.push(Attempt {
                device: device.clone(),
                ..Attempt::default()
            });
            pushed_at.push(None);
            attempts.len() - 1
        });
        let attempt = &mut attempts[i];
        if !step.text("user-agent").is_empty() {
            step.text("user-agent").clone_into(&mut attempt.user_agent);
        }
        let end = || (step.text("cause").to_owned(), step.number("sip").unwrap_or(0));
        // An unknown step of a later version is not about the phone.
        let Some(kind) = step.kind else { continue };
        match kind {
            StepKind::DeviceSetAside => attempt.set_aside = Some(step.text("reason").to_owned()),
            StepKind::DeviceWithoutToken => {
                attempt.without_token = true;
                attempt.dropped = dropped.cloned();
            }
            StepKind::PushSent => {
                attempt.pushes += 1;
                attempt.unanswered = true;
                pushed_at[i].get_or_insert(step.at_ms);
            }
            StepKind::PushShared => attempt.shared = true,
            StepKind::PushLimited => attempt.limited = true,
            StepKind::PushAccepted => {
                if step.is_only_logged() {
                    attempt.only_logged = true;
                } else {
                    attempt.accepted = true;
                }
                attempt.unanswered = false;
            }
            StepKind::PushRefused => {
                attempt.refused = Some((step.push_error(), step.text("reason").to_owned()));
                attempt.unanswered = false;
            }
            StepKind::DeviceRegistered => {
                let since_push = step.number("ms").or_else(|| {
                    let at = pushed_at[i]?;
                    u64::try_from(step.at_ms.saturating_sub(at)).ok()
                });
                attempt.registered_ms.get_or_insert(since_push.unwrap_or(0));
            }
            StepKind::LateRegister => {
                attempt.late = Some(Late {
                    by_ms: step.number("late-ms").unwrap_or(0),
                    after_ms: u64::try_from(step.after_ms).unwrap_or(0),
                });
            }
            StepKind::LegStarted if attempt.registered_ms.is_some() => {
                attempt.invited_awake = true;
                let left = over_at.and_then(|over| u64::try_from(over.saturating_sub(step.at_ms)).ok());
                attempt.invited_for_ms = left;
            }
            StepKind::LegSilent => attempt.silent += 1,
            StepKind::LegRinging => attempt.rang = true,
            StepKind::LegAnswered => attempt.answered = true,
            StepKind::LegEnded => {
                if attempt.invited_awake && !attempt.rang {
                    attempt.failed_awake = Some(end());
                }
                attempt.invited_for_ms = None;
                attempt.ended = Some(end());
            }
            StepKind::LegStarted
            | StepKind::CallHeld
            | StepKind::DeviceAwake
            | StepKind::WhoRings
            | StepKind::RungByFreeSwitch
            | StepKind::NotRungAsleep
            | StepKind::NodeOutOfReach
            | StepKind::EarlyMedia
            | StepKind::BridgeFailed
            | StepKind::CallerGone
            | StepKind::AskerGone
            | StepKind::CallCut
            | StepKind::CallTaken
            | StepKind::RingTimeOver
            | StepKind::ConnectionLost
            | StepKind::CancelPushed
            | StepKind::MissedCallPushed
            | StepKind::CallOver
            | StepKind::NotificationAsked
            | StepKind::NotificationAccepted
            | StepKind::NotificationRefused
            | StepKind::RefreshRefused
            | StepKind::NotificationOver => {}
        }
    }
    attempts
}
