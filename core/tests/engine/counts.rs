//! Counters of wakes: each pushed device counts once, by the last stage that it reached.

use fswake_core::engine::count::WakeOutcome;
use fswake_core::engine::{Count, Event, LegEnd};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, call, leg, ms, reg};
use crate::{held, with};

fn outcomes(b: &Bench) -> Vec<(WakeOutcome, Option<u128>)> {
    let wakes = b.counts.iter().filter_map(|count| match count {
        Count::Wake {
            outcome,
            push_to_register,
            ..
        } => Some((*outcome, push_to_register.map(|t| t.as_millis()))),
        Count::Late { .. } | Count::Refresh { .. } => None,
    });
    wakes.collect()
}

fn wakes(b: &mut Bench) {
    b.register(reg("1001", "again", "1001@new:1", Some(apns("tok"))));
}

#[test]
fn phone_that_answers_counts_as_answered_and_its_times_are_measured_once() {
    let mut b = with(|_| {});
    let push = held(&mut b);
    b.accepts(&push);
    b.pass(ms(700));
    wakes(&mut b);
    b.pass(ms(200));
    wakes(&mut b);
    b.feed(Event::LegRinging(leg(1, 0)));
    b.answers(leg(1, 0));
    b.feed(Event::Bridged(leg(1, 0)));
    assert_eq!(outcomes(&b), [(WakeOutcome::Answered, Some(700))]);
    assert_eq!((b.summaries[0].devices, b.summaries[0].mobiles), (1, 1));
    b.set_rest_aside();
}

#[test]
fn phone_that_rings_until_the_end_counts_as_rang() {
    let mut b = with(|p| p.push_retries = 0);
    let push = held(&mut b);
    b.accepts(&push);
    wakes(&mut b);
    b.feed(Event::LegRinging(leg(1, 0)));
    b.pass(ms(60_000));
    assert_eq!(outcomes(&b), [(WakeOutcome::Rang, Some(0))]);
    b.set_rest_aside();
}

#[test]
fn phone_that_registers_and_cannot_be_rung_counts_as_registered() {
    let mut b = with(|p| p.push_retries = 0);
    let push = held(&mut b);
    b.accepts(&push);
    b.pass(ms(100));
    wakes(&mut b);
    b.feed(Event::LegEnded {
        leg: leg(1, 0),
        end: LegEnd {
            cause: "RECOVERY_ON_TIMER_EXPIRE".into(),
            sip_status: Some(408),
        },
    });
    b.pass(ms(25_000));
    assert_eq!(outcomes(&b), [(WakeOutcome::Registered, Some(100))]);
    b.set_rest_aside();
}

#[test]
fn phone_that_never_registers_counts_as_bounced_and_as_late_if_it_registers_after_the_end() {
    let mut b = with(|p| p.push_retries = 0);
    let push = held(&mut b);
    b.accepts(&push);
    b.pass(ms(25_000));
    assert_eq!(outcomes(&b), [(WakeOutcome::Bounced, None)]);
    b.pass(ms(1_500));
    wakes(&mut b);
    wakes(&mut b);
    let late: Vec<_> = b.counts.iter().filter(|c| matches!(c, Count::Late { .. })).collect();
    assert!(
        matches!(late[..], [Count::Late { late, .. }] if *late == ms(1_500)),
        "{late:?}"
    );
    b.set_rest_aside();
}

#[test]
fn push_that_no_provider_accepts_counts_as_refused() {
    let mut b = with(|p| p.push_retries = 0);
    let push = held(&mut b);
    b.refuses(
        &push,
        PushError::Exhausted {
            kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
            reason: "503".into(),
        },
    );
    b.pass(ms(25_000));
    assert_eq!(outcomes(&b), [(WakeOutcome::Refused, None)]);
    b.set_rest_aside();
}

#[test]
fn early_hang_up_counts_no_bounce() {
    let mut b = with(|_| {});
    let push = held(&mut b);
    b.accepts(&push);
    b.pass(ms(800));
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    assert_eq!(outcomes(&b), [(WakeOutcome::CallOver, None)]);
    b.set_rest_aside();
}
