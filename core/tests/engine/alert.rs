//! When the caller gets ringing.

use fswake_core::engine::policy::Alert;
use fswake_core::engine::{CallOptions, Mode, Record};
use fswake_core::types::push::PushError;

use crate::common::{apns, end, leg, reg};
use crate::{bench, held, two_rung, with};

#[test]
fn caller_gets_ringing_once_a_provider_has_accepted_the_push() {
    let mut b = bench();
    let push = held(&mut b);
    b.accepts(&push);
    b.expect_alert(1);
    b.expect_nothing_more();
}

#[test]
fn refused_push_gives_no_ringing() {
    let mut b = bench();
    let push = held(&mut b);
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
fn with_alert_phone_the_caller_gets_ringing_only_when_a_phone_rings() {
    let mut b = with(|p| p.alert = Alert::Phone);
    let push = held(&mut b);
    b.accepts(&push);
    b.expect_nothing_more();
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.out.clear();
    b.rings(leg(1, 0));
    b.expect_alert(1);
    b.expect_nothing_more();
}

#[test]
fn caller_gets_ringing_once_however_many_phones_ring() {
    let mut b = two_rung();
    for n in [0, 1, 0] {
        b.rings(leg(1, n));
    }
    b.expect_alert(1);
    b.expect_nothing_more();
}

#[test]
fn leg_without_18x_and_early_media_of_one_of_several_phones_give_no_ringing() {
    let mut b = bench();
    b.register(reg("1001", "a", "1001@a:1", None));
    b.register(reg("1001", "b", "1001@b:1", None));
    b.hold(1, "1001");
    b.expect_ring(leg(1, 0), "1001@a:1");
    b.expect_ring(leg(1, 1), "1001@b:1");
    b.expect_nothing_more();
    b.plays(leg(1, 0));
    b.expect_nothing_more();
    b.rings(leg(1, 0));
    b.expect_alert(1);
}

#[test]
fn push_accepted_while_a_phone_is_connected_gives_no_ringing() {
    let mut b = bench();
    let push = held(&mut b);
    b.register(reg("1001", "new", "1001@new:2", Some(apns("tok"))));
    b.answers(leg(1, 0));
    b.out.clear();
    b.accepts(&push);
    b.expect_nothing_more();
}

#[test]
fn call_that_only_wakes_leaves_the_ringing_to_the_dialplan() {
    let mut b = bench();
    b.sleeping("1001", "tok");
    let mode = Some(Mode::WakeFirst);
    b.hold_with(
        1,
        "1001",
        CallOptions {
            mode,
            ..CallOptions::default()
        },
    );
    let push = b.expect_push("tok");
    b.accepts(&push);
    b.expect_nothing_more();
}

#[test]
fn record_goes_out_at_the_hold_although_nothing_rings_yet() {
    let mut b = bench();
    held(&mut b);
    let record = Record {
        pushes: 1,
        ..Record::default()
    };
    assert_eq!(b.records, [(record, true)]);
}

#[test]
fn phone_that_began_to_ring_during_a_bridge_gives_ringing_if_the_bridge_fails() {
    let mut b = two_rung();
    b.answers(leg(1, 0));
    b.rings(leg(1, 1));
    b.expect_connect(leg(1, 0));
    b.expect_nothing_more();
    b.bridge_fails(leg(1, 0), Some(end("NORMAL_CLEARING", 0)));
    b.expect_alert(1);
    b.expect_nothing_more();
}
