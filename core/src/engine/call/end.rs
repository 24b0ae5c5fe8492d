//! The end of a hold: its effects on legs that still ring, on phones that were woken, and on the caller.

use std::sync::Arc;

use super::figures::Figures;
use super::{Call, Phase};
use crate::engine::command::{Command, HoldResult, Summary};
use crate::engine::count::{Count, WakeOutcome};
use crate::engine::directory::MissedCall;
use crate::engine::order::{CallOrder, Cause, Next};
use crate::engine::party::{NextPush, OwnLeg};
use crate::engine::step::{Caller, Step};
use crate::engine::world::World;
use crate::types::push::{CancelReason, PushKind};

/// How a hold ends.
pub(super) struct End {
    result: HoldResult,
    /// The cause for legs that still ring.
    legs: Cause,
    /// The push to phones that were woken and do not ring, if their app wants one.
    news: Option<CancelReason>,
    /// What happens to the caller.
    caller: Caller,
    /// What the dialplan does with the caller; `None` if fswake cannot hand the call back.
    next: Option<Next>,
}

impl End {
    /// Caller and phone are connected.
    pub(super) fn connected() -> Self {
        Self::elsewhere(HoldResult::Connected, Caller::Connected)
    }

    /// Somebody else has the caller.
    pub(super) fn taken() -> Self {
        Self::elsewhere(HoldResult::Taken, Caller::Taken)
    }

    fn elsewhere(result: HoldResult, caller: Caller) -> Self {
        Self {
            result,
            legs: Cause::COMPLETED_ELSEWHERE,
            news: Some(CancelReason::AnsweredElsewhere),
            caller,
            next: None,
        }
    }

    /// The caller has hung up. Legs end with the cause that FreeSWITCH's bridge uses, not with the caller's own.
    pub(super) fn abandoned() -> Self {
        Self {
            result: HoldResult::Abandoned,
            legs: Cause::NOBODY_THERE,
            news: Some(CancelReason::CallerHungUp),
            caller: Caller::Gone,
            next: None,
        }
    }

    /// A phone has answered, and FreeSWITCH has ended the caller instead of bridging the two.
    pub(super) fn cut(cause: &Arc<str>) -> Self {
        Self {
            result: HoldResult::Error,
            legs: Cause::PassedOn(cause.clone()),
            news: Some(CancelReason::AnsweredElsewhere),
            caller: Caller::Gone,
            next: None,
        }
    }

    /// The call's own connection is lost.
    pub(super) fn lost() -> Self {
        Self {
            result: HoldResult::Error,
            legs: Cause::NOBODY_THERE,
            news: Some(CancelReason::TimedOut),
            caller: Caller::Dialplan,
            next: None,
        }
    }

    /// FreeSWITCH has ended the held channel for this cause, or the leg whose early media the caller heard.
    pub(super) fn of_channel(result: HoldResult, cause: &Arc<str>) -> Self {
        let (news, caller) = match result {
            HoldResult::Taken => (CancelReason::AnsweredElsewhere, Caller::Taken),
            _ => (CancelReason::TimedOut, Caller::Dialplan),
        };
        Self {
            legs: Cause::PassedOn(cause.clone()),
            news: Some(news),
            caller,
            result,
            next: None,
        }
    }

    /// The channel goes back to the dialplan. `time_over` is FreeSWITCH's cause for legs that rang too long.
    pub(super) fn released(result: HoldResult, next: Next, time_over: &'static str) -> Self {
        let (legs, news) = match result {
            HoldResult::Declined => (Cause::COMPLETED_ELSEWHERE, Some(CancelReason::DeclinedElsewhere)),
            // Not LOSE_RACE: phones should show a missed call.
            HoldResult::Timeout | HoldResult::Unreachable | HoldResult::Draining => {
                (Cause::Ours(time_over), Some(CancelReason::TimedOut))
            }
            _ => (Cause::Ours(time_over), None),
        };
        Self {
            result,
            legs,
            news,
            caller: Caller::Dialplan,
            next: Some(next),
        }
    }

    /// Whether phones may show a missed call.
    fn is_missed(&self) -> bool {
        matches!(
            self.result,
            HoldResult::Abandoned | HoldResult::Timeout | HoldResult::Unreachable
        )
    }

    /// The phones' own cause, if the dialplan gets one.
    fn cause(&self) -> Option<Arc<str>> {
        match &self.next {
            Some(Next::Fail { cause, .. }) => Some(cause.clone()),
            Some(Next::Ring(_)) | None => None,
        }
    }
}

impl Call {
    /// Ends the hold: ends legs that ring, notifies phones that were woken, reports the summary, and releases the
    /// channel.
    pub(super) fn end(&mut self, end: End, world: &mut World) {
        self.phase = Phase::Over;
        self.count_wakes(end.result, world);
        for p in 0..self.parties.len() {
            let was_out = self.parties[p].is_out();
            let leg = self.parties[p].leg.take_own();
            // A leg without 18x went to a sleeping phone, which a CANCEL does not reach either.
            let is_unheard = leg.as_ref().is_none_or(OwnLeg::is_dialing);
            if let Some(leg) = leg {
                self.kill(leg.n, end.legs.clone(), world);
            }
            let wake = &self.parties[p].wake;
            // A refused push woke nobody.
            let was_woken = wake.sent.is_some() && wake.next != NextPush::Impossible;
            if let Some(reason) = end.news.filter(|_| is_unheard && was_woken && !was_out) {
                self.push_news(p, PushKind::Cancel(reason), world);
            }
            // Whoever asked for a wake may have rung other phones: only he knows whether the call was missed.
            if end.is_missed() && !self.is_request() {
                self.push_news(p, PushKind::MissedCall, world);
            }
        }
        if end.is_missed() {
            self.remember_who_may_be_late(world);
        }
        let over = Step::CallOver {
            result: end.result,
            caller: if self.is_request() { Caller::Asker } else { end.caller },
            cause: end.cause(),
        };
        self.note(world, over);
        let summary = self.summary(end.result, world);
        world.out.push_back(Command::Summarize(Box::new(summary)));
        if self.is_request() {
            return self.answer(end.result, world);
        }
        let Some(next) = end.next else {
            return self.order(CallOrder::Close, world);
        };
        self.record(None, false, world);
        let result = end.result;
        self.order(CallOrder::Release { result, next }, world);
    }

    fn summary(&self, result: HoldResult, world: &World) -> Summary {
        let Figures {
            since,
            legs,
            pushes,
            recorded: _,
            first_push,
            woken,
            invited,
            ref answered_by,
            is_journalled: _,
        } = self.figures;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Summary {
            call: self.held.call,
            aor: self.held.aor.clone(),
            routing: self.held.routing,
            result,
            devices: count(self.parties.len()),
            mobiles: count(self.parties.iter().filter(|p| p.device.is_some()).count()),
            pushes,
            legs,
            answered_by: answered_by.clone(),
            held: world.now.since(since),
            call_to_push: first_push.map(|at| at.since(since)),
            push_to_register: woken.and_then(|(p, _)| self.parties[p].wake.to_register),
            register_to_invite: invited.zip(woken).map(|(invite, (_, register))| invite.since(register)),
        }
    }

    /// Counts the result for every device that was pushed.
    fn count_wakes(&self, result: HoldResult, world: &mut World) {
        for party in self.parties.iter().filter(|p| p.wake.sent.is_some()) {
            let Some(device) = party.device.clone() else { continue };
            let waited = matches!(result, HoldResult::Timeout | HoldResult::Unreachable);
            let has_answered = self.figures.answered_by.as_ref() == Some(&party.label);
            let outcome = if result == HoldResult::Connected && has_answered {
                WakeOutcome::Answered
            } else if party.has_rung {
                WakeOutcome::Rang
            } else if party.has_registered {
                WakeOutcome::Registered
            } else if party.wake.next == NextPush::Impossible || (waited && !party.wake.is_accepted()) {
                WakeOutcome::Refused
            } else if waited {
                WakeOutcome::Bounced
            } else {
                WakeOutcome::CallOver
            };
            world.out.push_back(Command::Count(Count::Wake {
                device,
                outcome,
                push_to_register: party.wake.to_register,
            }));
        }
    }

    /// Remembers phones that were pushed and have not registered: the journal records how late they are.
    fn remember_who_may_be_late(&self, world: &mut World) {
        for party in self.parties.iter().filter(|p| !p.has_registered && !p.has_rung) {
            let Some((device, pushed)) = party.device.as_ref().zip(party.wake.pushed_at()) else {
                continue;
            };
            if let Some(known) = world.directory.device_mut(self.key_of(device), device) {
                known.missed = Some(Box::new(MissedCall {
                    call: self.held.call,
                    aor: self.held.aor.clone(),
                    pushed,
                    over: world.now,
                }));
            }
        }
    }
}
