//! Each phone has at most one ringing dialog, however long it slept (docs/ARCHITECTURE.md, "One dialog").

use std::time::Duration;

use fswake_core::engine::{CallOptions, Event, HoldResult, UnregisterWhy};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, leg, ms, reg, ring_of, target, unreg};
use crate::{bench, with};

const UDP: &str = "1001@old:1";
const CONNECTIONS: [&str; 5] = [
    "1001@old:1;transport=tcp",
    "1001@old:1;transport=tls",
    "1001@x.invalid;transport=ws",
    // Behind a proxy that added itself to the Path.
    "1001@old:1;transport=tcp;fs_path=%3Csip%3A192.0.2.9%3Blr%3E",
    "1001@old:1;fs_path=%3Csip%3A192.0.2.9%3Blr%3Breceived%3D192.0.2.7~5060~3%3E",
];
/// The same two, over UDP.
const PROXY: &str = "1001@old:1;fs_path=%3Csip%3A192.0.2.9%3Blr%3E";

/// A phone with a token that registered this long ago.
fn registered(b: &mut Bench, at: &str, ago: Duration) {
    b.register(reg("1001", "tok", at, Some(apns("tok"))));
    b.pass(ago);
    b.out.clear();
}

fn registers(b: &mut Bench, at: &str) {
    b.register(reg("1001", "tok", at, Some(apns("tok"))));
    b.expect_stored("tok");
}

/// A call for a phone whose last sign of life was an hour ago.
fn stale(at: &str) -> Bench {
    let mut b = bench();
    registered(&mut b, at, Duration::from_secs(3000));
    b.hold(1, "1001");
    b.expect_push("tok");
    b
}

/// A call for a phone whose last sign of life was a moment ago. It does not ring, so it is pushed. Ends `after` its
/// INVITE.
fn awake(at: &str, after: u64) -> Bench {
    let mut b = bench();
    registered(&mut b, at, Duration::from_secs(5));
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), at);
    b.pass(ms(500));
    b.expect_push("tok");
    b.pass(ms(after - 500));
    b.expect_nothing_more();
    b
}

/// The first leg is replaced by a second one to the same address. The CANCEL goes out first.
fn gives_way(b: &mut Bench, at: &str) {
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_nothing_more();
    b.pass(ms(20));
    b.expect_ring(leg(1, 1), at);
    b.expect_nothing_more();
}

/// The phone rings on its first leg, and no further command follows.
fn rings_on(b: &mut Bench) {
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.pass(ms(20_000));
    b.expect_nothing_more();
}

#[test]
fn phone_that_may_sleep_is_not_rung_over_udp_until_its_register() {
    for at in [UDP, PROXY] {
        for wake in [300, 800, 1500, 2200, 4000, 4999] {
            let mut b = stale(at);
            b.expect_nothing_more();
            assert!(b.noted("not-rung-asleep").is_some());
            b.pass(ms(wake));
            b.expect_nothing_more();
            registers(&mut b, at);
            b.expect_ring(leg(1, 0), at);
            b.expect_nothing_more();
        }
    }
}

#[test]
fn phone_on_a_connection_is_rung_and_pushed_at_once() {
    for at in CONNECTIONS {
        let mut b = stale(at);
        b.expect_ring(leg(1, 0), at);
        b.expect_nothing_more();
    }
}

#[test]
fn phone_that_cannot_be_woken_is_rung_over_udp() {
    // Without a token.
    let mut b = bench();
    b.register(reg("1001", "desk", UDP, None));
    b.pass(Duration::from_secs(3000));
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), UDP);
    b.expect_nothing_more();
    // The call asks for no pushes.
    let mut b = bench();
    registered(&mut b, UDP, Duration::from_secs(3000));
    let no_push = CallOptions {
        no_push: true,
        ..CallOptions::default()
    };
    b.hold_with(1, "1001", no_push);
    b.expect_ring(leg(1, 0), UDP);
    b.expect_nothing_more();
    // The caller's limit of pushes is used up.
    let mut b = with(|p| p.caller_pushes_per_minute = 1);
    b.sleeping("1002", "other");
    registered(&mut b, UDP, Duration::from_secs(1));
    b.hold(1, "1002");
    b.expect_push("other");
    b.pass(Duration::from_secs(40));
    b.out.clear();
    b.hold(2, "1001");
    b.expect_ring(leg(2, 0), UDP);
    b.expect_nothing_more();
}

#[test]
fn phone_whose_push_is_refused_is_rung_at_its_registered_address() {
    let mut b = bench();
    registered(&mut b, UDP, Duration::from_secs(3000));
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    let reason = "BadTopic";
    b.refuses(&push, PushError::credentials(reason));
    b.expect_ring(leg(1, 0), UDP);
    b.expect_nothing_more();
    b.ends(leg(1, 0), "RECOVERY_ON_TIMER_EXPIRE", 408);
    b.expect_release(1, HoldResult::Unreachable);
}

#[test]
fn phone_that_is_no_longer_registered_is_not_rung_at_its_old_address() {
    for ends in [true, false] {
        let mut b = bench();
        registered(&mut b, UDP, Duration::from_secs(if ends { 3000 } else { 3599 }));
        b.hold(1, "1001");
        let push = b.expect_push("tok");
        b.pass(ms(2000));
        if ends {
            let mut over = unreg("1001", "tok", UnregisterWhy::Explicit);
            if let Event::Unregistered(over) = &mut over {
                over.target = Some(target(UDP));
            }
            b.feed(over);
            b.expect_forgotten("1001", "tok");
            b.pass(ms(3000));
        } else {
            let reason = "BadTopic";
            b.refuses(&push, PushError::credentials(reason));
        }
        b.expect_release(1, HoldResult::Unreachable);
        b.expect_nothing_more();
    }
}

#[test]
fn phone_whose_token_another_call_found_gone_is_rung_at_its_registered_address() {
    let mut b = bench();
    registered(&mut b, UDP, Duration::from_secs(3000));
    b.hold(1, "1001");
    let push = b.expect_push("tok");
    b.hold(2, "1001");
    b.expect_nothing_more();
    let (since, reason) = (None, "Unregistered".into());
    b.refuses(&push, PushError::TokenGone { since, reason });
    b.expect_forgotten("1001", "tok");
    b.expect_ring(leg(1, 0), UDP);
    b.expect_ring(leg(2, 0), UDP);
    b.expect_nothing_more();
    b.pass(ms(5000));
    b.expect_nothing_more();
}

#[test]
fn phone_whose_provider_is_unreachable_is_rung_at_its_registered_address_and_pushed_again() {
    let mut b = bench();
    registered(&mut b, UDP, Duration::from_secs(3000));
    b.hold(1, "1001");
    for first in [true, false] {
        let push = b.expect_push("tok");
        b.refuses(
            &push,
            PushError::Exhausted {
                kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
                reason: "503".into(),
            },
        );
        if first {
            b.expect_ring(leg(1, 0), UDP);
        }
        b.expect_nothing_more();
        b.pass(ms(5000));
    }
    b.expect_push("tok");
    // One push was accepted, so the phone may be on its way.
    let mut b = stale(UDP);
    b.pass(ms(5000));
    let taken = b.expect_push("tok");
    b.accepts(&taken);
    b.expect_alert(1);
    b.pass(ms(5000));
    let push = b.expect_push("tok");
    b.refuses(
        &push,
        PushError::Exhausted {
            kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
            reason: "503".into(),
        },
    );
    b.expect_nothing_more();
}

#[test]
fn invite_buffered_on_the_phones_own_connection_is_left_alone() {
    for at in CONNECTIONS {
        for wake in [300, 2200, 4500] {
            let mut b = stale(at);
            b.expect_ring(leg(1, 0), at);
            b.pass(ms(wake));
            registers(&mut b, at);
            b.expect_nothing_more();
            b.pass(ms(40));
            rings_on(&mut b);
        }
    }
}

#[test]
fn invite_lost_with_its_connection_is_cancelled_and_replaced() {
    let mut b = stale(CONNECTIONS[0]);
    b.expect_ring(leg(1, 0), CONNECTIONS[0]);
    b.pass(ms(2200));
    registers(&mut b, CONNECTIONS[0]);
    b.pass(ms(599));
    b.expect_nothing_more();
    b.pass(ms(1));
    gives_way(&mut b, CONNECTIONS[0]);
}

#[test]
fn leg_to_a_dead_connection_is_replaced_at_once_and_its_end_is_ignored() {
    let new = "1001@new:2;transport=tls";
    for at in CONNECTIONS {
        for mut b in [stale(at), awake(at, 800)] {
            b.out.retain(|c| ring_of(c).is_none());
            registers(&mut b, new);
            // The new leg is made at once, without waiting for the old one to end.
            assert!(ring_of(&b.out[0]).is_some_and(|ring| ring.leg == leg(1, 1)));
            b.expect_ring(leg(1, 1), new);
            b.expect_kill(leg(1, 0), "LOSE_RACE");
            b.expect_nothing_more();
            b.ends(leg(1, 0), "RECOVERY_ON_TIMER_EXPIRE", 408);
            b.expect_nothing_more();
            b.rings(leg(1, 1));
            b.expect_alert(1);
        }
    }
}

#[test]
fn dead_leg_that_times_out_before_the_register_does_not_end_the_call() {
    let mut b = awake(CONNECTIONS[1], 800);
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_nothing_more();
    registers(&mut b, "1001@new:2;transport=tls");
    b.expect_ring(leg(1, 1), "1001@new:2;transport=tls");
    b.expect_nothing_more();
}

#[test]
fn repeated_invite_that_is_due_soon_rings_the_phone_that_was_awake() {
    // Repeats come 1, 3 and 7 s after the INVITE, a proxy's after 0.5, 1.5 and 3.5 s.
    for (at, wake, due) in [
        (UDP, 700, 1000),
        (UDP, 2700, 3000),
        (PROXY, 1200, 1500),
        (PROXY, 3200, 3500),
    ] {
        let mut b = awake(at, wake);
        registers(&mut b, at);
        b.pass(ms(due - wake + 10));
        b.expect_nothing_more();
        rings_on(&mut b);
    }
}

#[test]
fn repeated_invite_without_an_answer_is_replaced() {
    let mut b = awake(UDP, 700);
    registers(&mut b, UDP);
    b.pass(ms(500));
    gives_way(&mut b, UDP);
}

#[test]
fn repeated_invite_that_is_due_late_is_not_waited_for() {
    for (at, wake) in [(UDP, 1500), (PROXY, 2200)] {
        let mut b = awake(at, wake);
        registers(&mut b, at);
        // The previous one may still be buffered in the phone's socket.
        b.pass(ms(199));
        b.expect_nothing_more();
        b.pass(ms(1));
        gives_way(&mut b, at);
    }
}

#[test]
fn phone_that_registers_during_a_bridge_is_rung_if_the_bridge_fails() {
    for ends in [false, true] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.hold(1, "1001");
        b.out.clear();
        b.answers(leg(1, 0));
        b.expect_connect(leg(1, 0));
        registers(&mut b, "1001@new:2");
        b.expect_nothing_more();
        let end = ends.then(|| crate::common::end("NORMAL_CLEARING", 0));
        b.feed(Event::BridgeFailed { leg: leg(1, 0), end });
        b.pass(ms(0));
        if !ends {
            b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
        }
        b.expect_ring(leg(1, 1), "1001@new:2");
        b.expect_nothing_more();
    }
}
