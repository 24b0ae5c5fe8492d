//! The parts of a state: the receivers of an event see some of them.

use std::hash::Hash;

use crate::cast::call;
use crate::engine::digest::FromNow;
use crate::fingerprint::{self, Fingerprint};
use crate::sim::Sim;
use crate::step::Hearers;

/// What distinguishes a state from others.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Each call.
    calls: [u128; 2],
    /// The pushes under way for each.
    pushes: [u128; 2],
    /// What all share.
    rest: u128,
}

impl Parts {
    /// All of it.
    pub fn whole(self) -> u128 {
        fingerprint::of(&(self.calls, self.pushes, self.rest))
    }

    /// One call.
    pub fn call(self, call: u8) -> u128 {
        self.calls[usize::from(call)]
    }

    /// Everything that matters to these receivers.
    pub fn of(self, hearers: Hearers) -> u128 {
        match hearers {
            Hearers::Call(call) => {
                let pushes = self.pushes[usize::from(call)];
                fingerprint::of(&(call, self.call(call), pushes, self.rest))
            }
            Hearers::Phones => fingerprint::of(&(self.calls, self.rest)),
            Hearers::All => self.whole(),
        }
    }
}

impl Sim {
    /// What distinguishes this state from others.
    pub fn parts(&self) -> Parts {
        let print = |tell: &dyn Fn(&mut FromNow<'_, Fingerprint>)| {
            let mut state = Fingerprint::default();
            tell(&mut FromNow {
                now: self.now,
                inner: &mut state,
            });
            state.bits()
        };
        let of_call = |n: u8| {
            print(&|state| {
                self.engine.digest_call(call(n), state);
                self.ledger.calls.get(usize::from(n)).hash(state);
            })
        };
        let pushes_of = |n: u8| {
            print(&|state| {
                self.engine.digest_pushes(call(n), state);
                let under_way = self.around.pushes.iter().filter(|push| push.call == n);
                under_way.count().hash(state);
            })
        };
        Parts {
            calls: [of_call(0), of_call(1)],
            pushes: [pushes_of(0), pushes_of(1)],
            rest: print(&|state| {
                self.engine.digest(self.around.another_call, state);
                self.around.hash(state);
            }),
        }
    }
}
