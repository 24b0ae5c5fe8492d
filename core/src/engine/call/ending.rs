//! How a hold ends, and what it leaves behind: nothing that rings, and one line of summary.

use std::sync::Arc;

use super::{Call, Phase};
use crate::engine::command::{Command, HoldResult, Summary};
use crate::engine::count::{Count, WakeOutcome};
use crate::engine::directory::Missed;
use crate::engine::event::Taken;
use crate::engine::order::{CallOrder, Cause, Next};
use crate::engine::party::{LegState, Party, Wake};
use crate::engine::step::Step;
use crate::engine::world::World;
use crate::types::push::{CancelReason, PushKind};

impl Call {
    /// The held channel is gone: the legs end for the same reason. Not only callers end it: a ring group or the dial-string's own
    /// time does, and so does whoever picks the call up.
    pub fn on_caller_gone(&mut self, cause: &Arc<str>, world: &mut World<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        self.note_first(world);
        let passed_on = Cause::PassedOn(cause.clone());
        match &**cause {
            "LOSE_RACE" => self.end_as_taken("lost-race", None, world),
            "PICKED_OFF" => {
                // The leg that answered, or that the caller hears, has been picked up: it is not ours any more.
                if let Phase::Connecting(n) | Phase::Early(n) = self.phase
                    && let Some(p) = self.party_of_leg(n)
                {
                    self.parties[p].leg = None;
                }
                self.end_as_taken("picked-up", None, world);
            }
            "NO_ANSWER" | "ALLOTTED_TIMEOUT" => {
                self.note(world, Step::RingTimeOver { cause: cause.clone() });
                let result = match self.result_without_answer() {
                    HoldResult::NoDevice => HoldResult::Unreachable,
                    result => result,
                };
                self.end_with(result, &passed_on, Some(CancelReason::TimedOut), world);
            }
            _ => {
                self.note(world, Step::CallerGone { cause: cause.clone() });
                let hung_up = Some(CancelReason::CallerHungUp);
                // As FreeSWITCH's bridge, whatever the caller's own cause.
                self.end_with(HoldResult::Abandoned, &Cause::Ours("ORIGINATOR_CANCEL"), hung_up, world);
            }
        }
        self.order(CallOrder::Close, world);
    }

    /// Somebody else has the held channel. The phones hear "completed elsewhere"; the channel is not touched again.
    pub fn on_taken(&mut self, how: &Taken, world: &mut World<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        self.note_first(world);
        let text = |text: &Arc<str>| Some(text.clone()).filter(|t| !t.is_empty());
        let (how, by) = match how {
            Taken::PickedUp { by } => ("picked-up", text(by)),
            Taken::Parked => ("parked", None),
            Taken::Transferred { to } => ("transferred", text(to)),
        };
        self.end_as_taken(how, by, world);
        self.order(CallOrder::Close, world);
    }

    fn end_as_taken(&mut self, how: &'static str, by: Option<Arc<str>>, world: &mut World<'_>) {
        self.note(world, Step::CallTaken { how, by });
        let elsewhere = Some(CancelReason::AnsweredElsewhere);
        self.end_with(HoldResult::Taken, &Cause::Ours("LOSE_RACE"), elsewhere, world);
    }

    /// FreeSWITCH goes on without us: the dialplan's next action has the caller now.
    pub fn on_connection_lost(&mut self, world: &mut World<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        self.note_first(world);
        self.note(world, Step::ConnectionLost {});
        // From here on FreeSWITCH connects or ends what the caller hears; a leg that is being bridged may be bridged by now.
        if let Phase::Early(n) | Phase::Connecting(n) = self.phase
            && let Some(p) = self.party_of_leg(n)
        {
            self.parties[p].leg = None;
            self.parties[p].leave();
        }
        self.end_with(
            HoldResult::Error,
            &Cause::Ours("ORIGINATOR_CANCEL"),
            Some(CancelReason::TimedOut),
            world,
        );
        self.order(CallOrder::Close, world);
    }

    /// The time for this call is over.
    pub(super) fn time_is_up(&mut self, world: &mut World<'_>) {
        let rang = self.parties.iter().any(|p| p.leg.is_some());
        let result = if self.mode(world).only_wakes() && self.parties.iter().any(Party::is_awake) {
            HoldResult::Woken
        } else {
            self.result_without_answer()
        };
        let next = if rang {
            let cause: Arc<str> = self.time_over().into();
            Next::Fail {
                cause,
                sip_status: None,
            }
        } else {
            self.next(result, world)
        };
        self.release(result, next, world);
    }

    /// Ends the hold and hands the channel back.
    pub fn finish(&mut self, result: HoldResult, world: &mut World<'_>) {
        let next = self.next(result, world);
        self.release(result, next, world);
    }

    /// FreeSWITCH's word for a bridge whose time is over.
    fn time_over(&self) -> &'static str {
        if self.held.wishes.leg_timeout {
            "ALLOTTED_TIMEOUT"
        } else {
            "NO_ANSWER"
        }
    }

    /// What the dialplan's own bridge does next: it rings where nobody has been rung, and else it fails as the phones did.
    fn next(&self, result: HoldResult, world: &World<'_>) -> Next {
        let left = self.held.max_wait.map(|_| self.ring_until.since(world.now));
        match result {
            HoldResult::HandsOff | HoldResult::Woken => return Next::Ring(None),
            HoldResult::Draining => return Next::Ring(left),
            _ => {}
        }
        // FreeSWITCH's rule for several phones: the first, in the order in which they were dialled, says why.
        match self.parties.iter().find_map(|p| p.ended.as_ref()) {
            Some(end) => Next::fails(end),
            None => Next::Ring(left),
        }
    }

    pub(super) fn release(&mut self, result: HoldResult, next: Next, world: &mut World<'_>) {
        // A bridge under way ends by itself, one way or the other.
        if self.phase != Phase::Holding {
            return;
        }
        self.note_first(world);
        // What the directory has not said yet is as the channel says.
        self.asked = None;
        let timed_out = matches!(
            result,
            HoldResult::Timeout | HoldResult::Unreachable | HoldResult::Draining
        );
        let cancel = match result {
            HoldResult::Declined => Some(CancelReason::DeclinedElsewhere),
            _ if timed_out => Some(CancelReason::TimedOut),
            _ => None,
        };
        let kill = match result {
            HoldResult::Declined => Cause::Ours("LOSE_RACE"),
            // Not LOSE_RACE: this call was missed, and phones shall say so.
            _ => Cause::Ours(self.time_over()),
        };
        if let Next::Fail { cause, .. } = &next {
            self.cause = Some(cause.clone());
        }
        self.end_with(result, &kill, cancel, world);
        self.record(None, false, world);
        self.order(CallOrder::Release { result, next }, world);
    }

    /// Kills what rings, calls off what was woken, and sums up.
    pub(super) fn end_with(
        &mut self,
        result: HoldResult,
        cause: &Cause,
        cancel: Option<CancelReason>,
        world: &mut World<'_>,
    ) {
        self.phase = Phase::Over;
        self.count_wakes(result, world);
        let wanted = matches!(
            result,
            HoldResult::Abandoned | HoldResult::Timeout | HoldResult::Unreachable
        );
        for p in 0..self.parties.len() {
            let leg = self.parties[p].leg.take();
            // A leg without 18x went to a phone that slept: no CANCEL reaches it either.
            let unheard = leg.as_ref().is_none_or(|leg| leg.state == LegState::Dialing);
            if let Some(leg) = leg {
                self.kill(leg.n, cause.clone(), world);
            }
            if let Some(reason) = cancel
                && unheard
                && self.parties[p].pushed.is_some()
                // What the provider has refused rang nobody.
                && self.parties[p].wake != Wake::Impossible
                && !self.parties[p].is_out
            {
                self.push_news(p, PushKind::Cancel(reason), world);
            }
            if wanted {
                self.push_news(p, PushKind::MissedCall, world);
            }
        }
        if wanted {
            self.remember_who_may_be_late(world);
        }
        let caller = match result {
            HoldResult::Connected => "connected",
            HoldResult::Abandoned => "gone",
            HoldResult::Taken => "taken",
            _ => "dialplan",
        };
        let cause = self.cause.take();
        self.note(world, Step::CallOver { result, caller, cause });
        world.out.push_back(Command::Summarize(Box::new(Summary {
            call: self.held.call,
            aor: self.held.aor.clone(),
            result,
            devices: u32::try_from(self.parties.len()).unwrap_or(u32::MAX),
            mobiles: u32::try_from(self.parties.iter().filter(|p| p.device.is_some()).count()).unwrap_or(u32::MAX),
            pushes: self.pushes,
            legs: self.legs,
            answered_by: self.answered_by.clone(),
            held: world.now.since(self.since),
            call_to_push: self.first_push.map(|at| at.since(self.since)),
            push_to_register: self.woken_device.and_then(|p| self.parties[p].push_to_register),
            register_to_invite: self
                .invited
                .zip(self.woken)
                .map(|(invite, register)| invite.since(register)),
        })));
    }

    /// Says what came of every device that was pushed.
    fn count_wakes(&self, result: HoldResult, world: &mut World<'_>) {
        for party in self.parties.iter().filter(|p| p.pushes > 0) {
            let Some(device) = party.device.clone() else { continue };
            let waited = matches!(result, HoldResult::Timeout | HoldResult::Unreachable);
            let outcome = if result == HoldResult::Connected && self.answered_by.as_ref() == Some(&party.label) {
                WakeOutcome::Answered
            } else if party.has_rung {
                WakeOutcome::Rang
            } else if party.registered {
                WakeOutcome::Registered
            } else if party.wake == Wake::Impossible || (waited && !party.accepted) {
                WakeOutcome::Refused
            } else if waited {
                WakeOutcome::Bounced
            } else {
                WakeOutcome::CallOver
            };
            world.out.push_back(Command::Count(Count::Wake {
                device,
                outcome,
                push_to_register: party.push_to_register,
            }));
        }
    }

    /// A phone that was pushed and has not come may still come: too late, and by how much is worth knowing.
    fn remember_who_may_be_late(&self, world: &mut World<'_>) {
        for party in self.parties.iter().filter(|p| !p.registered && !p.has_rung) {
            let Some((device, pushed)) = party.device.as_ref().zip(party.pushed) else {
                continue;
            };
            if let Some(known) = world.directory.device_mut(self.key_of(device), device) {
                known.missed = Some(Box::new(Missed {
                    call: self.held.call,
                    aor: self.held.aor.clone(),
                    pushed,
                    over: world.now,
                }));
            }
        }
    }

    /// Ends the wait early when nobody is left who could answer.
    pub(super) fn settle(&mut self, world: &mut World<'_>) {
        self.hand_back_if_awake(world);
        let is_rung = |p: &Party| p.ring_at.is_some_and(|when| when <= world.now);
        let rings = |p: &Party| p.leg.is_some() || p.rings_beside || is_rung(p);
        let waits = if self.rings_on {
            self.parties.iter().any(rings)
        } else {
            self.grace.is_some()
                || self.asked.is_some()
                || self.waits_for_any()
                || self.parties.iter().any(Party::may_answer)
        };
        if self.phase == Phase::Holding && !waits {
            self.finish(self.result_without_answer(), world);
        }
    }

    /// Whether it waits for whoever registers, although nobody was pushed. Not once a phone was reached: that was the answer.
    fn waits_for_any(&self) -> bool {
        let wishes = self.held.wishes;
        (wishes.wait_any || wishes.no_push) && !self.declined && !self.parties.iter().any(|p| p.has_rung)
    }

    /// What the dialplan is told of a hold that nobody answered. "Timeout" only when a phone rang: then the same phones need
    /// not be rung again. Otherwise whoever comes next may still reach somebody.
    pub(super) fn result_without_answer(&self) -> HoldResult {
        if self.parties.is_empty() {
            HoldResult::NoDevice
        } else if self.declined && self.parties.iter().all(|p| p.leg.is_none()) {
            HoldResult::Declined
        } else if self.parties.iter().any(|p| p.has_rung || p.rings_beside) {
            HoldResult::Timeout
        } else {
            HoldResult::Unreachable
        }
    }
}
