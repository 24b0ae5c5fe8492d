//! How a party is rung.

use std::hash::{Hash, Hasher};

use crate::engine::node::Via;
use crate::types::{Moment, Target};
use crate::word_enum;

/// The leg to a party; there is one at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Leg {
    /// None.
    #[default]
    None,
    /// When to dial it: after the settle delay, after the CANCEL of another leg to the same address, or after a bridge
    /// under way has failed.
    Due {
        /// When.
        at: Moment,
        /// The reason, unless the phone registers before.
        origin: Option<Origin>,
    },
    /// One of fswake's.
    Own(OwnLeg),
    /// FreeSWITCH's, from the same dial-string as the held channel.
    Other(OtherLeg),
    /// It declined, answered, or rang until the end: it is neither rung nor pushed any more in this call.
    Over,
}

word_enum! {
    /// What led to a leg.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Origin {
        /// A binding with recent proof of life.
        Awake = "awake",
        /// A binding that may be stale: rung in parallel with the push.
        Known = "known",
        /// A REGISTER during this call.
        Woken = "woken",
    }
}

/// One of fswake's legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnLeg {
    /// Its number in the call.
    pub n: u32,
    /// Where it went.
    pub target: Target,
    /// Which way it went.
    pub via: Via,
    /// Why it was rung.
    pub origin: Origin,
    /// When it was rung.
    pub since: Moment,
    /// How far it is.
    pub state: LegState,
}

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegState {
    /// No 18x yet.
    Dialing {
        /// Its phone has registered again since.
        registered_again: bool,
        /// When it is replaced by a new one to the same address, where its phone has registered.
        yields_at: Option<Moment>,
    },
    /// 18x received.
    Ringing,
    /// 200 received.
    Answered,
}

impl LegState {
    /// A leg that has just been dialled.
    pub const NEW: Self = Self::Dialing {
        registered_again: false,
        yields_at: None,
    };
}

/// A leg that FreeSWITCH makes by itself. The call's connection gets no events of it: FreeSWITCH is asked how it
/// stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherLeg {
    /// Where it goes.
    pub target: Target,
    /// The question.
    pub query: LegQuery,
}

/// A question to FreeSWITCH about a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LegQuery {
    /// None is open.
    #[default]
    None,
    /// When to ask again.
    Due {
        /// When.
        at: Moment,
    },
    /// It has been asked.
    Open {
        /// It had been asked before.
        again: bool,
    },
}

/// Hashes what decides ([`crate::engine::digest`]).
impl Hash for OwnLeg {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            // Only a name: the party identifies the leg.
            n: _,
            target,
            via,
            origin,
            since,
            state: so_far,
        } = self;
        (target, via, origin, so_far).hash(state);
        // Once it rings its age is for the journal.
        if self.is_dialing() {
            since.hash(state);
        }
    }
}

impl OwnLeg {
    /// Whether there is no 18x yet.
    pub fn is_dialing(&self) -> bool {
        matches!(self.state, LegState::Dialing { .. })
    }

    /// Whether its phone has registered again since it was dialled, and has not rung.
    pub fn registered_again(&self) -> bool {
        matches!(
            self.state,
            LegState::Dialing {
                registered_again: true,
                ..
            }
        )
    }

    /// Its phone has registered again.
    pub fn set_registered_again(&mut self) {
        if let LegState::Dialing { registered_again, .. } = &mut self.state {
            *registered_again = true;
        }
    }
}

impl Leg {
    /// fswake's own leg.
    pub fn own(&self) -> Option<&OwnLeg> {
        match self {
            Self::Own(leg) => Some(leg),
            _ => None,
        }
    }

    /// fswake's own leg, mutable.
    pub fn own_mut(&mut self) -> Option<&mut OwnLeg> {
        match self {
            Self::Own(leg) => Some(leg),
            _ => None,
        }
    }

    /// FreeSWITCH's.
    pub fn other(&self) -> Option<&OtherLeg> {
        match self {
            Self::Other(leg) => Some(leg),
            _ => None,
        }
    }

    /// FreeSWITCH's leg, mutable.
    pub fn other_mut(&mut self) -> Option<&mut OtherLeg> {
        match self {
            Self::Other(leg) => Some(leg),
            _ => None,
        }
    }

    /// Removes fswake's own leg, if it meets this condition.
    pub fn take_own_if(&mut self, is: impl FnOnce(&OwnLeg) -> bool) -> Option<OwnLeg> {
        if !self.own().is_some_and(is) {
            return None;
        }
        match std::mem::take(self) {
            Self::Own(leg) => Some(leg),
            _ => None,
        }
    }

    /// Removes fswake's own leg.
    pub fn take_own(&mut self) -> Option<OwnLeg> {
        self.take_own_if(|_| true)
    }

    /// Schedules its dialling, unless something else rings the party or an earlier time is set.
    pub fn dial_at(&mut self, at: Moment) {
        if *self == Self::None {
            *self = Self::Due { at, origin: None };
        }
    }

    /// Cancels its dialling.
    pub fn dial_no_more(&mut self) {
        if let Self::Due { .. } = self {
            *self = Self::None;
        }
    }

    /// When it is to be dialled.
    pub fn due_at(&self) -> Option<Moment> {
        match self {
            Self::Due { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// When fswake's own leg is replaced by a new one to the same address.
    pub fn yields_at(&self) -> Option<Moment> {
        match self.own()?.state {
            LegState::Dialing { yields_at, .. } => yields_at,
            LegState::Ringing | LegState::Answered => None,
        }
    }

    /// When FreeSWITCH is asked again about its leg.
    pub fn asks_at(&self) -> Option<Moment> {
        match self.other()?.query {
            LegQuery::Due { at } => Some(at),
            LegQuery::None | LegQuery::Open { .. } => None,
        }
    }

    /// Whether fswake's own leg is in this state.
    pub fn is(&self, state: LegState) -> bool {
        self.own().is_some_and(|leg| leg.state == state)
    }

    /// Whether fswake's own leg has no 18x yet.
    pub fn is_dialing(&self) -> bool {
        self.own().is_some_and(OwnLeg::is_dialing)
    }
}
