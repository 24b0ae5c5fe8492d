//! Several calls to one phone, and limits on pushes.

use std::time::Duration;

use fswake_core::engine::{Command, Event, HoldResult};
use fswake_core::types::push::{PushError, PushRequest};

use crate::common::{Bench, apns, call, leg, ms, reg};
use crate::{bench, held, with};

#[test]
fn second_call_shares_the_wake_in_progress_and_both_ring() {
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
    assert_eq!(b.engine.held_calls(), 1, "the calls share only the device");
}

#[test]
fn second_call_pushes_itself_when_the_first_wake_has_no_effect() {
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
fn repeated_calls_cannot_drain_a_battery() {
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
    // The phone may be coming online without a push.
    b.expect_nothing_more();
    b.pass(ms(30));
    b.expect_release(3, HoldResult::Unreachable);
    b.expect_nothing_more();
    b.pass(Duration::from_secs(60));
    b.hold(4, "1001");
    b.expect_push("tok");
}

#[test]
fn one_caller_cannot_wake_every_phone() {
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
fn retries_do_not_count_against_the_callers_limit() {
    let mut b = with(|p| p.caller_pushes_per_minute = 1);
    held(&mut b);
    b.pass(ms(5000));
    b.expect_push("tok");
    b.pass(ms(5000));
    b.expect_push("tok");
}

/// Calls 2 and 3 share the push of call 1.
fn riding() -> (Bench, PushRequest) {
    let mut b = bench();
    let push = held(&mut b);
    b.pass(ms(1000));
    b.hold(2, "1001");
    b.hold(3, "1001");
    b.expect_nothing_more();
    (b, push)
}

fn exhausted() -> PushError {
    PushError::Exhausted {
        kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
        reason: "the call is over".into(),
    }
}

#[track_caller]
fn is_pushed_for(b: &mut Bench, n: u128) -> PushRequest {
    let push = b.expect_push("tok");
    assert_eq!(push.call().unwrap().call, call(n));
    b.expect_nothing_more();
    push
}

#[test]
fn call_pushes_at_once_when_the_push_that_it_shares_is_cancelled() {
    let (mut b, push) = riding();
    b.gone(1, "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
    b.refuses(&push, exhausted());
    b.pass(ms(0));
    // Only one push is sent: the third call now shares the second one's, and so on.
    let push = is_pushed_for(&mut b, 2);
    b.gone(2, "ORIGINATOR_CANCEL");
    b.expect_close(2);
    b.refuses(&push, exhausted());
    b.pass(ms(0));
    is_pushed_for(&mut b, 3);
}

#[test]
fn call_pushes_at_once_when_the_shared_push_fails_for_its_own_content() {
    let rejected = PushError::Rejected {
        status: 413,
        reason: "PayloadTooLarge".into(),
        topic: None,
    };
    for error in [exhausted(), rejected] {
        let (mut b, push) = riding();
        b.refuses(&push, error.clone());
        b.pass(ms(0));
        if error.is_final() {
            b.expect_release(1, HoldResult::Unreachable);
        }
        is_pushed_for(&mut b, 2);
    }
}

#[test]
fn call_whose_shared_push_is_refused_for_its_device_ends_like_the_call_that_pushed() {
    let reason = || "x".to_owned();
    for error in [
        PushError::TokenGone {
            since: None,
            reason: reason(),
        },
        PushError::TokenBad { reason: reason() },
        PushError::credentials(reason()),
    ] {
        let (mut b, push) = riding();
        b.refuses(&push, error);
        b.out
            .retain(|c| !matches!(c, Command::StoreDevice(_) | Command::ForgetDevice { .. }));
        for n in 1..=3 {
            b.expect_release(n, HoldResult::Unreachable);
        }
        b.expect_nothing_more();
        let refused = b.notes.iter().filter(|n| n.step.name() == "push-refused");
        assert_eq!(refused.count(), 3, "each call's journal has the reason");
    }
}

#[test]
fn call_whose_shared_push_is_refused_for_its_device_rings_its_registered_address() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@old:1", Some(apns("tok"))));
    b.pass(ms(60_000));
    b.out.clear();
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.hold(2, "1001");
    b.expect_nothing_more();
    b.refuses(&push, PushError::TokenBad { reason: "x".into() });
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@old:1");
    b.expect_ring(leg(2, 0), "1001@old:1");
    b.expect_nothing_more();
}

/// While a call is being connected no phone is woken for it, whether or not the desk's phone has a connection.
#[test]
fn call_whose_shared_push_fails_during_a_bridge_pushes_if_the_bridge_fails() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.out.clear();
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.hold(2, "1001");
    b.out.clear();
    b.answers(leg(2, 0));
    b.expect_connect(leg(2, 0));
    b.refuses(&push, exhausted());
    b.pass(ms(1000));
    b.expect_nothing_more();
    b.bridge_fails(leg(2, 0), None);
    b.expect_kill(leg(2, 0), "NORMAL_TEMPORARY_FAILURE");
    b.pass(ms(0));
    is_pushed_for(&mut b, 2);
}

#[test]
fn late_push_failure_does_not_affect_a_later_push_in_progress() {
    let mut b = bench();
    let first = held(&mut b);
    b.pass(ms(5000));
    b.hold(2, "1001");
    let second = b.expect_push("tok");
    b.expect_nothing_more();
    b.pass(ms(1000));
    b.refuses(&first, exhausted());
    b.pass(ms(0));
    b.expect_nothing_more();
    b.hold(3, "1001");
    b.expect_nothing_more();
    b.refuses(&second, exhausted());
    b.pass(ms(0));
    // The other calls that share the push get its result.
    b.expect_push("tok");
    b.expect_nothing_more();
}
