//! A gateway's answers and connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake::push::app::{App, HttpAuth, HttpProfile};
use fswake::push::{About, NotificationPurpose, NotificationPush, PushError, PushRequest};
use fswake::types::{NotificationId, TokenType};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::http2::{Fault, Reply};
use fswake_test_support::proxy::Proxy;
use fswake_test_support::tls::Authority;

use super::support::{apns_call, attempts, gateway_app, http_profile, parallel, pushers, simple};

fn reply(status: u16, headers: &[(&'static str, &str)]) -> Fault {
    Fault::Reply(Reply {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: b"{\"token\":\"repeated\"}".to_vec(),
    })
}

fn short(request: PushRequest, ttl: Duration) -> PushRequest {
    PushRequest { ttl, ..request }
}

#[tokio::test]
async fn each_answer_of_the_gateway_becomes_what_it_asks_for() {
    for over in [Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let pushers = pushers(simple(&gateway));
        for (status, expected) in [
            (200, "sent"),
            (202, "sent"),
            (204, "sent"),
            (
                301,
                "301 Moved Permanently: redirects are not followed, url must be where they lead",
            ),
            (
                304,
                "304 Not Modified: redirects are not followed, url must be where they lead",
            ),
            (400, "refused by the provider: 400 Bad Request"),
            (401, "401 Unauthorized"),
            (403, "403 Forbidden"),
            (404, "refused by the provider: 404 Not Found"),
            (410, "token gone (Gone)"),
            (418, "refused by the provider: 418 I'm a teapot"),
        ] {
            gateway
                .faults
                .next(reply(status, &[("location", "https://elsewhere.example/")]));
            let outcome = pushers.push(&apns_call()).await;
            let text = outcome.map_or_else(|e| e.to_string(), |_| "sent".into());
            assert_eq!(text, expected, "{over:?}");
        }
        assert_eq!(gateway.so_far().await.len(), 11, "not one request for each push");
        for passing in [reply(500, &[]), reply(503, &[]), reply(429, &[]), Fault::Close] {
            gateway.faults.next(passing);
            assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
        }
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_inside_the_wait_and_ends_the_push_beyond_it() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let pushers = pushers(simple(&gateway));
    let began = Instant::now();
    gateway.faults.next(reply(429, &[("retry-after", "1")]));
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
    assert!(began.elapsed() >= Duration::from_secs(1));
    gateway.faults.next(reply(503, &[("retry-after", "60")]));
    let outcome = pushers.push(&apns_call()).await;
    assert_eq!(outcome.unwrap_err().to_string(), "503 Service Unavailable");
}

#[tokio::test]
async fn gateway_that_hangs_is_left_after_its_timeout_and_tried_anew_inside_the_wait() {
    for over in [Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let spec = HttpProfile {
            timeout: Duration::from_millis(300),
            ..http_profile(&gateway, "/push")
        };
        let pushers = pushers(gateway_app(&gateway, spec));
        gateway.faults.next(Fault::Hang);
        assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2), "{over:?}");
        assert_eq!(gateway.connections(), 2, "{over:?}");
        gateway.faults.token("", Fault::Hang);
        let outcome = pushers.push(&short(apns_call(), Duration::from_secs(1))).await;
        assert_eq!(outcome.unwrap_err().to_string(), "no answer in time");
    }
}

#[tokio::test]
async fn connection_that_was_opened_at_start_carries_every_push() {
    for over in [Over::Plain, Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let pushers = pushers(simple(&gateway));
        pushers.warm().await;
        for _ in 0..20 {
            pushers.push(&apns_call()).await.unwrap();
        }
        assert_eq!(
            (gateway.connections(), gateway.so_far().await.len()),
            (1, 20),
            "{over:?}"
        );
    }
    let gateway = Gateway::start(Over::Http2, Wants::Nothing).await;
    let pushers = pushers(simple(&gateway));
    pushers.warm().await;
    let outcomes = parallel(&pushers, std::iter::repeat_n(apns_call(), 200)).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(gateway.connections(), 1, "more than one HTTP/2 connection");
}

#[tokio::test]
async fn redirect_is_not_followed_with_credentials() {
    let other = Gateway::start(Over::Http1, Wants::Nothing).await;
    let gateway = Gateway::start(Over::Http1, Wants::Bearer).await;
    let spec = HttpProfile {
        auth: HttpAuth::Bearer(gateway.file("bearer")),
        ..http_profile(&gateway, "/push")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    for status in [302, 307, 308] {
        gateway
            .faults
            .next(reply(status, &[("location", &format!("{}/stolen", other.url()))]));
        let outcome = pushers.push(&apns_call()).await;
        assert!(matches!(outcome, Err(PushError::Misconfigured { .. })), "{outcome:?}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn certificate_is_verified_unless_the_profile_says_insecure() {
    let gateway = Gateway::start(Over::Http2, Wants::Nothing).await;
    let other = gateway.file("other.pem");
    std::fs::write(&other, Authority::default().pem()).unwrap();
    let with = |insecure| {
        let spec = HttpProfile {
            insecure,
            ..http_profile(&gateway, "/push")
        };
        pushers(App {
            ca_file: Some(other.clone()),
            ..gateway_app(&gateway, spec)
        })
    };
    let began = Instant::now();
    let outcome = with(false).push(&apns_call()).await;
    assert!(
        matches!(&outcome, Err(PushError::Misconfigured { reason, .. }) if reason.contains("certificate") && !reason.contains("push?")),
        "{outcome:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(2), "it was retried");
    assert_eq!(gateway.so_far().await.len(), 0);
    with(true).push(&apns_call()).await.unwrap();
}

#[tokio::test]
async fn proxy_of_the_app_is_used() {
    let (gateway, proxy) = (Gateway::start(Over::Http2, Wants::Nothing).await, Proxy::start().await);
    let pushers = pushers(App {
        proxy: Some(proxy.url().into()),
        ..simple(&gateway)
    });
    pushers.push(&apns_call()).await.unwrap();
    assert_eq!(proxy.tunnels(), 1);
}

#[tokio::test]
async fn hanging_messages_do_not_block_calls() {
    let gateway = Gateway::start(Over::Plain, Wants::Nothing).await;
    let spec = HttpProfile {
        timeout: Duration::from_secs(30),
        ..http_profile(&gateway, "/push/${kind}")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    let message = PushRequest {
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type: TokenType::Voip,
            payload: Arc::default(),
        }),
        ..apns_call()
    };
    // Seven of the ten slots.
    for _ in 0..70 {
        gateway.faults.next(Fault::Hang);
    }
    let messages: Vec<_> = (0..200)
        .map(|_| {
            let (pushers, message) = (pushers.clone(), message.clone());
            tokio::spawn(async move { pushers.push(&message).await })
        })
        .collect();
    for _ in 0..70 {
        assert_eq!(gateway.next().await.request.path, "/push/notification");
    }
    pushers.push(&apns_call()).await.unwrap();
    let asked: Vec<_> = gateway.so_far().await.into_iter().map(|a| a.request.path).collect();
    assert_eq!(asked, ["/push/call"]);
    messages.iter().for_each(tokio::task::JoinHandle::abort);
}
