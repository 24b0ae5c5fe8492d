//! A fast 128-bit fingerprint of a state. Among 10 million states, the probability that two share one by chance is
//! 10^-25.

use std::hash::{Hash, Hasher};

/// Two lanes. For every 64 bits, each is multiplied and folded with a constant of its own.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64, u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }
}

/// The fingerprint of a value.
pub fn of(it: &impl Hash) -> u128 {
    let mut state = Fingerprint::default();
    it.hash(&mut state);
    state.bits()
}

impl Fingerprint {
    /// All 128 bits.
    pub fn bits(self) -> u128 {
        let mut last = self;
        for _ in 0..4 {
            last.write_u64(0x5851_f42d_4c95_7f2d);
        }
        u128::from(last.0) << 64 | u128::from(last.1)
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        // The length distinguishes "a" from "a\0".
        self.write_u64(u64::from_le_bytes(word) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        let product = u128::from(self.0 ^ n) * 0xa409_3822_299f_31d1;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
        let halves = (product as u64, (product >> 64) as u64);
        self.0 = halves.1 ^ self.1;
        self.1 = halves.0.wrapping_add(self.1.rotate_left(23)) ^ n;
    }

    fn write_u128(&mut self, n: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
        let halves = (n as u64, (n >> 64) as u64);
        self.write_u64(halves.0);
        self.write_u64(halves.1);
    }

    fn write_i128(&mut self, n: i128) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the two halves are wanted"
        )]
        let halves = (n as u64, (n >> 64) as u64);
        self.write_u64(halves.0);
        self.write_u64(halves.1);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
