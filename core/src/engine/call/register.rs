//! A phone of the callee registers during the call.

use std::sync::Arc;

use super::{Call, Phase};
use crate::engine::directory::Arrival;
use crate::engine::party::{Leg, Location, NextPush, Party};
use crate::engine::step::{RegisterKind, Step};
use crate::engine::world::World;
use crate::types::DeviceKey;

impl Call {
    /// A phone of the callee registered.
    pub fn on_registered(&mut self, arrival: &Arrival, world: &mut World) {
        let is_connecting = matches!(self.phase, Phase::Connecting(_));
        if !(self.phase == Phase::Holding || is_connecting) || !arrival.is_news {
            return;
        }
        self.note_first(world);
        self.first_register = None;
        let p = self.party_of(arrival);
        if self.parties[p].is_out() {
            return;
        }
        self.has_come(p, arrival, world);
        if self.take_place(p, world) {
            return;
        }
        if is_connecting {
            return self.remember_for_later(p, world);
        }
        match &self.parties[p].leg {
            Leg::None => self.ring_after_settling(p, world),
            Leg::Other(_) => self.ask_other_leg(p, world),
            Leg::Own(leg) if leg.is_dialing() => {
                let leg = leg.clone();
                self.registered_while_dialing(p, &leg, world);
            }
            // It waits for the CANCEL of another leg to the same address; or it rings.
            Leg::Due { .. } | Leg::Own(_) | Leg::Over => {}
        }
    }

    /// Records that a party has registered.
    fn has_come(&mut self, p: usize, arrival: &Arrival, world: &mut World) {
        let party = &mut self.parties[p];
        let how = match party.target() {
            None => RegisterKind::Fresh,
            Some(before) if *before == arrival.target => RegisterKind::Refresh,
            Some(_) => RegisterKind::Moved,
        };
        party.place = Some(Location {
            target: arrival.target.clone(),
            alive: Some(world.now),
        });
        party.user_agent = arrival.user_agent.clone();
        party.has_registered = true;
        party.wake.next = NextPush::None;
        let since_push = party.wake.pushed_at().map(|at| world.now.since(at));
        party.wake.to_register = party.wake.to_register.or(since_push);
        if since_push.is_some() {
            self.figures.has_woken(p, world.now);
        }
        let registered = Step::DeviceRegistered {
            device: self.parties[p].label(),
            how,
            user_agent: arrival.user_agent.clone(),
            since_push,
        };
        self.note(world, registered);
    }

    /// The party that registered: a device by its token, a phone without one by its Call-ID or contact; new ones join.
    fn party_of(&mut self, arrival: &Arrival) -> usize {
        let by_device = |device: &Option<Arc<DeviceKey>>| device.as_ref().and_then(|device| self.party_with(device));
        let found = by_device(&arrival.device)
            .or_else(|| by_device(&arrival.replaced))
            .or_else(|| {
                let same = |p: &Party| p.register_call_id == arrival.call_id || p.target() == Some(&arrival.target);
                self.parties
                    .iter()
                    .position(|p| (arrival.device.is_none() || p.device.is_none()) && same(p))
            });
        let p = found.unwrap_or_else(|| {
            self.parties.push(Party::default());
            self.parties.len() - 1
        });
        if let Some(device) = &arrival.device {
            self.parties[p].name(device);
        }
        self.parties[p].register_call_id.clone_from(&arrival.call_id);
        p
    }
}
