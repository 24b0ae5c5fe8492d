//! Which phones are pushed, rung and woken, and in which order.

use std::time::Duration;

use fswake_core::engine::{Event, HoldResult};
use fswake_core::types::push::PushError;

use crate::common::{apns, call, leg, ms, reg};
use crate::{bench, held, one_rung};

#[test]
fn sleeping_phone_is_pushed_woken_rung_and_connected() {
    let mut b = bench();
    let push = held(&mut b);
    assert_eq!(push.ttl, Duration::from_secs(25));
    b.accepts(&push);
    b.expect_alert(1);
    b.pass(ms(800));
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    let sip_call_id = b.expect_ring(leg(1, 0), "1001@new:2").sip_call_id;
    assert_eq!(
        sip_call_id,
        push.call().unwrap().sip_call_id,
        "the INVITE's Call-ID differs from the push's"
    );
    b.feed(Event::LegDialed(leg(1, 0)));
    b.feed(Event::LegRinging(leg(1, 0)));
    b.pass(ms(2000));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
    b.expect_nothing_more();
    let s = b.summaries.pop().expect("a summary");
    assert_eq!((s.result, s.pushes, s.legs), (HoldResult::Connected, 1, 1));
    assert_eq!(s.push_to_register, Some(ms(800)));
    assert_eq!(b.engine.held_calls(), 0);
}

#[test]
fn desk_phone_rings_at_once_and_the_woken_phone_late_and_the_first_answer_wins() {
    for desk_answers in [true, false] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.pass(Duration::from_secs(600));
        b.hold(1, "1001");
        b.expect_push("tok");
        b.expect_ring(leg(1, 0), "1001@desk:1");
        b.rings(leg(1, 0));
        b.expect_alert(1);
        b.pass(ms(1500));
        b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
        b.expect_stored("tok");
        b.expect_ring(leg(1, 1), "1001@new:2");
        b.feed(Event::LegRinging(leg(1, 1)));
        let (winner, loser) = if desk_answers {
            (leg(1, 0), leg(1, 1))
        } else {
            (leg(1, 1), leg(1, 0))
        };
        b.answers(winner);
        b.expect_connect(winner);
        b.feed(Event::Bridged(winner));
        b.expect_kill(loser, "LOSE_RACE");
        b.expect_close(1);
        b.expect_nothing_more();
    }
}

#[test]
fn awake_phone_is_rung_and_its_18x_cancels_the_push() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.out.clear();
    b.pass(Duration::from_secs(29));
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@here:1");
    b.pass(ms(499));
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.pass(ms(10_000));
    b.expect_nothing_more();
}

#[test]
fn awake_phone_that_stays_silent_is_pushed_after_the_push_delay() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@here:1");
    b.pass(ms(499));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn awake_phone_whose_leg_fails_is_pushed_without_delay_and_waited_for() {
    for (cause, sip) in [
        ("RECOVERY_ON_TIMER_EXPIRE", 408),
        ("NO_USER_RESPONSE", 480),
        ("NORMAL_TEMPORARY_FAILURE", 503),
        ("NORMAL_TEMPORARY_FAILURE", 0),
        ("NORMAL_UNSPECIFIED", 477),
        ("NORMAL_UNSPECIFIED", 478),
    ] {
        let mut b = bench();
        b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
        b.out.clear();
        b.hold(1, "1001");
        b.expect_ring(leg(1, 0), "1001@here:1");
        b.pass(ms(20));
        b.ends(leg(1, 0), cause, sip);
        b.expect_push("tok");
        b.expect_nothing_more();
        assert_eq!(b.engine.held_calls(), 1);
    }
}

#[test]
fn phone_that_a_proxy_cannot_reach_is_pushed_and_one_that_refuses_is_not() {
    const PROXY: &str = "1001@x.invalid;transport=ws;fs_path=%3Csip%3A192.0.2.9%3Blr%3E";
    for (at, sip, rings, is_pushed) in [
        (PROXY, 500, false, true),
        (PROXY, 502, false, true),
        (PROXY, 504, false, true),
        (PROXY, 500, true, false),
        (PROXY, 404, false, false),
        ("1001@here:1", 500, false, false),
    ] {
        let mut b = bench();
        b.register(reg("1001", "tok", at, Some(apns("tok"))));
        b.out.clear();
        b.hold(1, "1001");
        b.expect_ring(leg(1, 0), at);
        b.pass(ms(20));
        if rings {
            b.rings(leg(1, 0));
            b.expect_alert(1);
        }
        b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", sip);
        assert_eq!(b.engine.held_calls(), usize::from(is_pushed), "{at}, {sip}, {rings}");
        if is_pushed {
            b.expect_push("tok");
        }
        b.set_rest_aside();
    }
}

#[test]
fn failed_leg_to_a_stale_binding_causes_no_second_push() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@old:1;transport=tcp", Some(apns("tok"))));
    b.pass(Duration::from_secs(300));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_ring(leg(1, 0), "1001@old:1;transport=tcp");
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 0);
    b.pass(ms(4999));
    b.expect_nothing_more();
}

#[test]
fn pushes_are_repeated_twice_inside_the_wait_with_the_same_call_id() {
    let mut b = bench();
    let first = held(&mut b);
    for left in [20, 15] {
        b.pass(ms(4999));
        b.expect_nothing_more();
        b.pass(ms(1));
        let again = b.expect_push("tok");
        assert_eq!(again.about, first.about, "the second push differs from the first");
        assert_eq!(again.call().unwrap().call, call(1));
        assert_eq!(again.ttl, Duration::from_secs(left));
    }
    b.pass(ms(14_999));
    b.expect_nothing_more();
}

#[test]
fn push_that_failed_temporarily_is_retried_at_the_given_time() {
    let mut b = bench();
    let push = held(&mut b);
    b.refuses(
        &push,
        PushError::Exhausted {
            kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
            reason: "503".into(),
        },
    );
    b.expect_nothing_more();
    b.pass(ms(5000));
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn refused_push_does_not_end_the_leg_of_a_phone_that_registered_anyway() {
    let mut b = bench();
    let push = held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.refuses(
        &push,
        PushError::Rejected {
            status: 403,
            reason: "Forbidden".into(),
            topic: None,
        },
    );
    b.expect_nothing_more();
    assert_eq!(b.engine.held_calls(), 1);
}

#[test]
fn woken_phone_whose_leg_fails_is_pushed_again_when_due_not_at_once() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_nothing_more();
    b.pass(ms(4999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_push("tok");
}

#[test]
fn phone_without_the_callers_codecs_is_rung_once_more_with_any() {
    let mut b = one_rung();
    b.ends(leg(1, 0), "INCOMPATIBLE_DESTINATION", 488);
    let any_codec = b.expect_ring(leg(1, 1), "1001@a:1").any_codec;
    assert!(any_codec);
    b.expect_nothing_more();
    b.ends(leg(1, 1), "INCOMPATIBLE_DESTINATION", 488);
    b.expect_release(1, HoldResult::Unreachable);
}
