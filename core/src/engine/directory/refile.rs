//! Files all entries again after the rules for comparing AORs have changed.

use std::collections::HashSet;
use std::hash::BuildHasher;

use super::{AorEntry, AorKey, Binding, Directory, KnownDevice};
use crate::engine::policy::Policy;
use crate::types::Aor;

impl Directory {
    /// Files every device and binding, and everything else of an AOR, under the policy's name for it.
    pub fn refile(&mut self, policy: &Policy) {
        let moves = |key: &AorKey, entry: &AorEntry| {
            entry.devices.iter().any(|d| AorKey::of(&d.device.aor, policy) != *key)
                || entry.bindings.iter().any(|b| place(key, b, policy) != *key)
        };
        let moving = self.entries.keys_of(|key, entry| moves(key, entry));
        let mut moving: Vec<_> = moving
            .into_iter()
            .filter_map(|key| self.entries.remove(&key).map(|entry| (key, entry)))
            .collect();
        // A map's order differs from run to run; the same events have to give the same commands.
        moving.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut touched = HashSet::new();
        let mut phones = Vec::new();
        for (old, entry) in moving {
            for known in entry.devices {
                let key = AorKey::of(&known.device.aor, policy);
                self.owners
                    .insert(self.token_hash(&known.key), self.entries.known_place(&key));
                self.entries.known(&key).add(known);
                touched.insert(key);
            }
            for binding in entry.bindings {
                let key = place(&old, &binding, policy);
                let phone = self.hasher.hash_one(&binding.call_id);
                if binding.device.is_none() && self.phones.get(&phone) == Some(&old) {
                    phones.push((phone, key.clone()));
                }
                self.entries.known(&key).bindings.push(binding);
            }
        }
        for key in &touched {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.devices.sort_by_key(|known: &KnownDevice| known.device.first_seen);
            }
        }
        self.phones.extend(phones);
        for aor in std::mem::take(&mut self.ended).into_values().flatten() {
            let key = AorKey::of(&aor, policy);
            self.ended.entry(key).or_default().insert(aor);
        }
        for question in std::mem::take(&mut self.questions).into_values().flatten() {
            let questions = self.questions.entry(AorKey::of(&question.aor, policy)).or_default();
            match questions.iter_mut().find(|one| one.node == question.node) {
                // Two users may have become one: the later one counts.
                Some(one) => {
                    (one.number, one.ended) = (one.number.max(question.number), one.ended.max(question.ended));
                }
                None => questions.push(question),
            }
        }
    }
}

/// The key of a binding that was filed under `old`.
fn place(old: &AorKey, binding: &Binding, policy: &Policy) -> AorKey {
    AorKey::of(&Aor::new(old.user.clone(), binding.domain.clone()), policy)
}
