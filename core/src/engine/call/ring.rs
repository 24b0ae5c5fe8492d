//! Ringing: when a phone is dialled, and when a leg is replaced.

use super::nodes::name;
use super::{Call, Phase};
use crate::engine::node::Via;
use crate::engine::order::{CallOrder, Cause, Ring};
use crate::engine::party::{Codecs, Leg, LegState, NextPush, Origin, OwnLeg};
use crate::engine::step::Step;
use crate::engine::world::World;

impl Call {
    /// Rings a phone that has just registered, once it can take a call.
    pub(super) fn ring_after_settling(&mut self, p: usize, world: &mut World) {
        if world.policy.settle_delay.is_zero() || self.rests_on(p) {
            self.can_ring(p, world);
        } else {
            let when = world.now.plus(world.policy.settle_delay);
            self.parties[p].leg.dial_at(when);
        }
    }

    /// A phone of this party can be rung now: fswake does, or in wake-only mode the dialplan may.
    pub(super) fn can_ring(&mut self, p: usize, world: &mut World) {
        let party = &mut self.parties[p];
        let mut why = None;
        if let Leg::Due { origin, .. } = party.leg {
            party.leg = Leg::None;
            why = origin.filter(|_| !party.has_registered);
        }
        let otherwise = if party.has_registered {
            Origin::Woken
        } else {
            Origin::Known
        };
        if self.mode(world).only_wakes() {
            self.hand_back_if_awake(world);
        } else {
            self.ring(p, why.unwrap_or(otherwise), world);
        }
    }

    /// Replaces a leg that its phone cannot have received by one to the new address.
    pub(super) fn replace(&mut self, p: usize, world: &mut World) {
        let old = self.parties[p].leg.take_own();
        // The new leg first: the phone waits for it, and killing takes FreeSWITCH two milliseconds.
        self.ring_after_settling(p, world);
        if let Some(old) = old {
            self.kill(old.n, Cause::COMPLETED_ELSEWHERE, world);
        }
    }

    /// Rings a party where it is, unless it is rung already or has declined. While another is being connected: only if
    /// that fails.
    pub(super) fn ring(&mut self, p: usize, origin: Origin, world: &mut World) {
        let party = &self.parties[p];
        let Some(target) = party.target().cloned() else { return };
        let goes_there = |leg: &OwnLeg| leg.target == target;
        let is_rung = self.parties.iter().any(|q| q.leg.own().is_some_and(goes_there));
        if party.leg.own().is_some() || party.is_out() || is_rung {
            return;
        }
        let Some(via) = self.route(&target, world) else {
            self.note_out_of_reach(p, world);
            return;
        };
        let early_media = self.rings_alone();
        let party = &mut self.parties[p];
        match self.phase {
            Phase::Holding => {}
            Phase::Connecting(_) => {
                let at = party.leg.due_at().unwrap_or(world.now);
                party.leg = Leg::Due {
                    at,
                    origin: Some(origin),
                };
                return;
            }
            Phase::Early(_) | Phase::Over => return,
        }
        let n = self.figures.legs;
        self.figures.legs += 1;
        party.leg = Leg::Own(OwnLeg {
            n,
            target: target.clone(),
            via,
            origin,
            since: world.now,
            state: LegState::NEW,
        });
        let device = party.label();
        let (node, aor) = match via {
            Via::Direct => (None, self.held.aor.clone()),
            Via::Node(node) => (Some(name(node, world)), self.owner_of(&target, world)),
        };
        let party = &mut self.parties[p];
        let ring = Ring {
            target,
            via,
            aor,
            sip_call_id: party.sip_call_id(self.held.call, p),
            timeout: self.ring_until.since(world.now),
            park_timeout: world.policy.park_timeout,
            any_codec: party.codecs == Codecs::Any,
            early_media,
            leg: self.leg_id(n),
        };
        self.order(CallOrder::Ring(Box::new(ring)), world);
        let started = Step::LegStarted {
            device,
            leg: n,
            why: origin,
            node,
        };
        self.note(world, started);
        if origin == Origin::Woken {
            self.expect_ringing(p, world);
        }
    }

    /// A wake is over when the phone rings, not when it registers: one that stays silent is pushed again.
    pub(super) fn expect_ringing(&mut self, p: usize, world: &World) {
        if self.may_push(p, world) {
            self.parties[p].wake.next = NextPush::At(world.now.plus(world.policy.push_retry));
        }
    }
}
