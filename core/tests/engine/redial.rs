//! A wake is shared only while it is in progress: from the push until the phone rings, answers, declines, refuses or
//! unregisters again.

use fswake_core::engine::policy::{AppPolicy, OnUnregister};
use fswake_core::engine::{Command, UnregisterWhy};

use crate::common::{Bench, apns, call, leg, ms, reg, unreg};
use crate::{bench, with};

/// The phone of call 1 was pushed, registered 500 ms later and is being rung.
fn woken() -> Bench {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.pass(ms(500));
    b.register(reg("1001", "tok", "1001@new:1;transport=tcp", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:1;transport=tcp");
    b
}

fn falls_asleep(b: &mut Bench) {
    b.pass(ms(400));
    b.feed(unreg("1001", "tok", UnregisterWhy::ConnectionClosed));
    b.pass(ms(600));
    b.out.clear();
}

#[track_caller]
fn is_pushed_for_call_2(b: &mut Bench) {
    b.hold(2, "1001");
    assert_eq!(b.expect_push("tok").call().unwrap().call, call(2));
}

fn is_rung_and_then_pushed_for_call_2(b: &mut Bench) {
    b.hold(2, "1001");
    b.expect_ring(leg(2, 0), "1001@new:1;transport=tcp");
    b.pass(ms(500));
    assert_eq!(b.expect_push("tok").call().unwrap().call, call(2));
    b.expect_nothing_more();
}

#[test]
fn redial_after_a_decline_pushes_at_once() {
    for rings in [true, false] {
        let mut b = woken();
        if rings {
            b.rings(leg(1, 0));
        }
        b.ends(leg(1, 0), "USER_BUSY", 486);
        falls_asleep(&mut b);
        is_pushed_for_call_2(&mut b);
    }
}

#[test]
fn redial_after_a_refusal_pushes_when_the_phone_does_not_ring() {
    for (cause, sip) in [
        ("CALL_REJECTED", 403),
        ("UNALLOCATED_NUMBER", 404),
        ("NO_USER_RESPONSE", 480),
        ("NORMAL_TEMPORARY_FAILURE", 500),
        ("INCOMPATIBLE_DESTINATION", 488),
    ] {
        let mut b = woken();
        b.ends(leg(1, 0), cause, sip);
        if sip == 488 {
            // It fails again on the second leg, with any codec.
            b.ends(leg(1, 1), cause, sip);
        }
        b.pass(ms(1000));
        b.out.clear();
        // The engine knows no reason why it should sleep.
        is_rung_and_then_pushed_for_call_2(&mut b);
    }
}

/// Only if the app's token is kept. By default, a phone that un-REGISTERs gets no more pushes.
#[test]
fn redial_after_a_decline_and_an_unregister_pushes_at_once() {
    let mut b = with(|p| {
        p.apps = vec![AppPolicy {
            on_unregister: OnUnregister::Keep,
            cancel_push: false,
            ..AppPolicy::default()
        }];
    });
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.pass(ms(400));
    b.feed(unreg("1001", "tok", UnregisterWhy::Explicit));
    b.pass(ms(600));
    b.out.clear();
    is_pushed_for_call_2(&mut b);
    b.expect_nothing_more();
}

#[test]
fn redial_after_the_caller_hung_up_on_a_phone_that_rang_or_answered_pushes_at_once() {
    for answers in [true, false] {
        let mut b = woken();
        b.rings(leg(1, 0));
        if answers {
            b.answers(leg(1, 0));
        }
        b.gone(1, "ORIGINATOR_CANCEL");
        falls_asleep(&mut b);
        is_pushed_for_call_2(&mut b);
    }
}

#[test]
fn redial_after_a_phone_registered_and_left_without_ringing_pushes_at_once() {
    let mut b = woken();
    b.gone(1, "ORIGINATOR_CANCEL");
    falls_asleep(&mut b);
    is_pushed_for_call_2(&mut b);
    // It registered when no call waited for it any more.
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.gone(1, "ORIGINATOR_CANCEL");
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    falls_asleep(&mut b);
    is_pushed_for_call_2(&mut b);
}

#[test]
fn redial_to_a_phone_that_went_to_sleep_unnoticed_pushes_when_it_does_not_ring() {
    for how in ["rings", "answers", "declines"] {
        let mut b = woken();
        match how {
            "rings" => b.rings(leg(1, 0)),
            "answers" => b.answers(leg(1, 0)),
            _ => b.ends(leg(1, 0), "USER_BUSY", 486),
        }
        b.gone(1, "ORIGINATOR_CANCEL");
        b.pass(ms(1000));
        b.out.clear();
        // The engine knows no reason why it should sleep.
        is_rung_and_then_pushed_for_call_2(&mut b);
    }
}

#[test]
fn wake_in_progress_is_shared_although_the_old_connection_ends() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@old:1;transport=tcp", Some(apns("tok"))));
    b.pass(ms(60_000));
    b.hold(1, "1001");
    b.out.clear();
    b.feed(unreg("1001", "tok", UnregisterWhy::ConnectionClosed));
    b.pass(ms(1000));
    b.hold(2, "1001");
    b.expect_nothing_more();
    assert!(b.noted("push-shared").is_some());
}

#[test]
fn registration_that_expired_without_an_event_is_gone_too() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.gone(1, "ORIGINATOR_CANCEL");
    let mut short = reg("1001", "tok", "1001@new:1", Some(apns("tok")));
    short.expires = ms(1000);
    b.register(short);
    b.pass(ms(1000));
    b.out.clear();
    is_pushed_for_call_2(&mut b);
    b.expect_nothing_more();
}

#[test]
fn redial_after_a_woken_phones_invite_failed_pushes_at_once() {
    let mut b = woken();
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.gone(1, "ORIGINATOR_CANCEL");
    b.pass(ms(1000));
    b.out.clear();
    // It may still be at that address.
    is_rung_and_then_pushed_for_call_2(&mut b);
}

/// Until FreeSWITCH has listed the remaining registrations, a closed connection ends no binding.
#[test]
fn redial_while_freeswitch_is_asked_for_registrations_pushes_after_its_answer() {
    for fresh in [true, false] {
        for is_left in [true, false] {
            let mut b = if fresh { woken() } else { with(|p| p.fresh_for = ms(0)) };
            if !fresh {
                b.sleeping("1001", "tok");
                b.hold(1, "1001");
                b.expect_push("tok");
                b.register(reg("1001", "tok", "1001@new:1;transport=tcp", Some(apns("tok"))));
            }
            b.gone(1, "ORIGINATOR_CANCEL");
            b.pass(ms(100));
            let question = b.asks(unreg("1001", "tok", UnregisterWhy::ConnectionClosed));
            b.out.clear();
            b.pass(ms(100));
            b.hold(2, "1001");
            b.expect_ring(leg(2, 0), "1001@new:1;transport=tcp");
            b.expect_nothing_more();
            b.pass(ms(150));
            if is_left {
                b.answer(
                    question,
                    vec![reg("1001", "tok", "1001@new:1;transport=tcp", Some(apns("tok")))],
                );
            } else {
                b.answer(question, Vec::new());
                assert_eq!(b.expect_push("tok").call().unwrap().call, call(2));
            }
            b.expect_nothing_more();
        }
    }
}

#[test]
fn phone_that_disconnects_while_it_is_rung_as_awake_is_pushed_at_once() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1;transport=tcp", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@here:1;transport=tcp");
    b.pass(ms(100));
    b.expect_nothing_more();
    b.feed(unreg("1001", "tok", UnregisterWhy::ConnectionClosed));
    b.expect_push("tok");
    // The end of its leg does not cause another push.
    b.pass(ms(1000));
    b.expect_nothing_more();
}

#[test]
fn phone_that_refuses_the_call_is_not_pushed_while_another_is_waited_for() {
    // First case: forbidden. Second case: none of the caller's codecs, twice.
    for ends in [&[("CALL_REJECTED", 403)][..], &[("INCOMPATIBLE_DESTINATION", 488); 2]] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        b.sleeping("1001", "other");
        b.hold(1, "1001");
        b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
        b.out.clear();
        for (n, (cause, sip)) in (0..).zip(ends) {
            b.ends(leg(1, n), cause, *sip);
        }
        b.pass(ms(20_000));
        let pushed = |token: &str| {
            let is = |c: &&Command| matches!(c, Command::Push(p) if p.to.token().expose() == token);
            b.out.iter().filter(is).count()
        };
        assert_eq!((pushed("tok"), pushed("other")), (0, 2), "{ends:?}");
        b.set_rest_aside();
    }
}
