//! Somebody else has taken the call: pick-up, transfer, another phone of a ring group, the dial-string's own timeout.

use std::time::Duration;

use fswake_core::engine::policy::{AppPolicy, Policy};
use fswake_core::engine::step::Caller;
use fswake_core::engine::{Event, HoldResult, Step, Takeover, TakeoverKind};
use fswake_core::types::push::{CancelReason, PushKind};

use crate::common::{Bench, apns, call, leg, ms, reg};
use crate::{bench, held, with};

fn news(policy: &mut Policy) {
    policy.apps = vec![AppPolicy {
        missed_call_push: true,
        ..AppPolicy::default()
    }];
}

fn picked_up() -> Takeover {
    Takeover::PickedUp { by: "1002".into() }
}

fn transferred() -> Takeover {
    Takeover::Transferred { to: "5000".into() }
}

/// A sleeping mobile that was pushed, and a desk phone that is being rung.
fn rings() -> Bench {
    let mut b = with(news);
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold(1, "1001");
    b.rings(leg(1, 0));
    b.out.clear();
    b
}

fn result(b: &Bench) -> HoldResult {
    assert_eq!(b.summaries.len(), 1);
    b.summaries[0].result
}

#[test]
fn taken_call_ends_its_legs_as_completed_elsewhere_and_is_not_touched_again() {
    for how in [picked_up(), transferred()] {
        let mut b = rings();
        let records = b.records.len();
        b.taken(1, how);
        b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
        b.expect_kill(leg(1, 0), "LOSE_RACE");
        b.expect_close(1);
        b.expect_nothing_more();
        assert_eq!((result(&b), b.records.len()), (HoldResult::Taken, records));
        b.answers(leg(1, 0));
        b.gone(1, "NORMAL_CLEARING");
        b.feed(Event::ConnectionLost(call(1)));
        b.pass(Duration::from_secs(100));
        b.expect_nothing_more();
    }
}

#[test]
fn journal_names_who_took_the_call_where_that_is_known() {
    for (how, word, by) in [
        (picked_up(), "picked-up", Some("1002")),
        (transferred(), "transferred", Some("5000")),
        (Takeover::PickedUp { by: "".into() }, "picked-up", None),
        (Takeover::Parked, "parked", None),
    ] {
        let mut b = rings();
        b.taken(1, how);
        let taken = b.noted("call-taken").cloned();
        let expected = Step::CallTaken {
            how: TakeoverKind::from_word(word).unwrap(),
            by: by.map(Into::into),
        };
        assert_eq!(taken, Some(expected));
        let over = b.noted("call-over");
        assert!(
            matches!(
                over,
                Some(Step::CallOver {
                    caller: Caller::Taken,
                    ..
                })
            ),
            "{over:?}"
        );
        b.set_rest_aside();
    }
}

#[test]
fn pick_up_while_a_phone_is_being_connected_takes_the_call() {
    let mut b = rings();
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.taken(1, picked_up());
    b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.bridge_fails(leg(1, 0), None);
    b.expect_nothing_more();
    assert_eq!(result(&b), HoldResult::Taken);
}

#[test]
fn another_phone_of_the_ring_group_and_a_pick_up_are_not_the_callers_hang_up() {
    for (cause, how) in [("LOSE_RACE", "lost-race"), ("PICKED_OFF", "picked-up")] {
        let mut b = rings();
        b.gone(1, cause);
        b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
        b.expect_kill(leg(1, 0), "LOSE_RACE");
        b.expect_close(1);
        b.expect_nothing_more();
        assert_eq!(result(&b), HoldResult::Taken);
        assert_eq!(
            b.noted("call-taken"),
            Some(&Step::CallTaken {
                how: TakeoverKind::from_word(how).unwrap(),
                by: None
            })
        );
        assert!(b.noted("caller-gone").is_none());
    }
}

#[test]
fn leg_picked_up_during_a_bridge_or_early_media_is_not_killed() {
    let mut b = rings();
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.gone(1, "PICKED_OFF");
    b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
    b.expect_close(1);
    b.expect_nothing_more();
    // Another phone that rings is ours to kill.
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.answers(leg(1, 0));
    b.out.clear();
    b.gone(1, "PICKED_OFF");
    b.expect_kill(leg(1, 1), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
    // A phone whose early media the caller hears is not.
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.hold(1, "1001");
    b.plays(leg(1, 0));
    b.feed(Event::EarlyBridged(leg(1, 0)));
    b.out.clear();
    b.gone(1, "PICKED_OFF");
    b.expect_close(1);
    b.expect_nothing_more();
}

#[test]
fn leg_whose_bridge_lost_a_race_is_killed() {
    let mut b = rings();
    b.answers(leg(1, 0));
    b.out.clear();
    b.gone(1, "LOSE_RACE");
    b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
}

#[test]
fn dial_strings_own_timeout_counts_as_not_answered() {
    for cause in ["NO_ANSWER", "ALLOTTED_TIMEOUT"] {
        let mut b = rings();
        b.gone(1, cause);
        b.expect_news(&PushKind::Cancel(CancelReason::TimedOut));
        b.expect_news(&PushKind::MissedCall);
        b.expect_kill(leg(1, 0), cause);
        b.expect_close(1);
        b.expect_nothing_more();
        assert_eq!(result(&b), HoldResult::Timeout);
        assert_eq!(
            b.noted("ring-time-over"),
            Some(&Step::RingTimeOver { cause: cause.into() })
        );
        assert!(b.noted("caller-gone").is_none());

        let mut b = bench();
        held(&mut b);
        b.gone(1, cause);
        b.expect_close(1);
        assert_eq!(result(&b), HoldResult::Unreachable);

        let mut b = bench();
        b.hold(1, "nobody");
        b.pass(ms(1));
        b.gone(1, cause);
        b.expect_close(1);
        assert_eq!(result(&b), HoldResult::Unreachable, "the result must not be `NoDevice`");
    }
}

#[test]
fn hang_up_with_any_cause_ends_as_abandoned_and_cancels_the_legs() {
    for cause in ["ORIGINATOR_CANCEL", "NORMAL_CLEARING"] {
        let mut b = rings();
        b.gone(1, cause);
        b.expect_news(&PushKind::Cancel(CancelReason::CallerHungUp));
        b.expect_news(&PushKind::MissedCall);
        b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
        b.expect_close(1);
        b.expect_nothing_more();
        assert_eq!(result(&b), HoldResult::Abandoned);
    }
}

#[test]
fn call_that_is_taken_before_the_register_leaves_the_phone_alone() {
    let mut b = bench();
    held(&mut b);
    b.taken(1, transferred());
    b.expect_close(1);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.expect_stored("tok");
    b.expect_nothing_more();
    assert!(
        b.noted("late-register").is_none(),
        "noted as late although the call was not missed"
    );
}
