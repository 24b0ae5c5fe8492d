//! Answers that break off: nothing in them is believed, and the push is tried again.

use fswake::push::app::{App, HttpProfile};
use fswake::push::refused_when::{Found, Meaning, RefusedWhen};
use fswake::push::{KeptBy, PushError, PushRequest};
use fswake_test_support::apns::Apns;
use fswake_test_support::fcm::Fcm;
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::hms::{self, Hms, answer};
use fswake_test_support::http2::{Fault, Faults};
use fswake_test_support::webpush::PushService;
use serde_json::json;

use super::support::{
    apns_app, apns_call, attempts, fcm_app, fcm_call, gateway_app, hms_app, hms_call, http_profile, pushers, simple,
    web_push_app, web_push_call,
};

/// Pushes once for each way in which a refusal may break off. The refusal itself would end the push.
async fn tried_again(app: App, request: &PushRequest, faults: &Faults, refusal: Fault) {
    let pushers = pushers(app);
    for half in refusal.halves() {
        faults.next(half.clone());
        assert_eq!(attempts(pushers.push(request).await), Ok(2), "{half:?}");
    }
    faults.next(refusal);
    assert!(pushers.push(request).await.is_err());
}

#[tokio::test]
async fn half_a_refusal_of_a_push_is_no_refusal() {
    let apns = Apns::start().await;
    let gone = Fault::gone("Unregistered", 4_000_000_000_000);
    tried_again(apns_app(&apns), &apns_call(), &apns.faults, gone).await;
    let fcm = Fcm::start().await;
    let unregistered = Fault::fcm(404, "NOT_FOUND", "UNREGISTERED");
    tried_again(fcm_app(&fcm), &fcm_call(), &fcm.faults, unregistered).await;
    let huawei = Hms::start().await;
    let invalid = answer(200, "80300007", "All the tokens are invalid");
    tried_again(hms_app(&huawei), &hms_call(), &huawei.faults, invalid).await;
    let service = PushService::start().await;
    let gone = Fault::json(410, &json!({ "error": "Gone" }));
    let request = web_push_call(&service.subscribe());
    tried_again(web_push_app(&service), &request, &service.faults, gone).await;
}

#[tokio::test]
async fn half_a_gateways_answer_is_read_as_far_as_the_operators_rules_need_it() {
    let rule = RefusedWhen {
        pointer: "/code".parse().unwrap(),
        found: Found::One(vec!["7".into()]),
        means: Meaning::TokenGone,
    };
    for over in [Over::Plain, Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let profile = HttpProfile {
            refused_when: vec![rule.clone()],
            ..http_profile(&gateway, "/push")
        };
        let refusal = Fault::json(200, &json!({ "code": 7 }));
        tried_again(gateway_app(&gateway, profile), &apns_call(), &gateway.faults, refusal).await;
        // Without rules, the status is all that counts.
        for half in Fault::json(410, &json!({ "error": "gone" })).halves() {
            gateway.faults.next(half.clone());
            let refused = attempts(pushers(simple(&gateway)).push(&apns_call()).await);
            assert_eq!(refused, Err("token gone (Gone)".into()), "{half:?}");
        }
    }
}

#[tokio::test]
async fn half_an_answer_of_a_token_server_is_asked_for_again() {
    let refusal = Fault::json(400, &json!({ "error": "invalid_grant", "error_description": "x" }));
    for half in refusal.halves() {
        let (fcm, huawei) = (Fcm::start().await, Hms::start().await);
        fcm.token_faults.next(half.clone());
        huawei.token_faults.next(half.clone());
        let (google, other) = (pushers(fcm_app(&fcm)), pushers(hms_app(&huawei)));
        let (to_android, to_huawei) = (fcm_call(), hms_call());
        let outcomes = tokio::join!(google.push(&to_android), other.push(&to_huawei));
        assert!(outcomes.0.is_ok() && outcomes.1.is_ok(), "{half:?}: {outcomes:?}");
        assert_eq!((fcm.token_requests(), huawei.token_requests()), (2, 2), "{half:?}");
    }
}

#[tokio::test]
async fn half_an_answer_to_a_probe_says_nothing_of_the_credentials() {
    let huawei = Hms::start().await;
    let pushers = pushers(hms_app(&huawei));
    for half in answer(200, "80300002", "x").halves() {
        huawei.faults.token(hms::PROBE, half.clone());
        let probed = pushers.probe().await.remove(0).1.unwrap();
        let Err(PushError::Exhausted { kept_by, reason }) = &probed.outcome else {
            panic!("{half:?}: {:?}", probed.outcome);
        };
        assert_eq!(*kept_by, KeptBy::NoConnection);
        assert!(reason.starts_with("the connection to "), "{reason}");
    }
}
