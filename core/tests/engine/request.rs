//! A requested wake has no channel. It has the same limits and pushes as a call, and one answer.

use std::time::Duration;

use fswake_core::engine::{
    CallOptions, Command, Event, HeldCall, HoldResult, Mode, Routing, UnregisterWhy, WakeReport, WakeState,
};
use fswake_core::types::Provider;
use fswake_core::types::push::{CancelReason, PushError, PushKind, PushReceipt};

use crate::common::{Bench, T0, apns, call, ms, reg, unreg};
use crate::{bench, with};

fn asked(n: u128, user: &str, mode: Mode) -> HeldCall {
    let options = CallOptions {
        mode: Some(mode),
        ..CallOptions::default()
    };
    HeldCall {
        routing: Routing::Request,
        ..Bench::held_call(n, user, "caller", options, None)
    }
}

fn ask(b: &mut Bench, n: u128) {
    b.feed(Event::CallHeld(asked(n, "1001", Mode::WakeFirst)));
}

fn force(b: &mut Bench, n: u128) {
    let mut held = asked(n, "1001", Mode::WakeFirst);
    held.options.push_awake = true;
    b.feed(Event::CallHeld(held));
}

/// Returns the answer, which must be the next and last command of this wake.
#[track_caller]
fn report(b: &mut Bench) -> WakeReport {
    let Some(Command::WakeEnded(report)) = b.out.first().cloned() else {
        panic!("no answer: {:#?}", b.out);
    };
    b.out.remove(0);
    *report
}

#[track_caller]
fn ends(b: &mut Bench, result: HoldResult, state: WakeState) -> WakeReport {
    let report = report(b);
    b.expect_nothing_more();
    let states: Vec<_> = report.parties.iter().map(|party| party.state).collect();
    assert_eq!((report.result, states), (result, vec![state]));
    assert_eq!((b.summaries.len(), b.engine.held_calls()), (1, 0));
    report
}

/// A phone with this token registers and is awake; then this much time passes.
#[track_caller]
fn registered(b: &mut Bench, ago: Duration) {
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.expect_stored("tok");
    b.pass(ago);
}

fn no_app() -> PushError {
    PushError::NoApp {
        provider: Provider::Apns,
        app: "com.example.app".into(),
    }
}

fn comes(b: &mut Bench, token: &str) {
    b.register(reg("1001", token, &format!("1001@{token}:2"), Some(apns(token))));
    b.expect_stored(token);
}

#[test]
fn answer_follows_the_register_with_contact_and_time() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    let push = b.expect_push("tok");
    b.expect_nothing_more();
    b.accepts(&push);
    b.pass(ms(800));
    comes(&mut b, "tok");
    let report = ends(&mut b, HoldResult::Woken, WakeState::Registered);
    assert_eq!((report.call, report.took), (call(1), ms(800)));
    let woken = report.woken().unwrap();
    assert_eq!(woken.target.as_ref().unwrap().uri(), "sip:1001@tok:2");
    assert_eq!((woken.to_register, woken.pushes), (Some(ms(800)), 1));
    assert_eq!(b.summaries[0].routing, Routing::Request);
    assert!(b.records.is_empty(), "there is no channel");
}

#[test]
fn settle_delay_is_kept() {
    let mut b = with(|p| p.settle_delay = ms(300));
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    b.expect_push("tok");
    comes(&mut b, "tok");
    b.expect_nothing_more();
    b.pass(ms(300));
    assert_eq!(ends(&mut b, HoldResult::Woken, WakeState::Registered).took, ms(300));
}

#[test]
fn phone_that_is_awake_is_not_pushed_and_answered_at_once() {
    let mut b = bench();
    registered(&mut b, ms(29_000));
    ask(&mut b, 1);
    let report = ends(&mut b, HoldResult::Woken, WakeState::Awake);
    assert_eq!(report.took, Duration::ZERO);
    assert!(report.woken().is_some());
}

#[test]
fn phone_without_a_token_needs_no_push() {
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.pass(ms(100_000));
    ask(&mut b, 1);
    let report = ends(&mut b, HoldResult::Woken, WakeState::Awake);
    assert_eq!(report.parties[0].device, None);
}

#[test]
fn registered_phone_without_a_recent_sign_of_life_is_pushed_and_waited_for() {
    let mut b = bench();
    registered(&mut b, ms(31_000));
    ask(&mut b, 1);
    b.expect_push("tok");
    b.expect_nothing_more();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.expect_stored("tok");
    ends(&mut b, HoldResult::Woken, WakeState::Registered);
}

#[test]
fn forced_wake_pushes_a_phone_that_seems_awake() {
    let mut b = bench();
    registered(&mut b, ms(1_000));
    force(&mut b, 1);
    b.expect_push("tok");
    b.expect_nothing_more();
    b.pass(ms(25_000));
    b.out.retain(|c| !matches!(c, Command::Push(_)));
    ends(&mut b, HoldResult::Unreachable, WakeState::Pushed);
}

#[test]
fn answer_does_not_wait_for_a_sleeping_phone_when_another_is_awake_unless_all_are_asked_for() {
    for (mode, waits) in [(Mode::WakeFirst, false), (Mode::WakeAll, true)] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.feed(Event::CallHeld(asked(1, "1001", mode)));
        b.expect_push("tok");
        if waits {
            b.expect_nothing_more();
            comes(&mut b, "tok");
        }
        let report = report(&mut b);
        assert_eq!(report.result, HoldResult::Woken);
        let states: Vec<_> = report.parties.iter().map(|party| party.state).collect();
        let sleeper = if waits {
            WakeState::Registered
        } else {
            WakeState::Pushed
        };
        assert_eq!(states, [sleeper, WakeState::Awake]);
        assert_eq!(report.woken().unwrap().device.is_some(), waits);
    }
}

#[test]
fn user_without_phones_is_answered_within_the_time_of_a_first_register() {
    let mut b = bench();
    ask(&mut b, 1);
    b.pass(ms(30));
    let report = report(&mut b);
    assert_eq!((report.result, report.parties.len()), (HoldResult::NoDevice, 0));
    b.expect_nothing_more();
}

#[test]
fn phone_that_does_not_register_is_pushed_again_and_reported_at_the_deadline_not_before() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    let push = b.expect_push("tok");
    b.accepts(&push);
    b.pass(ms(10_000));
    let again = b.expect_push("tok");
    assert_eq!(again.call().unwrap().call, call(1));
    b.expect_push("tok");
    b.pass(ms(14_999));
    b.expect_nothing_more();
    b.pass(ms(1));
    let report = ends(&mut b, HoldResult::Unreachable, WakeState::Pushed);
    assert_eq!((report.took, report.parties[0].pushes), (ms(25_000), 3));
    // Its REGISTER comes too late, which the journal notes.
    b.pass(ms(2_000));
    comes(&mut b, "tok");
    assert!(b.noted("late-register").is_some());
}

#[test]
fn requesters_wait_applies_where_it_is_shorter() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    let mut held = asked(1, "1001", Mode::WakeFirst);
    held.max_wait = Some(ms(2_000));
    b.feed(Event::CallHeld(held));
    b.expect_push("tok");
    b.pass(ms(2_000));
    assert_eq!(ends(&mut b, HoldResult::Unreachable, WakeState::Pushed).took, ms(2_000));
}

#[test]
fn refused_push_ends_the_wait_with_its_reason() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    let push = b.expect_push("tok");
    b.refuses(&push, no_app());
    let report = ends(&mut b, HoldResult::Unreachable, WakeState::Refused);
    assert!(report.parties[0].problem.is_some());
}

#[test]
fn registered_phone_whose_push_was_refused_does_not_count_as_woken() {
    let mut b = bench();
    registered(&mut b, ms(31_000));
    ask(&mut b, 1);
    let push = b.expect_push("tok");
    b.refuses(&push, no_app());
    ends(&mut b, HoldResult::Unreachable, WakeState::Refused);
}

#[test]
fn push_that_was_only_logged_is_reported_as_such() {
    let mut b = with(|p| p.push_retries = 0);
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    let push = b.expect_push("tok");
    b.feed(Event::PushEnded {
        push: push.id,
        outcome: Ok(PushReceipt {
            provider_id: None,
            status: 0,
            attempts: 0,
        }),
        at: T0,
    });
    b.pass(ms(25_000));
    ends(&mut b, HoldResult::Unreachable, WakeState::Logged);
}

#[test]
fn limits_of_calls_apply_and_end_the_wait() {
    let mut b = with(|p| {
        p.device_pushes_per_minute = 1;
        p.push_retries = 0;
        p.push_gap = Duration::ZERO;
    });
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    ask(&mut b, 2);
    b.pass(ms(30));
    let report = report(&mut b);
    assert_eq!(report.result, HoldResult::Unreachable);
    assert_eq!(report.parties[0].state, WakeState::Limited);
}

#[test]
fn wake_shares_a_calls_push_and_a_call_shares_a_wakes() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    ask(&mut b, 2);
    assert!(b.noted("push-shared").is_some());
    b.expect_nothing_more();
    b.register(reg("1001", "tok", "1001@tok:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(crate::common::leg(1, 0), "1001@tok:2");
    let report = report(&mut b);
    assert_eq!(report.result, HoldResult::Woken);

    let mut b = bench();
    b.sleeping("1001", "tok");
    ask(&mut b, 2);
    b.expect_push("tok");
    b.hold(1, "1001");
    b.expect_nothing_more();
}

#[test]
fn requester_who_disconnects_ends_the_wake_and_the_phone_gets_a_cancel_push() {
    let mut b = with(|p| p.apps = vec![crate::news::iphones(true)]);
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    let push = b.expect_push("tok");
    b.accepts(&push);
    b.pass(ms(1_000));
    b.feed(Event::AskerGone(call(1)));
    b.expect_news(&PushKind::Cancel(CancelReason::CallerHungUp));
    // No missed-call push: only the requester knows of this wake.
    let report = ends(&mut b, HoldResult::Abandoned, WakeState::Pushed);
    assert_eq!(report.took, ms(1_000));
    b.feed(Event::AskerGone(call(1)));
    b.expect_nothing_more();
}

#[test]
fn cancelled_request_does_not_end_a_held_call() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold(1, "1001");
    b.expect_push("tok");
    b.feed(Event::AskerGone(call(1)));
    b.expect_nothing_more();
    assert_eq!(b.engine.held_calls(), 1);
}

#[test]
fn pushes_carry_the_requesters_call_id() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    let mut held = asked(1, "1001", Mode::WakeFirst);
    held.sip_call_id = Some("abc@proxy".into());
    b.feed(Event::CallHeld(held));
    let push = b.expect_push("tok");
    assert_eq!(&*push.call().unwrap().sip_call_id, "abc@proxy");
}

#[test]
fn stopping_daemon_refuses_new_wakes_and_ends_those_under_way() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    ask(&mut b, 1);
    b.expect_push("tok");
    b.feed(Event::Draining);
    ask(&mut b, 2);
    assert_eq!(report(&mut b).result, HoldResult::Draining);
    b.feed(Event::DrainTimeUp);
    ends(&mut b, HoldResult::Draining, WakeState::Pushed);
}

#[test]
fn no_list_is_requested_where_another_server_reports_registrations() {
    for told in [true, false] {
        let mut b = with(|p| p.registrations_are_told = told);
        b.register(reg("1001", "a", "1001@a:1", None));
        b.register(reg("1001", "b", "1001@b:1", None));
        b.feed(unreg("1001", "a", UnregisterWhy::Explicit));
        assert_eq!(b.questions.is_empty(), told);
    }
}
