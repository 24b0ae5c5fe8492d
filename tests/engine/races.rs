//! Two things at once: answers, hang-ups, bridges, repeated and late events.

use fswake::engine::{Command, Event};

use crate::common::{apns, call, leg, ms, reg};
use crate::{bench, held, one_rung, two_rung};

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
    b.expect_nothing_more();
}

#[test]
fn two_answers_within_the_time_of_a_bridge_the_second_hears_completed_elsewhere() {
    let mut b = two_rung();
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 1));
    b.answers(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 1)));
    b.expect_kill(leg(1, 0), "LOSE_RACE");
    b.expect_close(1);
    b.expect_nothing_more();
}

/// FreeSWITCH says it twice when the leg's park is heard of late.
#[test]
fn answer_that_is_told_again_is_nothing_new_and_a_call_that_is_up_is_left_alone() {
    let mut b = two_rung();
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.answers(leg(1, 1));
    b.expect_nothing_more();
    let failed = |leg| Event::BridgeFailed { leg, end: None };
    b.feed(failed(leg(1, 0)));
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_connect(leg(1, 1));
    b.answers(leg(1, 1));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 1)));
    b.expect_close(1);
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.expect_nothing_more();
}

#[test]
fn failed_bridge_connects_the_next_that_answered() {
    let mut b = two_rung();
    b.answers(leg(1, 0));
    b.answers(leg(1, 1));
    b.expect_connect(leg(1, 0));
    b.feed(Event::BridgeFailed {
        leg: leg(1, 0),
        end: None,
    });
    b.expect_kill(leg(1, 0), "NORMAL_TEMPORARY_FAILURE");
    b.expect_connect(leg(1, 1));
    b.expect_nothing_more();
}

#[test]
fn deadline_does_not_cut_a_bridge_under_way() {
    let mut b = one_rung();
    b.pass(ms(24_999));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.pass(ms(5000));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
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
    b.expect_alert(1);
    b.answers(leg(1, 0));
    b.answers(leg(1, 0));
    b.expect_connect(leg(1, 0));
    b.expect_nothing_more();
    b.feed(Event::Bridged(leg(1, 0)));
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_close(1);
    b.answers(leg(1, 0));
    b.expect_nothing_more();
    b.ends(leg(1, 0), "NORMAL_CLEARING", 0);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "NORMAL_CLEARING".into(),
    });
    b.engine.tick(b.now);
    b.expect_nothing_more();
    assert_eq!(b.summaries.len(), 1);
}
