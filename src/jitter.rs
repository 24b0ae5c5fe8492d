//! Random delays, so that what began at the same time does not go on at the same time.

use std::time::Duration;

use uuid::Uuid;

/// A number in 0..1 from the random bits of a UUID, so that no other crate is needed.
#[allow(clippy::cast_precision_loss)]
pub fn fraction() -> f64 {
    (Uuid::new_v4().as_u128() & 0xffff_ffff) as f64 / 4_294_967_296.0
}

/// At random from the upper half of a pause.
pub fn upper_half(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fraction() / 2.0)
}

/// At random from the upper quarter of a pause.
pub fn upper_quarter(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + fraction() / 4.0)
}
