//! Simultaneous answers, hang-ups and bridges; repeated and late events.

use fswake_core::engine::{CallOrder, Command, Event, HoldResult};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, call, leg, ms, reg};
use crate::{bench, held, one_rung, two_rung};

#[test]
fn hang_up_before_the_register_rings_no_phone() {
    let mut b = bench();
    held(&mut b);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    b.expect_close(1);
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_nothing_more();
}

#[test]
fn hang_up_right_after_the_register_kills_the_new_leg() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "LOSE_RACE".into(),
    });
    b.out
        .retain(|c| !matches!(c, Command::StoreDevice(_) | Command::Call(_, CallOrder::Ring(_))));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
    b.answers(leg(1, 0));
    b.expect_nothing_more();
}

#[test]
fn second_answer_during_a_bridge_ends_as_completed_elsewhere() {
    let mut b = two_rung();
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 1));
    b.answers(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 1)));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
}

/// FreeSWITCH reports an answer twice if the leg's park event is late.
#[test]
fn repeated_answer_is_ignored_and_a_connected_call_is_left_alone() {
    let mut b = two_rung();
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.answers(leg(1, 1));
    b.expect_nothing_more();
    let failed = |leg| Event::BridgeFailed { leg, end: None };
    b.feed(failed(leg(1, 0)));
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_connect(leg(1, 1));
    b.answers(leg(1, 1));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 1)));
    b.expect_close(1);
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.expect_nothing_more();
}

#[test]
fn failed_bridge_connects_the_next_leg_that_answered() {
    let mut b = two_rung();
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 0));
    b.feed(Event::BridgeFailed {
        leg: leg(1, 0),
        end: None,
    });
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_connect(leg(1, 1));
    b.expect_nothing_more();
}

#[test]
fn deadline_does_not_cut_a_bridge_in_progress() {
    let mut b = one_rung();
    b.pass(ms(24_999));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.pass(ms(5000));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
}

#[test]
fn repeated_and_late_events_do_nothing() {
    let mut b = bench();
    let push = held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    for _ in 0..2 {
        b.feed(Event::LegRinging(leg(1, 0)));
        b.accepts(&push);
    }
    b.expect_alert(1);
    b.answers(leg(1, 0));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
    b.answers(leg(1, 0));
    b.expect_nothing_more();
    b.ends(leg(1, 0), "NORMAL_CLEARING", 0);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "NORMAL_CLEARING".into(),
    });
    b.engine.tick(b.now);
    b.expect_nothing_more();
    assert_eq!(b.summaries.len(), 1);
}

#[test]
fn phone_whose_push_is_refused_during_a_bridge_is_rung_if_the_bridge_fails() {
    for connects in [true, false] {
        let mut b = bench();
        b.register(reg("1001", "tok", "1001@old:1", Some(apns("tok"))));
        b.pass(ms(60_000));
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.out.clear();
        b.hold(1, "1001");
        let push = b.expect_push("tok");
        b.expect_ring(leg(1, 0), "1001@desk:1");
        b.answers(leg(1, 0));
        b.expect_connect(leg(1, 0));
        b.refuses(&push, PushError::TokenBad { reason: "x".into() });
        b.expect_stored("tok");
        b.expect_nothing_more();
        if connects {
            b.feed(Event::Bridged(leg(1, 0)));
            b.expect_close(1);
        } else {
            b.bridge_fails(leg(1, 0), None);
            b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
            b.pass(ms(0));
            b.expect_ring(leg(1, 1), "1001@old:1");
            // The phone may have left this address, so a refusal from there is not taken for its own.
            b.ends(leg(1, 1), "CALL_REJECTED", 403);
            b.expect_release(1, HoldResult::Timeout);
        }
        b.expect_nothing_more();
    }
}

#[test]
fn phone_that_takes_over_the_address_of_another_device_is_rung_there_once() {
    for rings in [true, false] {
        let mut b = bench();
        let at = "1001@here:1;transport=tcp";
        b.register(reg("1001", "a", at, Some(apns("tok"))));
        b.pass(ms(60_000));
        b.out.clear();
        b.hold(1, "1001");
        b.expect_push("tok");
        b.expect_ring(leg(1, 0), at);
        if rings {
            b.rings(leg(1, 0));
            b.out.clear();
        }
        // The app was reinstalled: another token and Call-ID.
        b.register(reg("1001", "b", at, Some(apns("new"))));
        b.expect_stored("new");
        if !rings {
            b.expect_kill(leg(1, 0), "LOSE_RACE");
            b.pass(ms(20));
            b.expect_ring(leg(1, 1), at);
        }
        b.expect_nothing_more();
        // The next call rings the address once. The older device can only be reached by its push.
        b.gone(1, "ORIGINATOR_CANCEL");
        b.pass(ms(6000));
        b.out.clear();
        b.hold(2, "1001");
        b.expect_push("tok");
        b.expect_ring(leg(2, 0), at);
        b.expect_nothing_more();
    }
}

/// 1001's app and desk phone are both awake and rung, as legs 0 and 1. The desk phone has answered.
fn app_rung_and_desk_being_connected() -> Bench {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@a:1;transport=tcp", Some(apns("tok"))));
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@a:1;transport=tcp");
    b.expect_ring(leg(1, 1), "1001@desk:1");
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 1));
    b.expect_nothing_more();
    b
}

fn desk_cannot_be_connected(b: &mut Bench) {
    b.bridge_fails(leg(1, 1), None);
    b.expect_kill(leg(1, 1), "NORMAL_TEMPORARY_FAILURE");
    b.pass(ms(0));
}

#[test]
fn phone_that_registers_and_fails_during_a_bridge_is_rung_if_the_bridge_fails() {
    // At the same address, and at another one.
    for at in ["1001@a:1;transport=tcp", "1001@b:2;transport=tcp"] {
        let mut b = app_rung_and_desk_being_connected();
        b.register(reg("1001", "tok", at, Some(apns("tok"))));
        b.expect_stored("tok");
        b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
        b.expect_nothing_more();
        desk_cannot_be_connected(&mut b);
        b.expect_ring(leg(1, 2), at);
        b.expect_nothing_more();
    }
}

#[test]
fn phone_without_the_callers_codecs_is_rung_with_any_codec_if_the_bridge_in_progress_fails() {
    let mut b = app_rung_and_desk_being_connected();
    b.ends(leg(1, 0), "INCOMPATIBLE_DESTINATION", 488);
    b.expect_nothing_more();
    desk_cannot_be_connected(&mut b);
    let ring = b.expect_ring(leg(1, 2), "1001@a:1;transport=tcp");
    assert!(ring.any_codec, "{ring:?}");
    b.expect_nothing_more();
    // It is awake, so its refusal counts, and it is not pushed.
    b.ends(leg(1, 2), "CALL_REJECTED", 403);
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}

#[test]
fn phone_kept_for_a_failed_bridge_is_not_rung_if_the_bridge_succeeds() {
    let mut b = app_rung_and_desk_being_connected();
    b.ends(leg(1, 0), "INCOMPATIBLE_DESTINATION", 488);
    b.feed(Event::Bridged(leg(1, 1)));
    b.pass(ms(60_000));
    b.expect_close(1);
    b.expect_nothing_more();
}

/// A device registers at the address where another is being rung. That one has registered elsewhere, too.
#[test]
fn phone_whose_old_address_is_taken_over_during_a_bridge_is_rung_at_its_new_one_if_the_bridge_fails() {
    let mut b = app_rung_and_desk_being_connected();
    b.register(reg("1001", "tok", "1001@b:2;transport=tcp", Some(apns("tok"))));
    b.register(reg("1001", "new", "1001@a:1;transport=tcp", Some(apns("new"))));
    b.out.retain(|c| !matches!(c, Command::StoreDevice(_)));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_nothing_more();
    desk_cannot_be_connected(&mut b);
    b.expect_ring(leg(1, 2), "1001@b:2;transport=tcp");
    b.pass(ms(20));
    b.expect_ring(leg(1, 3), "1001@a:1;transport=tcp");
    b.expect_nothing_more();
}
