//! Events of legs: ringing, answers, bridges, ends.

use std::sync::Arc;

use super::end::End;
use super::route::Route;
use super::{Call, Phase};
use crate::engine::command::HoldResult;
use crate::engine::event::{LegEnd, Verdict};
use crate::engine::order::{CallOrder, Cause, Connect, Next};
use crate::engine::party::{Codecs, LegState, Location, NextPush, Origin, OwnLeg};
use crate::engine::policy::Decline;
use crate::engine::step::Step;
use crate::engine::world::World;
use crate::types::Target;

impl Call {
    /// The originate of a leg was written.
    pub fn on_dialed(&mut self, n: u32, world: &mut World) {
        if let Some(p) = self.party_of_leg(n) {
            self.figures.has_invited(p, world.now);
        }
    }

    /// 180 on a leg: the phone is awake and needs no push any more, and the caller gets ringing.
    pub fn on_ringing(&mut self, n: u32, world: &mut World) {
        self.on_progress(n, world);
        if self.party_of_leg(n).is_some() {
            self.alert(world);
        }
    }

    /// 18x on a leg.
    pub(super) fn on_progress(&mut self, n: u32, world: &mut World) {
        let Some(p) = self.party_of_leg(n) else { return };
        let party = &mut self.parties[p];
        let Some(leg) = party.leg.own_mut().filter(|leg| leg.is_dialing()) else {
            return;
        };
        leg.state = LegState::Ringing;
        let after = world.now.since(leg.since);
        let target = leg.target.clone();
        self.is_reached(p, &target, world);
        let device = self.parties[p].label();
        self.note(world, Step::LegRinging { device, after });
    }

    /// A phone rings or has answered at this address: it needs no push.
    fn is_reached(&mut self, p: usize, target: &Target, world: &mut World) {
        let party = &mut self.parties[p];
        party.has_rung = true;
        party.wake.next = NextPush::None;
        self.wake_is_over(p, world);
        self.saw_alive(target, world);
    }

    /// 200 on a leg.
    pub fn on_answered(&mut self, n: u32, codec: Option<Arc<str>>, world: &mut World) {
        let leg = self.leg_id(n);
        // Without a party, it was killed and answered at the same time: its end is under way.
        let Some(p) = self.party_of_leg(n) else { return };
        let party = &mut self.parties[p];
        let Some(answered) = party.leg.own_mut().filter(|leg| leg.state != LegState::Answered) else {
            return;
        };
        answered.state = LegState::Answered;
        let target = answered.target.clone();
        self.is_reached(p, &target, world);
        match self.phase {
            Phase::Over => return,
            Phase::Connecting(other) if other != n => return self.also_answered.push((n, codec)),
            Phase::Holding | Phase::Connecting(_) | Phase::Early(_) => {}
        }
        let device = self.parties[p].label();
        let answered = Step::LegAnswered {
            device: device.clone(),
            codec: codec.clone(),
        };
        self.note(world, answered);
        self.record(Some(device), false, world);
        match self.phase {
            Phase::Holding => {
                self.phase = Phase::Connecting(n);
                let early = false;
                self.order(CallOrder::Connect(Connect { leg, codec, early }), world);
            }
            Phase::Early(_) => self.connected(n, world),
            Phase::Connecting(_) | Phase::Over => {}
        }
    }

    /// The bridge is made: everybody else gets "completed elsewhere".
    pub fn on_bridged(&mut self, n: u32, world: &mut World) {
        if self.phase == Phase::Connecting(n) {
            self.connected(n, world);
        }
    }

    /// Caller and phone are connected.
    pub(super) fn connected(&mut self, n: u32, world: &mut World) {
        if let Some(p) = self.party_of_leg(n) {
            self.figures.answered_by = Some(self.parties[p].label());
            self.parties[p].leave();
        }
        self.end(End::connected(), world);
    }

    /// The bridge failed: the next that answered, or go on waiting.
    pub fn on_bridge_failed(&mut self, n: u32, end: Option<&LegEnd>, world: &mut World) {
        if self.phase != Phase::Connecting(n) {
            return;
        }
        let next = self.next_answered();
        self.phase = next
            .as_ref()
            .map_or(Phase::Holding, |(next, _)| Phase::Connecting(*next));
        if let Some(p) = self.party_of_leg(n) {
            match end {
                // Its early media was for the caller, so its end is its answer to the call.
                Some(end) if !self.parties[p].leg.is(LegState::Answered) => self.leg_is_over(p, end, world),
                _ => self.answered_in_vain(p, end, world),
            }
        }
        if let Some((next, codec)) = next {
            let device = self.party_of_leg(next).map(|p| self.parties[p].label());
            self.record(device, false, world);
            let (leg, early) = (self.leg_id(next), false);
            self.order(CallOrder::Connect(Connect { leg, codec, early }), world);
            return;
        }
        // It may have begun to ring while the bridge was under way.
        if self.parties.iter().any(|p| p.leg.is(LegState::Ringing)) {
            self.alert(world);
        }
        self.settle(world);
    }

    /// Somebody answers at this address, for whichever of the call's AORs.
    fn saw_alive(&self, target: &Target, world: &mut World) {
        for key in self.keys() {
            world.directory.saw_alive(key, target, world.now);
        }
    }

    /// The first leg that answered while another was being bridged, if one is still up.
    fn next_answered(&mut self) -> Option<(u32, Option<Arc<str>>)> {
        while !self.also_answered.is_empty() {
            let (next, codec) = self.also_answered.remove(0);
            if self.party_of_leg(next).is_some() {
                return Some((next, codec));
            }
        }
        None
    }

    /// This party's leg could not be bridged. It has ended by itself, or is killed here.
    fn answered_in_vain(&mut self, p: usize, end: Option<&LegEnd>, world: &mut World) {
        let device = self.parties[p].label();
        self.note(world, Step::BridgeFailed { device });
        let Some(leg) = self.parties[p].leg.take_own() else {
            return;
        };
        self.parties[p].leave();
        let failure = "NORMAL_TEMPORARY_FAILURE";
        let ended = LegEnd {
            cause: failure.into(),
            sip_status: None,
        };
        self.parties[p].ended = Some(end.cloned().unwrap_or(ended));
        if end.is_none() {
            self.kill(leg.n, Cause::Ours(failure), world);
        }
    }

    /// A leg is over.
    pub fn on_leg_ended(&mut self, n: u32, end: &LegEnd, world: &mut World) {
        let Some(p) = self.party_of_leg(n) else { return };
        match self.phase {
            // The bridge's own result decides what happens next: BridgeFailed follows.
            Phase::Connecting(connecting) if connecting == n => return,
            Phase::Early(early) if early == n => return self.on_early_ended(n, end, world),
            _ => {}
        }
        self.leg_is_over(p, end, world);
        self.settle(world);
    }

    /// A party's leg has ended by itself: what that means for the phone.
    fn leg_is_over(&mut self, p: usize, end: &LegEnd, world: &mut World) {
        let Some(leg) = self.parties[p].leg.take_own() else {
            return;
        };
        self.note_leg_ended(p, &leg, end, world);
        self.parties[p].ended = Some(end.clone());
        let verdict = verdict(end, &leg);
        if verdict != Verdict::Unreachable {
            // Whatever it answered, the phone is reachable.
            self.wake_is_over(p, world);
        }
        match verdict {
            Verdict::Declined { .. } => self.on_declined(p, end, world),
            Verdict::NoAnswer | Verdict::Refused => self.parties[p].leave(),
            Verdict::Unreachable => self.on_unreachable(p, &leg, world),
            Verdict::NoCommonCodec => self.on_no_common_codec(p, &leg, world),
        }
    }

    pub(super) fn note_leg_ended(&self, p: usize, leg: &OwnLeg, end: &LegEnd, world: &mut World) {
        let ended = Step::LegEnded {
            device: self.parties[p].label(),
            cause: end.cause.clone(),
            sip: end.sip_status.unwrap_or(0),
            after: world.now.since(leg.since),
        };
        self.note(world, ended);
    }

    pub(super) fn on_declined(&mut self, p: usize, end: &LegEnd, world: &mut World) {
        self.declined = true;
        self.parties[p].leave();
        if world.policy.decline == Decline::All {
            // The caller gets this phone's cause, whatever the others did.
            self.release(HoldResult::Declined, Next::fails(end), world);
        }
    }

    /// The contact did not work: a newer one is rung, else the device is pushed and waited for, unless the wait is
    /// over.
    pub(super) fn on_unreachable(&mut self, p: usize, failed: &OwnLeg, world: &mut World) {
        let party = &self.parties[p];
        let is_newer = party.target().is_some_and(|t| *t != failed.target) || failed.registered_again();
        if is_newer {
            self.ring(p, Origin::Woken, world);
            return;
        }
        // What failed is not rung again before the phone registers again.
        self.parties[p].place = None;
        if failed.origin == Origin::Woken {
            // It was there, and is gone again.
            self.wake_is_over(p, world);
        }
        let may_push = self.may_push(p, world);
        let party = &mut self.parties[p];
        // A push of this call that is still under way is enough; a phone that registered and failed gets another, in
        // its time.
        let under_way = party.wake.is_under_way() && !party.has_registered;
        if party.wake.next == NextPush::Impossible || under_way || !may_push {
            return;
        }
        match party.wake.pushed_at().map(|last| last.plus(world.policy.push_retry)) {
            Some(when) if when > world.now => party.wake.next = NextPush::At(when),
            _ => self.push(p, world),
        }
    }

    /// The phone supports none of the caller's codecs: try again with any.
    fn on_no_common_codec(&mut self, p: usize, failed: &OwnLeg, world: &mut World) {
        let party = &mut self.parties[p];
        if party.codecs == Codecs::Any {
            party.leave();
            return;
        }
        party.codecs = Codecs::Any;
        party.place.get_or_insert_with(|| Location {
            target: failed.target.clone(),
            alive: None,
        });
        self.ring(p, failed.origin, world);
    }
}

/// What a leg's end means, given how far it was and why it was rung.
fn verdict(end: &LegEnd, leg: &OwnLeg) -> Verdict {
    match end.verdict() {
        // A phone that rang and then gave up has not been out of reach.
        Verdict::Unreachable if !leg.is_dialing() && matches!(end.sip_status, Some(408 | 480)) => Verdict::NoAnswer,
        // A phone that has just registered is there: it does not want the call.
        Verdict::Unreachable if leg.origin == Origin::Woken && end.sip_status == Some(480) => Verdict::Refused,
        // A proxy that finds no way to the phone: Kamailio sends 500 if a WebSocket is gone.
        Verdict::Refused
            if leg.is_dialing()
                && matches!(end.sip_status, Some(500 | 502 | 504))
                && Route::to(&leg.target).by_proxy =>
        {
            Verdict::Unreachable
        }
        // Whoever is at an old address reveals nothing about a phone that is being woken.
        Verdict::Refused if leg.origin == Origin::Known => Verdict::Unreachable,
        verdict => verdict,
    }
}
