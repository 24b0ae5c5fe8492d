//! Pushes, byte by byte where it matters.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::push::payload::message::{APNS_LIMIT, APNS_VOIP_LIMIT};
use crate::push::template::Vocabulary;
use crate::types::push::{About, CallPush, CancelReason, PushKind};
use crate::types::{Aor, CallId, PushId, PushParams, PushToken, Tokens};

const CANCEL: PushKind = PushKind::Cancel(CancelReason::AnsweredElsewhere);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn request(kind: PushKind) -> PushRequest {
    PushRequest {
        id: PushId(3),
        to: PushParams {
            provider: Provider::Apns,
            app: "com.example.phone".into(),
            team: None,
            tokens: Tokens::Both {
                call: PushToken::new("aa11"),
                remote: PushToken::new("bb22"),
            },
        },
        about: About::Call(CallPush {
            kind,
            call: CallId(Uuid::from_u128(7)),
            sip_call_id: "sip-1@pbx".into(),
            caller_number: "+15550100".into(),
            caller_name: "Zoë \"Z\" \u{1F4DE}".into(),
            held_at: at(1_700_000_000),
        }),
        callee: Aor::new("1000", "pbx.example"),
        domain: "example.org".into(),
        ttl: Duration::from_secs(25),
    }
}

/// A request's call, mutable.
fn said(req: &mut PushRequest) -> &mut CallPush {
    match &mut req.about {
        About::Call(call) => call,
        About::Notification(_) => panic!("no call"),
    }
}

fn composer(style: &PayloadStyle, provider: &Provider) -> Composer {
    Composer::new(style, provider).unwrap()
}

fn apns(style: &PayloadStyle, req: &PushRequest) -> (ApnsPush, Value) {
    let push = composer(style, &Provider::Apns)
        .apns(req, None, at(1_700_000_001))
        .unwrap();
    let body = serde_json::from_slice(&push.body).unwrap();
    (push, body)
}

fn refused(req: &PushRequest) -> PushError {
    let composer = composer(&PayloadStyle::Default, &Provider::Apns);
    composer.apns(req, None, at(0)).unwrap_err()
}

#[test]
fn call_goes_to_the_call_token_as_voip_until_the_wait_ends() {
    let (push, body) = apns(&PayloadStyle::Default, &request(PushKind::Call));
    assert_eq!(
        (
            push.push_type,
            push.priority,
            push.topic.as_str(),
            push.expiration,
            push.token.expose()
        ),
        ("voip", "10", "com.example.phone.voip", 1_700_000_026, "aa11")
    );
    assert_eq!(
        body,
        json!({
            "aps": {},
            "kind": "call",
            "call-id": "00000000-0000-0000-0000-000000000007",
            "sip-call-id": "sip-1@pbx",
            "caller-number": "+15550100",
            "caller-name": "Zoë \"Z\" \u{1F4DE}",
            "callee": "1000@pbx.example",
            "time": 1_700_000_000,
            "expires": 1_700_000_026,
        })
    );
}

#[test]
fn apns_id_is_the_same_on_every_try_and_differs_between_pushes() {
    let req = request(PushKind::Call);
    let (first, again) = (
        apns(&PayloadStyle::Default, &req).0,
        apns(&PayloadStyle::Default, &req).0,
    );
    let next = PushRequest { id: PushId(4), ..req };
    assert_eq!(first.apns_id, again.apns_id);
    assert_ne!(first.apns_id, apns(&PayloadStyle::Default, &next).0.apns_id);
}

#[test]
fn call_to_a_device_with_a_remote_token_only_is_an_alert() {
    let mut req = request(PushKind::Call);
    req.to.tokens = Tokens::Remote(PushToken::new("bb22"));
    let (push, body) = apns(&PayloadStyle::Default, &req);
    assert_eq!(
        (push.push_type, push.topic.as_str(), push.token.expose()),
        ("alert", "com.example.phone", "bb22")
    );
    assert_eq!(body["aps"]["alert"]["body"], &*said(&mut req).caller_name);
}

#[test]
fn cancel_and_missed_call_go_to_the_remote_token_only() {
    let (cancel, body) = apns(&PayloadStyle::Default, &request(CANCEL));
    assert_eq!(
        (cancel.push_type, cancel.priority, cancel.token.expose()),
        ("background", "5", "bb22")
    );
    assert_eq!(cancel.topic, "com.example.phone");
    assert_eq!(body["aps"], json!({ "content-available": 1 }));
    assert_eq!(
        (body["kind"].as_str(), body["reason"].as_str()),
        (Some("cancel"), Some("answered-elsewhere"))
    );
    let (missed, body) = apns(&PayloadStyle::Default, &request(PushKind::MissedCall));
    assert_eq!(
        (missed.push_type, missed.priority, missed.token.expose()),
        ("alert", "10", "bb22")
    );
    assert_eq!(body["aps"]["alert"]["title"], "Missed call");

    for kind in [CANCEL, PushKind::MissedCall] {
        let mut req = request(kind);
        req.to.tokens = Tokens::Call(PushToken::new("aa11"));
        assert_eq!(refused(&req), PushError::Refused(OwnRefusal::NoRemoteToken));
    }
}

#[test]
fn topic_is_right_whether_bundle_id_or_voip_topic_is_configured() {
    let composer = composer(&PayloadStyle::Default, &Provider::Apns);
    for topic in ["com.other", "com.other.voip"] {
        let topic_of = |kind| composer.apns(&request(kind), Some(topic), at(0)).unwrap().topic;
        assert_eq!(
            (topic_of(PushKind::Call), topic_of(CANCEL)),
            ("com.other.voip".into(), "com.other".into())
        );
    }
    let mut req = request(PushKind::Call);
    req.to.app = "com.example.phone.voip".into();
    assert_eq!(
        composer.apns(&req, None, at(0)).unwrap().topic,
        "com.example.phone.voip"
    );
    req.to.app = "".into();
    assert!(matches!(refused(&req), PushError::Misconfigured { .. }));
}

#[test]
fn token_that_could_leave_its_place_in_the_path_is_refused_here() {
    for token in [
        "",
        "../x",
        "aa/bb",
        "aa?x",
        "aa%2f",
        "aa\r\n",
        "a#",
        "é",
        &"a".repeat(401),
    ] {
        let mut req = request(PushKind::Call);
        req.to.tokens = Tokens::Call(PushToken::new(token));
        assert!(matches!(refused(&req), PushError::TokenBad { .. }), "{token}");
    }
    let mut req = request(PushKind::Call);
    req.to.tokens = Tokens::Call(PushToken::new("a".repeat(400)));
    apns(&PayloadStyle::Default, &req);
}

#[test]
fn long_caller_name_is_shortened_to_what_fits_and_never_splits_a_character() {
    let mut req = request(PushKind::Call);
    said(&mut req).caller_name = "\u{1F4DE}\u{7}é".repeat(2000).into();
    let (push, body) = apns(&PayloadStyle::Linphone, &req);
    assert!(
        push.body.len() <= APNS_VOIP_LIMIT && push.body.len() > APNS_VOIP_LIMIT - 40,
        "{}",
        push.body.len()
    );
    let name = body["display-name"].as_str().unwrap();
    assert!(
        said(&mut req)
            .caller_name
            .starts_with(name.strip_suffix('\u{2026}').unwrap())
    );
    assert_eq!(body["aps"]["call-id"], "sip-1@pbx");
}

#[test]
fn number_that_does_not_fit_is_left_out_whole_and_anything_else_is_refused() {
    let mut req = request(PushKind::Call);
    said(&mut req).caller_number = "1".repeat(6000).into();
    assert_eq!(apns(&PayloadStyle::Default, &req).1["caller-number"], "");
    said(&mut req).sip_call_id = "x".repeat(6000).into();
    assert_eq!(refused(&req), PushError::Refused(OwnRefusal::PayloadTooLarge));
}

#[test]
fn voip_may_be_larger_than_other_pushes() {
    let mut req = request(PushKind::Call);
    said(&mut req).sip_call_id = "x".repeat(4500).into();
    assert!(apns(&PayloadStyle::Default, &req).0.body.len() > APNS_LIMIT);
    req.to.tokens = Tokens::Remote(PushToken::new("bb22"));
    assert_eq!(refused(&req), PushError::Refused(OwnRefusal::PayloadTooLarge));
}

#[test]
fn fcm_message_is_high_priority_data_that_lives_as_long_as_the_wait() {
    let mut req = request(PushKind::Call);
    req.to.tokens = Tokens::Call(PushToken::new("aa11"));
    let push = composer(&PayloadStyle::Default, &Provider::Fcm)
        .fcm(&req, at(1_700_000_001))
        .unwrap();
    let body = push.body(Duration::from_millis(24_900));
    assert_eq!(body["message"]["android"], json!({ "priority": "HIGH", "ttl": "24s" }));
    assert_eq!(body["message"]["token"], "aa11");
    assert_eq!(body["message"]["data"]["expires"], "1700000026");
    assert!(body["message"].get("notification").is_none());
}

#[test]
fn only_the_missed_call_is_shown_by_android_itself() {
    let composer = composer(&PayloadStyle::Default, &Provider::Fcm);
    let shown = |kind| composer.fcm(&request(kind), at(0)).unwrap().notification.is_some();
    assert_eq!(
        [shown(PushKind::Call), shown(CANCEL), shown(PushKind::MissedCall)],
        [false, false, true]
    );
}

#[test]
fn every_style_sends_fcm_strings_only_and_no_reserved_key_within_the_limit() {
    let template = PayloadStyle::Template(r#"{"n":1,"deep":{"who":"${caller-name}"},"k":"${kind}"}"#.into());
    for style in [
        PayloadStyle::Default,
        PayloadStyle::Linphone,
        PayloadStyle::ModApn,
        template,
    ] {
        for kind in [PushKind::Call, CANCEL, PushKind::MissedCall] {
            let mut req = request(kind);
            said(&mut req).caller_name = "\"".repeat(9000).into();
            let push = composer(&style, &Provider::Fcm).fcm(&req, at(0)).unwrap();
            let size: usize = push.data.iter().map(|(k, v)| k.len() + v.as_str().unwrap().len()).sum();
            assert!(size <= FCM_LIMIT, "{style:?}");
            assert!(
                !push
                    .data
                    .keys()
                    .any(|k| crate::push::payload::message::is_reserved_by_fcm(k)),
                "{style:?}"
            );
        }
    }
}

#[test]
fn linphone_apps_find_their_keys() {
    let (_, body) = apns(&PayloadStyle::Linphone, &request(PushKind::Call));
    assert_eq!(body["aps"]["loc-key"], "IC_MSG");
    assert_eq!(body["aps"]["loc-args"], json!(["Zoë \"Z\" \u{1F4DE}"]));
    assert_eq!(body["aps"]["call-id"], "sip-1@pbx");
    assert_eq!(body["aps"]["send-time"], "2023-11-14 22:13:20");
    assert_eq!(body["from-uri"], "sip:+15550100@pbx.example");
    let push = composer(&PayloadStyle::Linphone, &Provider::Fcm)
        .fcm(&request(PushKind::Call), at(0))
        .unwrap();
    assert_eq!(
        (&push.data["call-id"], &push.data["loc-key"]),
        (&json!("sip-1@pbx"), &json!("IC_MSG"))
    );
}

#[test]
fn caller_cannot_add_parameters_to_the_uri_that_linphone_reads() {
    let mut req = request(PushKind::Call);
    said(&mut req).caller_number = "1@evil;x=y>\r\n".into();
    let (_, body) = apns(&PayloadStyle::Linphone, &req);
    assert_eq!(body["from-uri"], "sip:1%40evil%3Bx%3Dy%3E%0D%0A@pbx.example");
}

#[test]
fn mod_apn_apps_find_their_keys() {
    let (_, body) = apns(&PayloadStyle::ModApn, &request(PushKind::Call));
    assert_eq!(
        (
            &body["type"],
            &body["sip_call_id"],
            &body["user"],
            &body["realm"],
            &body["cid_number"]
        ),
        (
            &json!("voip"),
            &json!("sip-1@pbx"),
            &json!("1000"),
            &json!("pbx.example"),
            &json!("+15550100")
        )
    );
}

#[test]
fn template_fills_in_every_name_and_may_bring_its_own_aps() {
    let names = || Vocabulary::Payload.names();
    let all: Map<String, Value> = names().map(|n| (n.clone(), format!("${{{n}}}").into())).collect();
    let mut template = all.clone();
    template.insert("aps".into(), json!({ "alert": "${caller-name}", "badge": 1, "x": "y" }));
    let style = PayloadStyle::Template(Value::Object(template).to_string());
    let (_, body) = apns(&style, &request(CANCEL));
    for name in names() {
        assert!(!body[&name].as_str().unwrap().is_empty(), "{name}");
    }
    assert_eq!(body["aps"], json!({ "content-available": 1, "x": "y" }));
    let (_, body) = apns(&style, &request(PushKind::MissedCall));
    assert_eq!(body["aps"]["alert"], "Zoë \"Z\" \u{1F4DE}");
}
