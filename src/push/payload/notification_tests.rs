//! Every key of mod_apn's payload, for each provider.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::types::push::About;
use crate::types::{Aor, NotificationId, Provider, PushId, PushParams, PushToken, Tokens};

fn request(provider: Provider, kind: TokenType, payload: &Value) -> PushRequest {
    PushRequest {
        id: PushId(1),
        to: PushParams {
            provider,
            app: "com.example.phone".into(),
            team: None,
            tokens: Tokens::Both {
                call: PushToken::new("aa11"),
                remote: PushToken::new("bb22"),
            },
        },
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type: kind,
            payload: Arc::new(Payload::parse(&payload.to_string()).unwrap()),
        }),
        callee: Aor::new("1000", "pbx.example"),
        domain: "pbx.example".into(),
        ttl: Duration::from_secs(3600),
    }
}

fn what(req: &PushRequest) -> &NotificationPush {
    match &req.about {
        About::Notification(what) => what,
        About::Call(_) => panic!("a call"),
    }
}

fn to_apple(kind: TokenType, payload: &Value) -> Result<(ApnsPush, Value), PushError> {
    let req = request(Provider::Apns, kind, payload);
    let push = apns(&req, what(&req), None, UNIX_EPOCH + Duration::from_secs(1000))?;
    let body = serde_json::from_slice(&push.body).unwrap();
    Ok((push, body))
}

fn to_google(kind: TokenType, payload: &Value) -> Result<Value, PushError> {
    let req = request(Provider::Fcm, kind, payload);
    let push = fcm(&req, what(&req))?;
    assert!(push.data.values().all(Value::is_string), "{:?}", push.data);
    Ok(push.body(Duration::from_secs(5))["message"].take())
}

fn localized() -> Value {
    json!({
        "localized_key": "MSG", "localized_args": ["Zoë", 3],
        "title-loc-key": "TITLE", "title_loc_args": ["a"],
        "action_key": "OPEN", "badge": "7", "category": "CHAT", "sound": "ding.caf",
        "content_available": 1, "image": "image.png", "custom": {"room": {"id": 1}}, "x": [1], "none": null,
    })
}

#[test]
fn every_key_reaches_apple_under_its_own_name() {
    let (push, body) = to_apple(TokenType::Im, &localized()).unwrap();
    assert_eq!(
        (push.push_type, push.priority, push.topic.as_str()),
        ("alert", "10", "com.example.phone")
    );
    assert_eq!((push.token.expose(), push.expiration), ("bb22", 4600));
    assert_eq!(
        body,
        json!({
            "aps": {
                "alert": {
                    "loc-key": "MSG", "loc-args": ["Zoë", "3"],
                    "title-loc-key": "TITLE", "title-loc-args": ["a"],
                    "action-loc-key": "OPEN",
                },
                "badge": 7, "sound": "ding.caf", "category": "CHAT", "content-available": 1, "mutable-content": 1,
            },
            "image": "image.png", "room": {"id": 1}, "x": [1],
        })
    );
}

#[test]
fn every_key_reaches_google_where_android_and_ios_read_it() {
    let message = to_google(TokenType::Im, &localized()).unwrap();
    assert_eq!(message["token"], "bb22");
    assert_eq!(
        message["data"],
        json!({"image": "image.png", "room": "{\"id\":1}", "x": "[1]"})
    );
    assert_eq!(
        message["android"],
        json!({
            "priority": "HIGH", "ttl": "3600s",
            "notification": {
                "notification_count": 7, "sound": "ding.caf", "click_action": "CHAT",
                "body_loc_key": "MSG", "body_loc_args": ["Zoë", "3"],
                "title_loc_key": "TITLE", "title_loc_args": ["a"],
            },
        })
    );
    assert_eq!(message["apns"]["payload"]["aps"]["badge"], 7);
    // Only addresses are images to Google.
    assert_eq!(message["notification"], json!({}));
}

#[test]
fn what_has_nothing_to_show_is_a_background_push_or_a_data_message() {
    for payload in [
        json!({}),
        json!({"content_available": true}),
        json!({"custom": [{"name": "k", "value": "v"}]}),
    ] {
        let (push, body) = to_apple(TokenType::Im, &payload).unwrap();
        assert_eq!((push.push_type, push.priority), ("background", "5"), "{payload}");
        assert_eq!(body["aps"], json!({"content-available": 1}));
        assert!(to_google(TokenType::Im, &payload).unwrap()["notification"].is_null());
    }
    assert_eq!(
        to_apple(TokenType::Im, &json!({"badge": 0})).unwrap().0.push_type,
        "alert"
    );
}

#[test]
fn refresh_may_wait_until_the_phone_is_awake() {
    let mut req = request(Provider::Fcm, TokenType::Im, &json!({"custom": {"kind": "refresh"}}));
    let About::Notification(refresh) = &mut req.about else {
        unreachable!()
    };
    refresh.purpose = NotificationPurpose::Refresh;
    let message = fcm(&req, what(&req)).unwrap().body(Duration::from_secs(5))["message"].take();
    assert_eq!(message["android"], json!({"priority": "NORMAL", "ttl": "3600s"}));
    assert_eq!(message["data"], json!({"kind": "refresh"}));
    req.to.provider = Provider::Apns;
    let push = apns(&req, what(&req), None, UNIX_EPOCH).unwrap();
    assert_eq!(
        (push.push_type, push.priority, push.token.expose()),
        ("background", "5", "bb22")
    );
}

#[test]
fn voip_goes_to_the_call_token_and_google_gets_every_key_as_data() {
    let payload = json!({"body": "x", "barge": 1, "from-app": true});
    let (push, body) = to_apple(TokenType::Voip, &payload).unwrap();
    assert_eq!(
        (push.push_type, push.topic.as_str()),
        ("voip", "com.example.phone.voip")
    );
    assert_eq!(push.token.expose(), "aa11");
    assert_eq!(
        body,
        json!({"aps": {"alert": {"body": "x"}, "badge": 1}, "from-app": true})
    );
    let message = to_google(TokenType::Voip, &payload).unwrap();
    assert_eq!(
        (&message["token"], &message["notification"]),
        (&json!("aa11"), &Value::Null)
    );
    assert_eq!(message["data"], json!({"body": "x", "badge": "1", "from-app": "true"}));
}

#[test]
fn text_is_shortened_to_what_fits_and_anything_else_is_refused() {
    let long = json!({"title": "t", "body": "\u{1F4DE}\u{7}".repeat(1_500)});
    let (push, body) = to_apple(TokenType::Im, &long).unwrap();
    assert!(push.body.len() <= 4096 && push.body.len() > 4050, "{}", push.body.len());
    assert!(body["aps"]["alert"]["body"].as_str().unwrap().ends_with('\u{2026}'));
    assert!(to_google(TokenType::Im, &long).is_ok());
    let custom = json!({"body": "hi", "custom": {"blob": "x".repeat(5_000)}});
    assert_eq!(
        to_apple(TokenType::Im, &custom).unwrap_err(),
        PushError::Refused(OwnRefusal::PayloadTooLarge)
    );
    assert_eq!(
        to_google(TokenType::Im, &custom).unwrap_err(),
        PushError::Refused(OwnRefusal::PayloadTooLarge)
    );
    let voip = json!({"custom": {"blob": "x".repeat(4_500)}});
    assert!(to_apple(TokenType::Voip, &voip).is_ok());
}

#[test]
fn reserved_keys_and_wrong_types_are_refused_by_name() {
    for key in ["from", "google.x", "gcm_y", "message_type"] {
        let payload = json!({"body": "x", "custom": {key: "v"}});
        assert_eq!(
            to_google(TokenType::Im, &payload).unwrap_err(),
            PushError::Refused(OwnRefusal::ReservedKey(key.into()))
        );
        assert!(to_apple(TokenType::Im, &payload).is_ok());
    }
    assert_eq!(
        to_apple(TokenType::Im, &json!({"custom": [{"name": "aps", "value": {}}]})).unwrap_err(),
        PushError::Refused(OwnRefusal::ReservedKey("aps".into()))
    );
    for (key, value) in [
        ("body", json!({})),
        ("badge", json!(-1)),
        ("badge", json!(1u64 << 40)),
        ("content_available", json!("maybe")),
        ("loc_args", json!("a")),
        ("loc-args", json!([{}])),
        ("custom", json!(["a"])),
        ("custom", json!("a")),
    ] {
        assert_eq!(
            to_apple(TokenType::Im, &json!({key: value})).unwrap_err(),
            PushError::Refused(OwnRefusal::WrongType(key.into())),
            "{value}"
        );
    }
}

#[test]
fn name_of_a_key_cannot_break_a_log_line() {
    let req = request(Provider::Fcm, TokenType::Im, &json!({"google\n\u{1b}[2J": "x"}));
    let error = fcm(&req, what(&req)).unwrap_err().to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn payload_is_a_json_object_of_some_size() {
    assert_eq!(Payload::parse(" \n"), Ok(Payload::default()));
    for text in ["[]", "1", "null", "{", "{\"a\":1}}", &"x".repeat(20_000)] {
        assert!(Payload::parse(text).is_err(), "{}", &text[..text.len().min(20)]);
    }
}
