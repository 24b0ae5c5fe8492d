//! Settings refused at start, and which app serves which phone.

use std::path::PathBuf;

use fswake::push::app::{App, Credentials, PayloadStyle};
use fswake::push::{PushError, Pushers};
use fswake::types::Provider;
use fswake_test_support::apns::{Apns, KEY_ID, TEAM_ID};
use fswake_test_support::fcm::Fcm;

use super::support::{apns_app, apns_call, app, fcm_app, fcm_call};

fn refused(app: App) -> String {
    Pushers::new(vec![app]).unwrap_err().to_string()
}

#[tokio::test]
async fn bad_credential_files_are_named_with_app_and_problem_and_never_quoted() {
    let (apns, fcm) = (Apns::start().await, Fcm::start().await);
    let bad = apns.file("bad");
    std::fs::write(
        &bad,
        "-----BEGIN PRIVATE KEY-----\nU0VDUkVU\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let account = fcm.file("bad.json");
    std::fs::write(
        &account,
        r#"{"project_id":"SECRET","private_key":"SECRET","client_email":7}"#,
    )
    .unwrap();
    let apns_with = |credentials| App {
        credentials,
        ..apns_app(&apns)
    };
    let key = |file: PathBuf, id: &str| Credentials::ApnsToken {
        key_file: file,
        key_id: id.into(),
        team_id: TEAM_ID.into(),
        next: None,
    };
    let cases = [
        (
            refused(apns_with(key("/nowhere.p8".into(), KEY_ID))),
            "/nowhere.p8: no such file",
        ),
        (refused(apns_with(key(bad.clone(), KEY_ID))), "not a .p8 signing key"),
        (
            refused(apns_with(key(fcm.service_account_file(), KEY_ID))),
            "not a .p8 signing key",
        ),
        (
            refused(apns_with(key(apns.key_file(), "short"))),
            "10 letters and digits",
        ),
        (
            refused(apns_with(Credentials::ApnsCertificate {
                cert_file: bad.clone(),
                key_file: bad.clone(),
                password_file: None,
            })),
            "not a PEM certificate",
        ),
        (
            refused(App {
                ca_file: Some(bad.clone()),
                ..apns_app(&apns)
            }),
            "bad",
        ),
        (
            refused(App {
                credentials: Credentials::FcmServiceAccount { file: account },
                ..fcm_app(&fcm)
            }),
            "not a service account key",
        ),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "{text}");
        assert!(
            text.starts_with("app iphone: ") || text.starts_with("app android: "),
            "{text}"
        );
        assert!(!text.contains("SECRET") && !text.contains("U0VDUkVU"), "{text}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_start() {
    let (apns, fcm) = (Apns::start().await, Fcm::start().await);
    let cases = [
        (
            App {
                base_url: Some("http://localhost:1".into()),
                ..apns_app(&apns)
            },
            "https",
        ),
        (
            App {
                proxy: Some("not a url".to_owned().into()),
                ..apns_app(&apns)
            },
            "proxy",
        ),
        (
            App {
                payload: PayloadStyle::Template(r#"{"a":"${nothing}"}"#.into()),
                ..apns_app(&apns)
            },
            "${nothing}",
        ),
        (
            App {
                payload: PayloadStyle::Template(r#"{"from":"x"}"#.into()),
                ..fcm_app(&fcm)
            },
            "reserve",
        ),
        (
            App {
                credentials: fcm_app(&fcm).credentials,
                ..apns_app(&apns)
            },
            "apns needs",
        ),
        (
            App {
                provider: Provider::WebPush,
                ..fcm_app(&fcm)
            },
            "webpush needs a VAPID key",
        ),
        (
            App {
                provider: Provider::Other("acme".into()),
                ..fcm_app(&fcm)
            },
            "provider acme is not one of",
        ),
    ];
    for (app, expected) in cases {
        let text = refused(app);
        assert!(text.contains(expected), "{text}");
    }
    let twice = Pushers::new(vec![apns_app(&apns), apns_app(&apns)]).unwrap_err();
    assert!(twice.to_string().contains("duplicate app name"), "{twice}");
}

#[tokio::test]
async fn without_apps_every_push_is_logged_and_accepted() {
    let pushers = Pushers::new(Vec::new()).unwrap();
    pushers.warm().await;
    for request in [apns_call(), fcm_call()] {
        assert_eq!(pushers.serves(&request.to, "anywhere").as_deref(), Some("log"));
        assert_eq!(pushers.push(&request).await.unwrap().status, 0);
    }
}

#[tokio::test]
async fn first_app_that_matches_provider_app_id_and_domain_serves() {
    let of = |name: &str, app_id: &str, domain: &str| App {
        app_ids: vec![app_id.into()],
        domains: vec![domain.into()],
        ..app(name, Provider::Apns, Credentials::Log)
    };
    let pushers = Pushers::new(vec![
        of("a", "com.example.phone", "a.example"),
        of("b", "com.example.phone", "b.example"),
    ])
    .unwrap();
    let request = apns_call();
    assert_eq!(pushers.serves(&request.to, "A.example").as_deref(), Some("a"));
    assert_eq!(pushers.serves(&request.to, "b.example").as_deref(), Some("b"));
    assert_eq!(pushers.serves(&request.to, "c.example"), None);
    assert_eq!(pushers.serves(&fcm_call().to, "a.example"), None);
    let outcome = pushers.push(&request).await;
    assert!(
        matches!(&outcome, Err(error @ PushError::NoApp { .. }) if error.to_string().contains("com.example.phone")),
        "{outcome:?}"
    );
}
