//! Requests to a gateway: URLs, bodies and tokens, and which phones it serves.

use std::sync::Arc;

use fswake::push::app::{App, Credentials, HttpProfile, HttpProfiles, PayloadStyle};
use fswake::push::template::BodyTemplate;
use fswake::push::{
    About, CancelReason, NotificationPurpose, NotificationPush, Payload, PushError, PushKind, PushRequest,
};
use fswake::types::{NotificationId, Provider, PushToken, TokenType, Tokens};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use serde_json::json;

use super::support::{TOKEN, apns_call, call, fcm_call, gateway_app, http_profile, pushers, simple, turned};

#[tokio::test]
async fn default_body_is_valid_json_with_mod_apns_keys_and_the_call_as_its_payload() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let pushers = pushers(simple(&gateway));
    for (request, platform) in [(apns_call(), "iOS"), (fcm_call(), "android")] {
        assert_eq!(pushers.push(&request).await.unwrap().status, 200);
        let asked = gateway.next().await;
        assert_eq!(asked.request.header("content-type"), "application/json");
        let body = asked.json();
        let token = request.to.token().expose();
        let keys: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["app", "payload", "platform", "realm", "token", "type", "user"]);
        assert_eq!(body["token"], token);
        assert_eq!(
            json!([body["type"], body["app"], body["user"], body["realm"], body["platform"]]),
            json!(["voip", "com.example.phone", "1000", "pbx.example", platform])
        );
        assert_eq!(body["payload"]["kind"], "call");
        assert_eq!(body["payload"]["caller-name"], "Zoë");
        assert_eq!(body["payload"]["sip-call-id"], "sip-1@pbx");
    }
}

#[tokio::test]
async fn every_variable_is_filled_in_by_each_of_its_names() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let names = [
        "type",
        "user",
        "realm",
        "token",
        "token_type",
        "app_id",
        "platform",
        "provider",
        "uuid",
        "aleg_uuid",
        "x_call_id",
        "cid_name",
        "cid_number",
        "kind",
        "reason",
        "call-id",
        "sip-call-id",
        "caller-number",
        "caller-name",
        "callee",
        "callee-user",
        "callee-domain",
        "app-id",
    ];
    let query: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| format!("v{n}=${{{name}}}"))
        .collect();
    let spec = HttpProfile {
        body: None,
        ..http_profile(
            &gateway,
            &format!(
                "/${{type}}/${{user}}?{}&t=${{time}}&e=${{expires}}&l=${{ttl}}&p=${{payload}}",
                query.join("&")
            ),
        )
    };
    let app = App {
        payload: PayloadStyle::ModApn,
        ..gateway_app(&gateway, spec)
    };
    let request = turned(fcm_call(), PushKind::Cancel(CancelReason::AnsweredElsewhere));
    pushers(app).push(&request).await.unwrap();
    let asked = gateway.next().await.request;
    assert_eq!((asked.method.as_str(), asked.body.len()), ("GET", 0));
    let url = reqwest::Url::parse(&format!("http://x{}", asked.path)).unwrap();
    assert_eq!(url.path(), "/voip/1000");
    let found: Vec<_> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let id = "00000000-0000-0000-0000-000000000007";
    let token = request.to.token().expose();
    assert_eq!(
        found[..names.len()],
        [
            "voip",
            "1000",
            "pbx.example",
            token,
            "voip",
            "com.example.phone",
            "android",
            "fcm",
            id,
            id,
            "sip-1@pbx",
            "Zoë",
            "+15550100",
            "cancel",
            "answered-elsewhere",
            id,
            "sip-1@pbx",
            "+15550100",
            "Zoë",
            "1000@pbx.example",
            "1000",
            "pbx.example",
            "com.example.phone",
        ]
    );
    let numbers: Vec<i64> = found[names.len()..names.len() + 3]
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(numbers[1] >= numbers[0] + 24 && numbers[2] == 25, "{numbers:?}");
    let payload: serde_json::Value = serde_json::from_str(found.last().unwrap()).unwrap();
    assert_eq!(
        (&payload["type"], &payload["reason"]),
        (&json!("cancel"), &json!("answered-elsewhere"))
    );
}

#[tokio::test]
async fn bodies_are_filled_in_as_their_content_type_wants_it() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let cases = [
        (
            "application/vnd.x+json; charset=utf-8",
            r#"{"to": ["${token}!", 1, null], "n": ${ttl}, "who": ${cid_name}, "text": "${payload}", "data": ${payload}}"#,
        ),
        (
            "application/x-www-form-urlencoded",
            "to=${token}&who=${cid_name}&fixed&data=${payload}",
        ),
        ("text/xml", "<p who=\"${cid_name}\"/>"),
        ("text/plain", "${cid_name} <${cid_number}>\nbye"),
    ];
    let mut bodies = Vec::new();
    for (content_type, template) in cases {
        let spec = HttpProfile {
            body: Some(BodyTemplate::parse(content_type, Some(template)).unwrap()),
            content_type: content_type.into(),
            ..http_profile(&gateway, "/push")
        };
        let app = App {
            payload: PayloadStyle::Template(r#"{"k":"${caller-name}"}"#.into()),
            ..gateway_app(&gateway, spec)
        };
        let mut request = apns_call();
        if let About::Call(call) = &mut request.about {
            call.caller_name = "A \"&\"\nB".into();
        }
        pushers(app).push(&request).await.unwrap();
        let asked = gateway.next().await;
        assert_eq!(asked.request.header("content-type"), content_type);
        bodies.push(asked.body().to_owned());
    }
    let payload = json!({ "k": "A \"&\"\nB" });
    let body: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(
        body,
        json!({ "to": [format!("{TOKEN}!"), 1, null], "n": 25, "who": "A \"&\"\nB", "text": payload.to_string(), "data": payload })
    );
    assert_eq!(
        bodies[1..],
        [
            format!("to={TOKEN}&who=A%20%22%26%22%0AB&fixed&data=%7B%22k%22%3A%22A%20%5C%22%26%5C%22%5CnB%22%7D"),
            "<p who=\"A &quot;&amp;&quot; B\"/>".to_owned(),
            "A \"&\" B <+15550100>\nbye".to_owned(),
        ]
    );
}

#[tokio::test]
async fn gateway_serves_phones_of_any_provider_or_of_the_configured_ones() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let all = pushers(simple(&gateway));
    let some = pushers(App {
        providers: vec![Provider::Hms, Provider::Fcm],
        app_ids: vec!["com.example.phone".into()],
        domains: vec!["pbx.example".into()],
        ..simple(&gateway)
    });
    let hms = call(Provider::Hms, "h");
    for (request, by_some) in [(apns_call(), false), (fcm_call(), true), (hms.clone(), true)] {
        assert_eq!(all.serves(&request.to, "any.example").as_deref(), Some("gateway"));
        assert_eq!(some.serves(&request.to, "pbx.example").is_some(), by_some);
        assert!(some.serves(&request.to, "other.example").is_none());
    }
    all.push(&hms).await.unwrap();
    let body = gateway.next().await.json();
    assert_eq!((&body["platform"], &body["token"]), (&json!("hms"), &json!("h")));
}

#[tokio::test]
async fn cancel_never_goes_to_a_pushkit_token_and_a_call_uses_any_token() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let spec = HttpProfile {
        body: None,
        ..http_profile(&gateway, "/${kind}/${token_type}/${token}")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    let tokens = |mut request: PushRequest, voip: Option<&str>, im: Option<&str>| {
        request.to.tokens = Tokens::new(voip.map(PushToken::new), im.map(PushToken::new)).unwrap();
        request
    };
    let cancel = PushKind::Cancel(CancelReason::CallerHungUp);
    for (request, voip, im, expected) in [
        (apns_call(), Some("v"), Some("i"), Ok("/call/voip/v")),
        (apns_call(), None, Some("i"), Ok("/call/im/i")),
        (
            turned(apns_call(), cancel.clone()),
            Some("v"),
            Some("i"),
            Ok("/cancel/im/i"),
        ),
        (
            turned(apns_call(), cancel.clone()),
            Some("v"),
            None,
            Err("NoRemoteToken"),
        ),
        (turned(fcm_call(), cancel), Some("v"), None, Ok("/cancel/voip/v")),
        (
            turned(fcm_call(), PushKind::MissedCall),
            Some("v"),
            Some("i"),
            Ok("/missed-call/im/i"),
        ),
        (
            turned(apns_call(), PushKind::MissedCall),
            Some("v"),
            None,
            Err("NoRemoteToken"),
        ),
    ] {
        let outcome = pushers.push(&tokens(request, voip, im)).await;
        match expected {
            Ok(path) => assert_eq!(gateway.next().await.request.path, path, "{outcome:?}"),
            Err(reason) => assert!(
                matches!(&outcome, Err(PushError::Refused(why)) if why.to_string() == reason),
                "{outcome:?}"
            ),
        }
    }
}

#[tokio::test]
async fn notification_goes_by_the_profile_of_its_type_with_what_its_asker_wrote() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let credentials = Credentials::Http(Box::new(HttpProfiles {
        im: Some(http_profile(&gateway, "/im/${kind}/${aleg_uuid}x")),
        ..HttpProfiles::default()
    }));
    let pushers = pushers(App {
        credentials,
        ..simple(&gateway)
    });
    let mut request = apns_call();
    request.to.tokens = Tokens::Both {
        call: request.to.token().clone(),
        remote: PushToken::new("im-token"),
    };
    let notify = |token_type| PushRequest {
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type,
            payload: Arc::new(Payload::parse(r#"{"body":"hi","badge":1}"#).unwrap()),
        }),
        ..request.clone()
    };
    pushers.push(&notify(TokenType::Im)).await.unwrap();
    let asked = gateway.next().await;
    assert_eq!(asked.request.path, "/im/notification/x");
    let body = asked.json();
    assert_eq!(json!([body["type"], body["token"]]), json!(["im", "im-token"]));
    assert_eq!(body["payload"], json!({ "body": "hi", "badge": 1 }));
    let refused = pushers.push(&notify(TokenType::Voip)).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused by fswake: the app has no profile voip");
    // The request was wrong, not the app.
    let state = pushers.states().remove(0);
    assert_eq!((state.is_ok(), &state.last_failure), (true, &None), "{state:?}");
    let refused = pushers.push(&request).await.unwrap_err();
    assert_eq!(refused.to_string(), "the app has no profile voip");
    assert!(!pushers.states().remove(0).is_ok());
}
