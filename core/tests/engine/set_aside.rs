//! A refused token is not used until its phone registers again.

use std::time::Duration;

use fswake_core::types::push::PushError;

use crate::bench;
use crate::common::{Bench, apns, leg, ms, reg};

const AT: &str = "1001@a:1";

/// A phone whose token was refused earlier is rung for call 2 at its registered address, on leg 0.
fn set_aside() -> Bench {
    let mut b = bench();
    b.register(reg("1001", "tok", AT, Some(apns("tok"))));
    b.pass(Duration::from_secs(1000));
    b.expect_stored("tok");
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    let reason = "BadDeviceToken".into();
    b.refuses(&push, PushError::TokenBad { reason });
    b.gone(1, "ORIGINATOR_CANCEL");
    b.out.clear();
    b.hold(2, "1001");
    b.expect_ring(leg(2, 0), AT);
    b.expect_nothing_more();
    assert!(b.noted("device-set-aside").is_some());
    b
}

#[test]
fn phone_whose_address_is_taken_over_is_not_pushed_with_a_refused_token() {
    let mut b = set_aside();
    // The same app after a reinstallation.
    b.register(reg("1001", "new", AT, Some(apns("new"))));
    b.expect_stored("new");
    b.expect_kill(leg(2, 0), "LOSE_RACE");
    b.expect_nothing_more();
    b.pass(ms(20));
    b.expect_ring(leg(2, 1), AT);
    b.expect_nothing_more();
}

#[test]
fn phone_that_registers_again_is_pushed_when_it_does_not_ring() {
    for token in ["tok", "other"] {
        let mut b = set_aside();
        b.register(reg("1001", "tok", AT, Some(apns(token))));
        b.pass(ms(4999));
        if token == "other" {
            b.expect_forgotten("1001", "tok");
        }
        b.expect_stored(token);
        b.expect_kill(leg(2, 0), "LOSE_RACE");
        b.expect_ring(leg(2, 1), AT);
        b.expect_nothing_more();
        b.pass(ms(1000));
        b.expect_push(token);
        b.expect_nothing_more();
    }
}
