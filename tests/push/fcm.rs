//! Requests to FCM, the outcome for each of its answers, and the access token.

use std::time::Duration;

use fswake::push::app::App;
use fswake::push::{CancelReason, PushError, PushKind, PushRequest, Pushers};
use fswake_test_support::fcm::{Fcm, PROJECT};
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Proxy;
use serde_json::json;

use super::support::{FCM_TOKEN, MovedClock, attempts, fcm_app, fcm_call, minute, parallel, pushers, styles, turned};

#[tokio::test]
async fn call_reaches_the_phone_as_a_data_message_of_high_priority() {
    let fcm = Fcm::start().await;
    let receipt = pushers(fcm_app(&fcm)).push(&fcm_call()).await.unwrap();
    let sent = fcm.next_push().await;
    assert_eq!((sent.status, sent.reason.as_str()), (200, ""));
    assert_eq!(receipt.provider_id, Some(format!("projects/{PROJECT}/messages/1")));
    assert_eq!(sent.message["token"], FCM_TOKEN);
    assert_eq!(sent.message["android"]["priority"], "HIGH");
    assert_eq!(sent.message["data"]["sip-call-id"], "sip-1@pbx");
}

#[tokio::test]
async fn every_kind_of_push_in_every_style_is_accepted_by_fcm() {
    let fcm = Fcm::start().await;
    for payload in styles(r#"{"who":"${caller-name}","n":1,"deep":{"k":"${kind}"}}"#) {
        let app = App {
            payload,
            ..fcm_app(&fcm)
        };
        let pushers = pushers(app);
        for kind in [
            PushKind::Call,
            PushKind::Cancel(CancelReason::TimedOut),
            PushKind::MissedCall,
        ] {
            let request = turned(fcm_call(), kind);
            let outcome = pushers.push(&request).await;
            assert_eq!(fcm.next_push().await.reason, "", "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn ttl_is_the_remaining_time_at_each_try() {
    let fcm = Fcm::start().await;
    fcm.faults
        .next(Fault::fcm(503, "UNAVAILABLE", "UNAVAILABLE").retry_after("2"));
    assert_eq!(attempts(pushers(fcm_app(&fcm)).push(&fcm_call()).await), Ok(2));
    let ttl = |message: &serde_json::Value| -> u64 {
        let text = message["android"]["ttl"].as_str().unwrap();
        text.strip_suffix('s').unwrap().parse().unwrap()
    };
    let (first, second) = (fcm.next_push().await, fcm.next_push().await);
    assert!(
        ttl(&first.message) >= ttl(&second.message) + 2,
        "{} {}",
        first.message,
        second.message
    );
    assert!(second.request.at - first.request.at >= Duration::from_millis(1_990));
}

#[tokio::test]
async fn refusals_are_told_apart_by_the_code_in_their_details() {
    let fcm = Fcm::start().await;
    let pushers = pushers(fcm_app(&fcm));
    let violation = |field: &str| [json!({ "fieldViolations": [{ "field": field, "description": "x" }] })];
    let cases = [
        (
            Fault::fcm(404, "NOT_FOUND", "UNREGISTERED"),
            "token gone (UNREGISTERED)",
        ),
        (
            Fault::google(404, "NOT_FOUND", "x", &[]),
            "refused by the provider: 404 NOT_FOUND",
        ),
        (
            Fault::fcm(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
            "token refused (SENDER_ID_MISMATCH: the service account is of project example-phone; the phone names com.example.phone)",
        ),
        (Fault::google(403, "PERMISSION_DENIED", "x", &[]), "PERMISSION_DENIED"),
        (
            Fault::fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
            "THIRD_PARTY_AUTH_ERROR",
        ),
        (
            Fault::google(400, "INVALID_ARGUMENT", "x", &violation("message.token")),
            "token refused (INVALID_ARGUMENT)",
        ),
        (
            Fault::google(400, "INVALID_ARGUMENT", "x", &violation("message.android.ttl")),
            "refused by the provider: 400 INVALID_ARGUMENT",
        ),
    ];
    for (fault, expected) in cases {
        fcm.faults.next(fault);
        assert_eq!(attempts(pushers.push(&fcm_call()).await), Err(expected.into()));
        assert_eq!(fcm.pushes_so_far().await.len(), 1, "{expected}");
    }
    assert_eq!(fcm.token_requests(), 1);
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let fcm = Fcm::start().await;
    let pushers = pushers(fcm_app(&fcm));
    let faults = [
        Fault::fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        Fault::fcm(503, "UNAVAILABLE", "UNAVAILABLE"),
        Fault::fcm(500, "INTERNAL", "INTERNAL"),
        Fault::GoAway,
        Fault::Close,
        Fault::RefuseStream,
        Fault::Hang,
    ];
    for fault in faults {
        fcm.faults.next(fault.clone());
        assert_eq!(attempts(pushers.push(&fcm_call()).await), Ok(2), "{fault:?}");
    }
}

#[tokio::test]
async fn parallel_pushes_share_one_access_token() {
    let fcm = Fcm::start().await;
    let other = App {
        name: "other".into(),
        ..fcm_app(&fcm)
    };
    let mine = App {
        domains: vec!["pbx.example".into()],
        ..fcm_app(&fcm)
    };
    let pushers = Pushers::new(vec![mine, other]).unwrap();
    let requests = (0..100).map(|n| {
        let mut request = fcm_call();
        request.domain = if n % 2 == 0 { "pbx.example" } else { "elsewhere" }.into();
        request
    });
    let outcomes = parallel(&pushers, requests).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(fcm.token_requests(), 1);
}

#[tokio::test]
async fn access_token_is_ready_before_the_first_call() {
    let fcm = Fcm::start().await;
    let pushers = pushers(fcm_app(&fcm));
    pushers.warm().await;
    assert_eq!((fcm.token_requests(), fcm.server().connections()), (1, 2));
    pushers.push(&fcm_call()).await.unwrap();
    assert_eq!((fcm.token_requests(), fcm.server().connections()), (1, 2));
}

#[tokio::test]
async fn access_token_is_renewed_ahead_of_time() {
    let (fcm, moved) = (Fcm::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![fcm_app(&fcm)], &moved.clock()).unwrap();
    pushers.push(&fcm_call()).await.unwrap();
    moved.minutes(57);
    fcm.advance(minute(57));
    // The token server fails. The old token still works, and no push waits.
    fcm.token_faults.next(Fault::Hang);
    let pushed = tokio::time::timeout(Duration::from_secs(1), pushers.push(&fcm_call())).await;
    assert_eq!(attempts(pushed.unwrap()), Ok(1));
    let given = fcm.tokens_given();
    // After that failure the next push asks again. The new token is in use before the old one expires.
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            pushers.push(&fcm_call()).await.unwrap();
            let used = fcm.pushes_so_far().await;
            let last = used.last().unwrap().request.header("authorization").to_owned();
            if !given.iter().any(|token| last.ends_with(token)) {
                break;
            }
        }
    })
    .await
    .unwrap();
    assert!(fcm.token_requests() >= 3);
}

#[tokio::test]
async fn expired_access_token_is_renewed_before_the_push() {
    let (fcm, moved) = (Fcm::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![fcm_app(&fcm)], &moved.clock()).unwrap();
    pushers.push(&fcm_call()).await.unwrap();
    moved.minutes(70);
    fcm.advance(minute(70));
    assert_eq!(attempts(pushers.push(&fcm_call()).await), Ok(1));
    assert_eq!(fcm.token_requests(), 2);
}

#[tokio::test]
async fn revoked_access_token_is_replaced_once() {
    let fcm = Fcm::start().await;
    let pushers = pushers(fcm_app(&fcm));
    pushers.push(&fcm_call()).await.unwrap();
    fcm.revoke_tokens();
    let outcomes = parallel(&pushers, (0..20).map(|_| fcm_call())).await;
    assert!(
        outcomes.iter().all(|o| o.as_ref().is_ok_and(|r| r.attempts <= 2)),
        "{outcomes:?}"
    );
    assert_eq!(fcm.token_requests(), 2);

    // The new one is refused as well, at once: a third would be no better.
    fcm.faults
        .token(FCM_TOKEN, Fault::google(401, "UNAUTHENTICATED", "x", &[]));
    fcm.pushes_so_far().await;
    let refused = pushers.push(&fcm_call()).await;
    assert_eq!(attempts(refused), Err("UNAUTHENTICATED".into()));
    assert_eq!((fcm.pushes_so_far().await.len(), fcm.token_requests()), (1, 2));
}

#[tokio::test]
async fn failed_renewal_of_a_revoked_access_token_is_retried_inside_the_wait() {
    for fault in [Fault::json(503, &json!({})), Fault::json(429, &json!({})), Fault::Hang] {
        let fcm = Fcm::start().await;
        let pushers = pushers(fcm_app(&fcm));
        pushers.push(&fcm_call()).await.unwrap();
        fcm.revoke_tokens();
        fcm.token_faults.next(fault);
        let outcome = pushers.push(&fcm_call()).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(fcm.token_requests(), 3, "not one request for each failure");
        // The first push, the refused one, and the one with the new token. No push goes out with the revoked token once
        // that is known.
        assert_eq!(fcm.pushes_so_far().await.len(), 3);
    }
}

#[tokio::test]
async fn refused_service_account_is_reported_with_googles_text() {
    let fcm = Fcm::start().await;
    let refusal =
        json!({ "error": "invalid_grant", "error_description": "Invalid grant: account not found", "x": null });
    fcm.token_faults.next(Fault::json(400, &refusal));
    let refused = attempts(pushers(fcm_app(&fcm)).push(&fcm_call()).await).unwrap_err();
    assert!(
        refused.ends_with("invalid_grant (Invalid grant: account not found)"),
        "{refused}"
    );
}

#[tokio::test]
async fn refused_service_account_is_misconfigured_and_a_failing_token_server_is_retried() {
    let fcm = Fcm::start().await;
    fcm.token_faults
        .next(Fault::json(400, &json!({ "error": "invalid_grant" })));
    let refused = attempts(pushers(fcm_app(&fcm)).push(&fcm_call()).await).unwrap_err();
    assert!(
        refused.starts_with("access token: 400") && refused.ends_with("invalid_grant"),
        "{refused}"
    );
    fcm.token_faults.next(Fault::json(503, &json!({})));
    assert!(pushers(fcm_app(&fcm)).push(&fcm_call()).await.is_ok());
    assert_eq!(fcm.pushes_so_far().await.len(), 1);
}

#[tokio::test]
async fn hanging_token_server_ends_with_the_wait() {
    let fcm = Fcm::start().await;
    for _ in 0..20 {
        fcm.token_faults.next(Fault::Hang);
    }
    let pushers = pushers(fcm_app(&fcm));
    let request = PushRequest {
        ttl: Duration::from_secs(4),
        ..fcm_call()
    };
    let started = std::time::Instant::now();
    let outcomes = parallel(&pushers, (0..10).map(|_| request.clone())).await;
    assert!(
        outcomes.iter().all(|o| matches!(o, Err(PushError::Exhausted { .. }))),
        "{outcomes:?}"
    );
    assert!(
        started.elapsed() < Duration::from_millis(4_500),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn token_and_push_requests_use_the_proxy_and_trust_only_the_apps_ca() {
    let (fcm, proxy) = (Fcm::start().await, Proxy::start().await);
    let app = App {
        proxy: Some(proxy.url().into()),
        ..fcm_app(&fcm)
    };
    pushers(app).push(&fcm_call()).await.unwrap();
    assert_eq!(proxy.tunnels(), 2);

    let stranger = Fcm::start().await;
    let app = App {
        ca_file: Some(stranger.ca_file()),
        ..fcm_app(&fcm)
    };
    let refused = pushers(app).push(&fcm_call()).await;
    assert!(matches!(refused, Err(PushError::Misconfigured { .. })), "{refused:?}");
    assert_eq!(fcm.token_requests(), 1);
}
