//! Hashes what decides what a held call does next ([`crate::engine::digest`]).

use std::hash::{Hash, Hasher};

use super::{Call, Phase};

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            held,
            key,
            number,
            phase,
            parties,
            deadline,
            ring_until,
            rings_on,
            first_register,
            asked,
            question,
            declined,
            alerted,
            also_answered,
            // For the journal, the call's own record and the summary.
            figures: _,
        } = self;
        // Whether the answer is waited for is in `asked`.
        let is_found = question.as_ref().is_some_and(|question| question.is_found);
        (number, is_found).hash(state);
        (held, key, deadline, ring_until, rings_on).hash(state);
        (parties, declined, first_register, asked, alerted).hash(state);
        // Legs are identified by their parties: their numbers are names.
        std::mem::discriminant(phase).hash(state);
        if let Phase::Connecting(n) | Phase::Early(n) = phase {
            self.party_of_leg(*n).hash(state);
        }
        also_answered.len().hash(state);
        for (n, codec) in also_answered {
            (self.party_of_leg(*n), codec).hash(state);
        }
    }
}
