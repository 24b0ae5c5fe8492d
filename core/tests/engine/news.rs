//! Pushes that report how a call ended.

use std::time::Duration;

use fswake_core::engine::policy::{AppPolicy, Policy};
use fswake_core::engine::{Command, Event};
use fswake_core::types::Provider;
use fswake_core::types::push::{CancelReason, PushError, PushKind};

use crate::common::{Bench, apns, call, leg, reg};
use crate::{held, with};

/// The app wants a push at the end of a call, and optionally one about a missed call.
pub fn iphones(missed_call_push: bool) -> AppPolicy {
    AppPolicy {
        provider: Some(Provider::Apns),
        missed_call_push,
        ..AppPolicy::default()
    }
}

#[test]
fn cancel_push_goes_to_woken_devices_that_were_not_rung() {
    let wish = iphones(true);
    let mut b = with(|p| p.apps = vec![wish.clone()]);
    held(&mut b);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    let cancel = b.expect_news(&PushKind::Cancel(CancelReason::CallerHungUp));
    assert_eq!(cancel.ttl, Duration::from_secs(30));
    // A phone that is off shows it when it is back.
    let missed = b.expect_news(&PushKind::MissedCall);
    assert_eq!(
        (missed.ttl, missed.kept_for()),
        (Policy::default().notification_ttl, Some(missed.ttl))
    );
    assert_eq!(missed.patience(), Duration::from_secs(30));
    b.expect_close(1);
    b.expect_nothing_more();

    let mut b = with(|p| p.apps = vec![wish]);
    b.register(reg("1001", "desk", "1001@desk:1", None));
    hold_with_desk(&mut b);
    b.answers(leg(1, 0));
    b.feed(Event::Bridged(leg(1, 0)));
    b.expect_connect(leg(1, 0));
    b.expect_news(&PushKind::Cancel(CancelReason::AnsweredElsewhere));
    b.expect_close(1);
    b.expect_nothing_more();
}

fn hold_with_desk(b: &mut Bench) {
    b.sleeping("1001", "tok");
    b.register(reg("1001", "desk", "1001@desk:1", None));
    b.hold(1, "1001");
    b.out.clear();
}

#[test]
fn cancel_push_follows_a_leg_that_never_reached_the_sleeping_phone() {
    for (heard, cancels) in [(false, 1), (true, 0)] {
        let mut policy = Policy::default();
        policy.apps.push(iphones(false));
        let mut b = Bench::new(policy);
        b.register(reg("1001", "tok", "1001@stale:1;transport=tls", Some(apns("tok"))));
        b.pass(Duration::from_secs(60));
        b.hold(1, "1001");
        if heard {
            b.feed(Event::LegRinging(leg(1, 0)));
        }
        b.out.clear();
        b.feed(Event::CallerGone {
            call: call(1),
            cause: "ORIGINATOR_CANCEL".into(),
        });
        b.expect_kill(leg(1, 0), "ORIGINATOR_CANCEL");
        let sent = b
            .out
            .iter()
            .filter(|c| matches!(c, Command::Push(p) if p.call().is_some_and(|c| c.kind != PushKind::Call)))
            .count();
        assert_eq!(sent, cancels);
        b.set_rest_aside();
    }
}

#[test]
fn refused_push_about_the_end_does_not_affect_the_voip_token() {
    let wish = iphones(false);
    let mut b = with(|p| p.apps = vec![wish]);
    held(&mut b);
    b.feed(Event::CallerGone {
        call: call(1),
        cause: "ORIGINATOR_CANCEL".into(),
    });
    let cancel = b.expect_news(&PushKind::Cancel(CancelReason::CallerHungUp));
    b.out.clear();
    b.refuses(
        &cancel,
        PushError::TokenGone {
            since: None,
            reason: "Unregistered".into(),
        },
    );
    b.expect_nothing_more();
    assert_eq!(b.engine.known().0, 1);
}

#[test]
fn phone_whose_push_was_refused_gets_no_push_about_the_end() {
    for (refused, cancels) in [(true, 0), (false, 1)] {
        let mut policy = Policy::default();
        policy.apps.push(iphones(false));
        let mut b = Bench::new(policy);
        b.sleeping("1001", "tok");
        // The desk phone keeps the call waiting when the push is refused.
        b.sleeping("1001", "other");
        b.hold(1, "1001");
        let push = b.expect_push("tok");
        if refused {
            let reason = "BadTopic".into();
            b.refuses(
                &push,
                PushError::Rejected {
                    status: 400,
                    reason,
                    topic: None,
                },
            );
        }
        b.out.clear();
        b.feed(Event::CallerGone {
            call: call(1),
            cause: "ORIGINATOR_CANCEL".into(),
        });
        let told = |c: &&Command| {
            matches!(c, Command::Push(p) if p.call().is_some_and(|c| c.kind != PushKind::Call)
                && p.to.tokens.call() == apns("tok").tokens.call())
        };
        assert_eq!(b.out.iter().filter(told).count(), cancels, "refused: {refused}");
        b.set_rest_aside();
    }
}
