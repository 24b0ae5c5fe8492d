//! Credentials that change while pushes go on, and the state of an app.

use std::path::Path;
use std::time::{Duration, SystemTime};

use fswake::push::app::{App, Credentials, ProxySettings};
use fswake::push::apps::status::{AppState, ProblemKind};
use fswake::push::{AppChanges, PushRequest, Pushers};
use fswake::types::Provider;
use fswake_test_support::apns::{Apns, KEY_ID, TEAM_ID};
use fswake_test_support::fcm::Fcm;
use fswake_test_support::http2::Fault;
use fswake_test_support::proxy::Proxy;

use super::support::{MovedClock, TOKEN, apns_app, apns_call, app, attempts, fcm_app, fcm_call, pushers};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Replaces a file atomically, as careful programs do.
fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn state(pushers: &Pushers) -> AppState {
    let mut states = pushers.states();
    assert_eq!(states.len(), 1);
    states.remove(0)
}

fn problem(pushers: &Pushers) -> Option<ProblemKind> {
    state(pushers).problems.first().map(|p| p.kind)
}

fn certificate_app(apns: &Apns) -> App {
    let (cert_file, key_file) = apns.client_files();
    let credentials = Credentials::ApnsCertificate {
        cert_file,
        key_file,
        password_file: None,
    };
    App {
        base_url: Some(apns.base_url()),
        ca_file: Some(apns.ca_file()),
        ..app("iphone", Provider::Apns, credentials)
    }
}

#[tokio::test]
async fn new_key_signs_the_next_push_and_one_in_progress_ends_with_the_old() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    apns.faults.next(Fault::Delay(Duration::from_millis(300)));
    let under_way = tokio::spawn({
        let pushers = pushers.clone();
        async move { pushers.push(&apns_call()).await }
    });
    assert_eq!(apns.next_push().await.key, Some(0));
    replace(&apns.key_file(), &apns.new_key(KEY_ID));
    pushers.look();
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(apns.next_push().await.key, Some(1));
    assert_eq!(attempts(under_way.await.unwrap()), Ok(1));
    assert!(state(&pushers).is_ok());
}

#[tokio::test]
async fn push_refused_with_the_old_key_goes_out_with_the_new_one() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    let held = Fault::apns(503, "ServiceUnavailable").retry_after("1");
    apns.faults.next(held);
    let under_way = tokio::spawn({
        let pushers = pushers.clone();
        async move { pushers.push(&apns_call()).await }
    });
    assert_eq!(apns.next_push().await.key, Some(0));
    replace(&apns.key_file(), &apns.new_key(KEY_ID));
    apns.revoke_old_keys();
    pushers.look();
    assert!(under_way.await.unwrap().is_ok());
    assert_eq!(apns.next_push().await.reason, "InvalidProviderToken");
    assert_eq!(apns.next_push().await.key, Some(1));
    assert!(
        state(&pushers).is_ok(),
        "the refusal of the old key counts against the new one"
    );
}

#[tokio::test]
async fn broken_new_key_keeps_the_old_in_use_and_is_reported_until_it_is_fixed() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    let good = std::fs::read_to_string(apns.key_file()).unwrap();
    replace(&apns.key_file(), "-----BEGIN PRIVATE KEY-----\nsesame\n");
    pushers.look();
    assert_eq!(
        problem(&pushers),
        None,
        "reported at once although the file may be half written"
    );
    pushers.look();
    assert_eq!(problem(&pushers), Some(ProblemKind::BrokenFile));
    let said = state(&pushers).problems.remove(0).reason;
    let file = apns.key_file().display().to_string();
    assert!(said.contains(&file) && !said.contains("sesame"), "{said}");
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(
        problem(&pushers),
        Some(ProblemKind::BrokenFile),
        "a push with the old key cleared the problem of the file"
    );
    std::fs::remove_file(apns.key_file()).unwrap();
    for _ in 0..2 {
        pushers.look();
    }
    assert!(state(&pushers).problems[0].reason.contains("no such file"));
    replace(&apns.key_file(), &good);
    pushers.look();
    assert_eq!(problem(&pushers), None);
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(apns.tokens_taken(), 1);
}

/// Replaces a file by something else.
type Become = fn(&Path);

/// Checks the file as the daemon does. This must not take long, whatever the file has become.
fn look_twice(pushers: &Pushers) {
    let (pushers, runtime) = (pushers.clone(), tokio::runtime::Handle::current());
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _entered = runtime.enter();
        pushers.look();
        pushers.look();
        let _ = done.send(());
    });
    is_done
        .recv_timeout(Duration::from_secs(10))
        .expect("the check waits for the file");
}

#[tokio::test]
async fn key_replaced_by_a_fifo_directory_device_or_endless_file_does_not_block() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    let file = apns.key_file();
    let good = std::fs::read_to_string(&file).unwrap();
    let make: [(&str, Become); 4] = [
        ("not a regular file", |file| {
            let made = std::process::Command::new("mkfifo").arg(file).status();
            assert!(made.unwrap().success());
        }),
        ("not a regular file", |file| std::fs::create_dir(file).unwrap()),
        ("not a regular file", |file| {
            std::os::unix::fs::symlink("/dev/zero", file).unwrap();
        }),
        ("longer than 4 MiB", |file| {
            let huge = std::fs::File::create(file).unwrap();
            huge.set_len(1 << 40).unwrap();
        }),
    ];
    for (says, make) in make {
        std::fs::remove_file(&file)
            .or_else(|_| std::fs::remove_dir(&file))
            .unwrap();
        make(&file);
        look_twice(&pushers);
        let problem = state(&pushers).problems.remove(0);
        assert_eq!(problem.kind, ProblemKind::BrokenFile);
        assert!(problem.reason.contains(says), "{}", problem.reason);
        assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    }
    std::fs::remove_file(&file).unwrap();
    replace(&file, &good);
    look_twice(&pushers);
    assert_eq!(problem(&pushers), None);
}

#[tokio::test]
async fn certificate_and_key_replaced_one_after_the_other_are_used_once_both_match() {
    let apns = Apns::start_with_certificates().await;
    let pushers = pushers(certificate_app(&apns));
    pushers.push(&apns_call()).await.unwrap();
    let (cert_file, key_file) = apns.client_files();
    let (cert, key) = apns.new_client(SystemTime::now() + 200 * DAY + HOUR);
    replace(&cert_file, &cert);
    pushers.look();
    assert_eq!(
        state(&pushers).days_left.map(|days| days > 10_000),
        Some(true),
        "not the old certificate"
    );
    replace(&key_file, &key);
    pushers.look();
    assert!(state(&pushers).is_ok());
    assert_eq!(state(&pushers).days_left, Some(200));
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    let (first, second) = (apns.next_push().await, apns.next_push().await);
    assert_ne!(first.request.connection, second.request.connection);
}

#[tokio::test]
async fn app_is_ok_only_once_its_provider_has_answered() {
    let apns = Apns::start().await;
    let status = |pushers: &Pushers| state(pushers).status.as_str();
    let ready = pushers(apns_app(&apns));
    assert_eq!(status(&ready), "untried");
    ready.warm().await;
    assert_eq!(status(&ready), "untried");
    apns.faults.next(Fault::apns(400, "TopicDisallowed"));
    ready.push(&apns_call()).await.unwrap_err();
    assert_eq!(
        (status(&ready), state(&ready).why.as_deref()),
        ("rejected", Some("TopicDisallowed"))
    );
    assert!(!state(&ready).is_ok());
    ready.push(&apns_call()).await.unwrap();
    assert_eq!((status(&ready), state(&ready).why), ("ok", None));
    // A token that is gone does not concern the app.
    apns.faults.next(Fault::gone("Unregistered", 4_000_000_000_000));
    ready.push(&apns_call()).await.unwrap_err();
    assert_eq!(status(&ready), "ok");
    let away = pushers(App {
        base_url: Some("https://127.0.0.1:1".into()),
        ..apns_app(&apns)
    });
    away.warm().await;
    assert_eq!(status(&away), "unreachable");
    assert!(state(&away).why.unwrap().contains("connection refused"));
}

#[tokio::test]
async fn remaining_days_are_counted_and_an_expired_certificate_is_a_problem() {
    let (apns, moved) = (Apns::start_with_certificates().await, MovedClock::default());
    let (cert_file, key_file) = apns.client_files();
    let (cert, key) = apns.new_client(SystemTime::now() + 2 * DAY + HOUR);
    std::fs::write(cert_file, cert).unwrap();
    std::fs::write(key_file, key).unwrap();
    let pushers = Pushers::with_clock(vec![certificate_app(&apns)], &moved.clock()).unwrap();
    assert_eq!((state(&pushers).days_left, problem(&pushers)), (Some(2), None));
    pushers.push(&apns_call()).await.unwrap();
    moved.minutes((2 * 24 + 2) * 60);
    assert_eq!(
        (state(&pushers).days_left, problem(&pushers)),
        (Some(-1), Some(ProblemKind::Expired))
    );
    // Nothing is sent with it, and the problem is logged once.
    assert_eq!(apns.pushes_so_far().await.len(), 1);
    let refused = pushers.push(&apns_call()).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("CertificateExpired: the certificate expired on "),
        "{refused}"
    );
    pushers.warm().await;
    let probe = pushers.probe().await.remove(0).1.unwrap();
    assert!(probe.outcome.unwrap_err().to_string().contains("CertificateExpired"));
    assert_eq!(apns.pushes_so_far().await.len(), 0);
    let kinds: Vec<_> = state(&pushers).problems.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [ProblemKind::Expired]);
}

#[tokio::test]
async fn new_login_at_the_proxy_is_used_for_the_access_token_too() {
    let (fcm, proxy) = (Fcm::start().await, Proxy::start_for("fswake:new").await);
    let dir = tempfile::tempdir().unwrap();
    let login = dir.path().join("login");
    std::fs::write(&login, "fswake:old").unwrap();
    let pushers = pushers(App {
        proxy: Some(ProxySettings {
            url: proxy.url(),
            auth_file: Some(login.clone()),
        }),
        ..fcm_app(&fcm)
    });
    let soon = PushRequest {
        ttl: Duration::from_millis(500),
        ..fcm_call()
    };
    assert!(pushers.push(&soon).await.is_err());
    replace(&login, "fswake:new");
    pushers.look();
    assert_eq!(attempts(pushers.push(&fcm_call()).await), Ok(1));
    assert_eq!(proxy.tunnels(), 2, "for the token, and for the push");
}

#[tokio::test]
async fn new_service_account_key_gets_the_next_access_token() {
    let fcm = Fcm::start().await;
    let pushers = pushers(fcm_app(&fcm));
    pushers.push(&fcm_call()).await.unwrap();
    replace(&fcm.service_account_file(), &fcm.new_key("fedcba9876543210"));
    fcm.revoke_old_keys();
    pushers.look();
    assert_eq!(attempts(pushers.push(&fcm_call()).await), Ok(1));
    assert!(state(&pushers).is_ok());
    assert_eq!(fcm.tokens_given().len(), 2);
}

#[tokio::test]
async fn refused_credentials_are_a_problem_until_a_push_is_accepted() {
    let fcm = Fcm::start().await;
    for fault in [
        Fault::apns(403, "InvalidProviderToken"),
        Fault::apns(403, "ExpiredProviderToken"),
        Fault::apns(403, "BadCertificate"),
    ] {
        let apns = Apns::start().await;
        let pushers = pushers(apns_app(&apns));
        apns.faults.next(fault);
        assert!(pushers.push(&apns_call()).await.is_err());
        let refused = state(&pushers);
        assert_eq!(refused.problems[0].kind, ProblemKind::Refused);
        assert_eq!(refused.last_failure.map(|f| f.class), Some("misconfigured"));
        assert_eq!(refused.last_success, None);
        pushers.push(&apns_call()).await.unwrap();
        assert!(state(&pushers).is_ok() && state(&pushers).last_success.is_some());
    }
    for fault in [
        Fault::fcm(403, "PERMISSION_DENIED", "PERMISSION_DENIED"),
        Fault::fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
    ] {
        let pushers = pushers(fcm_app(&fcm));
        fcm.faults.next(fault);
        assert!(pushers.push(&fcm_call()).await.is_err());
        assert_eq!(problem(&pushers), Some(ProblemKind::Refused));
    }
    // A problem of one token does not concern the app.
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    apns.faults.next(Fault::apns(400, "BadDeviceToken"));
    assert!(pushers.push(&apns_call()).await.is_err());
    assert!(state(&pushers).is_ok());
    assert_eq!(state(&pushers).last_failure.map(|f| f.class), Some("token-bad"));
}

#[tokio::test]
async fn unknown_service_account_is_noticed_before_the_first_call() {
    let fcm = Fcm::start().await;
    fcm.new_key("fedcba9876543210");
    fcm.revoke_old_keys();
    let pushers = pushers(fcm_app(&fcm));
    pushers.warm().await;
    let refused = state(&pushers).problems.remove(0);
    assert_eq!(refused.kind, ProblemKind::Refused);
    assert!(refused.reason.contains("invalid_grant"), "{}", refused.reason);
}

#[tokio::test]
async fn unchanged_apps_keep_connection_and_token_at_a_reload_and_a_bad_one_changes_nothing() {
    let apns = Apns::start().await;
    let named = |name: &str, domain: &str| App {
        name: name.into(),
        domains: vec![domain.into()],
        ..apns_app(&apns)
    };
    let pushers = Pushers::new(vec![named("a", "a.example"), named("b", "b.example")]).unwrap();
    let to = |domain: &str| PushRequest {
        domain: domain.into(),
        ..apns_call()
    };
    pushers.push(&to("a.example")).await.unwrap();
    let broken = App {
        credentials: Credentials::ApnsToken {
            key_file: "/nowhere.p8".into(),
            key_id: KEY_ID.into(),
            team_id: TEAM_ID.into(),
            next: None,
        },
        ..named("c", "c.example")
    };
    let refused = pushers.reload(vec![named("d", "d.example"), broken]).unwrap_err();
    assert!(refused.to_string().contains("app c"), "{refused}");
    assert_eq!(pushers.names().len(), 2);
    let reloaded = pushers.reload(vec![
        named("a", "a.example"),
        named("b", "x.example"),
        named("e", "e.example"),
    ]);
    let expected = AppChanges {
        added: vec!["e".into()],
        removed: vec![],
        changed: vec!["b".into()],
    };
    assert_eq!(reloaded.unwrap(), expected);
    for domain in ["a.example", "x.example", "e.example"] {
        pushers.push(&to(domain)).await.unwrap();
    }
    assert!(pushers.push(&to("b.example")).await.is_err());
    let used: Vec<_> = apns
        .pushes_so_far()
        .await
        .iter()
        .map(|p| p.request.connection)
        .collect();
    assert_eq!(used[0], used[1], "app a did not keep its connection");
    assert_eq!(apns.tokens_taken(), 1, "more than one token for one key");
}

/// Race: a reload begins, and a key that changes meanwhile is in use before the reload has read all of its files. If
/// the reload used the old state of the apps, it would restore the old key.
#[tokio::test(flavor = "multi_thread")]
async fn key_that_changes_during_a_reload_is_not_undone_by_it() {
    let apns = Apns::start().await;
    let pushers = pushers(apns_app(&apns));
    // Parsing the configuration takes longer than a check of the files.
    let authorities = apns.file("many-authorities.pem");
    let one = std::fs::read_to_string(apns.ca_file()).unwrap();
    std::fs::write(&authorities, one.repeat((3 << 20) / one.len())).unwrap();
    let slow = App {
        name: "slow".into(),
        ca_file: Some(authorities),
        ..apns_app(&apns)
    };
    let (reading, apps) = (pushers.clone(), vec![apns_app(&apns), slow]);
    let reload = tokio::task::spawn_blocking(move || reading.reload(apps));
    // The reload takes about 300 ms.
    tokio::time::sleep(Duration::from_millis(20)).await;
    replace(&apns.key_file(), &apns.new_key(KEY_ID));
    let looking = pushers.clone();
    tokio::task::spawn_blocking(move || looking.look()).await.unwrap();
    assert_eq!(reload.await.unwrap().unwrap().added, ["slow".into()]);
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(1));
    assert_eq!(apns.next_push().await.key, Some(1));
}

/// A relative check without a clock: all of one tenant's pushes end before any of the other's.
#[tokio::test]
async fn hanging_provider_and_refused_credentials_do_not_delay_other_tenants() {
    let (hanging, refusing, good) = (Apns::start().await, Apns::start().await, Apns::start().await);
    let tenant = |name: &str, apns: &Apns| App {
        name: name.into(),
        tenant: Some(name.into()),
        domains: vec![format!("{name}.example")],
        ..apns_app(apns)
    };
    let apps = vec![
        tenant("hanging", &hanging),
        tenant("refusing", &refusing),
        tenant("good", &good),
    ];
    let pushers = Pushers::new(apps).unwrap();
    pushers.warm().await;
    let to = |name: &str| PushRequest {
        domain: format!("{name}.example").into(),
        ..apns_call()
    };
    // More pushes than may be in progress at once, and with plenty of time.
    let waiting = 1_100;
    let patient = PushRequest {
        ttl: Duration::from_secs(3_600),
        ..to("hanging")
    };
    let mut stuck = tokio::task::JoinSet::new();
    hanging.faults.token(TOKEN, Fault::Hang);
    refusing.faults.token(TOKEN, Fault::apns(403, "InvalidProviderToken"));
    for _ in 0..waiting {
        let (all, request) = (pushers.clone(), patient.clone());
        stuck.spawn(async move { all.push(&request).await });
    }
    for _ in 0..50 {
        assert!(pushers.push(&to("refusing")).await.is_err());
    }
    hanging.next_push().await;
    for _ in 0..50 {
        let outcome = pushers.push(&to("good")).await;
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(
            stuck.try_join_next().is_none(),
            "a push that hangs ended before another tenant's"
        );
    }
    let states = pushers.states();
    assert_eq!(states[1].problems[0].kind, ProblemKind::Refused);
    assert!(states[2].is_ok());
    assert_eq!(states[2].tenant.as_deref(), Some("good"));
}
