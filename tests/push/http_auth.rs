//! Authentication with a gateway, and the files with secrets.

use std::path::PathBuf;

use fswake::push::app::{HttpAuth, HttpProfile};
use fswake_test_support::gateway::{Gateway, Over, Wants};

use super::support::{apns_call, attempts, gateway_app, http_profile, parallel, pushers};

/// An app's settings for authentication.
type Authentication = fn(&Gateway) -> HttpAuth;

/// The same with another file.
type InFile = fn(PathBuf) -> HttpAuth;

#[tokio::test]
async fn each_kind_of_authentication_is_one_that_the_server_takes() {
    let kinds: [(Wants, Authentication, usize); 9] = [
        (Wants::Bearer, |g| HttpAuth::Bearer(g.file("bearer")), 0),
        (Wants::Basic, |g| HttpAuth::Basic(g.file("user")), 0),
        (Wants::ApiKey, |g| HttpAuth::Header(g.file("key")), 0),
        (Wants::Digest("MD5", true), |g| HttpAuth::Digest(g.file("user")), 1),
        (Wants::Digest("SHA-256", true), |g| HttpAuth::Digest(g.file("user")), 1),
        (Wants::Digest("MD5-sess", true), |g| HttpAuth::Digest(g.file("user")), 1),
        (
            Wants::Digest("SHA-256-sess", true),
            |g| HttpAuth::Digest(g.file("user")),
            1,
        ),
        (Wants::Digest("MD5", false), |g| HttpAuth::Digest(g.file("user")), 1),
        (Wants::Digest("SHA-256", false), |g| HttpAuth::Digest(g.file("user")), 1),
    ];
    for over in [Over::Plain, Over::Http1, Over::Http2] {
        for (wants, auth, challenges) in kinds {
            let gateway = Gateway::start(over, wants).await;
            let spec = HttpProfile {
                auth: auth(&gateway),
                ..http_profile(&gateway, "/${type}/push?who=${cid_name}")
            };
            let pushers = pushers(gateway_app(&gateway, spec));
            for _ in 0..3 {
                pushers.push(&apns_call()).await.unwrap();
            }
            let statuses: Vec<_> = gateway.so_far().await.iter().map(|asked| asked.status).collect();
            let expected = [vec![401; challenges], vec![200; 3]].concat();
            assert_eq!(statuses, expected, "{over:?} {wants:?}");
            // With a wrong secret or none the operator must act, so the push ends at once.
            let spec = http_profile(&gateway, "/push");
            let outcome = super::support::pushers(gateway_app(&gateway, spec))
                .push(&apns_call())
                .await;
            assert_eq!(outcome.unwrap_err().to_string(), "401 Unauthorized", "{wants:?}");
        }
    }
}

#[tokio::test]
async fn forgotten_nonce_costs_one_more_request_and_a_wrong_password_two() {
    let gateway = Gateway::start(Over::Http2, Wants::Digest("SHA-256", true)).await;
    let spec = |file: &str| HttpProfile {
        auth: HttpAuth::Digest(gateway.file(file)),
        ..http_profile(&gateway, "/push")
    };
    let right = pushers(gateway_app(&gateway, spec("user")));
    right.push(&apns_call()).await.unwrap();
    gateway.forget_nonces();
    assert_eq!(attempts(right.push(&apns_call()).await), Ok(2));
    // Concurrent pushes share the nonce that one of them got, and none fails.
    gateway.forget_nonces();
    let outcomes = parallel(&right, std::iter::repeat_n(apns_call(), 20)).await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    std::fs::write(gateway.file("wrong"), "wake@example.org:no\n").unwrap();
    gateway.so_far().await;
    let outcome = pushers(gateway_app(&gateway, spec("wrong"))).push(&apns_call()).await;
    assert_eq!(outcome.unwrap_err().to_string(), "401 Unauthorized");
    assert_eq!(gateway.so_far().await.len(), 3);
}

#[tokio::test]
async fn unusable_files_are_named_and_never_quoted() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let file = gateway.file("bad");
    let cases: [(InFile, &str, &str); 9] = [
        (HttpAuth::Bearer, "", "must hold one line of text: it is empty"),
        (
            HttpAuth::Bearer,
            "SECRET\nSECRET",
            "must hold one line of text: line 2 is a second one",
        ),
        (
            HttpAuth::Bearer,
            "SECR\u{7f}ET",
            "must hold one line of text: it has a control character",
        ),
        (HttpAuth::Basic, "SECRET", "must hold one line, user:password"),
        (HttpAuth::Digest, ":SECRET", "must hold one line, user:password"),
        (HttpAuth::Header, "SECRET", "must hold one line, Name: value"),
        (HttpAuth::Header, "a b: SECRET", "names a header that cannot be set"),
        (
            HttpAuth::Header,
            "Content-Length: 5",
            "names a header that cannot be set",
        ),
        (HttpAuth::Header, "Host: SECRET", "names a header that cannot be set"),
    ];
    for (kind, text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let spec = HttpProfile {
            auth: kind(file.clone()),
            ..http_profile(&gateway, "/")
        };
        let error = fswake::push::Pushers::new(vec![gateway_app(&gateway, spec)])
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("app gateway: {}: {expected}", file.display()));
    }
}

#[tokio::test]
async fn new_secret_in_the_file_is_used_for_the_next_push() {
    let gateway = Gateway::start(Over::Http1, Wants::Bearer).await;
    let file = gateway.file("token");
    std::fs::write(&file, "old\n").unwrap();
    let spec = HttpProfile {
        auth: HttpAuth::Bearer(file.clone()),
        ..http_profile(&gateway, "/push")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    assert!(pushers.push(&apns_call()).await.is_err());
    std::fs::copy(gateway.file("bearer"), &file).unwrap();
    pushers.look();
    pushers.push(&apns_call()).await.unwrap();
}
