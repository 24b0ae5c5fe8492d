//! Connections to providers that may speak HTTP/1.1 or HTTP/2: how long they are kept, and how many requests they carry.

use std::time::Duration;

use fswake::push::{PushRequest, Pushers};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::hms::Hms;
use fswake_test_support::http2::Fault;
use fswake_test_support::webpush::PushService;

use super::support::{apns_call, attempts, hms_app, hms_call, pushers, simple, web_push_app, web_push_call};

/// Pushes under way at once.
const AT_ONCE: usize = 100;

/// Longer than the HTTP library keeps an unused connection if nobody says how long. fswake's own limit is longer than the
/// time between two requests that keep a connection open.
const UNUSED: Duration = Duration::from_secs(95);

#[tokio::test]
async fn connection_that_is_not_used_for_a_while_is_kept_until_it_is_warmed_again() {
    let (huawei, web) = (Hms::start().await, PushService::start().await);
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let (hms, browser, relay) = (
        pushers(hms_app(&huawei)),
        pushers(web_push_app(&web)),
        pushers(simple(&gateway)),
    );
    let subscription = web.subscribe();
    for n in 0..2 {
        assert_eq!(attempts(hms.push(&hms_call()).await), Ok(1));
        assert_eq!(attempts(browser.push(&web_push_call(&subscription)).await), Ok(1));
        assert_eq!(attempts(relay.push(&apns_call()).await), Ok(1));
        if n == 0 {
            tokio::time::sleep(UNUSED).await;
        }
    }
    // The token server's connection is not kept.
    let connections = [
        huawei.server().connections() - 1,
        web.server().connections(),
        gateway.connections(),
    ];
    assert_eq!(connections, [1, 1, 1]);
}

/// Starts pushes that hang for as long as their calls wait.
fn hang(pushers: &Pushers, many: usize, request: &PushRequest) -> tokio::task::JoinSet<()> {
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..many {
        let (pushers, request) = (pushers.clone(), request.clone());
        hanging.spawn(async move { _ = pushers.push(&request).await });
    }
    hanging
}

#[tokio::test]
async fn server_that_may_speak_http1_gets_a_hundred_pushes_at_once() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let relay = pushers(simple(&gateway));
    relay.warm().await;
    // Enough for each try of each push.
    for _ in 0..AT_ONCE * 20 {
        gateway.faults.next(Fault::Hang);
    }
    let _hanging = hang(&relay, AT_ONCE + 20, &apns_call());
    for _ in 0..AT_ONCE {
        gateway.next().await;
    }
    let one_more = PushRequest {
        ttl: Duration::from_secs(1),
        ..apns_call()
    };
    assert_eq!(
        attempts(relay.push(&one_more).await),
        Err("too many pushes under way".into())
    );
}
