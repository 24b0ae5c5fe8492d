//! The engine's rules, one test per rule or race, in virtual time.

mod common;

use std::time::Duration;

use common::{Bench, apns, call, key, leg, ms, reg, unreg};
use fswake::engine::policy::{AppPolicy, Decline, OnUnregister, Policy};
use fswake::engine::{Command, Event, HoldResult, Source, UnregisterWhy};
use fswake::push::{CancelReason, PushError, PushKind};
use fswake::types::{Aor, Provider};

fn bench() -> Bench {
    Bench::new(Policy::default())
}

fn with(change: impl FnOnce(&mut Policy)) -> Bench {
    let mut policy = Policy::default();
    change(&mut policy);
    Bench::new(policy)
}

/// Holds call 1 for 1001 whose only device, `tok`, sleeps; the push is out.
fn held(b: &mut Bench) -> fswake::push::PushRequest {
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.expect_alert(1);
    b.expect_nothing_more();
    push
}

#[test]
fn sleeping_phone_is_pushed_woken_rung_and_connected() {
    let mut b = bench();
    let push = held(&mut b);
    assert_eq!(push.ttl, Duration::from_secs(25));
    b.accepts(&push);
    b.pass(ms(800));
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    let Command::Ring { sip_call_id, .. } = b.expect_ring(leg(1, 0), "1001@new:2") else {
        unreachable!()
    };
    assert_eq!(
        sip_call_id, push.sip_call_id,
        "the INVITE's Call-ID is the one that the push carried"
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
fn three_registers_of_one_wake_up_bring_one_invite() {
    let mut b = bench();
    held(&mut b);
    for (n, id) in ["a", "b", "c"].iter().enumerate() {
        b.register(reg("1001", id, &format!("1001@new:{n}"), Some(apns("tok"))));
        b.expect_stored("tok");
        b.pass(ms(70));
    }
    b.expect_ring(leg(1, 0), "1001@new:0");
    b.feed(Event::LegRinging(leg(1, 0)));
    b.pass(ms(3000));
    b.expect_nothing_more();
}

#[test]
fn leg_without_answer_follows_the_phone_to_its_newest_contact_after_the_debounce() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "a", "1001@new:1", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:1");
    b.pass(ms(200));
    b.register(reg("1001", "b", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.pass(ms(799));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_ring(leg(1, 1), "1001@new:2");
    b.expect_nothing_more();
}

#[test]
fn failed_leg_gives_way_to_a_newer_contact_at_once() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "a", "1001@new:1", Some(apns("tok"))));
    b.register(reg("1001", "b", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_ring(leg(1, 1), "1001@new:2");
    b.expect_nothing_more();
}

#[test]
fn refresh_of_the_same_contact_counts_as_a_wake_up() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@same:1", Some(apns("tok"))));
    b.pass(Duration::from_secs(60));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_ring(leg(1, 0), "1001@same:1");
    b.expect_alert(1);
    b.pass(ms(900));
    b.register(reg("1001", "tok", "1001@same:1", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_ring(leg(1, 1), "1001@same:1");
    b.expect_nothing_more();
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
        b.expect_alert(1);
        b.feed(Event::LegRinging(leg(1, 0)));
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
    b.expect_alert(1);
    b.pass(ms(499));
    b.feed(Event::LegRinging(leg(1, 0)));
    b.pass(ms(10_000));
    b.expect_nothing_more();
}

#[test]
fn awake_phone_that_says_nothing_is_pushed_after_the_push_delay() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@here:1");
    b.expect_alert(1);
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
    ] {
        let mut b = bench();
        b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
        b.out.clear();
        b.hold(1, "1001");
        b.expect_ring(leg(1, 0), "1001@here:1");
        b.expect_alert(1);
        b.pass(ms(20));
        b.ends(leg(1, 0), cause, sip);
        b.expect_push("tok");
        b.expect_nothing_more();
        assert_eq!(b.engine.held_calls(), 1);
    }
}

#[test]
fn stale_leg_that_fails_brings_no_second_push() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@old:1", Some(apns("tok"))));
    b.pass(Duration::from_secs(300));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_push("tok");
    b.expect_ring(leg(1, 0), "1001@old:1");
    b.expect_alert(1);
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
        assert_eq!(
            (again.sip_call_id.as_str(), again.call),
            (first.sip_call_id.as_str(), call(1))
        );
        assert_eq!(again.ttl, Duration::from_secs(left));
    }
    b.pass(ms(14_999));
    b.expect_nothing_more();
}

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
fn callers_own_limit_shortens_the_wait_and_never_lengthens_it() {
    for (own, deadline) in [(7, 7), (60, 25)] {
        let mut b = with(|p| p.push_retries = 0);
        b.sleeping("1001", "tok");
        b.feed(Event::CallHeld(fswake::engine::HeldCall {
            call: call(1),
            aor: Aor::new("1001", "fs.test"),
            caller_number: String::new(),
            caller_name: String::new(),
            at: std::time::SystemTime::UNIX_EPOCH,
            max_wait: Some(Duration::from_secs(own)),
        }));
        b.out.clear();
        b.pass(ms(deadline * 1000 - 1));
        b.expect_nothing_more();
        b.pass(ms(1));
        b.expect_release(1, HoldResult::Unreachable);
    }
}

#[test]
fn nobody_to_call_goes_back_to_the_dialplan_at_once() {
    let mut b = bench();
    b.hold(1, "nobody");
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
    b.expect_alert(1);
    b.refuses(
        &one,
        PushError::TokenGone {
            since: None,
            reason: "Unregistered".into(),
        },
    );
    b.expect_forgotten("1001", "one");
    b.expect_nothing_more();
    b.refuses(
        &two,
        PushError::Misconfigured {
            reason: "no app".into(),
        },
    );
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}

#[test]
fn push_that_failed_for_a_passing_reason_is_tried_again_at_its_time() {
    let mut b = bench();
    let push = held(&mut b);
    b.refuses(&push, PushError::Exhausted { reason: "503".into() });
    b.expect_nothing_more();
    b.pass(ms(5000));
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn refused_push_does_not_end_the_leg_of_a_phone_that_came_by_itself() {
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
        },
    );
    b.expect_nothing_more();
    assert_eq!(b.engine.held_calls(), 1);
}

#[test]
fn decline_of_one_device_leaves_the_others_ringing() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.ends(leg(1, 0), "CALL_REJECTED", 603);
    b.expect_nothing_more();
    b.ends(leg(1, 1), "USER_BUSY", 486);
    b.expect_release(1, HoldResult::Declined);
    b.expect_nothing_more();
}

#[test]
fn decline_for_all_ends_the_call_with_the_phones_answer() {
    for (sip, cause, heard) in [(486, "USER_BUSY", "USER_BUSY"), (603, "CALL_REJECTED", "CALL_REJECTED")] {
        let mut b = with(|p| p.decline = Decline::All);
        b.register(reg("1001", "a", "1001@a:1", None));
        b.register(reg("1001", "b", "1001@b:1", None));
        b.hold(1, "1001");
        b.out.clear();
        b.ends(leg(1, 0), cause, sip);
        b.expect_kill(leg(1, 1), "LOSE_RACE");
        assert_eq!(
            b.out.pop(),
            Some(Command::Reject {
                call: call(1),
                cause: heard
            })
        );
        b.expect_nothing_more();
    }
}

#[test]
fn a_403_is_not_a_decline() {
    let mut b = with(|p| p.decline = Decline::All);
    b.register(reg("1001", "tok", "1001@a:1", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.out.clear();
    b.ends(leg(1, 0), "CALL_REJECTED", 403);
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn second_call_rides_on_the_wake_under_way_and_both_ring() {
    let mut b = bench();
    held(&mut b);
    b.pass(ms(1000));
    b.hold(2, "1001");
    b.expect_alert(2);
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
    b.expect_alert(2);
    b.pass(ms(3999));
    b.expect_nothing_more();
    b.pass(ms(1));
    assert_eq!(b.expect_push("tok").call, call(2));
    b.expect_nothing_more();
}

#[test]
fn caller_gone_before_the_register_leaves_nothing_to_ring() {
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
fn hangup_in_the_moment_of_the_register_kills_the_leg_that_has_just_begun() {
    let mut b = bench();
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "LOSE_RACE".into(),
    });
    b.out
        .retain(|c| !matches!(c, Command::StoreDevice(_) | Command::Ring { .. }));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
    b.answers(leg(1, 0));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
}

#[test]
fn two_answers_within_the_time_of_a_bridge_the_second_hears_completed_elsewhere() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 1));
    b.answers(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 1)));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
}

#[test]
fn failed_bridge_connects_the_next_that_answered() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 0));
    b.feed(Event::BridgeFailed(leg(1, 0)));
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_connect(leg(1, 1));
    b.expect_nothing_more();
}

#[test]
fn deadline_does_not_cut_a_bridge_under_way() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.pass(ms(24_999));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.pass(ms(5000));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
}

#[test]
fn missed_legs_end_as_missed_not_as_answered_elsewhere() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.feed(Event::LegRinging(leg(1, 0)));
    b.pass(Duration::from_secs(25));
    b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}

#[test]
fn settle_delay_lies_between_register_and_invite() {
    let mut b = with(|p| p.settle_delay = ms(300));
    held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.pass(ms(299));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_ring(leg(1, 0), "1001@new:2");
}

#[test]
fn cancel_push_goes_to_woken_devices_that_are_not_on_the_line() {
    let wish = AppPolicy {
        provider: Provider::Apns,
        app: None,
        domains: Vec::new(),
        on_unregister: OnUnregister::Forget,
        missed_call_push: true,
        cancel_push: true,
    };
    let mut b = with(|p| p.apps = vec![wish.clone()]);
    held(&mut b);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    b.expect_news(&PushKind::Cancel(CancelReason::CallerHungUp));
    b.expect_news(&PushKind::MissedCall);
    b.expect_close(1);
    b.expect_nothing_more();

    let mut b = with(|p| p.apps = vec![wish]);
    b.register(reg("1001", "desk", "1001@desk:1", None));
    held_too(&mut b);
    b.answers(leg(1, 0));
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_connect(leg(1, 0));
    b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
    b.expect_close(1);
    b.expect_nothing_more();
}

fn held_too(b: &mut Bench) {
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold(1, "1001");
    b.out.clear();
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
fn draining_resumes_new_calls_at_once_and_old_ones_when_the_time_is_up() {
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
fn lost_connection_kills_what_rang() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.feed(Event::ConnectionLost(call(1)));
    b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
}

#[test]
fn registrations_read_after_a_reconnect_wake_the_calls_that_wait() {
    let mut b = bench();
    held(&mut b);
    b.feed(Event::ReadingBegan(2));
    let mut read = reg("1001", "new", "1001@new:2", Some(apns("tok")));
    read.source = Source::Reading(2);
    b.register(read.clone());
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.feed(Event::ReadingEnded(2));
    b.register(read);
    b.expect_nothing_more();
}

#[test]
fn new_token_of_a_phone_that_reinstalled_its_app_takes_over_in_the_call() {
    let mut b = bench();
    held(&mut b);
    let mut again = reg("1001", "tok", "1001@new:2", Some(apns("tok2")));
    again.call_id = "tok".into();
    b.register(again);
    b.expect_forgotten("1001", "tok");
    b.expect_stored("tok2");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.expect_nothing_more();
    assert_eq!(key("1001", "tok2").label().split(':').count(), 3);
}

#[test]
fn phone_that_unregisters_during_the_hold_is_not_pushed_again() {
    let mut b = bench();
    held(&mut b);
    b.feed(unreg("1001", "tok", UnregisterWhy::Explicit));
    b.expect_forgotten("1001", "tok");
    b.pass(ms(5000));
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
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
    b.answers(leg(1, 0));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
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
fn dialplan_hears_timeout_only_when_a_phone_rang() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.out.clear();
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

#[test]
fn woken_phone_whose_leg_fails_is_pushed_again_in_its_time_not_at_once() {
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
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.out.clear();
    b.ends(leg(1, 0), "INCOMPATIBLE_DESTINATION", 488);
    let Command::Ring { any_codec, .. } = b.expect_ring(leg(1, 1), "1001@a:1") else {
        unreachable!()
    };
    assert!(any_codec);
    b.expect_nothing_more();
    b.ends(leg(1, 1), "INCOMPATIBLE_DESTINATION", 488);
    b.expect_release(1, HoldResult::Unreachable);
}

#[test]
fn cancel_push_follows_a_leg_that_the_sleeping_phone_never_heard() {
    for (heard, cancels) in [(false, 1), (true, 0)] {
        let mut policy = Policy::default();
        policy.apps.push(AppPolicy {
            provider: Provider::Apns,
            app: None,
            domains: Vec::new(),
            on_unregister: OnUnregister::Forget,
            missed_call_push: false,
            cancel_push: true,
        });
        let mut b = Bench::new(policy);
        b.register(reg("1001", "tok", "1001@stale:1", Some(apns("tok"))));
        b.pass(Duration::from_secs(60));
        b.hold(1, "1001");
        if heard {
            b.feed(Event::LegRinging(leg(1, 0)));
        }
        b.out.clear();
        b.feed(Event::CallerGone {
            call: call(1),
            cause: "ORIGINATOR_CANCEL".into(),
        });
        b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
        let sent = b
            .out
            .iter()
            .filter(|c| matches!(c, Command::Push(p) if p.kind != PushKind::Call))
            .count();
        assert_eq!(sent, cancels);
    }
}

#[test]
fn refused_news_of_the_end_says_nothing_about_the_token_that_wakes() {
    let wish = AppPolicy {
        provider: Provider::Apns,
        app: None,
        domains: Vec::new(),
        on_unregister: OnUnregister::Forget,
        missed_call_push: false,
        cancel_push: true,
    };
    let mut b = with(|p| p.apps = vec![wish]);
    held(&mut b);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    let cancel = b.expect_news(&PushKind::Cancel(CancelReason::CallerHungUp));
    b.out.clear();
    b.refuses(
        &cancel,
        PushError::TokenGone {
            since: None,
            reason: "Unregistered".into(),
        },
    );
    b.expect_nothing_more();
    assert_eq!(b.engine.known().0, 1);
}

#[test]
fn end_of_the_drain_leaves_a_bridge_under_way_alone() {
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
fn retries_of_one_wake_are_not_held_against_the_caller() {
    let mut b = with(|p| p.caller_pushes_per_minute = 1);
    held(&mut b);
    b.pass(ms(5000));
    b.expect_push("tok");
    b.pass(ms(5000));
    b.expect_push("tok");
}
