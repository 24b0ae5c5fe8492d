//! Authentication with APNs: provider tokens and client certificates.

use std::time::Duration;

use fswake::push::app::{App, Credentials, ProxySettings};
use fswake::push::{PushError, PushRequest, Pushers};
use fswake::types::Provider;
use fswake_test_support::apns::{Apns, KEY_ID, TEAM_ID};
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Proxy;

use super::support::{MovedClock, apns_app, apns_call, app, attempts, minute, parallel, pushers};

#[tokio::test]
async fn parallel_pushes_share_one_jwt() {
    let apns = Apns::start().await;
    // Two apps with one key: Apple counts tokens per key, not per app.
    let other = App {
        name: "other".into(),
        ..apns_app(&apns)
    };
    let mine = App {
        domains: vec!["pbx.example".into()],
        ..apns_app(&apns)
    };
    let pushers = Pushers::new(vec![mine, other]).unwrap();
    let requests = (0..100).map(|n| {
        let mut request = apns_call();
        request.domain = if n % 2 == 0 { "pbx.example" } else { "elsewhere" }.into();
        request
    });
    let outcomes = parallel(&pushers, requests).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((apns.tokens_taken(), apns.server().connections()), (1, 2));
}

#[tokio::test]
async fn jwt_is_kept_across_connections_and_renewed_only_when_old() {
    let (apns, moved) = (Apns::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    for (minutes, tokens) in [(0, 1), (15, 1), (30, 1), (10, 2), (49, 2), (2, 3)] {
        moved.minutes(minutes);
        apns.advance(minute(minutes));
        apns.server().close_all();
        let outcome = pushers.push(&apns_call()).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(apns.tokens_taken(), tokens, "after {minutes} more minutes");
    }
}

#[tokio::test]
async fn refused_jwt_is_renewed_once_for_all() {
    let (apns, moved) = (Apns::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    pushers.push(&apns_call()).await.unwrap();
    // Apple's clock is 40 minutes ahead, so for Apple the token has expired.
    moved.minutes(30);
    apns.advance(minute(70));
    let outcomes = parallel(&pushers, (0..50).map(|_| apns_call())).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(apns.tokens_taken(), 2);
}

#[tokio::test]
async fn jwt_refused_within_twenty_minutes_is_kept_and_the_clock_is_suspected() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    pushers.push(&apns_call()).await.unwrap();
    apns.faults.next(Fault::apns(403, "ExpiredProviderToken"));
    let refused = pushers.push(&apns_call()).await.unwrap_err();
    assert!(
        matches!(&refused, PushError::Misconfigured { reason, .. } if reason.contains("clock")),
        "{refused}"
    );
    pushers.push(&apns_call()).await.unwrap();
    assert_eq!(apns.tokens_taken(), 1);
}

#[tokio::test]
async fn too_many_token_updates_are_retried_with_the_same_jwt() {
    let apns = Apns::start().await;
    apns.faults.next(Fault::apns(429, "TooManyProviderTokenUpdates"));
    assert_eq!(attempts(pushers(apns_app(&apns)).push(&apns_call()).await), Ok(2));
    assert_eq!(apns.tokens_taken(), 1);
}

#[tokio::test]
async fn wrong_key_or_team_is_misconfigured() {
    let apns = Apns::start().await;
    for (key_id, team_id) in [("XXXXXXXXXX", TEAM_ID), (KEY_ID, "XXXXXXXXXX")] {
        let credentials = Credentials::ApnsToken {
            key_file: apns.key_file(),
            key_id: key_id.into(),
            team_id: team_id.into(),
        };
        let app = App {
            credentials,
            ..apns_app(&apns)
        };
        let outcome = attempts(pushers(app).push(&apns_call()).await);
        assert_eq!(outcome, Err("InvalidProviderToken".into()));
    }
}

fn certificate_app(apns: &Apns) -> App {
    let (cert_file, key_file) = apns.client_files();
    App {
        base_url: Some(apns.base_url()),
        ca_file: Some(apns.ca_file()),
        ..app(
            "iphone",
            Provider::Apns,
            Credentials::ApnsCertificate { cert_file, key_file },
        )
    }
}

#[tokio::test]
async fn client_certificate_needs_no_jwt() {
    let apns = Apns::start_with_certificates().await;
    pushers(certificate_app(&apns)).push(&apns_call()).await.unwrap();
    assert_eq!(apns.next_push().await.request.header("authorization"), "");
}

#[tokio::test]
async fn certificate_and_key_may_be_one_file() {
    let apns = Apns::start_with_certificates().await;
    let (cert, key) = apns.client_files();
    let both = apns.file("both.pem");
    let text = std::fs::read_to_string(cert).unwrap() + &std::fs::read_to_string(key).unwrap();
    std::fs::write(&both, text).unwrap();
    let app = App {
        credentials: Credentials::ApnsCertificate {
            cert_file: both.clone(),
            key_file: both,
        },
        ..certificate_app(&apns)
    };
    pushers(app).push(&apns_call()).await.unwrap();
}

#[tokio::test]
async fn missing_client_certificate_delivers_nothing() {
    let apns = Apns::start_with_certificates().await;
    let mut request = apns_call();
    request.ttl = Duration::from_secs(1);
    assert!(pushers(apns_app(&apns)).push(&request).await.is_err());
    assert_eq!(apns.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn untrusted_server_gets_no_push_and_no_retry() {
    let (apns, other) = (Apns::start().await, Apns::start().await);
    for ca_file in [Some(other.ca_file()), None] {
        let app = App {
            ca_file,
            ..apns_app(&apns)
        };
        let refused = pushers(app).push(&apns_call()).await.unwrap_err();
        assert!(
            matches!(&refused, PushError::Misconfigured { reason, .. } if reason.contains("certificate")),
            "{refused}"
        );
    }
    assert_eq!(apns.server().connections(), 0);
}

#[tokio::test]
async fn pushes_go_through_the_proxy() {
    let (apns, proxy) = (Apns::start().await, Proxy::start().await);
    let app = App {
        proxy: Some(proxy.url().into()),
        ..apns_app(&apns)
    };
    let pushers = pushers(app);
    for _ in 0..3 {
        pushers.push(&apns_call()).await.unwrap();
    }
    assert_eq!(proxy.tunnels(), 1);
}

#[tokio::test]
async fn proxy_that_asks_for_a_password_gets_it_and_a_wrong_one_is_named_without_being_shown() {
    let (apns, proxy) = (Apns::start().await, Proxy::start_for("fswake:se:same").await);
    let file = apns.file("proxy-login");
    let through = |auth_file| App {
        proxy: Some(ProxySettings {
            url: proxy.url(),
            auth_file,
        }),
        ..apns_app(&apns)
    };
    std::fs::write(&file, "fswake:se:same\n").unwrap();
    pushers(through(Some(file.clone()))).push(&apns_call()).await.unwrap();
    assert_eq!(proxy.tunnels(), 1);

    std::fs::write(&file, "fswake:wrong\n").unwrap();
    for app in [through(Some(file)), through(None)] {
        let request = PushRequest {
            ttl: Duration::from_secs(1),
            ..apns_call()
        };
        let refused = pushers(app).push(&request).await.unwrap_err().to_string();
        assert!(
            refused.contains("through the proxy: tunnel error: proxy authorization required"),
            "{refused}"
        );
        assert!(!refused.contains("wrong"), "{refused}");
    }
    assert_eq!(proxy.tunnels(), 1);
}
