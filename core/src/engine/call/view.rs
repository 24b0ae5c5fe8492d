//! A held call as operators see it.

use super::{Call, Phase};
use crate::engine::party::{Leg, LegState, NextPush, Party};
use crate::engine::view::{CallView, PartyState, PartyView};
use crate::engine::world::World;
use crate::types::Moment;

impl Call {
    /// A copy of what may be shown.
    pub fn view(&self, now: Moment, world: &World) -> CallView {
        let party = |p: &Party| PartyView {
            device: p.device.clone(),
            label: p.label(),
            state: state(p, self.why_set_aside(p, world).is_some()),
            user_agent: p.user_agent.clone(),
            pushes: p.wake.pushes(),
            last_push: p.wake.last.clone(),
        };
        CallView {
            call: self.held.call,
            aor: self.held.aor.clone(),
            routing: self.held.routing,
            caller_number: self.held.caller_number.clone(),
            caller_name: self.held.caller_name.clone(),
            at: self.held.at,
            held: now.since(self.figures.since),
            left: self.deadline.since(now),
            connecting: matches!(self.phase, Phase::Connecting(_) | Phase::Early(_)),
            parties: self.parties.iter().map(party).collect(),
        }
    }
}

fn state(party: &Party, is_set_aside: bool) -> PartyState {
    match &party.leg {
        Leg::Own(leg) => match leg.state {
            LegState::Answered => PartyState::Answered,
            LegState::Ringing => PartyState::Ringing,
            LegState::Dialing { .. } => PartyState::Dialing,
        },
        Leg::Over => PartyState::Out,
        Leg::Due { .. } => PartyState::Registered,
        Leg::None | Leg::Other(_) if party.has_registered => PartyState::Registered,
        Leg::None | Leg::Other(_) => {
            if party.wake.sent.is_some() && party.wake.next != NextPush::Impossible {
                PartyState::Pushed
            } else if party.wake.due().is_some() {
                PartyState::PushDue
            } else if is_set_aside {
                PartyState::SetAside
            } else {
                PartyState::Unreachable
            }
        }
    }
}
