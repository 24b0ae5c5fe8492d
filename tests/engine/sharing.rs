//! Several calls to one phone, and how often it may be woken.

use std::time::Duration;

use fswake::engine::{Command, Event, HoldResult};

use crate::common::{apns, call, leg, ms, reg};
use crate::{bench, held, with};

#[test]
fn second_call_rides_on_the_wake_under_way_and_both_ring() {
    let mut b = bench();
    held(&mut b);
    b.pass(ms(1000));
    b.hold(2, "1001");
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.expect_ring(leg(2, 0), "1001@new:2");
    b.expect_nothing_more();
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
    assert_eq!(b.engine.held_calls(), 1, "they share nothing but the device");
}

#[test]
fn second_call_pushes_itself_when_the_first_wake_stays_without_effect() {
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.pass(ms(1000));
    b.hold(2, "1001");
    b.pass(ms(3999));
    b.expect_nothing_more();
    b.pass(ms(1));
    assert_eq!(b.expect_push("tok").call().unwrap().call, call(2));
    b.expect_nothing_more();
}

#[test]
fn nobody_can_drain_a_battery_by_calling() {
    let mut b = with(|p| {
        p.device_pushes_per_minute = 2;
        p.push_retries = 0;
        p.push_gap = Duration::ZERO;
    });
    b.sleeping("1001", "tok");
    for n in 1..=2 {
        b.hold(n, "1001");
        b.expect_push("tok");
        b.feed(Event::CallerGone {
            call: call(n),
            cause: "ORIGINATOR_CANCEL".into(),
        });
        b.out.clear();
        b.pass(ms(1000));
    }
    b.hold(3, "1001");
    b.expect_release(3, HoldResult::Unreachable);
    b.expect_nothing_more();
    b.pass(Duration::from_secs(60));
    b.hold(4, "1001");
    b.expect_push("tok");
}

#[test]
fn one_caller_cannot_wake_everybody() {
    let mut b = with(|p| p.caller_pushes_per_minute = 3);
    for user in 0..5 {
        b.sleeping(&user.to_string(), &format!("tok{user}"));
    }
    for user in 0..5_u128 {
        b.hold_by(user + 1, &user.to_string(), "spammer");
    }
    assert_eq!(b.out.iter().filter(|c| matches!(c, Command::Push(_))).count(), 3);
    b.out.clear();
    b.hold_by(9, "4", "somebody else");
    b.expect_push("tok4");
}

#[test]
fn retries_of_one_wake_are_not_held_against_the_caller() {
    let mut b = with(|p| p.caller_pushes_per_minute = 1);
    held(&mut b);
    b.pass(ms(5000));
    b.expect_push("tok");
    b.pass(ms(5000));
    b.expect_push("tok");
}
