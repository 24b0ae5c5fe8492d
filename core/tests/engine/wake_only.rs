//! Wake only: phones are pushed but not rung. The dialplan gets the call back when there is a phone to ring.

use std::time::Duration;

use fswake_core::engine::policy::Policy;
use fswake_core::engine::{CallOptions, Event, HoldResult, Mode, Next};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, leg, ms, reg};
use crate::{bench, with};

fn in_mode(mode: Mode) -> CallOptions {
    CallOptions {
        mode: Some(mode),
        ..CallOptions::default()
    }
}

fn comes(b: &mut Bench, token: &str) {
    b.register(reg("1001", token, &format!("1001@{token}:2"), Some(apns(token))));
    b.expect_stored(token);
}

fn expect_woken(b: &mut Bench) {
    assert_eq!(b.expect_release(1, HoldResult::Woken), Next::Ring(None));
    b.expect_nothing_more();
    assert_eq!((b.summaries.len(), b.engine.held_calls()), (1, 0));
}

/// Two sleeping phones that were pushed.
fn two(mode: Mode) -> Bench {
    let mut b = with(|p| p.push_retries = 0);
    b.sleeping("1001", "one");
    b.sleeping("1001", "two");
    b.hold_with(1, "1001", in_mode(mode));
    b
}

#[test]
fn call_goes_back_at_the_first_register_without_a_ring() {
    let mut b = two(Mode::WakeFirst);
    b.expect_push("one");
    b.expect_push("two");
    b.expect_nothing_more();
    b.pass(ms(900));
    comes(&mut b, "two");
    expect_woken(&mut b);
}

#[test]
fn calls_own_mode_overrides_the_configured_one() {
    let mut b = with(|p: &mut Policy| p.mode = Mode::WakeFirst);
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    expect_woken(&mut b);
    let mut b = with(|p: &mut Policy| p.mode = Mode::WakeFirst);
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold_with(1, "1001", in_mode(Mode::Connect));
    b.expect_ring(crate::common::leg(1, 0), "1001@a:1");
    b.expect_nothing_more();
}

#[test]
fn settle_delay_applies_before_the_call_goes_back() {
    let mut b = with(|p| p.settle_delay = ms(300));
    b.sleeping("1001", "one");
    b.hold_with(1, "1001", in_mode(Mode::WakeFirst));
    b.out.clear();
    comes(&mut b, "one");
    b.pass(ms(299));
    b.expect_nothing_more();
    b.pass(ms(1));
    expect_woken(&mut b);
}

#[test]
fn call_goes_back_at_once_where_no_phone_has_to_be_woken() {
    for mode in [Mode::WakeFirst, Mode::WakeAll] {
        let mut b = bench();
        b.register(reg("1001", "awake", "1001@awake:1", Some(apns("awake"))));
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.out.clear();
        b.hold_with(1, "1001", in_mode(mode));
        expect_woken(&mut b);
    }
}

#[test]
fn awake_phone_does_not_end_the_wait_for_woken_phones() {
    let desk_and_mobile = || {
        let mut b = with(|p| p.push_retries = 0);
        b.sleeping("1001", "one");
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.hold_with(1, "1001", in_mode(Mode::WakeFirst));
        b
    };
    let mut b = desk_and_mobile();
    b.expect_push("one");
    b.expect_nothing_more();
    b.pass(ms(900));
    comes(&mut b, "one");
    expect_woken(&mut b);
    // If no phone registers, the dialplan still has one to ring, so the call is not missed.
    let mut b = desk_and_mobile();
    b.out.clear();
    b.pass(ms(25_000));
    expect_woken(&mut b);
    let mut b = desk_and_mobile();
    let push = b.expect_push("one");
    let reason = "no app".to_owned();
    b.refuses(&push, PushError::credentials(reason));
    expect_woken(&mut b);
}

#[test]
fn registered_phone_that_may_sleep_is_pushed_and_waited_for() {
    let mut b = bench();
    b.register(reg("1001", "old", "1001@old:1", Some(apns("tok"))));
    b.pass(Duration::from_secs(300));
    b.out.clear();
    b.hold_with(1, "1001", in_mode(Mode::WakeFirst));
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn phone_that_another_call_has_just_pushed_does_not_count_as_awake() {
    let mut b = bench();
    b.register(reg("1001", "old", "1001@old:1", Some(apns("tok"))));
    b.pass(Duration::from_secs(300));
    b.hold(2, "1001");
    b.out.clear();
    b.pass(ms(1000));
    b.hold_with(1, "1001", in_mode(Mode::WakeFirst));
    b.expect_nothing_more();
    b.register(reg("1001", "old", "1001@old:1", Some(apns("tok"))));
    b.expect_stored("tok");
    // The other call rings it.
    b.expect_ring(leg(2, 0), "1001@old:1");
    let next = b.expect_release(1, HoldResult::Woken);
    assert_eq!(next, Next::Ring(None));
}

#[test]
fn wake_all_waits_for_every_phone_that_was_pushed() {
    let mut b = two(Mode::WakeAll);
    b.out.clear();
    comes(&mut b, "one");
    b.expect_nothing_more();
    b.pass(ms(4000));
    comes(&mut b, "two");
    expect_woken(&mut b);
}

#[test]
fn wake_all_does_not_wait_for_a_phone_whose_push_is_refused() {
    for refused_first in [true, false] {
        let mut b = two(Mode::WakeAll);
        b.expect_push("one");
        let push = b.expect_push("two");
        b.out.clear();
        let error = PushError::credentials("no app");
        if refused_first {
            b.refuses(&push, error);
            b.expect_nothing_more();
            comes(&mut b, "one");
        } else {
            comes(&mut b, "one");
            b.refuses(&push, error);
        }
        expect_woken(&mut b);
    }
}

#[test]
fn deadline_hands_the_call_back_to_ring_what_is_registered() {
    for mode in [Mode::WakeFirst, Mode::WakeAll] {
        let mut b = two(mode);
        b.out.clear();
        b.pass(ms(24_999));
        b.expect_nothing_more();
        b.pass(ms(1));
        assert_eq!(
            b.expect_release(1, HoldResult::Unreachable),
            Next::Ring(None),
            "{mode:?}"
        );
        b.expect_nothing_more();
    }
    // One of the two has registered, so there is a phone to ring.
    let mut b = two(Mode::WakeAll);
    b.out.clear();
    comes(&mut b, "one");
    b.pass(ms(25_000));
    expect_woken(&mut b);
}

#[test]
fn nothing_is_pushed_for_a_call_that_has_gone_back() {
    let mut b = with(|p| p.settle_delay = ms(5000));
    b.sleeping("1001", "one");
    b.sleeping("1001", "two");
    b.hold_with(1, "1001", in_mode(Mode::WakeFirst));
    b.out.clear();
    // The pause ends at the time of the other phone's second push.
    comes(&mut b, "one");
    b.pass(ms(5000));
    expect_woken(&mut b);
    b.feed(Event::DrainTimeUp);
    b.pass(ms(60_000));
    b.expect_nothing_more();
}
