//! The parts of a state. The receivers of an event see only some of them.

use std::hash::Hash;

use crate::cast::call;
use crate::engine::digest::FromNow;
use crate::fingerprint::{self, Fingerprint};
use crate::sim::Sim;
use crate::step::Receivers;

/// What distinguishes a state from others.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Each call.
    calls: [u128; 2],
    /// For each call, its pushes in progress.
    pushes: [u128; 2],
    /// What all calls share.
    rest: u128,
}

impl Parts {
    /// The whole state.
    pub fn whole(self) -> u128 {
        fingerprint::of(&(self.calls, self.pushes, self.rest))
    }

    /// One call.
    pub fn call(self, call: u8) -> u128 {
        self.calls[usize::from(call)]
    }

    /// Everything that matters to these receivers.
    pub fn of(self, receivers: Receivers) -> u128 {
        match receivers {
            Receivers::Call(call) => {
                let pushes = self.pushes[usize::from(call)];
                fingerprint::of(&(call, self.call(call), pushes, self.rest))
            }
            Receivers::Phones => fingerprint::of(&(self.calls, self.rest)),
            Receivers::All => self.whole(),
        }
    }
}

impl Sim {
    /// The parts of this state.
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
