//! Voicemail, in virtual time: one push for each change, to phones whose app wants it.

mod common;

use common::{Bench, T0, apns, reg};
use fswake_core::engine::policy::{AppPolicy, Policy};
use fswake_core::engine::{Event, Mailbox, MessagesWaiting, Nobody};
use fswake_core::types::push::{About, PushPurpose};
use fswake_core::types::{Aor, NotificationId, Provider, PushParams, PushToken, Tokens};
use serde_json::{Value, json};

/// 1001 has two phones: an iPhone, whose app wants voicemail pushes, and an Android phone, whose app does not.
fn bench() -> Bench {
    let iphones = AppPolicy {
        provider: Some(Provider::Apns),
        voicemail_push: true,
        ..AppPolicy::default()
    };
    let mut b = Bench::new(Policy {
        apps: vec![iphones],
        ..Policy::default()
    });
    let iphone = PushParams {
        tokens: Tokens::Both {
            call: PushToken::new("i"),
            remote: PushToken::new("i-im"),
        },
        ..apns("i")
    };
    let android = PushParams {
        provider: Provider::Fcm,
        ..apns("a")
    };
    for (id, push) in [("i", iphone), ("a", android)] {
        b.register(reg("1001", id, &format!("1001@{id}:1"), Some(push)));
    }
    b.out.clear();
    b
}

fn mailbox_event(b: &mut Bench, n: u64, new: u32, saved: u32) {
    tell(b, n, "1001", (new, saved), false);
}

fn tell(b: &mut Bench, n: u64, user: &str, (new, saved): (u32, u32), is_answer: bool) {
    let mailbox = Mailbox {
        new,
        saved,
        ..Mailbox::default()
    };
    let told = MessagesWaiting {
        aor: Aor::new(user, "fs.test"),
        mailbox,
        is_answer,
        at: T0,
    };
    b.feed(Event::MessagesWaiting(NotificationId(n), told));
}

/// The payload of the only push.
#[track_caller]
fn expect_push(b: &mut Bench) -> Value {
    let push = b.expect_notification("i");
    b.expect_nothing_more();
    let About::Notification(about) = &push.about else {
        unreachable!()
    };
    assert_eq!(push.about.purpose(), PushPurpose::Voicemail);
    b.accepts(&push);
    b.out.clear();
    serde_json::from_str(&about.payload.to_json()).unwrap()
}

#[track_caller]
fn expect_none(b: &mut Bench, n: u64, why: Nobody) {
    assert_eq!(b.expect_answer(n).nobody, Some(why));
    b.expect_nothing_more();
}

#[test]
fn new_message_is_pushed_once_with_the_counts_however_often_it_is_reported() {
    let mut b = bench();
    mailbox_event(&mut b, 1, 1, 2);
    let payload = expect_push(&mut b);
    assert_eq!(
        payload,
        json!({
            "title": "Voicemail", "body": "New messages: 1", "sound": "default", "badge": 1,
            "custom": {"kind": "voicemail", "new": 1, "saved": 2, "new_urgent": 0, "saved_urgent": 0},
        })
    );
    for n in 2..5 {
        mailbox_event(&mut b, n, 1, 2);
        expect_none(&mut b, n, Nobody::Unchanged);
    }
    mailbox_event(&mut b, 5, 2, 2);
    assert_eq!(expect_push(&mut b)["body"], "New messages: 2");
}

#[test]
fn message_that_was_played_or_deleted_only_changes_the_badge() {
    let mut b = bench();
    mailbox_event(&mut b, 1, 2, 0);
    expect_push(&mut b);
    mailbox_event(&mut b, 2, 0, 2);
    let payload = expect_push(&mut b);
    assert_eq!((&payload["badge"], &payload["custom"]["saved"]), (&json!(0), &json!(2)));
    assert!(
        payload.get("title").is_none() && payload.get("sound").is_none(),
        "{payload}"
    );
}

#[test]
fn older_messages_are_not_news_when_a_phone_subscribes_or_the_mailbox_is_empty() {
    let mut b = bench();
    tell(&mut b, 1, "1001", (3, 0), true);
    expect_none(&mut b, 1, Nobody::Unchanged);
    mailbox_event(&mut b, 2, 3, 0);
    expect_none(&mut b, 2, Nobody::Unchanged);
    mailbox_event(&mut b, 3, 4, 0);
    expect_push(&mut b);
    let mut b = bench();
    mailbox_event(&mut b, 1, 0, 7);
    expect_none(&mut b, 1, Nobody::Unchanged);
}

#[test]
fn nothing_is_noted_for_a_user_without_a_device_or_an_app_that_wants_voicemail() {
    let mut b = bench();
    tell(&mut b, 1, "1002", (1, 0), false);
    expect_none(&mut b, 1, Nobody::NoDevice);
    let mut b = Bench::new(Policy::default());
    b.register(reg("1001", "i", "1001@i:1", Some(apns("i"))));
    b.out.clear();
    mailbox_event(&mut b, 1, 1, 0);
    let nobody = b.expect_answer(1).nobody;
    assert!(
        matches!(nobody, Some(Nobody::NotWanted | Nobody::NoToken)),
        "{nobody:?}"
    );
    assert!(
        b.notes.iter().all(|n| !n.step.name().starts_with("notification")),
        "{:?}",
        b.notes
    );
}
