//! Bodies of `POST /v1/push`, and the payloads for Apple and Google made from them.

use std::sync::Arc;
use std::time::Duration;

use fswake::fuzzing;
use fswake_core::types::push::{About, NotificationPurpose, NotificationPush, Payload, PushError, PushRequest};
use fswake_core::types::{NotificationId, Provider, PushId, PushParams, PushToken, Tokens};
use serde_json::Value;

use crate::Target;

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "http",
    check,
    words: &[
        "{\"aor\":\"1001@example.org\"",
        ",\"type\":\"voip\"",
        ",\"type\":\"im\"",
        ",\"app\":\"\"",
        ",\"payload\":{",
        "}",
        "\"aps\":{",
        "\"alert\":",
        "\"title\":",
        "\"body\":",
        "\"badge\":",
        "\"sound\":",
        "\"from\":",
        "\"message_type\":",
        "\"google.x\":",
        "\"gcm\":",
        "\"content-message\":",
        "\"collapse-key\":",
        "\"ttl\":",
        "null",
        "true",
        "1e999",
        "-0",
        "[[[[",
        "\\ud800",
        "\\u0000",
        "\u{1f600}",
        "123456789012345678901234567890",
        "@",
        ",",
    ],
};

fn check(input: &[u8]) {
    let Some(asked) = fuzzing::notification(input) else {
        return;
    };
    assert!(!asked.aor.user.is_empty() && !asked.aor.domain.is_empty());
    assert!(asked.app.as_deref() != Some(""));
    let written = asked.payload.to_json();
    assert_eq!(Payload::parse(&written).as_ref(), Ok(&*asked.payload), "{written}");
    for provider in [Provider::Apns, Provider::Fcm, Provider::WebPush, Provider::Hms] {
        let token = || PushToken::new("00fc13adff785122b4ad28809a342098");
        let request = PushRequest {
            id: PushId(1),
            to: PushParams {
                provider: provider.clone(),
                app: "com.example.acme".into(),
                team: None,
                tokens: Tokens::Both {
                    call: token(),
                    remote: token(),
                },
            },
            about: About::Notification(NotificationPush {
                purpose: NotificationPurpose::Request(NotificationId(1)),
                token_type: asked.token_type,
                payload: Arc::clone(&asked.payload),
            }),
            callee: asked.aor.clone(),
            domain: asked.aor.domain.clone(),
            ttl: Duration::from_secs(60),
        };
        match fuzzing::provider_body(&request) {
            Ok(body) => is_taken_by(&provider, &body),
            Err(PushError::Refused(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn is_taken_by(provider: &Provider, body: &[u8]) {
    let json: Value = serde_json::from_slice(body).unwrap();
    if *provider == Provider::Apns {
        assert!(body.len() <= 5120, "{} bytes", body.len());
        assert!(json["aps"].is_object(), "{json}");
        return;
    }
    if *provider == Provider::WebPush {
        assert!(body.len() <= 3993, "{} bytes", body.len());
        assert!(json.is_object(), "{json}");
        return;
    }
    let message = &json["message"];
    if *provider == Provider::Hms {
        assert!(body.len() <= 4096, "{} bytes", body.len());
        let data: Value = serde_json::from_str(message["data"].as_str().unwrap()).unwrap();
        assert!(data.is_object(), "{json}");
        return;
    }
    let data = message["data"].as_object().unwrap_or_else(|| panic!("{json}"));
    for (key, value) in data {
        assert!(value.is_string(), "{key} of {json}");
        let is_googles = key == "from" || key == "message_type" || key.starts_with("google") || key.starts_with("gcm");
        assert!(!is_googles, "{key} of {json}");
    }
    assert_eq!(message["token"], "00fc13adff785122b4ad28809a342098");
}
