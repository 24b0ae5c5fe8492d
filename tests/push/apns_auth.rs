//! Authentication with APNs: provider tokens and client certificates.

use std::time::{Duration, SystemTime};

use fswake::push::app::{App, Credentials, NextKey, ProxySettings};
use fswake::push::apps::status::ProblemKind;
use fswake::push::{PushError, PushRequest, Pushers};
use fswake::types::Provider;
use fswake_test_support::apns::{Apns, KEY_ID, TEAM_ID};
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Proxy;

use super::support::{MovedClock, apns_app, apns_at_minute, apns_call, app, attempts, minute, parallel, pushers};

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

/// Moves APNs' clock and fswake's.
fn both(apns: &Apns, moved: &MovedClock, minutes: u64) {
    moved.minutes(minutes);
    apns.advance(minute(minutes));
}

#[tokio::test]
async fn jwt_is_kept_across_connections_and_renewed_every_half_hour() {
    let (apns, moved) = apns_at_minute(1).await;
    let pushers = Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    for (minutes, tokens) in [(0, 1), (15, 1), (13, 1), (2, 2), (28, 2), (2, 3)] {
        both(&apns, &moved, minutes);
        apns.server().close_all();
        let outcome = pushers.push(&apns_call()).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(apns.tokens_taken(), tokens, "after {minutes} more minutes");
    }
}

#[tokio::test]
async fn two_senders_with_one_key_cost_apple_one_token_in_a_period() {
    let (apns, moved) = apns_at_minute(1).await;
    let sender = || Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    let senders = [sender(), sender()];
    for (minutes, tokens) in [(0, 1), (10, 1), (18, 1), (2, 2), (5, 2), (26, 3)] {
        both(&apns, &moved, minutes);
        for sender in &senders {
            let outcomes = parallel(sender, (0..20).map(|_| apns_call())).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
        assert_eq!(apns.tokens_taken(), tokens, "after {minutes} more minutes");
    }
    let pushes = apns.pushes_so_far().await;
    let refused: Vec<_> = pushes.iter().filter(|push| push.status != 200).collect();
    assert!(refused.is_empty() && pushes.len() == 6 * 2 * 20, "{refused:?}");
}

/// For as long as the clocks differ, each sender may find that Apple has the other's token.
#[tokio::test]
async fn senders_whose_clocks_differ_by_a_second_lose_no_push_when_a_period_ends() {
    let (apns, moved) = apns_at_minute(9).await;
    let behind = MovedClock::default();
    let ahead = moved.clock().now().wall.duration_since(SystemTime::now()).unwrap();
    behind.forward(ahead.checked_sub(Duration::from_secs(1)).unwrap());
    let sender = |clock: &MovedClock| Pushers::with_clock(vec![apns_app(&apns)], &clock.clock()).unwrap();
    let senders = [sender(&moved), sender(&behind)];
    for minutes in [0, 21, 1] {
        both(&apns, &moved, minutes);
        behind.minutes(minutes);
        for sender in &senders {
            let outcomes = parallel(sender, (0..5).map(|_| apns_call())).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        }
    }
    assert_eq!(apns.tokens_taken(), 2);
    let pushes = apns.pushes_so_far().await;
    assert!(pushes.iter().rev().take(10).all(|push| push.status == 200));
}

#[tokio::test]
async fn restarted_sender_goes_on_with_the_token_that_apple_has() {
    let (apns, moved) = apns_at_minute(28).await;
    let push = async || {
        let pushers = Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
        attempts(pushers.push(&apns_call()).await)
    };
    assert_eq!((push().await, push().await), (Ok(1), Ok(1)));
    // The next period, in which Apple does not take its token yet.
    both(&apns, &moved, 3);
    assert_eq!((push().await, push().await), (Ok(2), Ok(2)));
    assert_eq!(apns.tokens_taken(), 1);
    both(&apns, &moved, 20);
    assert_eq!((push().await, push().await), (Ok(1), Ok(1)));
    assert_eq!(apns.tokens_taken(), 2);
}

#[tokio::test]
async fn jwt_that_is_new_too_soon_is_replaced_by_the_one_before_for_all() {
    let (apns, moved) = apns_at_minute(28).await;
    let sender = || Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    let senders = [sender(), sender()];
    senders[0].push(&apns_call()).await.unwrap();
    both(&apns, &moved, 3);
    for sender in &senders {
        let outcomes = parallel(sender, (0..50).map(|_| apns_call())).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(attempts(sender.push(&apns_call()).await), Ok(1));
    }
    assert_eq!(apns.tokens_taken(), 1);
    // The token is as old as it gets; then all use the next.
    for (minutes, tokens) in [(19, 1), (2, 2)] {
        both(&apns, &moved, minutes);
        for sender in &senders {
            assert_eq!(attempts(sender.push(&apns_call()).await), Ok(1));
        }
        assert_eq!(apns.tokens_taken(), tokens);
    }
}

#[tokio::test]
async fn push_after_the_clock_was_set_has_the_jwt_of_the_new_time() {
    let (apns, moved) = apns_at_minute(10).await;
    let pushers = Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    // Behind: `iat` is more than an hour old for Apple.
    moved.back(10);
    apns.advance(minute(120));
    let refused = attempts(pushers.push(&apns_call()).await).unwrap_err();
    assert!(
        refused.starts_with("ExpiredProviderToken") && refused.contains("clock"),
        "{refused}"
    );
    moved.minutes(130);
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    // Ahead: `iat` is in the future for Apple.
    moved.minutes(60);
    let refused = attempts(pushers.push(&apns_call()).await).unwrap_err();
    assert_eq!(refused, "InvalidProviderToken");
    moved.back(60);
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(apns.tokens_taken(), 1);
}

#[tokio::test]
async fn jwt_that_is_called_expired_too_early_is_kept_and_the_clock_is_suspected() {
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
    // The token before is too old to be tried instead.
    let (apns, moved) = apns_at_minute(25).await;
    apns.faults.next(Fault::apns(429, "TooManyProviderTokenUpdates"));
    let pushers = Pushers::with_clock(vec![apns_app(&apns)], &moved.clock()).unwrap();
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
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
            next: None,
        };
        let app = App {
            credentials,
            ..apns_app(&apns)
        };
        let outcome = attempts(pushers(app).push(&apns_call()).await);
        assert_eq!(outcome, Err("InvalidProviderToken".into()));
    }
}

pub fn certificate_app(apns: &Apns) -> App {
    let (cert_file, key_file) = apns.client_files();
    App {
        base_url: Some(apns.base_url()),
        ca_file: Some(apns.ca_file()),
        ..app(
            "iphone",
            Provider::Apns,
            Credentials::ApnsCertificate {
                cert_file,
                key_file,
                password_file: None,
            },
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
            password_file: None,
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

/// An app with a second signing key that Apple knows.
fn with_next_key(apns: &Apns) -> App {
    let file = apns.file("next.p8");
    std::fs::write(&file, apns.new_key("NEXTKEY123")).unwrap();
    let credentials = Credentials::ApnsToken {
        key_file: apns.key_file(),
        key_id: KEY_ID.into(),
        team_id: TEAM_ID.into(),
        next: Some(NextKey {
            key_file: file,
            key_id: "NEXTKEY123".into(),
        }),
    };
    App {
        credentials,
        ..apns_app(apns)
    }
}

#[tokio::test]
async fn next_key_takes_over_when_the_first_is_revoked_and_no_push_is_lost() {
    let apns = Apns::start().await;
    let pushers = pushers(with_next_key(&apns));
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(apns.next_push().await.key, Some(0));
    apns.revoke_old_keys();
    let outcomes = parallel(&pushers, (0..200).map(|_| apns_call())).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let taken: Vec<_> = apns
        .pushes_so_far()
        .await
        .into_iter()
        .filter_map(|push| push.key)
        .collect();
    assert_eq!(taken, vec![1; 200]);
    // Apple takes another key on another connection only.
    assert_eq!((apns.tokens_taken(), apns.server().connections()), (2, 2));
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));

    let state = &pushers.states()[0];
    assert!(state.would_wake());
    let kinds: Vec<_> = state.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::OldKey]);
    assert!(state.problems[0].reason.contains("InvalidProviderToken"));
}

#[tokio::test]
async fn probe_finds_that_the_next_key_has_to_be_used() {
    let apns = Apns::start().await;
    let pushers = pushers(with_next_key(&apns));
    apns.revoke_old_keys();
    let probes = pushers.probe().await;
    let probe = probes[0].1.as_ref().unwrap();
    assert!(probe.outcome.is_ok(), "{:?}", probe.outcome);
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
}

#[tokio::test]
async fn key_for_another_environment_is_replaced_too() {
    let apns = Apns::start().await;
    let pushers = pushers(with_next_key(&apns));
    apns.faults.next(Fault::apns(403, "BadEnvironmentKeyIdInToken"));
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
    assert_eq!(key_problems(&pushers), [ProblemKind::OldKey]);
    // The first key works again, and the probe finds it.
    pushers.probe().await;
    assert_eq!(key_problems(&pushers), []);
    while apns.next_push().await.key != Some(1) {}
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(apns.next_push().await.key, Some(0));
}

#[tokio::test]
async fn next_key_that_apple_refuses_is_reported_before_it_is_needed() {
    let apns = Apns::start().await;
    let mut app = with_next_key(&apns);
    std::fs::write(apns.file("next.p8"), super::support::other_key()).unwrap();
    let refused = pushers(app.clone());
    refused.probe().await;
    assert_eq!(key_problems(&refused), [ProblemKind::NextKey]);
    assert_eq!(attempts(refused.push(&apns_call()).await), Ok(1));

    app = with_next_key(&apns);
    let good = pushers(app);
    good.probe().await;
    assert_eq!(key_problems(&good), []);
}

#[tokio::test]
async fn two_refused_keys_are_an_error_after_one_try_with_each() {
    let (apns, moved) = (Apns::start().await, MovedClock::default());
    let app = with_next_key(&apns);
    apns.new_key("THIRDKEY12");
    apns.revoke_old_keys();
    let pushers = Pushers::with_clock(vec![app], &moved.clock()).unwrap();
    for (minutes, tries) in [(0, 2), (0, 1), (2, 2), (0, 1), (2, 2)] {
        moved.minutes(minutes);
        let outcome = attempts(pushers.push(&apns_call()).await);
        assert_eq!(outcome, Err("InvalidProviderToken, for both keys".into()));
        assert_eq!(apns.pushes_so_far().await.len(), tries);
    }
    moved.minutes(2);
    let probes = pushers.probe().await;
    let outcome = &probes[0].1.as_ref().unwrap().outcome;
    assert!(matches!(outcome, Err(PushError::Misconfigured { .. })), "{outcome:?}");
    assert_eq!(key_problems(&pushers), []);
}

/// The problems of an app's keys.
fn key_problems(pushers: &Pushers) -> Vec<ProblemKind> {
    let states = pushers.states();
    let kinds = states[0].problems.iter().map(|problem| problem.kind);
    kinds
        .filter(|kind| matches!(kind, ProblemKind::OldKey | ProblemKind::NextKey))
        .collect()
}

#[tokio::test]
async fn daemons_share_the_tokens_of_both_keys() {
    let apns = Apns::start().await;
    let app = with_next_key(&apns);
    let daemon = pushers(app.clone());
    daemon.push(&apns_call()).await.unwrap();
    apns.revoke_old_keys();
    daemon.push(&apns_call()).await.unwrap();
    // Apple takes one new token of a key in 20 minutes.
    assert!(pushers(app).push(&apns_call()).await.is_ok());
    assert_eq!(apns.tokens_taken(), 2);
}
