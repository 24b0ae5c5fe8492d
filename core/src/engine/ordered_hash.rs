//! Hashes a map in the order of its keys, for [`super::digest`].

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// Hashes a map whose own order has no meaning.
pub(super) fn ordered_hash<K: Hash + Ord, V: Hash, S>(map: &HashMap<K, V, S>, state: &mut impl Hasher) {
    state.write_usize(map.len());
    if map.len() < 2 {
        for entry in map {
            entry.hash(state);
        }
        return;
    }
    let mut all: Vec<_> = map.iter().collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    for entry in all {
        entry.hash(state);
    }
}
