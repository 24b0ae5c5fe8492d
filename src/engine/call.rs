//! One held call: who could answer it, what was tried, and what is tried next.
//!
//! Races, each with its test in `tests/engine.rs`:
//! - two phones answer within the time that a bridge takes: the first is bridged, the second hears "completed elsewhere";
//! - three REGISTERs of one wake-up: one INVITE;
//! - the caller hangs up in the moment of the REGISTER: no leg, or a leg that is killed;
//! - a push is refused after its phone has registered by itself: the leg goes on;
//! - the deadline passes while a bridge is under way: the bridge decides.

use std::time::Duration;

use super::command::{Command, HoldResult, Note, Summary, Value};
use super::directory::{AorKey, Seen};
use super::event::{HeldCall, LegEnd, Verdict};
use super::party::{Leg, LegState, Origin, Party, Wake};
use super::policy::Decline;
use super::world::World;
use crate::push::{CancelReason, PushError, PushKind, PushReceipt};
use crate::types::{DeviceKey, LegId, Moment};

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Ringing and waiting.
    Holding,
    /// A leg answered; FreeSWITCH is bridging it.
    Connecting(u32),
    /// Over: only to be removed.
    Over,
}

/// One held call.
#[derive(Debug)]
pub struct Call {
    pub(super) held: HeldCall,
    pub(super) key: AorKey,
    pub(super) since: Moment,
    pub(super) deadline: Moment,
    pub(super) phase: Phase,
    pub(super) parties: Vec<Party>,
    pub(super) legs: u32,
    pub(super) pushes: u32,
    pub(super) declined: bool,
    pub(super) first_push: Option<Moment>,
    pub(super) woken: Option<Moment>,
    pub(super) woken_device: Option<usize>,
    pub(super) invited: Option<Moment>,
    pub(super) answered_by: Option<String>,
    /// Legs that answered while another was being bridged, in order, with their codecs.
    pub(super) also_answered: Vec<(u32, Option<String>)>,
}

impl Call {
    /// Starts a hold: rings who is awake, wakes who is not. Over at once when there is nobody.
    pub fn hold(held: HeldCall, key: AorKey, world: &mut World<'_>) -> Self {
        let wait = held
            .max_wait
            .map_or(world.policy.max_wait, |own| own.min(world.policy.max_wait));
        let mut call = Self {
            key,
            since: world.now,
            deadline: world.now.plus(wait),
            phase: Phase::Holding,
            parties: Vec::new(),
            legs: 0,
            pushes: 0,
            declined: false,
            first_push: None,
            woken: None,
            woken_device: None,
            invited: None,
            answered_by: None,
            also_answered: Vec::new(),
            held,
        };
        call.parties = world
            .directory
            .entry(&call.key)
            .map(|e| Party::all_of(e, world.now))
            .unwrap_or_default();
        call.note(
            world,
            "call-held",
            vec![
                ("caller", call.held.caller_number.clone().into()),
                (
                    "devices",
                    Value::from(u32::try_from(call.parties.len()).unwrap_or(u32::MAX)),
                ),
                ("wait-ms", wait.into()),
            ],
        );
        for p in 0..call.parties.len() {
            call.start(p, world);
        }
        call.settle(world);
        if call.phase == Phase::Holding {
            world.out.push_back(Command::Alert(call.held.call));
        }
        call
    }

    /// First steps for one party: push and ring, in the order that costs the sleeping phone least time.
    fn start(&mut self, p: usize, world: &mut World<'_>) {
        let party = &self.parties[p];
        let fresh = party
            .alive
            .is_some_and(|alive| world.now.since(alive) < world.policy.fresh_for);
        let ringable = party.target.is_some();
        let has_token = party.device.is_some();
        if has_token && party.set_aside.is_none() {
            if fresh && ringable {
                self.parties[p].wake = Wake::At {
                    when: world.now.plus(world.policy.push_delay),
                    tries: 0,
                };
                self.note_device(world, p, "device-awake", vec![]);
            } else {
                self.push(p, world);
            }
        } else if let Some(reason) = party.set_aside.clone() {
            self.note_device(world, p, "device-set-aside", vec![("reason", reason.into())]);
        }
        if ringable {
            let origin = if fresh { Origin::Awake } else { Origin::Known };
            self.ring(p, origin, world);
        }
    }

    /// The wait's next timer, if the call still has one.
    pub fn next_timer(&self, debounce: Duration) -> Option<Moment> {
        match self.phase {
            // A bridge under way is FreeSWITCH's to finish; a connection that never answers is cut by its own timeout.
            Phase::Over | Phase::Connecting(_) => None,
            Phase::Holding => self
                .parties
                .iter()
                .filter_map(|p| p.next_timer(debounce))
                .chain([self.deadline])
                .min(),
        }
    }

    /// Whether it can be removed.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The AOR it waits for.
    pub fn key(&self) -> &AorKey {
        &self.key
    }

    /// A timer may be due. A late or repeated one does nothing.
    pub fn on_time(&mut self, world: &mut World<'_>) {
        if self.phase != Phase::Holding {
            return;
        }
        if world.now >= self.deadline {
            self.finish(HoldResult::Timeout, world);
            return;
        }
        for p in 0..self.parties.len() {
            if let Wake::At { when, .. } = self.parties[p].wake
                && when <= world.now
            {
                self.push(p, world);
            }
            if let Some(when) = self.parties[p].ring_at
                && when <= world.now
            {
                self.parties[p].ring_at = None;
                self.ring(p, Origin::Woken, world);
            }
            if self.parties[p].has_moved_on(world.now, world.policy.debounce) {
                self.replace(p, world);
            }
        }
        self.settle(world);
    }

    /// A phone of the callee registered.
    pub fn on_registered(&mut self, seen: &Seen, world: &mut World<'_>) {
        if self.phase != Phase::Holding || !seen.is_news {
            return;
        }
        let p = self.party_of(seen);
        let party = &mut self.parties[p];
        if party.is_out {
            return;
        }
        let moved = party.target.as_ref() != Some(&seen.target);
        party.target = Some(seen.target.clone());
        party.alive = Some(world.now);
        party.registered = true;
        party.wake = Wake::Done;
        let was_pushed = party.pushed.is_some();
        if was_pushed && self.woken.is_none() {
            self.woken = Some(world.now);
            self.woken_device = Some(p);
        }
        let detail = vec![("moved", Value::from(if moved { "yes" } else { "no" }))];
        self.note_device(world, p, "device-registered", detail);
        match &self.parties[p].leg {
            None => self.ring_after_settling(p, world),
            Some(leg) if leg.state != LegState::Dialing => {}
            // A leg that was rung before this wake-up went to a phone that could not hear it.
            Some(leg) if leg.origin == Origin::Known => self.replace(p, world),
            Some(leg) if world.now.since(leg.since) < world.policy.debounce => self.parties[p].registered_again = true,
            Some(_) => self.replace(p, world),
        }
    }

    /// The originate of a leg was written.
    pub fn on_dialed(&mut self, n: u32, world: &mut World<'_>) {
        let by = self.party_of_leg(n);
        if self.invited.is_none() && by.is_some() && by == self.woken_device {
            self.invited = Some(world.now);
        }
    }

    /// 18x on a leg: the phone is awake, no push is needed any more.
    pub fn on_ringing(&mut self, n: u32, world: &mut World<'_>) {
        let Some(p) = self.party_of_leg(n) else { return };
        let party = &mut self.parties[p];
        let Some(leg) = &mut party.leg else { return };
        if leg.state != LegState::Dialing {
            return;
        }
        leg.state = LegState::Ringing;
        let target = leg.target.clone();
        party.wake = Wake::Done;
        world.directory.saw_alive(&self.key, &target, world.now);
        self.note_device(world, p, "leg-ringing", vec![]);
    }

    /// 200 on a leg.
    pub fn on_answered(&mut self, n: u32, codec: Option<String>, world: &mut World<'_>) {
        let leg = self.leg_id(n);
        let Some(p) = self.party_of_leg(n) else {
            // Killed here and answered there at the same time.
            world.out.push_back(Command::Kill {
                leg,
                cause: "LOSE_RACE".into(),
            });
            return;
        };
        let Some(answered) = &mut self.parties[p].leg else {
            return;
        };
        if answered.state == LegState::Answered {
            return;
        }
        answered.state = LegState::Answered;
        let target = answered.target.clone();
        self.parties[p].wake = Wake::Done;
        world.directory.saw_alive(&self.key, &target, world.now);
        match self.phase {
            Phase::Holding => {
                self.phase = Phase::Connecting(n);
                let detail = vec![("codec", Value::from(codec.clone().unwrap_or_default()))];
                self.note_device(world, p, "leg-answered", detail);
                world.out.push_back(Command::Connect { leg, codec });
            }
            Phase::Connecting(_) => self.also_answered.push((n, codec)),
            Phase::Over => {}
        }
    }

    /// The bridge stands: everybody else hears "completed elsewhere".
    pub fn on_bridged(&mut self, n: u32, world: &mut World<'_>) {
        if self.phase != Phase::Connecting(n) {
            return;
        }
        if let Some(p) = self.party_of_leg(n) {
            self.answered_by = Some(self.parties[p].label().to_string());
            self.parties[p].leg = None;
            self.parties[p].is_out = true;
        }
        self.end_with(
            HoldResult::Connected,
            "LOSE_RACE",
            Some(CancelReason::AnsweredElsewhere),
            world,
        );
        world.out.push_back(Command::Close(self.held.call));
    }

    /// The bridge failed: the next that answered, or go on waiting.
    pub fn on_bridge_failed(&mut self, n: u32, world: &mut World<'_>) {
        if self.phase != Phase::Connecting(n) {
            return;
        }
        self.phase = Phase::Holding;
        if let Some(p) = self.party_of_leg(n) {
            self.note_device(world, p, "bridge-failed", vec![]);
            world.out.push_back(Command::Kill {
                leg: self.leg_id(n),
                cause: "NORMAL_TEMPORARY_FAILURE".into(),
            });
            self.parties[p].leg = None;
            self.parties[p].is_out = true;
        }
        let alive = |call: &Self, n| call.party_of_leg(n).is_some();
        while !self.also_answered.is_empty() {
            let (next, codec) = self.also_answered.remove(0);
            if alive(self, next) {
                self.phase = Phase::Connecting(next);
                world.out.push_back(Command::Connect {
                    leg: self.leg_id(next),
                    codec,
                });
                return;
            }
        }
        self.settle(world);
    }

    /// A leg is over.
    pub fn on_leg_ended(&mut self, n: u32, end: &LegEnd, world: &mut World<'_>) {
        let Some(p) = self.party_of_leg(n) else { return };
        if self.phase == Phase::Connecting(n) {
            // The bridge's own result says what happens next: BridgeFailed follows.
            return;
        }
        let Some(leg) = self.parties[p].leg.take() else { return };
        let status = u64::from(end.sip_status.unwrap_or(0));
        self.note_device(
            world,
            p,
            "leg-ended",
            vec![("cause", end.cause.clone().into()), ("sip", Value::Number(status))],
        );
        match end.verdict() {
            Verdict::Declined { busy } => self.on_declined(p, busy, world),
            Verdict::NoAnswer => self.parties[p].is_out = true,
            Verdict::Unreachable => self.on_unreachable(p, &leg, world),
        }
        self.settle(world);
    }

    fn on_declined(&mut self, p: usize, busy: bool, world: &mut World<'_>) {
        self.declined = true;
        self.parties[p].is_out = true;
        self.parties[p].wake = Wake::Done;
        if world.policy.decline == Decline::All && self.phase == Phase::Holding {
            let cause = if busy { "USER_BUSY" } else { "CALL_REJECTED" };
            self.end_with(
                HoldResult::Declined,
                "LOSE_RACE",
                Some(CancelReason::DeclinedElsewhere),
                world,
            );
            world.out.push_back(Command::Reject {
                call: self.held.call,
                cause,
            });
        }
    }

    /// The contact did not work: a newer one is rung, else the device is pushed and waited for.
    fn on_unreachable(&mut self, p: usize, failed: &Leg, world: &mut World<'_>) {
        let party = &mut self.parties[p];
        let newer = party.target.as_ref().is_some_and(|t| *t != failed.target) || party.registered_again;
        party.registered_again = false;
        if newer {
            self.ring(p, Origin::Woken, world);
            return;
        }
        // What failed is not rung again before the phone has registered again.
        party.target = None;
        party.alive = None;
        // A push of this call that is still under way needs no second one; a phone that came and failed does.
        let under_way = (party.pushes > 0 || party.rides) && !party.registered;
        if party.wake != Wake::Impossible && !under_way && party.can_be_pushed(world.policy.push_retries) {
            self.push(p, world);
        }
    }

    /// A push was accepted.
    pub fn on_push_accepted(&mut self, device: &DeviceKey, receipt: &PushReceipt, world: &mut World<'_>) {
        let Some(p) = self.party_with(device) else { return };
        let detail = vec![
            ("provider-id", receipt.provider_id.clone().unwrap_or_default().into()),
            ("status", Value::Number(receipt.status.into())),
            ("attempts", Value::from(receipt.attempts)),
        ];
        self.note_device(world, p, "push-accepted", detail);
    }

    /// A push was refused, or not delivered in time.
    pub fn on_push_refused(&mut self, device: &DeviceKey, error: &PushError, world: &mut World<'_>) {
        let Some(p) = self.party_with(device) else { return };
        self.note_device(world, p, "push-refused", vec![("reason", error.to_string().into())]);
        if self.phase == Phase::Over || self.parties[p].registered {
            return;
        }
        if error.is_final() {
            self.parties[p].wake = Wake::Impossible;
        }
        if self.phase == Phase::Holding {
            self.settle(world);
        }
    }

    /// The caller is gone: the legs end for the same reason.
    pub fn on_caller_gone(&mut self, cause: &str, world: &mut World<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        let reason = match cause {
            "LOSE_RACE" | "PICKED_OFF" => CancelReason::AnsweredElsewhere,
            _ => CancelReason::CallerHungUp,
        };
        self.note(world, "caller-gone", vec![("cause", cause.into())]);
        self.end_with(HoldResult::Abandoned, cause, Some(reason), world);
        world.out.push_back(Command::Close(self.held.call));
    }

    /// FreeSWITCH goes on without us: the dialplan's next action has the caller now.
    pub fn on_connection_lost(&mut self, world: &mut World<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        self.note(world, "connection-lost", vec![]);
        self.end_with(
            HoldResult::Error,
            "ORIGINATOR_CANCEL",
            Some(CancelReason::TimedOut),
            world,
        );
        world.out.push_back(Command::Close(self.held.call));
    }

    /// Ends the hold and hands the channel back.
    pub fn finish(&mut self, result: HoldResult, world: &mut World<'_>) {
        if self.phase == Phase::Over {
            return;
        }
        let cancel = matches!(result, HoldResult::Timeout | HoldResult::Draining).then_some(CancelReason::TimedOut);
        // Not LOSE_RACE: this call was missed, and phones shall say so.
        self.end_with(result, "ORIGINATOR_CANCEL", cancel, world);
        world.out.push_back(Command::Release {
            call: self.held.call,
            result,
        });
    }

    /// Kills what rings, calls off what was woken, and sums up.
    fn end_with(&mut self, result: HoldResult, cause: &str, cancel: Option<CancelReason>, world: &mut World<'_>) {
        self.phase = Phase::Over;
        for p in 0..self.parties.len() {
            if let Some(leg) = self.parties[p].leg.take() {
                world.out.push_back(Command::Kill {
                    leg: self.leg_id(leg.n),
                    cause: cause.to_owned(),
                });
            } else if let Some(reason) = cancel
                && self.parties[p].pushed.is_some()
                && !self.parties[p].is_out
            {
                self.push_news(p, PushKind::Cancel(reason), world);
            }
            if matches!(result, HoldResult::Abandoned | HoldResult::Timeout)
                && cancel != Some(CancelReason::AnsweredElsewhere)
            {
                self.push_news(p, PushKind::MissedCall, world);
            }
        }
        world.out.push_back(Command::Summarize(Summary {
            call: self.held.call,
            aor: self.held.aor.clone(),
            result,
            devices: u32::try_from(self.parties.len()).unwrap_or(u32::MAX),
            pushes: self.pushes,
            legs: self.legs,
            answered_by: self.answered_by.clone(),
            held: world.now.since(self.since),
            call_to_push: self.first_push.map(|at| at.since(self.since)),
            push_to_register: self
                .woken
                .zip(self.woken_device)
                .and_then(|(at, p)| Some(at.since(self.parties[p].pushed?))),
            register_to_invite: self
                .invited
                .zip(self.woken)
                .map(|(invite, register)| invite.since(register)),
        }));
    }

    /// Ends the wait early when nobody is left who could answer.
    fn settle(&mut self, world: &mut World<'_>) {
        if self.phase != Phase::Holding || self.parties.iter().any(Party::may_answer) {
            return;
        }
        let result = if self.parties.is_empty() {
            HoldResult::NoDevice
        } else if self.declined {
            HoldResult::Declined
        } else if self.parties.iter().any(|p| p.was_rung && p.is_out) {
            HoldResult::Timeout
        } else {
            HoldResult::Unreachable
        };
        self.finish(result, world);
    }

    pub(super) fn leg_id(&self, n: u32) -> LegId {
        LegId {
            call: self.held.call,
            n,
        }
    }

    fn party_of_leg(&self, n: u32) -> Option<usize> {
        self.parties
            .iter()
            .position(|p| p.leg.as_ref().is_some_and(|l| l.n == n))
    }

    fn party_with(&self, device: &DeviceKey) -> Option<usize> {
        self.parties.iter().position(|p| p.device.as_ref() == Some(device))
    }

    /// The party that registered: a device by its token, a phone without one by its Call-ID or contact; new ones join.
    fn party_of(&mut self, seen: &Seen) -> usize {
        let by_device = |device: &Option<DeviceKey>| {
            device
                .as_ref()
                .and_then(|d| self.parties.iter().position(|p| p.device.as_ref() == Some(d)))
        };
        let found = by_device(&seen.device)
            .or_else(|| by_device(&seen.replaced))
            .or_else(|| {
                let same = |p: &Party| p.register_call_id == seen.call_id || p.target.as_ref() == Some(&seen.target);
                self.parties
                    .iter()
                    .position(|p| (seen.device.is_none() || p.device.is_none()) && same(p))
            });
        let p = found.unwrap_or_else(|| {
            self.parties.push(Party::default());
            self.parties.len() - 1
        });
        if let Some(device) = &seen.device {
            self.parties[p].name(device);
        }
        self.parties[p].register_call_id.clone_from(&seen.call_id);
        p
    }

    fn note(&self, world: &mut World<'_>, event: &'static str, detail: Vec<(&'static str, Value)>) {
        let note = Note {
            call: Some(self.held.call),
            aor: self.held.aor.clone(),
            event,
            detail,
        };
        world.out.push_back(Command::Note(note));
    }

    pub(super) fn note_device(
        &self,
        world: &mut World<'_>,
        p: usize,
        event: &'static str,
        mut detail: Vec<(&'static str, Value)>,
    ) {
        detail.insert(0, ("device", self.parties[p].label().into()));
        self.note(world, event, detail);
    }
}
