//! Temporary failures are retried during the wait, and not after it.

use std::time::{Duration, Instant};

use fswake::push::app::App;
use fswake::push::{KeptBy, PushError, PushRequest};
use fswake_test_support::apns::Apns;
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Forwarder;

use super::support::{apns_app, apns_call, attempts, parallel, pushers};

#[tokio::test]
async fn temporary_failures_are_retried_with_the_same_apns_id() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    let faults = [
        Fault::apns(429, "TooManyRequests"),
        Fault::apns(500, "InternalServerError"),
        Fault::apns(503, "ServiceUnavailable"),
        Fault::apns(503, "Shutdown"),
        Fault::RefuseStream,
        Fault::GoAway,
        Fault::Close,
    ];
    for fault in faults {
        apns.faults.next(fault.clone());
        assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2), "{fault:?}");
        let sent = apns.pushes_so_far().await;
        let ids: Vec<_> = sent.iter().map(|p| p.request.header("apns-id")).collect();
        assert!(ids.len() == 2 && ids[0] == ids[1], "{fault:?}: {ids:?}");
    }
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let apns = Apns::start().await;
    apns.faults
        .next(Fault::apns(503, "ServiceUnavailable").retry_after("1"));
    assert_eq!(attempts(pushers(apns_app(&apns)).push(&apns_call()).await), Ok(2));
    let (first, second) = (apns.next_push().await, apns.next_push().await);
    let pause = second.request.at - first.request.at;
    assert!(pause >= Duration::from_millis(990), "{pause:?}");
}

#[tokio::test]
async fn retry_after_beyond_the_wait_ends_it_at_once() {
    let apns = Apns::start().await;
    apns.faults.next(Fault::apns(429, "TooManyRequests").retry_after("60"));
    let started = Instant::now();
    let outcome = pushers(apns_app(&apns)).push(&apns_call()).await;
    let kept_by = KeptBy::BusyForPhone { status: 429 };
    let reason = "429 TooManyRequests".into();
    assert_eq!(outcome, Err(PushError::Exhausted { kept_by, reason }));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(apns.pushes_so_far().await.len(), 1);
}

#[tokio::test]
async fn no_retry_after_the_wait() {
    let apns = Apns::start().await;
    apns.faults
        .token(super::support::TOKEN, Fault::apns(500, "InternalServerError"));
    let request = PushRequest {
        ttl: Duration::from_millis(1_200),
        ..apns_call()
    };
    let started = Instant::now();
    let outcome = pushers(apns_app(&apns)).push(&request).await.unwrap_err();
    assert!(
        matches!(&outcome, PushError::Exhausted { kept_by: KeptBy::Busy { status: 500 }, reason } if reason == "500 InternalServerError"),
        "{outcome}"
    );
    assert!(
        started.elapsed() <= Duration::from_millis(1_400),
        "{:?}",
        started.elapsed()
    );
    let sent = apns.pushes_so_far().await;
    assert!((3..=6).contains(&sent.len()), "{}", sent.len());
    assert!(sent.iter().all(|p| p.request.at <= started + request.ttl));
}

#[tokio::test]
async fn push_without_time_left_is_not_sent() {
    let apns = Apns::start().await;
    let request = PushRequest {
        ttl: Duration::ZERO,
        ..apns_call()
    };
    let outcome = pushers(apns_app(&apns)).push(&request).await;
    assert!(matches!(outcome, Err(PushError::Exhausted { .. })), "{outcome:?}");
    assert_eq!(apns.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn hanging_provider_costs_one_try_and_the_next_uses_a_new_connection() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    pushers.warm().await;
    apns.faults.next(Fault::Hang);
    let started = Instant::now();
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let (first, second) = (apns.next_push().await, apns.next_push().await);
    assert_ne!(first.request.connection, second.request.connection);
}

#[tokio::test]
async fn pushes_that_hang_together_replace_the_connection_once() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    for _ in 0..50 {
        apns.faults.next(Fault::Hang);
    }
    let outcomes = parallel(&pushers, (0..50).map(|_| apns_call())).await;
    assert!(
        outcomes.iter().all(|o| o.as_ref().is_ok_and(|r| r.attempts == 2)),
        "{outcomes:?}"
    );
    assert_eq!(apns.server().connections(), 2);
}

#[tokio::test]
async fn slow_answer_within_the_timeout_is_accepted() {
    let apns = Apns::start().await;
    apns.faults.next(Fault::Delay(Duration::from_millis(1_500)));
    assert_eq!(attempts(pushers(apns_app(&apns)).push(&apns_call()).await), Ok(1));
}

#[tokio::test]
async fn graceful_goaway_moves_pushes_to_a_new_connection_without_loss() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    pushers.push(&apns_call()).await.unwrap();
    apns.faults.next(Fault::Delay(Duration::from_millis(300)));
    let under_way = {
        let pushers = pushers.clone();
        tokio::spawn(async move { pushers.push(&apns_call()).await })
    };
    apns.next_push().await;
    apns.next_push().await;
    apns.server().go_away();
    assert_eq!(attempts(under_way.await.unwrap()), Ok(1));
    pushers.push(&apns_call()).await.unwrap();
    assert_eq!(apns.server().connections(), 2);
}

#[tokio::test]
async fn lost_connection_is_reopened() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    for expected in 1..=3 {
        pushers.push(&apns_call()).await.unwrap();
        assert_eq!(apns.server().connections(), expected);
        apns.server().close_all();
    }
}

#[tokio::test]
async fn provider_that_is_down_is_tried_until_the_wait_ends_and_does_not_block_the_start() {
    let apns = Apns::start().await;
    let pushers = pushers(App {
        base_url: Some("https://localhost:1".into()),
        ..apns_app(&apns)
    });
    pushers.warm().await;
    let request = PushRequest {
        ttl: Duration::from_millis(700),
        ..apns_call()
    };
    let started = Instant::now();
    let outcome = pushers.push(&request).await;
    assert!(matches!(outcome, Err(PushError::Exhausted { .. })), "{outcome:?}");
    assert!(
        (300..900).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn connection_that_a_nat_has_forgotten_costs_one_try() {
    let apns = Apns::start().await;
    let way = Forwarder::start(apns.server().addr).await;
    let pushers = pushers(App {
        base_url: Some(format!("https://localhost:{}", way.address().port())),
        ..apns_app(&apns)
    });
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    way.forget();
    let started = Instant::now();
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
}
