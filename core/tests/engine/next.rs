//! What the dialplan's own bridge does with a released call: if no phone was rung, it rings; otherwise it fails with
//! the phones' cause.

use std::time::Duration;

use fswake_core::engine::policy::Decline;
use fswake_core::engine::step::Caller;
use fswake_core::engine::{CallOptions, Event, HoldResult, Next, Step};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, call, end, fails, leg, ms, reg};
use crate::{bench, held, with};

/// Two desk phones that are being rung.
fn two(mut b: Bench) -> Bench {
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b
}

#[test]
fn bridge_rings_for_the_rest_of_the_calls_own_limit_if_no_phone_was_rung() {
    for (own, left) in [(None, None), (Some(20), Some(ms(14_000)))] {
        let mut b = with(|p| p.push_retries = 0);
        b.sleeping("1001", "tok");
        match own {
            Some(own) => b.hold_for(1, "1001", Duration::from_secs(own)),
            None => b.hold(1, "1001"),
        }
        let push = b.expect_push("tok");
        b.pass(ms(6_000));
        let reason = "no app".to_owned();
        b.refuses(&push, PushError::credentials(reason));
        assert_eq!(b.expect_release(1, HoldResult::Unreachable), Next::Ring(left));
    }
    let mut b = bench();
    b.hold_for(1, "nobody", Duration::from_secs(20));
    b.pass(ms(30));
    let left = Some(ms(19_970));
    assert_eq!(b.expect_release(1, HoldResult::NoDevice), Next::Ring(left));
}

#[test]
fn call_left_alone_and_call_arriving_during_a_stop_are_unchanged() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    let hands_off = CallOptions {
        hands_off: true,
        ..CallOptions::default()
    };
    b.hold_with(1, "1001", hands_off);
    assert_eq!(b.expect_release(1, HoldResult::HandsOff), Next::Ring(None));
    b.feed(Event::Draining);
    b.hold(2, "1001");
    assert_eq!(b.expect_release(2, HoldResult::Draining), Next::Ring(None));
}

#[test]
fn call_waiting_when_fswake_stops_is_rung_by_the_dialplan_for_the_rest_of_its_limit() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold_for(1, "1001", Duration::from_secs(30));
    b.out.clear();
    b.pass(ms(4_000));
    b.feed(Event::Draining);
    b.feed(Event::DrainTimeUp);
    let left = Some(ms(26_000));
    assert_eq!(b.expect_release(1, HoldResult::Draining), Next::Ring(left));
}

#[test]
fn cause_comes_from_the_first_phone_in_order_not_in_time() {
    let mut b = two(bench());
    b.rings(leg(1, 0));
    b.out.clear();
    b.ends(leg(1, 1), "USER_BUSY", 486);
    b.expect_nothing_more();
    b.ends(leg(1, 0), "NO_USER_RESPONSE", 480);
    assert_eq!(
        b.expect_release(1, HoldResult::Declined),
        fails("NO_USER_RESPONSE", 480)
    );
    let over = b.noted("call-over");
    assert!(
        matches!(over, Some(Step::CallOver { cause: Some(cause), caller: Caller::Dialplan, .. }) if &**cause == "NO_USER_RESPONSE"),
        "{over:?}"
    );
}

#[test]
fn phone_that_was_not_rung_gives_no_cause() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.out.clear();
    let reason = "no app".to_owned();
    b.refuses(&push, PushError::credentials(reason));
    assert_eq!(b.expect_release(1, HoldResult::Declined), fails("USER_BUSY", 486));
}

#[test]
fn timeout_with_a_leg_out_is_no_answer_whatever_another_phones_cause() {
    let mut b = two(bench());
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.pass(Duration::from_secs(25));
    b.expect_kill(leg(1, 1), "NO_ANSWER");
    assert_eq!(b.expect_release(1, HoldResult::Unreachable), fails("NO_ANSWER", 0));
}

#[test]
fn timeout_without_a_leg_out_gives_the_phones_cause() {
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_nothing_more();
    b.pass(Duration::from_secs(25));
    let next = b.expect_release(1, HoldResult::Unreachable);
    assert_eq!(next, fails("NORMAL_TEMPORARY_FAILURE", 503));
}

#[test]
fn decline_for_all_gives_the_declining_phones_cause_although_another_failed_before() {
    let mut b = with(|p| p.decline = Decline::All);
    b.register(reg("1001", "a", "1001@a:1", Some(apns("tok"))));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.out.clear();
    b.ends(leg(1, 1), "USER_BUSY", 486);
    assert_eq!(b.expect_release(1, HoldResult::Declined), fails("USER_BUSY", 486));
    b.expect_nothing_more();
}

#[test]
fn leg_that_ended_between_answer_and_bridge_is_not_killed_and_gives_the_cause() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.answers(leg(1, 0));
    b.out.clear();
    b.bridge_fails(leg(1, 0), Some(end("ORIGINATOR_CANCEL", 487)));
    let next = b.expect_release(1, HoldResult::Timeout);
    assert_eq!(next, fails("ORIGINATOR_CANCEL", 487));
    b.expect_nothing_more();
}

#[test]
fn leg_that_could_not_be_bridged_is_killed_and_its_phone_not_tried_again() {
    let mut b = two(bench());
    b.answers(leg(1, 0));
    b.out.clear();
    b.bridge_fails(leg(1, 0), None);
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.register(reg("1001", "a", "1001@a:1", None));
    b.expect_nothing_more();
    b.ends(leg(1, 1), "NO_ANSWER", 0);
    let next = b.expect_release(1, HoldResult::Timeout);
    assert_eq!(next, fails("NORMAL_TEMPORARY_FAILURE", 0));
}

#[test]
fn bridge_failure_that_is_late_or_for_another_leg_is_ignored() {
    let mut b = two(bench());
    b.bridge_fails(leg(1, 1), None);
    b.answers(leg(1, 0));
    b.out.clear();
    b.bridge_fails(leg(1, 1), None);
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.out.clear();
    b.bridge_fails(leg(1, 0), None);
    b.expect_nothing_more();
    assert_eq!(b.summaries[0].call, call(1));
}

/// The match makes a new result a compile error until it is added here. The test then requires it in `ALL`.
#[test]
fn every_result_is_in_the_list_of_all() {
    let number = |result| match result {
        HoldResult::Connected => 0,
        HoldResult::Timeout => 1,
        HoldResult::NoDevice => 2,
        HoldResult::Unreachable => 3,
        HoldResult::Declined => 4,
        HoldResult::Error => 5,
        HoldResult::Draining => 6,
        HoldResult::Abandoned => 7,
        HoldResult::Taken => 8,
        HoldResult::Woken => 9,
        HoldResult::HandsOff => 10,
    };
    let mut all: Vec<usize> = HoldResult::ALL.map(number).to_vec();
    all.sort_unstable();
    assert_eq!(all, (0..11).collect::<Vec<_>>());
    let mut words: Vec<_> = HoldResult::ALL.map(HoldResult::as_str).to_vec();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 11);
}
