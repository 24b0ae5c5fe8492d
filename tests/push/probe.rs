//! What the daemon learns about its providers before any call.

use std::time::{Duration, SystemTime};

use fswake::push::app::{App, Credentials};
use fswake::push::apps::status::AppState;
use fswake::push::{About, NotificationPurpose, NotificationPush, Payload, PushRequest, Pushers};
use fswake::types::{Aor, NotificationId, Provider, PushToken, TokenType, Tokens};
use fswake_test_support::apns::{self, Apns, BUNDLE_ID};
use fswake_test_support::fcm::{self, Fcm};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::http2::Fault;

use super::support::{
    MovedClock, apns_app, apns_at_minute, apns_call, app, fcm_app, fcm_call, gateway_app, http_profile, minute, pushers,
};

/// Runs the app's watcher and prober as the daemon does, until it is dropped.
struct Kept(tokio::task::JoinHandle<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn keep(pushers: &Pushers) -> Kept {
    let pushers = pushers.clone();
    Kept(tokio::spawn(async move { pushers.keep().await }))
}

fn state(pushers: &Pushers) -> AppState {
    pushers.states().remove(0)
}

/// Waits until the only app has this state.
async fn becomes(pushers: &Pushers, word: &str) -> AppState {
    let wait = async {
        while state(pushers).status.as_str() != word {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        state(pushers)
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), wait).await;
    in_time.unwrap_or_else(|_| panic!("not {word}: {:?}", state(pushers)))
}

/// Advances the clock minute by minute until something has happened.
async fn passes<T>(moved: &MovedClock, event: impl Future<Output = T>) -> T {
    tokio::pin!(event);
    loop {
        tokio::select! {
            happened = &mut event => return happened,
            () = tokio::time::sleep(Duration::from_millis(700)) => moved.minutes(1),
        }
    }
}

fn ios(apns: &Apns) -> App {
    App {
        app_ids: vec![BUNDLE_ID.into()],
        ..apns_app(apns)
    }
}

#[tokio::test]
async fn app_is_known_to_work_before_the_first_call_without_a_push() {
    let (apns, fcm) = (Apns::start().await, Fcm::start().await);
    for (pushers, is_new) in [(pushers(ios(&apns)), true), (pushers(fcm_app(&fcm)), true)] {
        assert_eq!(state(&pushers).status.as_str(), "untried");
        assert_eq!(state(&pushers).checked.is_none(), is_new);
        let _kept = keep(&pushers);
        let ok = becomes(&pushers, "ok").await;
        assert!(ok.is_ok() && ok.would_wake() && ok.checked.is_some(), "{ok:?}");
        assert_eq!((ok.last_success, ok.last_failure, ok.why), (None, None, None));
    }
    let probe = apns.next_probe().await;
    assert_eq!(
        (probe.token.as_str(), probe.reason),
        (apns::PROBE, "BadDeviceToken"),
        "nobody's token"
    );
    assert_eq!(fcm.next_probe().await.status, 200);
    assert_eq!(
        (apns.pushes_so_far().await.len(), fcm.pushes_so_far().await.len()),
        (0, 0)
    );
}

#[tokio::test]
async fn refused_key_is_known_before_the_first_call_and_its_fix_is_noticed_without_one() {
    let (apns, moved) = (Apns::start().await, MovedClock::default());
    apns.faults.token(apns::PROBE, Fault::apns(403, "InvalidProviderToken"));
    let pushers = Pushers::with_clock(vec![ios(&apns)], &moved.clock()).unwrap();
    let _kept = keep(&pushers);
    let refused = becomes(&pushers, "refused").await;
    assert_eq!(refused.problems[0].reason, "InvalidProviderToken");
    assert!(!refused.is_ok() && !refused.would_wake());
    apns.next_probe().await;
    apns.faults.mend(apns::PROBE);
    // The next attempt comes after a pause.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(state(&pushers).status.as_str(), "refused");
    assert!(passes(&moved, becomes(&pushers, "ok")).await.would_wake());
}

#[tokio::test]
async fn changed_key_is_probed_at_once_and_the_old_ones_result_does_not_count() {
    let apns = Apns::start().await;
    let pushers = pushers(ios(&apns));
    let _kept = keep(&pushers);
    becomes(&pushers, "ok").await;
    assert_eq!(apns.next_probe().await.key, Some(0));
    let other = super::support::other_key();
    std::fs::write(apns.key_file(), other).unwrap();
    let refused = becomes(&pushers, "refused").await;
    assert_eq!(refused.problems[0].reason, "InvalidProviderToken");
    assert_eq!(apns.next_probe().await.reason, "InvalidProviderToken");
    std::fs::write(apns.key_file(), apns.new_key(apns::KEY_ID)).unwrap();
    becomes(&pushers, "ok").await;
    assert_eq!(apns.next_probe().await.key, Some(1));
    assert_eq!(apns.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn wrong_topic_is_reported_and_an_unset_one_is_not_a_fault() {
    let apns = Apns::start().await;
    let wrong = App {
        app_ids: vec![BUNDLE_ID.into(), "com.example.other".into()],
        ..apns_app(&apns)
    };
    let pushers_of_wrong = pushers(wrong);
    let _kept = keep(&pushers_of_wrong);
    let rejected = becomes(&pushers_of_wrong, "rejected").await;
    assert_eq!(
        rejected.why.as_deref(),
        Some("TopicDisallowed (com.example.other.voip)")
    );
    assert!(!rejected.is_ok() && !rejected.would_wake());

    let apns = Apns::start().await;
    let unset = pushers(apns_app(&apns));
    let _kept = keep(&unset);
    let reached = async {
        while state(&unset).why.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    let unset_state = state(&unset);
    assert_eq!(unset_state.status.as_str(), "untried");
    assert!(
        unset_state.why.as_deref().unwrap().contains("the first push will tell") && unset_state.would_wake(),
        "{unset_state:?}"
    );
}

#[tokio::test]
async fn failing_provider_is_probed_again_and_its_recovery_is_noticed_without_a_call() {
    let (fcm, moved) = (Fcm::start().await, MovedClock::default());
    fcm.faults
        .token(fcm::PROBE, Fault::fcm(503, "UNAVAILABLE", "UNAVAILABLE"));
    let pushers = Pushers::with_clock(vec![fcm_app(&fcm)], &moved.clock()).unwrap();
    let _kept = keep(&pushers);
    let away = becomes(&pushers, "busy").await;
    let since = away.problems[0].since;
    assert_eq!(away.why.as_deref(), Some("503 UNAVAILABLE"));
    assert!(!away.would_wake());
    fcm.next_probe().await;
    for _ in 0..3 {
        passes(&moved, fcm.next_probe()).await;
    }
    assert_eq!(
        state(&pushers).problems[0].since,
        since,
        "not the time when it first failed"
    );
    fcm.faults.mend(fcm::PROBE);
    passes(&moved, becomes(&pushers, "ok")).await;
}

#[tokio::test]
async fn answering_provider_is_busy_and_silent_one_does_not_answer() {
    let apns = Apns::start().await;
    let pushers = pushers(ios(&apns));
    let call = PushRequest {
        ttl: Duration::from_millis(300),
        ..apns_call()
    };
    for (fault, word, class) in [
        (Fault::apns(503, "ServiceUnavailable"), "busy", "provider-busy"),
        (Fault::Hang, "no-answer", "no-answer"),
        (Fault::Close, "unreachable", "unreachable"),
    ] {
        apns.faults.token(super::support::TOKEN, fault);
        let error = pushers.push(&call).await.unwrap_err();
        let known = state(&pushers);
        assert_eq!((known.status.as_str(), error.class()), (word, class), "{known:?}");
        assert!(!known.would_wake());
        apns.faults.mend(super::support::TOKEN);
        pushers.push(&apns_call()).await.unwrap();
        assert_eq!(state(&pushers).status.as_str(), "ok");
    }
}

#[tokio::test]
async fn limit_of_one_phone_does_not_change_its_apps_state() {
    let (apns, fcm) = (Apns::start().await, Fcm::start().await);
    let of_apple = || Fault::apns(429, "TooManyRequests").retry_after("60");
    let of_google = || Fault::fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED").retry_after("60");
    let apple = (pushers(ios(&apns)), apns_call(), &apns.faults, of_apple());
    let google = (pushers(fcm_app(&fcm)), fcm_call(), &fcm.faults, of_google());
    for (pushers, call, faults, fault) in [apple, google] {
        pushers.push(&call).await.unwrap();
        let limited = async |user: &str| {
            faults.next(fault.clone());
            let callee = Aor::new(user, "pbx.example");
            let error = pushers.push(&PushRequest { callee, ..call.clone() }).await.unwrap_err();
            assert_eq!(error.class(), "provider-busy");
            state(&pushers)
        };
        for user in ["a", "b", "a", "b"] {
            let known = limited(user).await;
            assert_eq!(known.status.as_str(), "ok", "{known:?}");
            assert!(known.last_failure.is_some(), "the failure is not shown");
        }
        // If it affects one phone after another, it is the project's limit.
        assert_eq!(limited("c").await.status.as_str(), "busy");
        pushers.push(&call).await.unwrap();
        assert_eq!(state(&pushers).status.as_str(), "ok");
        assert_eq!(
            limited("c").await.status.as_str(),
            "ok",
            "earlier failures were not reset"
        );
    }
}

#[tokio::test]
async fn key_used_by_another_process_keeps_its_app_busy_until_apple_accepts_it() {
    let (apns, moved) = (Apns::start().await, MovedClock::default());
    apns.faults
        .token(apns::PROBE, Fault::apns(429, "TooManyProviderTokenUpdates"));
    let pushers = Pushers::with_clock(vec![ios(&apns)], &moved.clock()).unwrap();
    let _kept = keep(&pushers);
    let busy = becomes(&pushers, "busy").await;
    assert_eq!(busy.problems[0].reason, "429 TooManyProviderTokenUpdates");
    assert!(
        !busy.is_ok() && !busy.would_wake(),
        "not busy although Apple refuses its pushes for the same reason"
    );
    apns.next_probe().await;
    passes(&moved, apns.next_probe()).await;
    apns.faults.mend(apns::PROBE);
    assert!(passes(&moved, becomes(&pushers, "ok")).await.would_wake());
}

#[tokio::test]
async fn probe_that_hangs_delays_no_push() {
    let apns = Apns::start().await;
    apns.faults.token(apns::PROBE, Fault::Hang);
    let pushers = pushers(ios(&apns));
    let _kept = keep(&pushers);
    apns.next_probe().await;
    let began = std::time::Instant::now();
    pushers.push(&apns_call()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(
        state(&pushers).status.as_str(),
        "ok",
        "the push has not cleared the state"
    );
}

#[tokio::test]
async fn probe_without_an_answer_ends() {
    let apns = Apns::start().await;
    apns.faults.token(apns::PROBE, Fault::Hang);
    let began = std::time::Instant::now();
    let probe = pushers(ios(&apns)).probe().await.remove(0).1.unwrap();
    assert_eq!(probe.outcome.unwrap_err().to_string(), "no answer in time");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn key_revoked_between_calls_is_noticed_within_the_hour() {
    let (fcm, moved) = (Fcm::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![fcm_app(&fcm)], &moved.clock()).unwrap();
    let _kept = keep(&pushers);
    becomes(&pushers, "ok").await;
    fcm.new_key("fedcba9876543210");
    fcm.revoke_old_keys();
    moved.minutes(61);
    let refused = becomes(&pushers, "refused").await;
    assert!(refused.why.unwrap().contains("invalid_grant"));
}

#[tokio::test]
async fn probe_replaces_an_access_token_that_google_revoked() {
    let (fcm, moved) = (Fcm::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![fcm_app(&fcm)], &moved.clock()).unwrap();
    pushers.push(&fcm_call()).await.unwrap();
    fcm.revoke_tokens();
    let probe = pushers.probe().await.remove(0).1.unwrap();
    assert!(probe.outcome.is_ok(), "{probe:?}");
    assert_eq!(fcm.token_requests(), 2);
}

#[tokio::test]
async fn probe_goes_on_with_the_provider_token_before_if_the_new_one_comes_too_soon() {
    let (apns, moved) = apns_at_minute(28).await;
    let pushers = Pushers::with_clock(vec![ios(&apns)], &moved.clock()).unwrap();
    pushers.push(&apns_call()).await.unwrap();
    moved.minutes(3);
    apns.advance(minute(3));
    let probe = pushers.probe().await.remove(0).1.unwrap();
    assert!(probe.outcome.is_ok(), "{probe:?}");
    assert_eq!(apns.tokens_taken(), 1);
}

#[tokio::test]
async fn probe_of_a_gateway_only_connects() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let reached = pushers(gateway_app(&gateway, http_profile(&gateway, "/push")));
    let _kept = keep(&reached);
    let wait = async {
        while state(&reached).why.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    assert_eq!(state(&reached).status.as_str(), "untried");
    assert!(state(&reached).why.unwrap().contains("whether it takes pushes"));
    assert_eq!(gateway.so_far().await.len(), 0, "a push was sent");
    let mut spec = http_profile(&gateway, "/push");
    spec.url = fswake::push::template::UrlTemplate::parse("https://127.0.0.1:1/push").unwrap();
    let away = pushers(gateway_app(&gateway, spec));
    let _kept = keep(&away);
    assert!(becomes(&away, "unreachable").await.why.unwrap().contains("refused"));
}

#[tokio::test]
async fn untrusted_server_is_not_a_fault_of_the_credentials() {
    let (apns, other) = (Apns::start().await, Apns::start().await);
    let pushers = pushers(App {
        ca_file: Some(other.ca_file()),
        ..ios(&apns)
    });
    let _kept = keep(&pushers);
    let why = becomes(&pushers, "unreachable").await.why.unwrap();
    assert!(why.contains("its certificate is not trusted"), "{why}");
    let fcm = Fcm::start().await;
    let pushers = super::support::pushers(App {
        ca_file: Some(other.ca_file()),
        ..fcm_app(&fcm)
    });
    let _kept = keep(&pushers);
    let why = becomes(&pushers, "unreachable").await.why.unwrap();
    assert!(
        why.starts_with("cannot connect to") && why.contains("its certificate is not trusted"),
        "{why}"
    );
    let refused = pushers.push(&fcm_call()).await.unwrap_err().to_string();
    assert_eq!(
        refused.matches("its certificate is not trusted").count(),
        1,
        "{refused}"
    );
}

#[tokio::test]
async fn app_that_only_logs_wakes_no_phone() {
    let pushers = pushers(app("later", Provider::Other("log".into()), Credentials::Log));
    let _kept = keep(&pushers);
    pushers.push(&apns_call()).await.unwrap();
    let state = state(&pushers);
    assert_eq!(state.status.as_str(), "only-logs");
    assert!(state.is_ok() && !state.would_wake());
}

#[tokio::test]
async fn refused_message_does_not_affect_the_state_for_calls() {
    let apns = Apns::start().await;
    let pushers = pushers(ios(&apns));
    pushers.push(&apns_call()).await.unwrap();
    let mut to = apns_call().to;
    to.tokens = Tokens::Both {
        call: to.token().clone(),
        remote: PushToken::new("bb22"),
    };
    let message = PushRequest {
        to,
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type: TokenType::Im,
            payload: std::sync::Arc::new(Payload::parse(r#"{"body":"hi"}"#).unwrap()),
        }),
        ..apns_call()
    };
    apns.faults.next(Fault::apns(400, "TopicDisallowed"));
    pushers.push(&message).await.unwrap_err();
    let after = state(&pushers);
    assert_eq!(after.status.as_str(), "ok");
    assert!(after.last_failure.is_some(), "the failure is not shown");
    // Refused calls to one callee may have that callee as their cause.
    let refused = async |user: &str| {
        apns.faults.next(Fault::apns(413, "PayloadTooLarge"));
        let callee = Aor::new(user, "pbx.example");
        pushers.push(&PushRequest { callee, ..apns_call() }).await.unwrap_err();
    };
    for user in ["a", "b", "a"] {
        refused(user).await;
    }
    assert_eq!(state(&pushers).status.as_str(), "ok");
    // Refused calls to one callee after another have the app as their cause. An accepted message does not clear that.
    refused("c").await;
    pushers.push(&message).await.unwrap();
    let rejected = state(&pushers);
    assert_eq!(rejected.status.as_str(), "rejected");
    assert!(rejected.would_wake(), "no probe could ever clear this state");
    pushers.push(&apns_call()).await.unwrap();
    assert_eq!(state(&pushers).status.as_str(), "ok");
}

#[tokio::test]
async fn probe_does_not_clear_a_fault_of_a_credential_that_it_does_not_use() {
    let (fcm, moved) = (Fcm::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![fcm_app(&fcm)], &moved.clock()).unwrap();
    let _kept = keep(&pushers);
    becomes(&pushers, "ok").await;
    fcm.next_probe().await;
    fcm.faults
        .next(Fault::fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"));
    pushers.push(&fcm_call()).await.unwrap_err();
    assert_eq!(state(&pushers).status.as_str(), "refused");
    passes(&moved, fcm.next_probe()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = state(&pushers);
    assert_eq!(refused.status.as_str(), "refused");
    assert!(
        refused.would_wake(),
        "without calls the daemon would never be ready again"
    );
    pushers.push(&fcm_call()).await.unwrap();
    assert_eq!(state(&pushers).status.as_str(), "ok");
}

#[tokio::test]
async fn expired_certificate_is_not_used_for_probes() {
    let apns = Apns::start_with_certificates().await;
    let (cert_file, key_file) = apns.client_files();
    let (cert, key) = apns.new_client(SystemTime::now() - Duration::from_secs(3_600));
    std::fs::write(&cert_file, cert).unwrap();
    std::fs::write(&key_file, key).unwrap();
    let pushers = pushers(App {
        credentials: Credentials::ApnsCertificate {
            cert_file,
            key_file,
            password_file: None,
        },
        ..ios(&apns)
    });
    let _kept = keep(&pushers);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let expired = state(&pushers);
    assert_eq!(expired.status.as_str(), "expired");
    assert!(!expired.would_wake());
    assert_eq!(expired.problems.len(), 1, "{expired:?}");
    assert_eq!(apns.server().connections(), 0);
}

#[tokio::test]
async fn apps_of_a_large_site_do_not_probe_all_at_once() {
    let apns = Apns::start().await;
    let answer = Duration::from_millis(1_500);
    apns.faults.token(apns::PROBE, Fault::Delay(answer));
    let apps = (0..40).map(|n| App {
        name: format!("brand-{n}"),
        domains: vec![format!("{n}.example")],
        ..ios(&apns)
    });
    let pushers = Pushers::new(apps.collect()).unwrap();
    let _kept = keep(&pushers);
    apns.next_probe().await;
    let mut at_once = 1;
    let first = tokio::time::Instant::now() + answer;
    while tokio::time::timeout_at(first, apns.next_probe()).await.is_ok() {
        at_once += 1;
    }
    assert!((8..=16).contains(&at_once), "{at_once} at once");
    let all_well = async {
        while !pushers.states().iter().all(|state| state.status.as_str() == "ok") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_well).await.unwrap();
}
