//! Tokens that were dropped while FreeSWITCH may still list their registration, or while older changes of other daemons may
//! arrive.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use crate::engine::ids::IdMap;
use crate::types::UnixMicros;

/// More than this many are not remembered: the oldest go.
const MOST: usize = 10_000;

/// Hashes of dropped tokens and when each was dropped, until their phone registers again.
#[derive(Clone, Debug, Default)]
pub(super) struct DroppedTokens {
    order: VecDeque<u64>,
    all: IdMap<u64, UnixMicros>,
}

impl Hash for DroppedTokens {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            order,
            // The same tokens. Their times are compared only with other daemons' changes.
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
    pub(super) fn add(&mut self, token: u64, changed: UnixMicros) {
        if self.all.insert(token, changed).is_some() {
            return;
        }
        self.order.push_back(token);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn has(&self, token: u64) -> bool {
        self.all.contains_key(&token)
    }

    /// When it was dropped.
    pub(super) fn changed(&self, token: u64) -> Option<UnixMicros> {
        self.all.get(&token).copied()
    }

    pub(super) fn clear(&mut self, token: u64) {
        if self.all.remove(&token).is_some() {
            self.order.retain(|other| *other != token);
        }
    }
}
