//! What the journal and the call's own record contain.

use fswake_core::engine::{Event, HoldResult, Note, Record, Step};
use fswake_core::types::push::PushError;

use crate::common::{Bench, apns, call, leg, ms, reg};
use crate::{bench, held, with};

/// Every late REGISTER in the journal: how late it was, and how long after the push.
fn late(b: &Bench) -> Vec<(u64, u64)> {
    let late = b.notes.iter().filter_map(|note| match note.step {
        Step::LateRegister { late, since_push, .. } => {
            assert_eq!(note.call, Some(call(1)));
            Some((late.as_millis(), since_push.as_millis()))
        }
        _ => None,
    });
    late.map(|(l, p)| (u64::try_from(l).unwrap(), u64::try_from(p).unwrap()))
        .collect()
}

fn steps(b: &Bench) -> Vec<&'static str> {
    b.notes.iter().map(|note| note.step.name()).collect()
}

#[test]
fn phone_that_registers_after_its_call_is_noted_as_late_once_with_the_delay() {
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.pass(ms(25_000));
    b.expect_release(1, HoldResult::Unreachable);
    b.pass(ms(3_100));
    b.register(reg("1001", "tok", "1001@late:1", Some(apns("tok"))));
    assert_eq!(late(&b), [(3_100, 28_100)]);
    b.pass(ms(1_000));
    b.register(reg("1001", "tok", "1001@late:1", Some(apns("tok"))));
    assert_eq!(late(&b).len(), 1);
    b.set_rest_aside();
}

#[test]
fn phone_that_registers_late_with_a_new_token_is_noted_too() {
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.pass(ms(26_000));
    b.register(reg("1001", "tok", "1001@late:1", Some(apns("other"))));
    assert_eq!(late(&b), [(1_000, 26_000)]);
    b.set_rest_aside();
}

#[test]
fn register_that_answers_no_missed_push_is_not_late() {
    // It registers minutes later, not because of the push.
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.pass(ms(25_000 + 300_001));
    b.register(reg("1001", "tok", "1001@late:1", Some(apns("tok"))));
    assert_eq!(late(&b), []);
    b.set_rest_aside();
    // It registered in time, but the call ended otherwise.
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    b.pass(ms(26_000));
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    assert_eq!(late(&b), []);
    b.set_rest_aside();
    // A second call pushed it, so its REGISTER belongs to that call.
    let mut b = with(|p| p.push_retries = 0);
    held(&mut b);
    b.pass(ms(26_000));
    b.hold(2, "1001");
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    assert_eq!(late(&b), []);
    b.set_rest_aside();
}

#[test]
fn phone_can_be_late_for_an_abandoned_call_but_not_for_one_taken_elsewhere() {
    for (cause, expected) in [("ORIGINATOR_CANCEL", &[(500, 1_500)][..]), ("LOSE_RACE", &[])] {
        let mut b = bench();
        held(&mut b);
        b.pass(ms(1_000));
        b.feed(Event::CallerGone {
            call: call(1),
            cause: cause.into(),
        });
        b.pass(ms(500));
        b.register(reg("1001", "tok", "1001@late:1", Some(apns("tok"))));
        assert_eq!(late(&b), expected, "{cause}");
        b.set_rest_aside();
    }
}

#[test]
fn providers_answer_is_timed_and_counts_after_the_call_too() {
    let mut b = with(|p| p.push_retries = 0);
    let push = held(&mut b);
    b.pass(ms(60));
    b.accepts(&push);
    let took = |note: &Note| match &note.step {
        Step::PushAccepted { took, .. } => Some((took.as_millis(), "")),
        Step::PushRefused { took, class, .. } => Some((took.as_millis(), *class)),
        _ => None,
    };
    assert_eq!(b.notes.iter().find_map(took), Some((60, "")));
    b.set_rest_aside();

    let mut b = with(|p| p.push_retries = 0);
    let push = held(&mut b);
    b.pass(ms(25_000));
    let over = b.notes.len();
    b.refuses(
        &push,
        PushError::Exhausted {
            kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
            reason: "silent".into(),
        },
    );
    assert_eq!(b.notes[over..].iter().find_map(took), Some((25_000, "provider-busy")));
    assert_eq!(b.notes[over].call, Some(call(1)));
    b.set_rest_aside();
}

#[test]
fn every_unpushed_phone_has_a_reason() {
    let mut b = bench();
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.register(reg("1001", "awake", "1001@mobile:1", Some(apns("tok"))));
    b.pass(ms(1_000));
    b.hold(1, "1001");
    let told: Vec<_> = b.notes.iter().map(|note| note.step.clone()).collect();
    assert!(
        told.iter().any(|s| matches!(s, Step::DeviceWithoutToken { device, user_agent } if &**device == "binding" && &**user_agent == "test")),
        "{told:?}"
    );
    assert!(
        told.iter().any(
            |s| matches!(s, Step::DeviceAwake { seen, push_in, .. } if (*seen, *push_in) == (ms(1_000), Some(ms(500))))
        ),
        "{told:?}"
    );
    assert!(!steps(&b).contains(&"push-sent"));
    b.set_rest_aside();
}

#[test]
fn record_is_written_at_the_hold_at_each_later_push_and_at_the_end() {
    let mut b = bench();
    held(&mut b);
    let record = |pushes, wake: Option<u64>, device: Option<&str>| Record {
        pushes,
        wake: wake.map(ms),
        device: device.map(Into::into),
        rung_by_freeswitch: false,
    };
    assert_eq!(b.records, [(record(1, None, None), true)]);
    b.pass(ms(5_000));
    assert_eq!(b.records[1..], [(record(2, None, None), true)]);
    b.pass(ms(812));
    b.register(reg("1001", "tok", "1001@new:1", Some(apns("tok"))));
    assert_eq!(b.records.len(), 2, "a record was written between REGISTER and answer");
    b.answers(leg(1, 0));
    let label = b.records[2].0.device.clone().unwrap();
    assert!(label.starts_with("apns:com.example.app:"), "{label}");
    assert_eq!(b.records[2], (record(2, Some(5_812), Some(&label)), false));
    b.set_rest_aside();
}

#[test]
fn push_after_a_failed_leg_is_in_the_record_at_once() {
    let mut b = bench();
    b.register(reg("1001", "tok", "1001@here:1", Some(apns("tok"))));
    b.out.clear();
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@here:1");
    b.ends(leg(1, 0), "NORMAL_TEMPORARY_FAILURE", 503);
    b.expect_push("tok");
    b.gone(1, "ORIGINATOR_CANCEL");
    let pushes: Vec<_> = b
        .records
        .iter()
        .map(|(record, at_once)| (record.pushes, *at_once))
        .collect();
    assert_eq!(pushes, [(0, true), (1, true)]);
    b.set_rest_aside();
}
