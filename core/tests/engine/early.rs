//! Early media of a phone that is the only one ringing.

use fswake_core::engine::policy::Decline;
use fswake_core::engine::{CallOptions, EarlyMedia, Event, HoldResult, Mode, Ringing, Step};

use crate::common::{Bench, call, end, fails, leg, ms, reg};
use crate::{bench, with};

fn desk(options: CallOptions) -> (Bench, bool) {
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold_with(1, "1001", options);
    let early_media = b.expect_ring(leg(1, 0), "1001@desk:1").early_media;
    b.expect_nothing_more();
    (b, early_media)
}

/// The caller hears the phone's early media.
fn early_bridged() -> Bench {
    let (mut b, early_media) = desk(CallOptions::default());
    assert!(early_media);
    b.plays(leg(1, 0));
    b.expect_early_connect(leg(1, 0));
    b.feed(Event::EarlyBridged(leg(1, 0)));
    b.expect_nothing_more();
    b
}

#[test]
fn early_media_reaches_the_caller_and_the_answer_connects_them() {
    let mut b = early_bridged();
    assert!(matches!(b.noted("early-media"), Some(Step::EarlyMedia { device }) if &**device == "binding"));
    // Neither the deadline nor another timer ends the leg, because FreeSWITCH bridges it now.
    b.pass(ms(100_000));
    b.expect_nothing_more();
    b.answers(leg(1, 0));
    b.expect_close(1);
    b.expect_nothing_more();
    assert_eq!(b.summaries[0].result, HoldResult::Connected);
    assert_eq!(b.summaries[0].answered_by.as_deref(), Some("binding"));
}

#[test]
fn answer_that_comes_before_the_early_bridge_is_confirmed_counts() {
    let (mut b, _) = desk(CallOptions::default());
    b.plays(leg(1, 0));
    b.expect_early_connect(leg(1, 0));
    b.answers(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::EarlyBridged(leg(1, 0)));
    b.expect_close(1);
    b.expect_nothing_more();
    assert_eq!(b.summaries[0].result, HoldResult::Connected);
}

#[test]
fn unanswered_early_media_leg_ends_the_call_as_freeswitch_reported_to_the_caller() {
    for (cause, sip, result) in [
        ("USER_BUSY", 486, HoldResult::Declined),
        ("CALL_REJECTED", 603, HoldResult::Declined),
        ("NO_ANSWER", 0, HoldResult::Timeout),
        ("UNALLOCATED_NUMBER", 404, HoldResult::Timeout),
    ] {
        let mut b = early_bridged();
        b.ends(leg(1, 0), cause, sip);
        b.expect_close(1);
        b.expect_nothing_more();
        assert_eq!(b.summaries[0].result, result, "{cause}");
        assert!(b.noted("leg-ended").is_some());
    }
}

#[test]
fn early_media_after_a_180_is_passed_on_and_repeats_are_ignored() {
    let (mut b, _) = desk(CallOptions::default());
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.plays(leg(1, 0));
    b.expect_early_connect(leg(1, 0));
    b.plays(leg(1, 0));
    b.feed(Event::EarlyBridged(leg(1, 0)));
    b.plays(leg(1, 0));
    b.expect_nothing_more();
}

#[test]
fn failed_early_bridge_ends_the_leg() {
    let (mut b, _) = desk(CallOptions::default());
    b.plays(leg(1, 0));
    b.expect_early_connect(leg(1, 0));
    b.bridge_fails(leg(1, 0), None);
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}

#[test]
fn end_of_a_leg_before_its_early_bridge_counts_as_any_other() {
    for (cause, sip, result) in [
        ("USER_BUSY", 486, HoldResult::Declined),
        ("CALL_REJECTED", 603, HoldResult::Declined),
        ("NO_ANSWER", 0, HoldResult::Timeout),
        ("UNALLOCATED_NUMBER", 404, HoldResult::Timeout),
    ] {
        let (mut b, _) = desk(CallOptions::default());
        b.plays(leg(1, 0));
        b.expect_early_connect(leg(1, 0));
        b.ends(leg(1, 0), cause, sip);
        b.bridge_fails(leg(1, 0), Some(end(cause, sip)));
        let next = b.expect_release(1, result);
        assert_eq!(next, fails(cause, sip));
        b.expect_nothing_more();
        assert!(matches!(b.noted("leg-ended"), Some(Step::LegEnded { sip: told, .. }) if *told == sip));
        assert_eq!(b.noted("bridge-failed"), None);
    }
}

#[test]
fn decline_before_the_early_bridge_applies_to_all_phones_where_configured() {
    for decline in [Decline::All, Decline::ThisDevice] {
        let mut b = with(|policy| policy.decline = decline);
        b.register(reg("1001", "desk", "1001@desk:1", None));
        b.hold(1, "1001");
        b.plays(leg(1, 0));
        b.out.clear();
        b.register(reg("1001", "other", "1001@other:1", None));
        b.expect_nothing_more();
        b.bridge_fails(leg(1, 0), Some(end("USER_BUSY", 486)));
        if decline == Decline::All {
            b.expect_release(1, HoldResult::Declined);
        } else {
            b.pass(ms(0));
            b.expect_ring(leg(1, 1), "1001@other:1");
        }
        b.expect_nothing_more();
    }
}

#[test]
fn hang_up_during_early_media_ends_the_leg() {
    let mut b = early_bridged();
    b.gone(1, "ORIGINATOR_CANCEL");
    b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
}

#[test]
fn early_media_goes_on_when_the_calls_connection_ends() {
    let mut b = early_bridged();
    b.feed(Event::ConnectionLost(call(1)));
    b.expect_close(1);
    b.expect_nothing_more();
}

/// `ignore_early_media=ring_ready`.
#[test]
fn caller_hears_ringing_in_place_of_early_media_where_the_call_asks_for_it() {
    let (mut b, early_media) = desk(CallOptions {
        early_media: EarlyMedia::Rings,
        ..CallOptions::default()
    });
    assert!(!early_media);
    b.plays(leg(1, 0));
    b.expect_alert(1);
    b.plays(leg(1, 0));
    b.expect_nothing_more();
}

#[test]
fn early_media_is_not_passed_on_where_another_phone_could_answer_or_the_call_refuses_it() {
    let options = [
        CallOptions {
            early_media: EarlyMedia::Ignored,
            ..CallOptions::default()
        },
        CallOptions {
            wait_any: true,
            ..CallOptions::default()
        },
    ];
    for wish in options {
        let (mut b, early_media) = desk(wish);
        assert!(!early_media, "{wish:?}");
        b.plays(leg(1, 0));
        b.expect_nothing_more();
    }
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    for (n, at) in [(0, "1001@a:1"), (1, "1001@b:1")] {
        let ring = b.expect_ring(leg(1, n), at);
        assert!(!ring.early_media, "{ring:?}");
    }
    b.plays(leg(1, 0));
    b.expect_nothing_more();
    // The same if a second phone has joined since the leg was made.
    let (mut b, _) = desk(CallOptions::default());
    b.register(reg("1001", "new", "1001@new:2", None));
    b.out.clear();
    b.plays(leg(1, 0));
    b.expect_nothing_more();
}

#[test]
fn early_media_is_not_passed_on_while_freeswitch_rings_another_phone() {
    let mut b = bench();
    b.register(reg("1001", "new", "1001@old:2", None));
    b.pass(ms(1000));
    b.hold_with(
        1,
        "1001",
        CallOptions {
            ringing: Ringing::FreeSwitch,
            mode: Some(Mode::WakeFirst),
            ..CallOptions::default()
        },
    );
    b.register(reg("1001", "other", "1001@new:2", None));
    let ring = b.expect_ring(leg(1, 0), "1001@new:2");
    assert!(
        !ring.early_media,
        "rung by fswake although the mode is wake only: nothing else would ring it"
    );
}
