//! Early media of a phone that rings alone.

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
fn heard() -> Bench {
    let (mut b, early_media) = desk(CallOptions::default());
    assert!(early_media);
    b.plays(leg(1, 0));
    b.expect_early_connect(leg(1, 0));
    b.feed(Event::EarlyBridged(leg(1, 0)));
    b.expect_nothing_more();
    b
}

#[test]
fn caller_hears_the_phone_and_is_connected_when_it_is_answered() {
    let mut b = heard();
    assert!(matches!(b.noted("early-media"), Some(Step::EarlyMedia { device }) if &**device == "binding"));
    // Neither the deadline nor anybody's timer ends what FreeSWITCH now has.
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
fn phone_that_ends_unanswered_ends_the_call_as_freeswitch_has_told_the_caller() {
    for (cause, sip, result) in [
        ("USER_BUSY", 486, HoldResult::Declined),
        ("CALL_REJECTED", 603, HoldResult::Declined),
        ("NO_ANSWER", 0, HoldResult::Timeout),
        ("UNALLOCATED_NUMBER", 404, HoldResult::Timeout),
    ] {
        let mut b = heard();
        b.ends(leg(1, 0), cause, sip);
        b.expect_close(1);
        b.expect_nothing_more();
        assert_eq!(b.summaries[0].result, result, "{cause}");
        assert!(b.noted("leg-ended").is_some());
    }
}

#[test]
fn early_media_after_the_180_is_passed_on_and_repeated_it_is_nothing() {
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
fn early_bridge_that_fails_ends_the_phone() {
    let (mut b, _) = desk(CallOptions::default());
    b.plays(leg(1, 0));
    b.expect_early_connect(leg(1, 0));
    b.bridge_fails(leg(1, 0), None);
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_release(1, HoldResult::Timeout);
    b.expect_nothing_more();
}

#[test]
fn phone_that_ends_before_its_early_bridge_stands_has_answered_as_any_other() {
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
fn phone_that_declines_before_its_early_bridge_stands_declines_for_the_others_where_the_operator_says_so() {
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
fn caller_who_hangs_up_while_hearing_the_phone_ends_it() {
    let mut b = heard();
    b.gone(1, "ORIGINATOR_CANCEL");
    b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
    b.expect_close(1);
    b.expect_nothing_more();
}

#[test]
fn what_the_caller_hears_goes_on_when_the_calls_connection_ends() {
    let mut b = heard();
    b.feed(Event::ConnectionLost(call(1)));
    b.expect_close(1);
    b.expect_nothing_more();
}

/// `ignore_early_media=ring_ready`.
#[test]
fn caller_hears_ringing_in_place_of_early_media_where_the_call_says_so() {
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
fn early_media_is_for_nobody_where_another_phone_could_answer_or_the_call_does_not_want_it() {
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
    // Nor where a second phone has come since the leg was made.
    let (mut b, _) = desk(CallOptions::default());
    b.register(reg("1001", "new", "1001@new:2", None));
    b.out.clear();
    b.plays(leg(1, 0));
    b.expect_nothing_more();
}

#[test]
fn phone_that_registers_beside_what_freeswitch_rings_plays_to_nobody() {
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
        "rung, although the call only wakes: nobody else would"
    );
}
