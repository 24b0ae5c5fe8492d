//! Maps whose keys are fswake's own ids: numbers, random UUIDs and keyed hashes that nobody outside chooses.
//!
//! The standard hasher protects from keys that an attacker picked, at a price that would be a tenth of an event.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by fswake's own ids; never by text from the network.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Spreads ids over a table by one multiplication per word.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
    fn write_u64(&mut self, n: u64) {
        // Both halves of the product: the lower one does not depend on a word's high bits. The factor is pi's digits.
        let product = u128::from(self.0 ^ n) * 0x243f_6a88_85a3_08d3;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::CallId;
    use std::hash::{BuildHasher, Hash};
    use uuid::Uuid;

    /// The fullest of 1,024 buckets when 10,240 keys are spread by the bits that a table uses.
    fn fullest<K: Hash>(keys: impl Iterator<Item = K>) -> usize {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        let mut buckets = vec![0; 1024];
        for key in keys {
            buckets[usize::try_from(hasher.hash_one(key) & 1023).unwrap()] += 1;
        }
        buckets.into_iter().max().unwrap()
    }

    #[test]
    fn ids_are_spread_whether_random_or_counted() {
        assert!(fullest((0..10_240u64).map(|n| n * 4096)) < 40);
        assert!(fullest((0..10_240).map(|n| CallId(Uuid::from_u128(n)))) < 40);
        assert!(fullest((0..10_240).map(|n: u128| CallId(Uuid::from_u128(n << 70)))) < 40);
    }
}
