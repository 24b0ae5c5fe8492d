//! Access to the HTTP interface.

use fswake_test_support::freeswitch::*;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::*;
use crate::site::Site;

const TOKEN: &str = "correct-horse-battery-staple";

async fn status(site: &Site, method: Method, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = site.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn public_address_is_refused_at_start_without_a_token() {
    let mut stage = Stage::new().await;
    stage.set("http.addresses", vec!["0.0.0.0:0"]);
    let output = soon("exit", stage.command().output()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    assert!(
        stderr.contains("http.addresses") && stderr.contains("token-file"),
        "{stderr}"
    );
}

#[tokio::test]
async fn with_a_token_requests_without_it_are_refused_and_it_is_never_logged() {
    let mut stage = Stage::new().await;
    std::fs::write(stage.dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
    stage.secret(TOKEN);
    stage.set("http.addresses", vec!["0.0.0.0:0"]);
    stage.set("http.token-file", "token");
    let daemon = stage.start().await;
    let mut site = Site::of(&daemon).await;
    site.address.set_ip([127, 0, 0, 1].into());
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        &format!("Basic {TOKEN}"),
        &format!("Bearer {TOKEN}x"),
        &format!("Bearer {}", &TOKEN[1..]),
        &format!("Bearer {}", TOKEN.to_uppercase()),
        TOKEN,
    ];
    for path in [
        "/metrics",
        "/v1/devices",
        "/v1/calls",
        "/v1/wakes",
        "/v1/apps",
        "/v1/openapi.json",
        "/nothing",
    ] {
        for authorization in &wrong {
            let got = status(&site, Method::GET, path, &[("authorization", authorization)]).await;
            assert_eq!(got, StatusCode::UNAUTHORIZED, "{path} {authorization:?}");
        }
        let got = status(&site, Method::DELETE, path, &[]).await;
        assert_eq!(got, StatusCode::UNAUTHORIZED, "{path}");
    }
    let right = format!("Bearer {TOKEN}");
    for authorization in [right.as_str(), &format!("bearer {TOKEN}")] {
        // Behind a proxy, the host name is the proxy's.
        let headers = [("authorization", authorization), ("host", "fswake.example.org")];
        assert_eq!(status(&site, Method::GET, "/v1/calls", &headers).await, StatusCode::OK);
    }
    // Anyone may ask this, and gets only yes or no.
    assert_eq!(site.get("/healthz").await.0, 200);
    assert_eq!(site.get("/readyz").await, (200, r#"{"ready":true}"#.to_owned()));
    let full = site
        .request(Method::GET, "/readyz")
        .header("authorization", right)
        .send()
        .await
        .unwrap();
    assert!(full.text().await.unwrap().contains("checks"));
}

#[tokio::test]
async fn web_pages_of_other_sites_get_nothing_and_cause_nothing() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let own = site.address.to_string();
    // A name that an attacker made resolve to 127.0.0.1.
    for host in [
        "attacker.example",
        "attacker.example:8085",
        "127.0.0.1.attacker.example",
        "",
    ] {
        for path in ["/v1/devices", "/metrics", "/readyz"] {
            let got = status(&site, Method::GET, path, &[("host", host)]).await;
            assert_eq!(got, StatusCode::MISDIRECTED_REQUEST, "{host:?} {path}");
        }
    }
    for headers in [
        [("host", own.as_str()), ("origin", "https://attacker.example")],
        [("host", own.as_str()), ("origin", "null")],
        [("host", own.as_str()), ("sec-fetch-site", "cross-site")],
        [("host", own.as_str()), ("sec-fetch-site", "same-site")],
    ] {
        for (method, path) in [
            (Method::GET, "/v1/devices"),
            (Method::DELETE, "/v1/devices/0"),
            (Method::POST, "/v1/push"),
            (Method::POST, "/v1/wake"),
            (Method::POST, "/v1/registrations"),
        ] {
            assert_eq!(
                status(&site, method, path, &headers).await,
                StatusCode::FORBIDDEN,
                "{headers:?}"
            );
        }
    }
    // A form's request without a preflight must not cause a push, even from a browser that sends no `Origin`.
    let body = json!({"aor": "1001@fs.test", "type": "voip"}).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ] {
        for path in ["/v1/push", "/v1/wake", "/v1/registrations"] {
            let request = site.request(Method::POST, path).header("content-type", kind);
            let got = request.body(body.clone()).send().await.unwrap().status();
            assert_eq!(got, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {kind}");
        }
    }
    // A browser's preflight for JSON is refused.
    let asked = site
        .request(Method::OPTIONS, "/v1/push")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        asked
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
    assert!(stage.apns.pushes_so_far().await.is_empty());
    // The daemon's own page and other programs are allowed.
    let same = format!("http://{own}");
    let headers = [
        ("host", own.as_str()),
        ("origin", &same),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(
        status(&site, Method::GET, "/v1/devices", &headers).await,
        StatusCode::OK
    );
    let localhost = format!("localhost:{}", site.address.port());
    assert_eq!(
        status(&site, Method::GET, "/v1/devices", &[("host", &localhost)]).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn no_answer_contains_a_token_or_is_cached_by_a_browser() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let token = hex_token();
    let params = format!("pn-provider=apns;pn-param=DEF123GHIJ.com.example.app.voip;pn-prid={token}");
    let phone = stage.fs.phone(PhoneSpec::new("1001", DOMAIN).params(&params));
    daemon.registered(&phone).await;
    stage.stored(1).await;
    let id = site.json("/v1/devices").await["devices"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/v1/devices",
        "/v1/devices?aor=1001@fs.test",
        &format!("/v1/devices/{id}"),
        "/metrics",
    ] {
        let response = site.request(Method::GET, path).send().await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers.contains_key("content-security-policy"));
        let text = response.text().await.unwrap().to_lowercase();
        assert!(!text.contains(&token), "{path}: {text}");
    }
}
