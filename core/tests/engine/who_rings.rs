//! Calls for which fswake must ask FreeSWITCH's directory who rings the phones that were registered at the start.

use std::time::Duration;

use fswake_core::engine::policy::Policy;
use fswake_core::engine::{
    CallOptions, CallOrder, Command, DIRECTORY, DirectoryQuery, Event, HeldCall, HoldResult, Mode, OtherLegState,
    Ringing, Step,
};

use crate::common::{Bench, apns, call, leg, ms, reg, ring_of, target};
use crate::{bench, with};

/// A call whose directory has been asked. Its phones must be known before.
fn asked(b: &mut Bench, options: CallOptions) {
    b.out.clear();
    let held = Bench::held_call(1, "1001", "caller", options, None);
    let (aor, query) = (held.aor.clone(), DirectoryQuery::WhoRings);
    b.feed(Event::CallHeld(HeldCall {
        query: Some(query),
        ..held
    }));
    let call = call(1);
    assert_eq!(b.out.remove(0), Command::AskDirectory { call, aor, query });
}

fn directory_answers(b: &mut Bench, ringing: Option<Ringing>) {
    b.feed(Event::WhoRings { call: call(1), ringing });
}

fn expect_question(b: &mut Bench, at: &str) {
    let asked = Command::Call(call(1), CallOrder::AskOtherLeg(target(at)));
    assert_eq!(b.out, [asked]);
    b.out.clear();
}

/// Who rings the phones, according to the journal.
fn noted(b: &Bench) -> Option<&'static str> {
    b.noted("who-rings").map(|step| match step {
        Step::WhoRings { by, .. } => by.as_str(),
        other => panic!("{other:?}"),
    })
}

/// A bench with a desk phone that is awake, at `desk`.
fn desk() -> Bench {
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b
}

#[test]
fn phone_without_a_registration_is_pushed_and_rung_while_the_directory_is_asked() {
    for ringing in [None, Some(Ringing::Ours), Some(Ringing::FreeSwitch)] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        asked(&mut b, CallOptions::default());
        b.expect_push("tok");
        b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
        b.expect_stored("tok");
        b.expect_ring(leg(1, 0), "1001@new:2");
        directory_answers(&mut b, ringing);
        b.expect_nothing_more();
        b.rings(leg(1, 0));
        b.expect_alert(1);
    }
}

#[test]
fn registered_phone_is_rung_once_the_directory_shows_that_freeswitch_does_not() {
    let mut b = desk();
    asked(&mut b, CallOptions::default());
    b.pass(DIRECTORY.saturating_sub(ms(1)));
    b.expect_nothing_more();
    directory_answers(&mut b, Some(Ringing::Ours));
    b.expect_ring(leg(1, 0), "1001@desk:1");
    assert_eq!(noted(&b), Some("fswake"));
    assert!(b.records.iter().all(|(record, _)| !record.rung_by_freeswitch));
    // A repeated answer is ignored.
    directory_answers(&mut b, Some(Ringing::FreeSwitch));
    b.expect_nothing_more();
}

#[test]
fn registered_phone_is_left_to_freeswitch_where_the_directory_says_so() {
    let mut b = desk();
    asked(&mut b, CallOptions::default());
    b.pass(ms(300));
    directory_answers(&mut b, Some(Ringing::FreeSwitch));
    assert_eq!(noted(&b), Some("freeswitch"));
    assert!(
        b.records
            .last()
            .is_some_and(|(record, at_once)| record.rung_by_freeswitch && *at_once)
    );
    b.pass(ms(499));
    b.expect_nothing_more();
    b.pass(ms(1));
    expect_question(&mut b, "1001@desk:1");
}

#[test]
fn call_waits_for_a_silent_directory_until_its_time_limit() {
    let beside = CallOptions {
        ringing: Ringing::FreeSwitch,
        ..CallOptions::default()
    };
    for options in [CallOptions::default(), beside] {
        let mut b = desk();
        asked(&mut b, options);
        b.pass(DIRECTORY.saturating_sub(ms(1)));
        b.expect_nothing_more();
        b.pass(ms(1));
        // Without an answer, the channel's own variables apply.
        if options == beside {
            b.pass(ms(500));
            expect_question(&mut b, "1001@desk:1");
        } else {
            b.expect_ring(leg(1, 0), "1001@desk:1");
        }
        let rung_by_freeswitch = b.records.last().is_some_and(|(record, _)| record.rung_by_freeswitch);
        assert_eq!(rung_by_freeswitch, options == beside);
    }
}

#[test]
fn call_that_ends_before_the_answer_leaves_no_timer() {
    let mut b = desk();
    asked(&mut b, CallOptions::default());
    b.gone(1, "ORIGINATOR_CANCEL");
    b.expect_close(1);
    directory_answers(&mut b, Some(Ringing::Ours));
    b.pass(DIRECTORY);
    b.expect_nothing_more();
    assert_eq!(noted(&b), None);

    // The call's own limit is shorter.
    let mut b = desk();
    let held = Bench::held_call(
        1,
        "1001",
        "caller",
        CallOptions::default(),
        Some(Duration::from_secs(1)),
    );
    let query = Some(DirectoryQuery::WhoRings);
    b.feed(Event::CallHeld(HeldCall { query, ..held }));
    b.out.clear();
    b.pass(ms(1000));
    b.expect_release(1, HoldResult::Unreachable);
    b.expect_nothing_more();
}

#[test]
fn call_without_a_known_phone_goes_back_with_the_answer() {
    let mut b = bench();
    asked(&mut b, CallOptions::default());
    b.pass(ms(100));
    b.expect_nothing_more();
    directory_answers(&mut b, Some(Ringing::Ours));
    b.expect_release(1, HoldResult::NoDevice);
}

/// FreeSWITCH is the authority on whether it rings a phone.
#[test]
fn registered_phone_that_registers_again_meanwhile_is_rung_unless_freeswitch_rings_it() {
    for (state, rung) in [(OtherLegState::None, true), (OtherLegState::Rings, false)] {
        let mut b = desk();
        asked(&mut b, CallOptions::default());
        b.register(reg("1001", "desk", "1001@desk:2", None));
        expect_question(&mut b, "1001@desk:1");
        b.feed(Event::OtherLegSeen {
            call: call(1),
            target: target("1001@desk:1"),
            leg: state,
        });
        if rung {
            b.expect_ring(leg(1, 0), "1001@desk:2");
        }
        directory_answers(&mut b, Some(Ringing::FreeSwitch));
        assert!(!b.out.iter().any(|c| ring_of(c).is_some()), "{:?}", b.out);
        b.set_rest_aside();
    }
}

#[test]
fn registered_phone_is_rung_after_a_bridge_that_failed_during_the_directory_query() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    asked(&mut b, CallOptions::default());
    b.expect_push("tok");
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_ring(leg(1, 0), "1001@new:2");
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    directory_answers(&mut b, Some(Ringing::Ours));
    b.expect_nothing_more();
    b.bridge_fails(leg(1, 0), None);
    b.pass(ms(0));
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_ring(leg(1, 1), "1001@desk:1");
}

#[test]
fn call_that_only_wakes_goes_back_once_it_is_known_that_its_bridge_rings() {
    let wake = CallOptions {
        mode: Some(Mode::WakeFirst),
        ..CallOptions::default()
    };
    for (ringing, goes_back) in [(Ringing::Ours, true), (Ringing::FreeSwitch, false)] {
        let mut b = bench();
        b.sleeping("1001", "tok");
        asked(&mut b, wake);
        b.expect_push("tok");
        b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
        b.expect_stored("tok");
        b.expect_nothing_more();
        directory_answers(&mut b, Some(ringing));
        if goes_back {
            b.expect_release(1, HoldResult::Woken);
        } else {
            // No bridge follows.
            b.expect_ring(leg(1, 0), "1001@new:2");
        }
        b.expect_nothing_more();
    }
}

#[test]
fn early_media_is_not_passed_on_until_no_other_phone_can_be_rung() {
    let early = |b: &mut Bench| b.expect_ring(leg(1, 0), "1001@new:2").early_media;
    for known in [false, true] {
        let mut b = with(|policy: &mut Policy| policy.push_delay = ms(500));
        b.sleeping("1001", "tok");
        asked(&mut b, CallOptions::default());
        b.expect_push("tok");
        if known {
            directory_answers(&mut b, Some(Ringing::Ours));
        }
        b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
        b.expect_stored("tok");
        assert_eq!(early(&mut b), known);
    }
}

#[test]
fn phone_that_has_declined_meanwhile_is_not_rung_again_with_any_directory_answer() {
    for ringing in [None, Some(Ringing::Ours), Some(Ringing::FreeSwitch)] {
        for (cause, sip) in [("CALL_REJECTED", 603), ("CALL_REJECTED", 403)] {
            let mut b = desk();
            b.sleeping("1001", "tok");
            b.register(reg("1001", "desk", "1001@desk:1", None));
            asked(&mut b, CallOptions::default());
            b.expect_push("tok");
            b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
            b.expect_stored("tok");
            b.expect_ring(leg(1, 0), "1001@new:2");
            b.ends(leg(1, 0), cause, sip);
            b.out.clear();
            directory_answers(&mut b, ringing);
            b.pass(ms(6000));
            let again = |c: &Command| {
                matches!(c, Command::Push(_)) || ring_of(c).is_some_and(|ring| ring.target == target("1001@new:2"))
            };
            assert!(!b.out.iter().any(again), "{:?}", b.out);
            b.set_rest_aside();
        }
    }
}
