//! Tokens that were dropped while FreeSWITCH may still list their registration.

use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};

/// More than this many are not remembered: the oldest go.
const MOST: usize = 10_000;

/// Hashes of dropped tokens, until their phone registers again.
#[derive(Clone, Debug, Default)]
pub(super) struct DroppedTokens {
    order: VecDeque<u64>,
    all: HashSet<u64>,
}

impl Hash for DroppedTokens {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            order,
            // The same.
            all: _,
        } = self;
        // The oldest goes when there are too many.
        let mut order = order.clone();
        if order.len() < MOST {
            order.make_contiguous().sort_unstable();
        }
        order.hash(state);
    }
}

impl DroppedTokens {
    pub(super) fn add(&mut self, token: u64) {
        if !self.all.insert(token) {
            return;
        }
        self.order.push_back(token);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    pub(super) fn has(&self, token: u64) -> bool {
        self.all.contains(&token)
    }

    pub(super) fn clear(&mut self, token: u64) {
        if self.all.remove(&token) {
            self.order.retain(|other| *other != token);
        }
    }
}
