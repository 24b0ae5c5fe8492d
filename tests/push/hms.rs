//! What reaches Huawei's Push Kit, what each of its answers becomes, and the access token.

use std::time::Duration;

use fswake::push::app::App;
use fswake::push::{
    About, CancelReason, NotificationPurpose, NotificationPush, Payload, PushError, PushKind, PushRequest, Pushers,
};
use fswake::types::{NotificationId, TokenType};
use fswake_test_support::hms::{Hms, SECRET, answer};
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Proxy;
use serde_json::json;

use super::support::{HMS_TOKEN, MovedClock, attempts, hms_app, hms_call, minute, parallel, pushers, styles, turned};

#[tokio::test]
async fn call_reaches_the_phone_as_a_data_message_of_high_urgency_for_as_long_as_the_wait() {
    let huawei = Hms::start().await;
    let receipt = pushers(hms_app(&huawei)).push(&hms_call()).await.unwrap();
    assert!(receipt.provider_id.unwrap().starts_with("1574390"));
    let sent = huawei.next_push().await;
    assert_eq!((sent.code, sent.reason), ("80000000", ""));
    assert_eq!(sent.message["token"], json!([HMS_TOKEN]));
    let android = &sent.message["android"];
    assert_eq!(
        (&android["urgency"], &android["category"]),
        (&"HIGH".into(), &"VOIP".into())
    );
    let ttl: u64 = android["ttl"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!((20..=25).contains(&ttl), "{ttl}");
    assert_eq!(
        (&sent.data["kind"], &sent.data["sip-call-id"]),
        (&"call".into(), &"sip-1@pbx".into())
    );
}

#[tokio::test]
async fn every_kind_of_push_in_every_style_is_taken_however_long_a_name_is() {
    let huawei = Hms::start().await;
    for payload in styles(r#"{"who":"${caller-name}","n":1,"deep":{"k":"${kind}"}}"#) {
        let app = App {
            payload,
            ..hms_app(&huawei)
        };
        let pushers = pushers(app);
        for (kind, urgency) in [
            (PushKind::Call, "HIGH"),
            (PushKind::Cancel(CancelReason::TimedOut), "HIGH"),
            (PushKind::MissedCall, "NORMAL"),
        ] {
            let mut request = turned(hms_call(), kind);
            if let About::Call(call) = &mut request.about {
                call.caller_name = "\"Zoë\"".repeat(1500).into();
            }
            let outcome = pushers.push(&request).await;
            let sent = huawei.next_push().await;
            assert_eq!((sent.reason, sent.code), ("", "80000000"), "{outcome:?}");
            assert_eq!(sent.message["android"]["urgency"], urgency);
        }
    }
}

#[tokio::test]
async fn message_has_normal_urgency_and_is_kept_as_long_as_its_asker_wants() {
    let huawei = Hms::start().await;
    let request = PushRequest {
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type: TokenType::Im,
            payload: Payload::parse(r#"{"title":"Zoë","body":"Hello"}"#).unwrap().into(),
        }),
        ttl: Duration::from_secs(86_400),
        ..hms_call()
    };
    pushers(hms_app(&huawei)).push(&request).await.unwrap();
    let sent = huawei.next_push().await;
    assert_eq!(sent.data, json!({"title": "Zoë", "body": "Hello"}));
    assert_eq!(sent.message["android"], json!({"urgency": "NORMAL", "ttl": "86400s"}));
}

#[tokio::test]
async fn refusals_are_told_apart_by_their_code_whatever_the_status() {
    let huawei = Hms::start().await;
    let pushers = pushers(hms_app(&huawei));
    for (fault, expected) in [
        (
            answer(200, "80300007", "All the tokens are invalid"),
            "token refused (80300007: all tokens are invalid)",
        ),
        (
            answer(200, "80100000", r#"{"success":0,"failure":1,"illegal_tokens":["x"]}"#),
            "token refused (80100000: the token is illegal)",
        ),
        (
            answer(400, "80100003", "UnSupported svc"),
            "refused by the provider: 400 80100003: incorrect message structure",
        ),
        (answer(200, "80300002", "x"), "80300002: the app may not send messages"),
        (
            Fault::json(404, &json!({})),
            "refused by the provider: 404 no result code",
        ),
        (
            Fault::json(200, &json!("<html>")),
            "refused by the provider: 200 no result code",
        ),
    ] {
        huawei.faults.next(fault);
        assert_eq!(attempts(pushers.push(&hms_call()).await), Err(expected.into()));
        assert_eq!(huawei.pushes_so_far().await.len(), 1, "{expected}");
    }
    huawei.forget(HMS_TOKEN);
    let gone = attempts(pushers.push(&hms_call()).await);
    assert_eq!(gone, Err("token refused (80300007: all tokens are invalid)".into()));
    huawei.permit_high_urgency(false);
    let refused = pushers.push(&hms_call()).await;
    assert!(
        matches!(&refused, Err(PushError::Misconfigured { reason, .. }) if reason.starts_with("80300011")),
        "{refused:?}"
    );
    assert_eq!(huawei.token_requests(), 1);
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let huawei = Hms::start().await;
    let pushers = pushers(hms_app(&huawei));
    for fault in [
        Fault::json(503, &json!({})),
        Fault::json(429, &json!({})),
        answer(200, "81000001", "system internal error"),
        Fault::GoAway,
        Fault::Close,
        Fault::RefuseStream,
        Fault::Hang,
    ] {
        huawei.faults.next(fault.clone());
        assert_eq!(attempts(pushers.push(&hms_call()).await), Ok(2), "{fault:?}");
    }
    huawei.pushes_so_far().await;
    huawei.faults.next(Fault::json(503, &json!({})).retry_after("2"));
    assert_eq!(attempts(pushers.push(&hms_call()).await), Ok(2));
    let (first, second) = (huawei.next_push().await, huawei.next_push().await);
    assert!(second.request.at - first.request.at >= Duration::from_millis(1_990));
}

#[tokio::test]
async fn access_token_is_shared_ready_before_the_first_call_and_renewed_when_it_is_refused() {
    let huawei = Hms::start().await;
    let other = App {
        name: "other".into(),
        ..hms_app(&huawei)
    };
    let mine = App {
        domains: vec!["pbx.example".into()],
        ..hms_app(&huawei)
    };
    let pushers = Pushers::new(vec![mine, other]).unwrap();
    pushers.warm().await;
    assert_eq!(huawei.token_requests(), 1);
    let requests = (0..60).map(|n| {
        let mut request = hms_call();
        request.domain = if n % 2 == 0 { "pbx.example" } else { "elsewhere" }.into();
        request
    });
    let outcomes = parallel(&pushers, requests).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(huawei.token_requests(), 1);
    huawei.revoke_tokens();
    let outcomes = parallel(&pushers, (0..20).map(|_| hms_call())).await;
    assert!(
        outcomes.iter().all(|o| o.as_ref().is_ok_and(|r| r.attempts <= 2)),
        "{outcomes:?}"
    );
    assert_eq!(huawei.token_requests(), 2);
    // The new one is refused as well, at once: a third would be no better.
    huawei.pushes_so_far().await;
    huawei.faults.token(HMS_TOKEN, answer(401, "80200001", "x"));
    let refused = attempts(pushers.push(&hms_call()).await);
    assert_eq!(refused, Err("80200001: authentication error".into()));
    assert_eq!((huawei.pushes_so_far().await.len(), huawei.token_requests()), (1, 2));
}

#[tokio::test]
async fn access_token_that_ended_is_renewed_before_the_push() {
    let (huawei, moved) = (Hms::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![hms_app(&huawei)], &moved.clock()).unwrap();
    pushers.push(&hms_call()).await.unwrap();
    moved.minutes(70);
    huawei.advance(minute(70));
    assert_eq!(attempts(pushers.push(&hms_call()).await), Ok(1));
    assert_eq!(huawei.token_requests(), 2);
}

#[tokio::test]
async fn refused_secret_is_misconfigured_and_shown_nowhere() {
    let huawei = Hms::start().await;
    std::fs::write(huawei.secret_file(), "an0ther-secret").unwrap();
    let refused = attempts(pushers(hms_app(&huawei)).push(&hms_call()).await).unwrap_err();
    assert!(
        refused.starts_with("access token: 400") && refused.ends_with("error 1101 (invalid client)"),
        "{refused}"
    );
    assert!(!refused.contains("an0ther") && !refused.contains(SECRET), "{refused}");
    assert_eq!(huawei.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn token_and_pushes_go_through_the_proxy() {
    let (huawei, proxy) = (Hms::start().await, Proxy::start().await);
    let app = App {
        proxy: Some(proxy.url().into()),
        ..hms_app(&huawei)
    };
    pushers(app).push(&hms_call()).await.unwrap();
    assert_eq!(proxy.tunnels(), 2);
}

#[tokio::test]
async fn probe_is_checked_by_huawei_and_sent_to_nobody() {
    let huawei = Hms::start().await;
    let pushers = pushers(hms_app(&huawei));
    let probe = pushers.probe().await.remove(0).1.unwrap();
    assert_eq!(probe.outcome.unwrap().to_string(), "validate_only accepted");
    assert_eq!(huawei.next_probe().await.code, "80000000");
    assert_eq!(huawei.pushes_so_far().await.len(), 0);
    huawei
        .faults
        .token(fswake_test_support::hms::PROBE, answer(200, "80300002", "x"));
    let probe = pushers.probe().await.remove(0).1.unwrap();
    assert!(matches!(probe.outcome, Err(PushError::Misconfigured { .. })));
}
