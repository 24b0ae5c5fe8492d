//! How long a call waits, and how long a phone that rings may keep ringing.

use std::time::Duration;

use fswake_core::engine::{CallOptions, Command, HoldResult, Next};

use crate::common::{Bench, apns, fails, leg, ms, reg};
use crate::{bench, with};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A desk phone, and a sleeping mobile that was pushed once.
fn desk_and_mobile(own: Option<Duration>) -> Bench {
    let mut b = with(|p| p.push_retries = 0);
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    match own {
        Some(own) => b.hold_for(1, "1001", own),
        None => b.hold(1, "1001"),
    }
    b.out.clear();
    b
}

#[test]
fn phone_that_rings_when_the_wait_ends_rings_until_the_calls_own_limit_or_60_s() {
    for (own, until) in [(None, 60), (Some(40), 40), (Some(25), 25), (Some(90), 90), (Some(7), 7)] {
        let mut b = desk_and_mobile(own.map(seconds));
        b.rings(leg(1, 0));
        b.expect_alert(1);
        b.pass(ms(until * 1000 - 1));
        b.expect_nothing_more();
        b.pass(ms(1));
        b.expect_kill(leg(1, 0), "NO_ANSWER");
        assert_eq!(
            b.expect_release(1, HoldResult::Timeout),
            fails("NO_ANSWER", 0),
            "{own:?}"
        );
        b.expect_nothing_more();
    }
}

#[test]
fn longer_configured_wait_lengthens_the_ringing_too() {
    let mut b = with(|p| p.max_wait = seconds(90));
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold(1, "1001");
    b.rings(leg(1, 0));
    b.out.clear();
    b.pass(ms(89_999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_kill(leg(1, 0), "NO_ANSWER");
    b.expect_release(1, HoldResult::Timeout);
}

#[test]
fn phone_that_does_not_ring_by_then_is_not_waited_for() {
    let mut b = desk_and_mobile(None);
    b.pass(ms(24_999));
    b.expect_nothing_more();
    b.pass(ms(1));
    b.expect_kill(leg(1, 0), "NO_ANSWER");
    assert_eq!(b.expect_release(1, HoldResult::Unreachable), fails("NO_ANSWER", 0));
    b.expect_nothing_more();
}

#[test]
fn after_the_wait_only_ringing_phones_are_waited_for() {
    let mut b = desk_and_mobile(None);
    b.rings(leg(1, 0));
    b.pass(seconds(30));
    b.out.clear();
    b.ends(leg(1, 0), "USER_BUSY", 486);
    assert_eq!(b.expect_release(1, HoldResult::Declined), fails("USER_BUSY", 486));
    b.expect_nothing_more();
    // Until the wait ends, the call waits for the mobile, too.
    let mut b = desk_and_mobile(None);
    b.rings(leg(1, 0));
    b.pass(seconds(20));
    b.out.clear();
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.expect_nothing_more();
}

#[test]
fn phone_that_registers_while_another_rings_on_is_rung_and_may_take_the_call() {
    let mut b = desk_and_mobile(None);
    b.rings(leg(1, 0));
    b.pass(seconds(30));
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.out.retain(|c| !matches!(c, Command::StoreDevice(_)));
    b.expect_alert(1);
    let timeout = b.expect_ring(leg(1, 1), "1001@new:2").timeout;
    assert_eq!(timeout, seconds(30));
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.expect_nothing_more();
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 1));
}

/// Two mobiles were woken. The first was ringing when the wait ended 28 s ago; the second has not registered.
fn first_of_two_rings_on() -> Bench {
    // The second still has pushes left.
    let mut b = with(|p| p.push_retries = 9);
    b.sleeping("1001", "one");
    b.sleeping("1001", "two");
    b.hold(1, "1001");
    b.register(reg("1001", "one", "1001@one:1", Some(apns("one"))));
    b.rings(leg(1, 0));
    b.pass(seconds(28));
    b.out.clear();
    b
}

fn registers(b: &mut Bench, token: &str, at: &str) {
    b.register(reg("1001", token, at, Some(apns(token))));
    b.out.retain(|c| !matches!(c, Command::StoreDevice(_)));
}

#[test]
fn leg_that_fails_after_the_wait_is_neither_dialled_again_nor_pushed_for() {
    // The last leg ends. The caller does not wait for a phone that is not ringing.
    let mut b = first_of_two_rings_on();
    b.ends(leg(1, 0), "RECOVERY_ON_TIMER_EXPIRE", 0);
    assert_eq!(
        b.expect_release(1, HoldResult::Timeout),
        fails("RECOVERY_ON_TIMER_EXPIRE", 0)
    );
    b.expect_nothing_more();
    // Another phone keeps ringing. This one registered twice before it was reached, which makes no second leg.
    let mut b = bench();
    b.sleeping("1001", "one");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold(1, "1001");
    registers(&mut b, "one", "1001@one:1");
    registers(&mut b, "one", "1001@one:1");
    b.rings(leg(1, 0));
    b.rings(leg(1, 1));
    b.pass(seconds(28));
    b.out.clear();
    b.ends(leg(1, 1), "RECOVERY_ON_TIMER_EXPIRE", 0);
    b.pass(seconds(20));
    b.expect_nothing_more();
    // It may still register without a push.
    registers(&mut b, "one", "1001@one:2");
    b.expect_ring(leg(1, 2), "1001@one:2");
    b.expect_nothing_more();
}

#[test]
fn phone_that_registers_after_the_wait_and_stays_silent_is_not_pushed() {
    let mut b = first_of_two_rings_on();
    registers(&mut b, "two", "1001@two:1");
    b.expect_ring(leg(1, 1), "1001@two:1");
    b.pass(seconds(20));
    b.expect_nothing_more();
}

#[test]
fn last_leg_after_the_wait_is_not_replaced() {
    let silent = || {
        let mut b = first_of_two_rings_on();
        registers(&mut b, "two", "1001@two:1");
        b.pass(seconds(6));
        b.out.clear();
        b
    };
    // With another leg out, the silent leg is replaced by a new one.
    let mut b = silent();
    registers(&mut b, "two", "1001@two:1");
    b.pass(ms(700));
    b.expect_kill(leg(1, 1), "LOSE_RACE");
    b.expect_ring(leg(1, 2), "1001@two:1");
    b.expect_nothing_more();
    // If it is the only leg it stays: while its CANCEL is outstanding, no phone would ring.
    let mut b = silent();
    b.ends(leg(1, 0), "USER_BUSY", 486);
    registers(&mut b, "two", "1001@two:1");
    b.pass(seconds(20));
    b.expect_nothing_more();
    // It also stays if another phone registers at its address.
    let mut b = silent();
    b.ends(leg(1, 0), "USER_BUSY", 486);
    registers(&mut b, "three", "1001@two:1");
    b.pass(seconds(20));
    b.expect_nothing_more();
    // If the phone has moved, the new leg is made at once, without a pause.
    let mut b = with(|p| p.settle_delay = seconds(2));
    b.sleeping("1001", "one");
    b.sleeping("1001", "two");
    b.hold(1, "1001");
    registers(&mut b, "one", "1001@one:1");
    b.pass(seconds(2));
    b.rings(leg(1, 0));
    b.pass(seconds(26));
    registers(&mut b, "two", "1001@two:1");
    b.pass(seconds(8));
    b.ends(leg(1, 0), "USER_BUSY", 486);
    b.out.clear();
    registers(&mut b, "two", "1001@two:2");
    b.expect_ring(leg(1, 2), "1001@two:2");
    b.expect_kill(leg(1, 1), "LOSE_RACE");
    b.expect_nothing_more();
    // In the pause between two legs, the end of the last ringing leg ends the call.
    let mut b = silent();
    registers(&mut b, "two", "1001@two:1");
    b.pass(ms(201));
    b.expect_kill(leg(1, 1), "LOSE_RACE");
    b.ends(leg(1, 0), "USER_BUSY", 486);
    assert_eq!(b.expect_release(1, HoldResult::Declined), fails("USER_BUSY", 486));
    b.expect_nothing_more();
}

#[test]
fn leg_may_ring_until_the_calls_limit() {
    for (own, until) in [(None, 60), (Some(40), 40), (Some(7), 7)] {
        let mut b = bench();
        b.register(reg("1001", "desk", "1001@desk:1", None));
        match own {
            Some(own) => b.hold_for(1, "1001", seconds(own)),
            None => b.hold(1, "1001"),
        }
        let timeout = b.expect_ring(leg(1, 0), "1001@desk:1").timeout;
        assert_eq!(timeout, seconds(until));
    }
}

#[test]
fn ringing_phones_ring_on_if_a_bridge_fails_after_the_wait() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.rings(leg(1, 0));
    b.pass(ms(24_999));
    b.answers(leg(1, 1));
    b.pass(seconds(2));
    b.out.clear();
    b.bridge_fails(leg(1, 1), None);
    b.expect_kill(leg(1, 1), "NORMAL_TEMPORARY_FAILURE");
    b.pass(seconds(10));
    b.expect_nothing_more();
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
}

#[test]
fn dialplan_gets_the_rest_of_the_calls_own_limit() {
    let mut b = with(|p| p.push_retries = 0);
    b.sleeping("1001", "tok");
    b.hold_for(1, "1001", seconds(40));
    b.out.clear();
    b.pass(seconds(25));
    let next = b.expect_release(1, HoldResult::Unreachable);
    assert_eq!(next, Next::Ring(Some(seconds(15))));
}

#[test]
fn legs_that_reach_their_limit_end_with_freeswitchs_cause() {
    for (leg_timeout, cause) in [(true, "ALLOTTED_TIMEOUT"), (false, "NO_ANSWER")] {
        let mut b = bench();
        b.register(reg("1001", "desk", "1001@desk:1", None));
        let options = CallOptions {
            leg_timeout,
            ..CallOptions::default()
        };
        b.hold_with(1, "1001", options);
        b.out.clear();
        b.pass(seconds(25));
        b.expect_kill(leg(1, 0), cause);
        // This also ends the call.
        assert_eq!(b.expect_release(1, HoldResult::Unreachable), fails(cause, 0));
    }
}
