//! Calls of which only FreeSWITCH's directory knows who rings the phones that were registered when they came.

use std::time::Duration;

use fswake_core::engine::policy::Policy;
use fswake_core::engine::{
    CallOptions, CallOrder, Command, DIRECTORY, DirectoryQuery, Event, HeldCall, HoldResult, Mode, OtherLegState,
    Ringing, Step,
};

use crate::common::{Bench, apns, call, leg, ms, reg, ring_of, target};
use crate::{bench, with};

/// A call whose directory has been asked. What is known of its phones is known before.
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

fn says(b: &mut Bench, ringing: Option<Ringing>) {
    b.feed(Event::WhoRings { call: call(1), ringing });
}

fn expect_question(b: &mut Bench, at: &str) {
    let asked = Command::Call(call(1), CallOrder::AskOtherLeg(target(at)));
    assert_eq!(b.out, [asked]);
    b.out.clear();
}

/// Who is noted to ring.
fn noted(b: &Bench) -> Option<&'static str> {
    b.noted("who-rings").map(|step| match step {
        Step::WhoRings { by, .. } => by.as_str(),
        other => panic!("{other:?}"),
    })
}

/// A bench with an awake desk phone at `desk`.
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
        says(&mut b, ringing);
        b.expect_nothing_more();
        b.rings(leg(1, 0));
        b.expect_alert(1);
    }
}

#[test]
fn registered_phone_is_rung_once_the_directory_says_that_nobody_else_does() {
    let mut b = desk();
    asked(&mut b, CallOptions::default());
    b.pass(DIRECTORY.saturating_sub(ms(1)));
    b.expect_nothing_more();
    says(&mut b, Some(Ringing::Ours));
    b.expect_ring(leg(1, 0), "1001@desk:1");
    assert_eq!(noted(&b), Some("fswake"));
    assert!(b.records.iter().all(|(record, _)| !record.rung_by_freeswitch));
    // Again.
    says(&mut b, Some(Ringing::FreeSwitch));
    b.expect_nothing_more();
}

#[test]
fn registered_phone_is_left_to_freeswitch_where_the_directory_says_so() {
    let mut b = desk();
    asked(&mut b, CallOptions::default());
    b.pass(ms(300));
    says(&mut b, Some(Ringing::FreeSwitch));
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
fn directory_that_says_nothing_is_waited_for_so_long_and_no_longer() {
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
        // The channel's own variables apply.
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
fn call_that_is_over_before_the_answer_leaves_nothing_behind() {
    let mut b = desk();
    asked(&mut b, CallOptions::default());
    b.gone(1, "ORIGINATOR_CANCEL");
    b.expect_close(1);
    says(&mut b, Some(Ringing::Ours));
    b.pass(DIRECTORY);
    b.expect_nothing_more();
    assert_eq!(noted(&b), None);

    // Its own time is shorter.
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
fn nobody_is_known_and_the_call_goes_back_with_the_answer() {
    let mut b = bench();
    asked(&mut b, CallOptions::default());
    b.pass(ms(100));
    b.expect_nothing_more();
    says(&mut b, Some(Ringing::Ours));
    b.expect_release(1, HoldResult::NoDevice);
}

/// FreeSWITCH knows best whether it rings a phone.
#[test]
fn registered_phone_that_registers_anew_meanwhile_is_rung_unless_freeswitch_rings_it() {
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
        says(&mut b, Some(Ringing::FreeSwitch));
        assert!(!b.out.iter().any(|c| ring_of(c).is_some()), "{:?}", b.out);
        b.set_rest_aside();
    }
}

#[test]
fn registered_phone_is_rung_after_a_bridge_that_failed_while_the_directory_answered() {
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
    says(&mut b, Some(Ringing::Ours));
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
        says(&mut b, Some(ringing));
        if goes_back {
            b.expect_release(1, HoldResult::Woken);
        } else {
            // No bridge comes after it.
            b.expect_ring(leg(1, 0), "1001@new:2");
        }
        b.expect_nothing_more();
    }
}

#[test]
fn early_media_is_nobodys_until_it_is_known_that_nobody_else_is_rung() {
    let early = |b: &mut Bench| b.expect_ring(leg(1, 0), "1001@new:2").early_media;
    for known in [false, true] {
        let mut b = with(|policy: &mut Policy| policy.push_delay = ms(500));
        b.sleeping("1001", "tok");
        asked(&mut b, CallOptions::default());
        b.expect_push("tok");
        if known {
            says(&mut b, Some(Ringing::Ours));
        }
        b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
        b.expect_stored("tok");
        assert_eq!(early(&mut b), known);
    }
}

#[test]
fn phone_that_has_declined_meanwhile_is_not_rung_again_whatever_the_directory_says() {
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
            says(&mut b, ringing);
            b.pass(ms(6000));
            let again = |c: &Command| {
                matches!(c, Command::Push(_)) || ring_of(c).is_some_and(|ring| ring.target == target("1001@new:2"))
            };
            assert!(!b.out.iter().any(again), "{:?}", b.out);
            b.set_rest_aside();
        }
    }
}
