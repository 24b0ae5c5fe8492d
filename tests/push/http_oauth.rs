//! Gateways that want an access token of OAuth 2.0 (RFC 6749 section 4.4), and secrets in a form.

use std::path::Path;

use fswake::push::app::Credentials;
use fswake::push::app::{App, HttpAuth, HttpProfile, HttpProfiles};
use fswake::push::template::{BodyTemplate, HeaderTemplate, JSON, UrlTemplate};
use fswake::push::{About, NotificationPurpose, NotificationPush, Payload, PushRequest, Pushers};
use fswake::types::{NotificationId, Provider, TokenType};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::vendors::{APP_ID, APP_KEY, KNOWN, SECRET, Vendor, VendorService};

use super::support::{apns_call, app, attempts, call, gateway_app, http_profile, parallel, pushers};

/// A profile for a service that wants tokens, with the client's secret in a file.
fn profile(honor: &VendorService, secret_file: &Path) -> HttpProfile {
    let body = r#"{"token": ["${token}"], "data": "${payload}", "android": {"ttl": "${ttl}s"}}"#;
    HttpProfile {
        url: UrlTemplate::parse(&format!("{}/api/v1/{APP_ID}/sendMessage", honor.url())).unwrap(),
        headers: vec![HeaderTemplate::parse("timestamp", "${now}000").unwrap()],
        body: Some(BodyTemplate::parse(JSON, Some(body)).unwrap()),
        content_type: JSON.into(),
        auth: HttpAuth::OAuth {
            client_id: APP_KEY.into(),
            secret_file: secret_file.to_owned(),
            token_url: format!("{}/auth/token", honor.url()),
        },
        connect_timeout: std::time::Duration::from_secs(3),
        timeout: std::time::Duration::from_secs(3),
        insecure: false,
        refused_when: Vec::new(),
    }
}

/// An app with both profiles.
fn with_both(name: &str, honor: &VendorService, secret_file: &Path) -> App {
    let profiles = HttpProfiles {
        voip: Some(profile(honor, secret_file)),
        im: Some(profile(honor, secret_file)),
        ..HttpProfiles::default()
    };
    App {
        providers: vec![Provider::from_name(name)],
        ca_file: Some(honor.ca_file()),
        ..app(
            name,
            Provider::Other("http".into()),
            Credentials::Http(Box::new(profiles)),
        )
    }
}

fn message(provider: &str) -> PushRequest {
    PushRequest {
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type: TokenType::Im,
            payload: Payload::parse(r#"{"body":"Hello"}"#).unwrap().into(),
        }),
        ..call(Provider::from_name(provider), KNOWN)
    }
}

#[tokio::test]
async fn one_client_has_one_access_token_for_all_its_profiles_and_apps() {
    let (honor, dir) = (VendorService::start(Vendor::Honor).await, tempfile::tempdir().unwrap());
    let file = dir.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let pushers = Pushers::new(vec![with_both("one", &honor, &file), with_both("two", &honor, &file)]).unwrap();
    let requests = (0..20).map(|n| match n % 4 {
        0 => call(Provider::from_name("one"), KNOWN),
        1 => call(Provider::from_name("two"), KNOWN),
        2 => message("one"),
        _ => message("two"),
    });
    for outcome in parallel(&pushers, requests).await {
        assert_eq!(attempts(outcome), Ok(1));
    }
    assert_eq!(honor.token_requests(), 1);
    let asked = honor.so_far().await;
    assert_eq!(asked.len(), 20);
    assert!(asked.iter().all(|asked| asked.reason.is_empty()), "{asked:?}");
}

#[tokio::test]
async fn refused_client_is_the_operators_to_mend_and_a_new_secret_in_the_file_is_used() {
    let (honor, dir) = (VendorService::start(Vendor::Honor).await, tempfile::tempdir().unwrap());
    let file = dir.path().join("secret");
    std::fs::write(&file, "an0ther\n").unwrap();
    let pushers = pushers(with_both("one", &honor, &file));
    let request = call(Provider::from_name("one"), KNOWN);
    let refused = attempts(pushers.push(&request).await).unwrap_err();
    assert!(
        refused.starts_with("access token: 401") && refused.contains("unauthorized_client"),
        "{refused}"
    );
    assert!(!refused.contains("an0ther"), "{refused}");
    assert_eq!(honor.so_far().await.len(), 0);
    // The doctor's probe finds it too.
    let probe = pushers.probe().await.remove(0).1.unwrap();
    assert!(probe.outcome.unwrap_err().to_string().contains("unauthorized_client"));
    std::fs::write(&file, SECRET).unwrap();
    pushers.look();
    assert_eq!(attempts(pushers.push(&request).await), Ok(1));
}

#[tokio::test]
async fn secret_of_a_field_is_added_to_the_form_encoded_and_once() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let form = "application/x-www-form-urlencoded";
    std::fs::write(gateway.file("field"), "auth_token=a b&c=d/+\n").unwrap();
    for (body, expected) in [
        ("user=${user}", "user=1000&auth_token=a%20b%26c%3Dd%2F%2B"),
        ("", "auth_token=a%20b%26c%3Dd%2F%2B"),
    ] {
        let spec = HttpProfile {
            body: Some(BodyTemplate::parse(form, Some(body)).unwrap()),
            content_type: form.into(),
            auth: HttpAuth::Field(gateway.file("field")),
            ..http_profile(&gateway, "/push")
        };
        pushers(gateway_app(&gateway, spec)).push(&apns_call()).await.unwrap();
        assert_eq!(gateway.next().await.body(), expected);
    }
}
