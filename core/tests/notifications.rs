//! Pushes without a call, in virtual time: which devices get one, what the requester is answered, and what a refusal
//! does to a token.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, T0, apns, reg};
use fswake_core::engine::policy::Policy;
use fswake_core::engine::{Audience, Delivery, Event, Nobody, NotSent, Notification};
use fswake_core::types::push::{About, NotificationPurpose, Payload, PushError, PushReceipt, PushRequest};
use fswake_core::types::{Aor, NotificationId, Provider, PushParams, PushToken, TokenType, Tokens};

fn bench() -> Bench {
    Bench::new(Policy::default())
}

fn asked(user: &str, kind: TokenType) -> Notification {
    Notification {
        aor: Aor::new(user, "fs.test"),
        token_type: kind,
        app: None,
        payload: Arc::new(Payload::parse(r#"{"body":"hello"}"#).unwrap()),
        audience: Audience::All,
        by: "test",
        at: T0,
    }
}

/// Requests notification `n`.
fn ask(b: &mut Bench, n: u64, notification: Notification) {
    b.feed(Event::NotificationAsked(NotificationId(n), notification));
}

/// An iPhone with two tokens: `<name>` for calls, `<name>-im` for messages.
fn iphone(name: &str) -> PushParams {
    PushParams {
        tokens: Tokens::Both {
            call: PushToken::new(name),
            remote: PushToken::new(format!("{name}-im")),
        },
        ..apns(name)
    }
}

fn android(token: &str) -> PushParams {
    PushParams {
        provider: Provider::Fcm,
        ..apns(token)
    }
}

fn register(b: &mut Bench, user: &str, push: PushParams) {
    let id = push.token().expose().to_owned();
    b.register(reg(user, &id, &format!("{user}@{id}:1"), Some(push)));
    b.out.clear();
}

fn gone() -> PushError {
    PushError::TokenGone {
        since: None,
        reason: "Unregistered".into(),
    }
}

fn bad() -> PushError {
    PushError::TokenBad {
        reason: "BadDeviceToken".into(),
    }
}

/// Returns how many pushes were sent, and why the others were not.
fn results(delivery: &Delivery) -> (usize, Vec<String>) {
    let reasons = delivery.devices.iter().filter_map(|d| d.outcome.as_ref().err());
    (delivery.sent(), reasons.map(ToString::to_string).collect())
}

#[test]
fn every_device_with_a_token_of_the_type_gets_one_push_and_the_requester_one_answer() {
    let mut b = bench();
    register(&mut b, "1001", iphone("i"));
    register(&mut b, "1001", android("a"));
    register(&mut b, "1002", iphone("other"));
    ask(&mut b, 1, asked("1001", TokenType::Im));
    let (iphone, android) = (b.expect_notification("i"), b.expect_notification("a"));
    b.expect_nothing_more();
    b.accepts(&iphone);
    b.expect_nothing_more();
    b.refuses(
        &android,
        PushError::Exhausted {
            kept_by: fswake_core::types::push::KeptBy::Busy { status: 503 },
            reason: "503".into(),
        },
    );
    let delivery = b.expect_answer(1);
    assert_eq!(results(&delivery), (1, vec!["503".to_owned()]), "{delivery:?}");
    assert_eq!(delivery.nobody, None);
    b.expect_nothing_more();
    let steps = [
        "notification-asked",
        "notification-accepted",
        "notification-refused",
        "notification-over",
    ];
    let names: Vec<_> = b.notes.iter().map(|note| note.step.name()).collect();
    assert!(names.ends_with(&steps), "{names:?}");
}

#[test]
fn push_carries_what_was_asked_and_says_how_long_it_may_be_kept() {
    let mut b = bench();
    register(&mut b, "1001", iphone("i"));
    for (kind, ttl) in [(TokenType::Im, 24 * 3600), (TokenType::Voip, 25)] {
        ask(&mut b, 1, asked("1001", kind));
        let push = b.expect_notification("i");
        let About::Notification(what) = &push.about else {
            panic!("{push:?}")
        };
        assert_eq!(
            (what.token_type, what.purpose),
            (kind, NotificationPurpose::Request(NotificationId(1)))
        );
        assert_eq!(what.payload.to_json(), r#"{"body":"hello"}"#);
        assert_eq!(push.ttl, Duration::from_secs(ttl));
        assert!(push.patience() <= Duration::from_secs(30));
        b.accepts(&push);
        b.expect_answer(1);
    }
}

#[test]
fn user_without_a_suitable_device_is_answered_at_once_with_the_reason() {
    let mut b = bench();
    // A PushKit token cannot receive messages, and Apple's remote token cannot receive calls. A Google token does both.
    register(&mut b, "voip-only", apns("v"));
    let remote_only = PushParams {
        tokens: Tokens::Remote(PushToken::new("r-im")),
        ..apns("r")
    };
    register(&mut b, "im-only", remote_only);
    b.register(reg("desk", "d", "desk@d:1", None));
    let of_app = |app: &str| Notification {
        app: Some(app.into()),
        ..asked("voip-only", TokenType::Voip)
    };
    let cases = [
        (asked("nobody", TokenType::Im), Nobody::NoDevice),
        (asked("desk", TokenType::Im), Nobody::NoDevice),
        (asked("voip-only", TokenType::Im), Nobody::NoToken),
        (asked("im-only", TokenType::Voip), Nobody::NoToken),
        (of_app("com.example.other"), Nobody::NoSuchApp),
    ];
    for (notification, why) in cases {
        let about = format!("{notification:?}");
        ask(&mut b, 7, notification);
        let delivery = b.expect_answer(7);
        assert_eq!((delivery.nobody, delivery.devices.len()), (Some(why), 0), "{about}");
        b.expect_nothing_more();
    }
    for app in ["com.example.app", "com.example.app.voip"] {
        ask(&mut b, 8, of_app(app));
        let push = b.expect_notification("v");
        b.accepts(&push);
        b.expect_answer(8);
    }
}

#[test]
fn aor_is_resolved_as_for_a_call() {
    let mut b = Bench::new(Policy {
        domain_aliases: vec![("192.0.2.1".into(), "fs.test".into())],
        ..Policy::default()
    });
    register(&mut b, "1001", iphone("i"));
    for domain in ["192.0.2.1", "FS.test"] {
        let notification = Notification {
            aor: Aor::new("1001", domain),
            ..asked("1001", TokenType::Im)
        };
        ask(&mut b, 1, notification);
        let push = b.expect_notification("i");
        assert_eq!(&*push.domain, "fs.test", "the app is chosen by the registered domain");
        b.accepts(&push);
        b.expect_answer(1);
    }
}

#[test]
fn refused_call_token_is_treated_as_after_a_call() {
    let mut b = bench();
    register(&mut b, "1001", iphone("i"));
    ask(&mut b, 1, asked("1001", TokenType::Voip));
    let push = b.expect_notification("i");
    b.refuses(&push, bad());
    assert!(b.expect_stored("i").set_aside.is_some());
    b.expect_answer(1);
    ask(&mut b, 2, asked("1001", TokenType::Voip));
    let delivery = b.expect_answer(2);
    assert!(
        matches!(&delivery.devices[0].outcome, Err(NotSent::SetAside(why)) if why.starts_with("BadDeviceToken")),
        "{delivery:?}"
    );
    register(&mut b, "1001", iphone("i"));
    ask(&mut b, 3, asked("1001", TokenType::Voip));
    let push = b.expect_notification("i");
    b.refuses(&push, gone());
    b.expect_forgotten("1001", "i");
    b.expect_answer(3);
    assert_eq!(b.engine.known().0, 0);
}

#[test]
fn refused_message_token_does_not_stop_calls_and_the_next_register_restores_it() {
    for refusal in [gone(), bad()] {
        let mut b = bench();
        register(&mut b, "1001", iphone("i"));
        ask(&mut b, 1, asked("1001", TokenType::Im));
        let push = b.expect_notification("i");
        b.refuses(&push, refusal);
        let stored = b.expect_stored("i");
        assert_eq!((stored.push.tokens.remote(), stored.set_aside.as_ref()), (None, None));
        b.expect_answer(1);
        ask(&mut b, 2, asked("1001", TokenType::Im));
        assert_eq!(b.expect_answer(2).nobody, Some(Nobody::NoToken));
        ask(&mut b, 3, asked("1001", TokenType::Voip));
        b.expect_notification("i");
        register(&mut b, "1001", iphone("i"));
        ask(&mut b, 4, asked("1001", TokenType::Im));
        b.expect_notification("i");
    }
}

#[test]
fn refusal_of_a_replaced_token_or_one_registered_since_changes_nothing() {
    let mut b = bench();
    register(&mut b, "1001", iphone("i"));
    ask(&mut b, 1, asked("1001", TokenType::Im));
    let push = b.expect_notification("i");
    let renewed = PushParams {
        tokens: Tokens::Both {
            call: PushToken::new("i"),
            remote: PushToken::new("new-im"),
        },
        ..apns("i")
    };
    register(&mut b, "1001", renewed);
    b.refuses(&push, gone());
    b.expect_answer(1);
    b.expect_nothing_more();
    // Apple reports the token as gone, but the phone has registered since the time that Apple gives.
    ask(&mut b, 2, asked("1001", TokenType::Voip));
    let push = b.expect_notification("i");
    b.refuses(
        &push,
        PushError::TokenGone {
            since: Some(T0 - 1),
            reason: "Unregistered".into(),
        },
    );
    b.expect_answer(2);
    b.expect_nothing_more();
}

#[test]
fn push_to_a_device_that_is_forgotten_meanwhile_is_still_answered() {
    let mut b = bench();
    register(&mut b, "1001", iphone("i"));
    ask(&mut b, 1, asked("1001", TokenType::Im));
    let push = b.expect_notification("i");
    b.feed(common::unreg("1001", "i", fswake_core::engine::UnregisterWhy::Explicit));
    b.out.clear();
    b.accepts(&push);
    assert_eq!(b.expect_answer(1).sent(), 1);
    // Duplicates are ignored.
    b.accepts(&push);
    b.expect_nothing_more();
}

#[test]
fn device_limit_per_minute_applies_and_calls_do_not_count() {
    let mut b = Bench::new(Policy {
        device_notifications_per_minute: 2,
        device_pushes_per_minute: 1,
        ..Policy::default()
    });
    register(&mut b, "1001", iphone("i"));
    b.pass(Duration::from_secs(60));
    b.hold(1, "1001");
    b.out.clear();
    for n in 1..=2 {
        ask(&mut b, n, asked("1001", TokenType::Im));
        let push = b.expect_notification("i");
        b.accepts(&push);
        b.expect_answer(n);
    }
    ask(&mut b, 3, asked("1001", TokenType::Im));
    assert_eq!(b.expect_answer(3).devices[0].outcome, Err(NotSent::Limited));
    b.pass(Duration::from_secs(60));
    b.out.clear();
    ask(&mut b, 4, asked("1001", TokenType::Im));
    b.expect_notification("i");
}

#[test]
fn payload_shows_its_keys_in_a_debug_line_and_not_its_text() {
    let shown = format!("{:?}", asked("1001", TokenType::Im));
    assert!(shown.contains("body") && !shown.contains("hello"), "{shown}");
}

#[test]
fn receipt_names_its_device() {
    let mut b = bench();
    register(&mut b, "1001", iphone("i"));
    ask(&mut b, 1, asked("1001", TokenType::Im));
    let push: PushRequest = b.expect_notification("i");
    let receipt = PushReceipt {
        provider_id: Some("id-1".into()),
        status: 200,
        attempts: 2,
    };
    b.feed(Event::PushEnded {
        push: push.id,
        outcome: Ok(receipt.clone()),
        at: T0,
    });
    let delivery = b.expect_answer(1);
    assert_eq!(delivery.devices[0].outcome, Ok(receipt));
    assert!(delivery.devices[0].device.starts_with("apns:com.example.app:"));
}

#[test]
fn message_for_unregistered_devices_skips_registered_ones_and_is_not_noted_if_there_is_no_other() {
    let mut b = bench();
    register(&mut b, "1001", iphone("here"));
    let message = || Notification {
        audience: Audience::Absent,
        ..asked("1001", TokenType::Im)
    };
    ask(&mut b, 1, message());
    assert_eq!(b.expect_answer(1).nobody, Some(Nobody::AllPresent));
    assert!(
        b.notes.iter().all(|n| !format!("{n:?}").contains("otification")),
        "{:?}",
        b.notes
    );
    register(&mut b, "1001", iphone("gone"));
    b.feed(common::unreg(
        "1001",
        "gone",
        fswake_core::engine::UnregisterWhy::ConnectionClosed,
    ));
    ask(&mut b, 2, message());
    b.expect_notification("gone");
    b.expect_nothing_more();
    // Registrations also expire.
    b.pass(Duration::from_secs(3600));
    ask(&mut b, 3, message());
    b.expect_notification("here");
    b.expect_notification("gone");
}
