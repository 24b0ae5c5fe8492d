//! A wake ends when the phone rings, not when it registers.

use std::time::Duration;

use fswake_core::engine::{HoldResult, Step};

use crate::common::{Bench, apns, leg, ms, reg};
use crate::{bench, held, with};

fn registers(b: &mut Bench, at: &str) {
    b.register(reg("1001", "tok", at, Some(apns("tok"))));
    b.expect_stored("tok");
}

#[test]
fn woken_phone_that_does_not_ring_is_pushed_again_and_rung_at_its_next_register() {
    for (next, same) in [("1001@new:2;transport=tcp", false), ("1001@new:1;transport=tcp", true)] {
        let mut b = bench();
        held(&mut b);
        b.pass(ms(700));
        registers(&mut b, "1001@new:1;transport=tcp");
        b.expect_ring(leg(1, 0), "1001@new:1;transport=tcp");
        b.pass(ms(4999));
        b.expect_nothing_more();
        b.pass(ms(1));
        b.expect_push("tok");
        b.expect_nothing_more();
        assert!(matches!(b.noted("leg-silent"), Some(Step::LegSilent { after, .. }) if *after == ms(5000)));
        b.pass(ms(900));
        registers(&mut b, next);
        if same {
            b.pass(ms(620));
        }
        if !same {
            // The new leg does not wait for the end of the old one.
            b.expect_ring(leg(1, 1), next);
        }
        b.expect_kill(leg(1, 0), "LOSE_RACE");
        if same {
            b.expect_ring(leg(1, 1), next);
        }
        b.expect_nothing_more();
        b.rings(leg(1, 1));
        b.expect_alert(1);
        b.pass(ms(12_000));
        b.expect_nothing_more();
    }
}

#[test]
fn phone_that_registers_without_a_push_and_does_not_ring_is_pushed() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@here:1");
    b.pass(ms(100));
    registers(&mut b, "1001@here:1");
    b.pass(ms(4999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn silent_phone_is_pushed_no_more_often_than_one_that_never_registers() {
    let mut b = bench();
    held(&mut b);
    registers(&mut b, "1001@new:1");
    b.expect_ring(leg(1, 0), "1001@new:1");
    for _ in 0..2 {
        b.pass(ms(5000));
        b.expect_push("tok");
    }
    b.pass(ms(14_999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_kill(leg(1, 0), "NO_ANSWER");
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}

#[test]
fn registers_of_one_wake_do_not_postpone_the_push_forever() {
    let mut b = with(|p| p.push_retries = 1);
    held(&mut b);
    registers(&mut b, "1001@new:1");
    b.expect_ring(leg(1, 0), "1001@new:1");
    b.pass(ms(300));
    registers(&mut b, "1001@new:1");
    b.pass(ms(5000));
    b.expect_push("tok");
    b.pass(Duration::from_secs(10));
    b.expect_nothing_more();
}

#[test]
fn phone_that_rings_or_is_refused_a_push_is_not_pushed_again() {
    let mut b = bench();
    held(&mut b);
    registers(&mut b, "1001@new:1");
    b.expect_ring(leg(1, 0), "1001@new:1");
    b.pass(ms(4000));
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.pass(ms(20_000));
    b.expect_nothing_more();
}
