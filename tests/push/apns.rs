//! Requests to APNs, and the outcome for each of its answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fswake::push::app::{ApnsPriority, ApnsRules, App, CollapseId};
use fswake::push::{CancelReason, PushError, PushKind, PushRequest, Pushers};
use fswake::types::push::PushPurpose;
use fswake::types::{PushId, PushToken, Tokens};
use fswake_test_support::apns::{Apns, BUNDLE_ID};
use fswake_test_support::http2::Fault;

use super::support::{apns_app, apns_call, attempts, parallel, pushers, styles, turned};

#[tokio::test]
async fn call_reaches_the_phone_as_a_voip_push_that_ends_with_the_wait() {
    let apns = Apns::start().await;
    let request = apns_call();
    let receipt = pushers(apns_app(&apns)).push(&request).await.unwrap();
    let push = apns.next_push().await;
    assert_eq!(
        (receipt.status, receipt.attempts, push.status),
        (200, 1, 200),
        "{}",
        push.reason
    );
    assert_eq!(receipt.provider_id.as_deref(), Some(push.request.header("apns-id")));
    assert_eq!(push.request.header("apns-push-type"), "voip");
    assert_eq!(push.request.header("apns-topic"), format!("{BUNDLE_ID}.voip"));
    assert_eq!(push.body["sip-call-id"], "sip-1@pbx");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expiration: u64 = push.request.header("apns-expiration").parse().unwrap();
    assert!((now + 20..=now + 25).contains(&expiration), "{expiration} at {now}");
}

#[tokio::test]
async fn every_kind_of_push_in_every_style_is_accepted_by_apns() {
    for payload in styles(r#"{"who":"${caller-name}"}"#) {
        let apns = Apns::start().await;
        let app = App {
            payload,
            ..apns_app(&apns)
        };
        let pushers = pushers(app);
        for kind in [
            PushKind::Call,
            PushKind::Cancel(CancelReason::CallerHungUp),
            PushKind::MissedCall,
        ] {
            for call_token in [Some(PushToken::new("aa11")), None] {
                let mut request = turned(apns_call(), kind.clone());
                request.to.tokens = Tokens::new(call_token, Some(PushToken::new("bb22"))).unwrap();
                let outcome = pushers.push(&request).await;
                assert_eq!(apns.next_push().await.reason, "", "{request:?} {outcome:?}");
            }
        }
    }
}

#[tokio::test]
async fn cancel_without_a_remote_token_is_never_sent() {
    let apns = Apns::start().await;
    let request = turned(apns_call(), PushKind::Cancel(CancelReason::CallerHungUp));
    let refused = pushers(apns_app(&apns)).push(&request).await.unwrap_err();
    assert!(matches!(refused, PushError::Refused(_)), "{refused}");
    assert_eq!((apns.server().connections(), apns.pushes_so_far().await.len()), (0, 0));
}

#[tokio::test]
async fn gone_token_is_reported_with_its_time() {
    let apns = Apns::start().await;
    apns.faults.next(Fault::gone("Unregistered", 1_700_000_000_999));
    apns.faults.next(Fault::gone("ExpiredToken", 1_700_000_001_000));
    let pushers = pushers(apns_app(&apns));
    for (since, reason) in [(1_700_000_000, "Unregistered"), (1_700_000_001, "ExpiredToken")] {
        let expected = PushError::TokenGone {
            since: Some(since),
            reason: reason.into(),
        };
        assert_eq!(pushers.push(&apns_call()).await, Err(expected));
    }
}

#[tokio::test]
async fn final_refusals_are_not_retried_and_are_classified() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    let cases = [
        (400, "BadDeviceToken", "token refused (BadDeviceToken)"),
        (400, "DeviceTokenNotForTopic", "token refused (DeviceTokenNotForTopic)"),
        (400, "TopicDisallowed", "refused by the provider: 400 TopicDisallowed"),
        (403, "InvalidProviderToken", "InvalidProviderToken"),
        (403, "BadCertificate", "BadCertificate"),
        (404, "BadPath", "refused by the provider: 404 BadPath"),
        (405, "MethodNotAllowed", "refused by the provider: 405 MethodNotAllowed"),
        (413, "PayloadTooLarge", "refused by the provider: 413 PayloadTooLarge"),
    ];
    for (status, reason, expected) in cases {
        apns.faults.next(Fault::apns(status, reason));
        assert_eq!(attempts(pushers.push(&apns_call()).await), Err(expected.into()));
        assert_eq!(apns.pushes_so_far().await.len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn invalid_token_never_leaves_the_machine() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    let mut request = apns_call();
    request.to.tokens = Tokens::Call(PushToken::new("../../admin"));
    assert!(matches!(pushers.push(&request).await, Err(PushError::TokenBad { .. })));
    assert_eq!(apns.server().connections(), 0);
}

#[tokio::test]
async fn many_requests_share_one_connection_and_wait_for_its_streams() {
    let apns = Apns::start_with_streams(20).await;
    let pushers = pushers(apns_app(&apns));
    pushers.warm().await;
    let requests = (0..300).map(|n| PushRequest {
        id: PushId(n),
        ..apns_call()
    });
    let outcomes = parallel(&pushers, requests).await;
    assert!(
        outcomes.iter().all(|o| o.as_ref().is_ok_and(|r| r.attempts == 1)),
        "{outcomes:?}"
    );
    assert_eq!(apns.server().connections(), 1);
}

#[tokio::test]
async fn warm_connection_is_open_before_the_first_call() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    pushers.warm().await;
    assert_eq!(apns.server().connections(), 1);
    pushers.push(&apns_call()).await.unwrap();
    assert_eq!(apns.server().connections(), 1);
    assert_eq!(
        apns.pushes_so_far().await.len(),
        1,
        "warming the connection sent a push"
    );
}

#[tokio::test]
async fn slow_app_delays_no_other() {
    let (slow, quick) = (Apns::start().await, Apns::start().await);
    let of = |apns: &Apns, name: &str, app_id: &str| App {
        name: name.into(),
        app_ids: vec![app_id.into()],
        topic: Some(BUNDLE_ID.into()),
        ..apns_app(apns)
    };
    let pushers = Pushers::new(vec![of(&slow, "slow", "slow"), of(&quick, "quick", BUNDLE_ID)]).unwrap();
    slow.faults.token("aaaa", Fault::Hang);
    let hanging = (0..1100).map(|_| {
        let mut request = super::support::call(fswake::types::Provider::Apns, "aaaa");
        request.to.app = "slow".into();
        request
    });
    let background = {
        let pushers = pushers.clone();
        let hanging: Vec<_> = hanging.collect();
        tokio::spawn(async move { parallel(&pushers, hanging).await })
    };
    slow.next_push().await;
    let pushed = tokio::time::timeout(Duration::from_secs(2), pushers.push(&apns_call())).await;
    assert_eq!(attempts(pushed.unwrap()), Ok(1));
    background.abort();
}

#[tokio::test]
async fn headers_are_what_the_app_sets_for_each_kind_of_push() {
    let headers = ["apns-push-type", "apns-collapse-id", "apns-expiration", "apns-priority"];
    let mut seen = Vec::new();
    let set = ApnsRules {
        collapse_ids: vec![(
            PushPurpose::MissedCall,
            CollapseId::parse("missed ${callee}", PushPurpose::MissedCall).unwrap(),
        )],
        expirations: vec![
            (PushPurpose::MissedCall, Duration::ZERO),
            (PushPurpose::Call, Duration::ZERO),
        ],
        priorities: vec![(PushPurpose::MissedCall, ApnsPriority::Passive)],
    };
    for rules in [ApnsRules::default(), set] {
        let apns = Apns::start().await;
        let pushers = pushers(App {
            apns: rules,
            ..apns_app(&apns)
        });
        for (kind, call_token) in [
            (PushKind::Call, Some(PushToken::new("aa11"))),
            (PushKind::Call, None),
            (PushKind::MissedCall, None),
        ] {
            let mut request = turned(apns_call(), kind);
            request.to.tokens = Tokens::new(call_token, Some(PushToken::new("bb22"))).unwrap();
            pushers.push(&request).await.unwrap();
            let push = apns.next_push().await.request;
            seen.push(headers.map(|name| match push.header(name) {
                time if name == "apns-expiration" && time != "0" => "later".to_owned(),
                value => value.to_owned(),
            }));
        }
    }
    let call = uuid::Uuid::from_u128(7).to_string();
    assert_eq!(
        seen,
        [
            ["voip", "", "later", "10"],
            ["alert", &call, "later", "10"],
            ["alert", &call, "later", "10"],
            ["voip", "", "0", "10"],
            ["alert", "", "0", "10"],
            ["alert", "missed 1000@pbx.example", "0", "1"],
        ]
    );
}
