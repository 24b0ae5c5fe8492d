//! How a hold ends without an answer: deadline, no phone left, declines, drain, lost connection.

use std::time::Duration;

use fswake_core::engine::policy::Decline;
use fswake_core::engine::{Caller, Event, HoldResult, Step};
use fswake_core::types::Aor;
use fswake_core::types::push::PushError;

use crate::common::{apns, call, fails, leg, ms, reg};
use crate::{bench, held, one_rung, two_rung, with};

#[test]
fn held_call_is_released_at_its_deadline_not_before() {
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.pass(ms(24_999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
    b.register(reg("1001", "late", "1001@late:1", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_nothing_more();
}

#[test]
fn calls_own_limit_shortens_the_wait_and_never_lengthens_it() {
    for (own, deadline) in [(7, 7), (60, 25)] {
        let mut b = with(|p| p.push_retries = 0);
        b.sleeping("1001", "tok");
        b.feed(Event::CallHeld(fswake_core::engine::HeldCall {
            node: fswake_core::types::NodeId::FIRST,
            call: call(1),
            aor: Aor::new("1001", "fs.test"),
            caller_number: "".into(),
            caller_name: "".into(),
            at: std::time::SystemTime::UNIX_EPOCH,
            max_wait: Some(Duration::from_secs(own)),
            routing: fswake_core::engine::Routing::Dialplan,
            options: fswake_core::engine::CallOptions::default(),
            query: None,
            sip_call_id: None,
        }));
        b.out.clear();
        b.pass(ms(deadline * 1000 - 1));
        b.expect_nothing_more();
        b.pass(ms(1));
        b.expect_release(1, HoldResult::Unreachable);
    }
}

#[test]
fn call_without_a_device_goes_back_once_no_first_register_can_be_in_transit() {
    let mut b = bench();
    b.hold(1, "nobody");
    b.pass(ms(30));
    b.expect_release(1, HoldResult::NoDevice);
    b.expect_nothing_more();
    assert_eq!(b.summaries.len(), 1);
}

#[test]
fn wait_ends_early_when_every_push_is_refused_for_good() {
    let mut b = bench();
    b.sleeping("1001", "one");
    b.sleeping("1001", "two");
    b.hold(1, "1001");
    let (one, two) = (b.expect_push("one"), b.expect_push("two"));
    b.refuses(
        &one,
        PushError::TokenGone {
            since: None,
            reason: "Unregistered".into(),
        },
    );
    b.expect_forgotten("1001", "one");
    b.expect_nothing_more();
    b.refuses(&two, PushError::credentials("no app"));
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}

#[test]
fn decline_of_one_device_leaves_the_others_ringing() {
    let mut b = two_rung();
    b.ends(leg(1, 0), "CALL_REJECTED", 603);
    b.expect_nothing_more();
    b.ends(leg(1, 1), "USER_BUSY", 486);
    b.expect_release(1, HoldResult::Declined);
    b.expect_nothing_more();
}

#[test]
fn decline_for_all_ends_the_call_with_the_phones_answer() {
    for (sip, cause) in [(486, "USER_BUSY"), (603, "CALL_REJECTED")] {
        let mut b = with(|p| p.decline = Decline::All);
        b.register(reg("1001", "a", "1001@a:1", None));
        b.register(reg("1001", "b", "1001@b:1", None));
        b.hold(1, "1001");
        b.out.clear();
        b.ends(leg(1, 0), cause, sip);
        b.expect_kill(leg(1, 1), "LOSE_RACE");
        assert_eq!(b.expect_release(1, HoldResult::Declined), fails(cause, sip));
        b.expect_nothing_more();
    }
}

#[test]
fn a_403_is_not_a_decline() {
    let mut b = with(|p| p.decline = Decline::All);
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.ends(leg(1, 0), "CALL_REJECTED", 403);
    b.expect_nothing_more();
    b.ends(leg(1, 1), "CALL_REJECTED", 403);
    assert_eq!(
        b.expect_release(1, HoldResult::Unreachable),
        fails("CALL_REJECTED", 403)
    );
}

#[test]
fn phone_that_refuses_the_call_is_neither_pushed_nor_rung_again() {
    for (cause, sip) in [("UNALLOCATED_NUMBER", 404), ("NORMAL_TEMPORARY_FAILURE", 500)] {
        let mut b = bench();
        b.register(reg("1001", "tok", "1001@a:1", Some(apns("tok"))));
        b.hold(1, "1001");
        b.out.clear();
        b.ends(leg(1, 0), cause, sip);
        assert_eq!(b.expect_release(1, HoldResult::Unreachable), fails(cause, sip));
        b.expect_nothing_more();
    }
    // A phone that has just registered is at the address, so its refusal counts.
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    b.ends(leg(1, 0), "NO_USER_RESPONSE", 480);
    assert_eq!(
        b.expect_release(1, HoldResult::Unreachable),
        fails("NO_USER_RESPONSE", 480)
    );
}

#[test]
fn refusal_from_an_old_address_does_not_affect_the_phone_being_woken() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@old:1;transport=tcp", Some(apns("tok"))));
    b.pass(Duration::from_secs(300));
    b.hold(1, "1001");
    b.out.clear();
    b.ends(leg(1, 0), "UNALLOCATED_NUMBER", 404);
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 1), "1001@new:2");
}

#[test]
fn missed_legs_end_as_missed_not_as_answered_elsewhere() {
    let mut b = one_rung();
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.pass(Duration::from_secs(60));
    b.expect_kill(leg(1, 0), "NO_ANSWER");
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}

#[test]
fn draining_releases_new_calls_at_once_and_old_ones_when_the_time_is_up() {
    let mut b = bench();
    held(&mut b);
    b.feed(Event::Draining);
    b.hold(2, "1001");
    b.expect_release(2, HoldResult::Draining);
    b.expect_nothing_more();
    b.feed(Event::DrainTimeUp);
    b.expect_release(1, HoldResult::Draining);
    b.expect_nothing_more();
    assert_eq!(b.engine.held_calls(), 0);
}

#[test]
fn end_of_the_drain_does_not_cut_a_bridge_in_progress() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.answers(leg(1, 0));
    b.out.clear();
    b.feed(Event::Draining);
    b.feed(Event::DrainTimeUp);
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
}

#[test]
fn lost_connection_kills_what_rang() {
    let mut b = one_rung();
    b.feed(Event::ConnectionLost(call(1)));
    b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
}

/// The cause of a bridge that FreeSWITCH could not make. While no phone has answered, FreeSWITCH gives it as the
/// caller's own.
#[test]
fn call_cut_during_its_bridge_is_not_a_hang_up() {
    for (answers, result) in [(true, HoldResult::Error), (false, HoldResult::Abandoned)] {
        let mut b = one_rung();
        if answers {
            b.answers(leg(1, 0));
            b.expect_connect(leg(1, 0));
        }
        b.gone(1, "DESTINATION_OUT_OF_ORDER");
        let leg_ends = if answers {
            "DESTINATION_OUT_OF_ORDER"
        } else {
            "ORIGINATOR_CANCEL"
        };
        b.expect_kill(leg(1, 0), leg_ends);
        b.expect_close(1);
        assert_eq!(b.summaries[0].result, result);
        let over = b.noted("call-over");
        assert!(
            matches!(
                over,
                Some(Step::CallOver {
                    caller: Caller::Gone,
                    ..
                })
            ),
            "{over:?}"
        );
    }
}

#[test]
fn lost_connection_does_not_kill_the_leg_that_is_being_bridged() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.answers(leg(1, 0));
    b.out.clear();
    b.feed(Event::ConnectionLost(call(1)));
    b.expect_kill(leg(1, 1), "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
}

#[test]
fn dialplan_gets_timeout_only_if_a_phone_rang() {
    let mut b = one_rung();
    b.ends(leg(1, 0), "NO_ANSWER", 0);
    b.expect_release(1, HoldResult::Unreachable);

    b.hold(2, "1001");
    b.feed(Event::LegRinging(leg(2, 0)));
    b.out.clear();
    b.ends(leg(2, 0), "NO_ANSWER", 0);
    b.expect_release(2, HoldResult::Timeout);
}

#[test]
fn phone_that_rang_and_gave_up_is_not_pushed_and_rung_again() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.feed(Event::LegRinging(leg(1, 0)));
    b.out.clear();
    b.ends(leg(1, 0), "NO_USER_RESPONSE", 480);
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}
