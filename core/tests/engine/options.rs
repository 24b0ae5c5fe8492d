//! Call variables: no push, wait for any phone, call left alone, and phones that FreeSWITCH rings itself.

use std::time::Duration;

use fswake_core::engine::{
    CallOptions, CallOrder, Command, EarlyMedia, Event, HoldResult, OtherLegState, Ringing, UnregisterWhy,
};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, call, leg, ms, reg, target, unreg};
use crate::{bench, with};

const NO_PUSH: CallOptions = CallOptions {
    push_awake: false,
    no_push: true,
    wait_any: false,
    ringing: Ringing::Ours,
    hands_off: false,
    mode: None,
    leg_timeout: false,
    early_media: EarlyMedia::PassedOn,
};
const WAIT_ANY: CallOptions = CallOptions {
    wait_any: true,
    no_push: false,
    ..NO_PUSH
};
const BY_FREESWITCH: CallOptions = CallOptions {
    ringing: Ringing::FreeSwitch,
    no_push: false,
    ..NO_PUSH
};

/// A phone with a token that registered five minutes ago and is still registered.
fn stale(b: &mut Bench) {
    b.register(reg("1001", "old", "1001@old:1", Some(apns("tok"))));
    b.pass(Duration::from_secs(300));
    b.out.clear();
}

fn expect_question(b: &mut Bench, at: &str) {
    let asked = Command::Call(call(1), CallOrder::AskOtherLeg(target(at)));
    assert_eq!(b.out, [asked]);
    b.out.clear();
}

fn answers(b: &mut Bench, at: &str, leg: OtherLegState) {
    b.feed(Event::OtherLegSeen {
        call: call(1),
        target: target(at),
        leg,
    });
}

#[test]
fn call_without_pushes_waits_for_the_phone_until_the_deadline_and_pushes_nothing() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold_with(1, "1001", NO_PUSH);
    b.pass(ms(20_000));
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.pass(ms(4999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}

#[test]
fn call_that_waits_for_any_phone_waits_although_there_is_no_device() {
    let mut b = bench();
    b.hold_with(1, "nobody", WAIT_ANY);
    b.pass(ms(24_000));
    b.register(reg("nobody", "new", "nobody@new:2", None));
    b.expect_ring(leg(1, 0), "nobody@new:2");
    b.expect_nothing_more();
}

#[test]
fn call_that_waits_for_anybody_waits_although_every_push_is_refused() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.hold_with(1, "1001", WAIT_ANY);
    let push = b.expect_push("tok");
    let reason = "no app".to_owned();
    b.refuses(&push, PushError::credentials(reason));
    b.pass(ms(24_999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_release(1, HoldResult::Unreachable);
}

#[test]
fn decline_ends_the_wait_for_any_phone() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold_with(1, "1001", WAIT_ANY);
    b.out.clear();
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.expect_release(1, HoldResult::Declined);
    b.expect_nothing_more();
}

#[test]
fn call_left_to_others_goes_back_at_once_and_unchanged() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.out.clear();
    let hands_off = CallOptions {
        hands_off: true,
        ..CallOptions::default()
    };
    b.hold_with(1, "1001", hands_off);
    b.expect_release(1, HoldResult::HandsOff);
    b.expect_nothing_more();
    assert_eq!((b.summaries.len(), b.engine.held_calls()), (1, 0));
}

#[test]
fn phones_that_freeswitch_rings_are_not_rung_again() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.expect_push("tok");
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.pass(ms(500));
    expect_question(&mut b, "1001@desk:1");
    answers(&mut b, "1001@desk:1", OtherLegState::Rings);
    b.register(reg("1001", "desk", "1001@desk:1", None));
    expect_question(&mut b, "1001@desk:1");
    answers(&mut b, "1001@desk:1", OtherLegState::Dialed);
    b.expect_nothing_more();
}

#[test]
fn phones_that_freeswitch_rings_are_not_waited_for() {
    for (state, result) in [
        (OtherLegState::Dialed, HoldResult::Unreachable),
        (OtherLegState::Rings, HoldResult::Timeout),
    ] {
        let mut b = bench();
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.hold_with(1, "1001", BY_FREESWITCH);
        b.pass(ms(500));
        expect_question(&mut b, "1001@desk:1");
        answers(&mut b, "1001@desk:1", state);
        b.expect_release(1, result);
        b.expect_nothing_more();
    }
}

#[test]
fn phone_that_declined_freeswitchs_own_leg_is_not_rung_again() {
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.pass(ms(500));
    expect_question(&mut b, "1001@desk:1");
    answers(&mut b, "1001@desk:1", OtherLegState::None);
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}

#[test]
fn phone_that_rings_on_freeswitchs_own_leg_is_not_pushed() {
    let mut b = bench();
    stale(&mut b);
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.pass(ms(499));
    b.expect_nothing_more();
    b.pass(ms(1));
    expect_question(&mut b, "1001@old:1");
    answers(&mut b, "1001@old:1", OtherLegState::Rings);
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}

#[test]
fn phone_that_does_not_ring_on_freeswitchs_own_leg_is_pushed() {
    let mut b = bench();
    stale(&mut b);
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.pass(ms(500));
    expect_question(&mut b, "1001@old:1");
    answers(&mut b, "1001@old:1", OtherLegState::Dialed);
    b.expect_push("tok");
    b.expect_nothing_more();
    b.pass(ms(5000));
    b.expect_push("tok");
    b.expect_nothing_more();
}

#[test]
fn woken_phone_is_rung_unless_freeswitchs_own_leg_reaches_it() {
    let (moved, stayed) = ("1001@new:2", "1001@old:1");
    for (at, state, rung) in [
        (stayed, OtherLegState::Dialed, false),
        (stayed, OtherLegState::Rings, false),
        (stayed, OtherLegState::None, true),
        (moved, OtherLegState::Dialed, true),
        (moved, OtherLegState::Rings, false),
        (moved, OtherLegState::None, true),
    ] {
        let mut b = bench();
        stale(&mut b);
        b.hold_with(1, "1001", BY_FREESWITCH);
        b.pass(ms(500));
        b.out.clear();
        answers(&mut b, stayed, OtherLegState::Dialed);
        b.expect_push("tok");
        b.register(reg("1001", "new", at, Some(apns("tok"))));
        b.expect_stored("tok");
        expect_question(&mut b, stayed);
        answers(&mut b, stayed, state);
        if rung {
            b.expect_ring(leg(1, 0), at);
        }
        b.expect_nothing_more();
    }
}

#[test]
fn woken_phone_is_rung_as_soon_as_freeswitchs_own_leg_to_it_is_over() {
    let mut b = bench();
    stale(&mut b);
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.pass(ms(500));
    b.out.clear();
    answers(&mut b, "1001@old:1", OtherLegState::Dialed);
    b.expect_push("tok");
    b.register(reg("1001", "new", "1001@old:1", Some(apns("tok"))));
    b.expect_stored("tok");
    for _ in 0..3 {
        expect_question(&mut b, "1001@old:1");
        answers(&mut b, "1001@old:1", OtherLegState::Dialed);
        b.pass(ms(999));
        b.expect_nothing_more();
        b.pass(ms(1));
    }
    expect_question(&mut b, "1001@old:1");
    answers(&mut b, "1001@old:1", OtherLegState::None);
    b.expect_ring(leg(1, 0), "1001@old:1");
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.pass(ms(10_000));
    b.expect_nothing_more();
}

#[test]
fn freeswitch_has_time_to_make_its_own_leg_however_short_the_push_delay() {
    let mut b = with(|policy| policy.push_delay = Duration::ZERO);
    stale(&mut b);
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.pass(ms(199));
    b.expect_nothing_more();
    b.pass(ms(1));
    expect_question(&mut b, "1001@old:1");
}

#[test]
fn phone_that_registers_while_freeswitch_is_asked_is_rung_according_to_the_answer() {
    let mut b = bench();
    stale(&mut b);
    b.hold_with(1, "1001", BY_FREESWITCH);
    b.pass(ms(500));
    b.out.clear();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_nothing_more();
    for _ in 0..2 {
        answers(&mut b, "1001@old:1", OtherLegState::Dialed);
    }
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.expect_nothing_more();
}

#[test]
fn call_waits_for_a_first_register_that_may_be_in_transit() {
    let mut b = bench();
    b.hold(1, "1001");
    b.pass(ms(29));
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", None));
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.pass(ms(100));
    b.feed(unreg("1001", "new", UnregisterWhy::Explicit));
    b.expect_nothing_more();
}

/// Our leg to another phone at this address ends. FreeSWITCH's own leg may then ring the phone that has just registered
/// there.
#[test]
fn phone_rung_by_freeswitch_that_takes_over_an_address_is_rung_only_after_freeswitchs_answer() {
    for state in [OtherLegState::None, OtherLegState::Rings] {
        let mut b = bench();
        b.register(reg("1001", "desk", "1001@a:1", None));
        b.hold_with(1, "1001", BY_FREESWITCH);
        b.expect_nothing_more();
        b.register(reg("1001", "other", "1001@b:1", None));
        b.expect_ring(leg(1, 0), "1001@b:1");
        b.register(reg("1001", "desk", "1001@b:1", None));
        b.expect_kill(leg(1, 0), "LOSE_RACE");
        expect_question(&mut b, "1001@a:1");
        b.pass(ms(100));
        b.expect_nothing_more();
        answers(&mut b, "1001@a:1", state);
        if state == OtherLegState::None {
            b.expect_ring(leg(1, 1), "1001@b:1");
        } else {
            b.expect_release(1, HoldResult::Timeout);
        }
        b.expect_nothing_more();
    }
}
