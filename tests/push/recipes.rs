//! The recipes of docs/PAYLOADS.md for vendors' services, as they stand there, each against a service that follows the
//! vendor's documentation; and `refused-when` itself.

use std::path::Path;
use std::time::Duration;

use fswake::config::{Config, Environment};
use fswake::push::refused_when::{Found, Meaning, RefusedWhen};
use fswake::push::{PushError, PushRequest, Pushers};
use fswake::types::{Provider, PushParams, PushToken, Tokens};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::http2::Fault;
use fswake_test_support::vendors::{GONE, KNOWN, PACKAGE, SECRET, Vendor, VendorService};
use serde_json::json;

use super::support::{attempts, call, gateway_app, http_profile, pushers};

/// The recipe with this name, its vendor's address replaced.
async fn recipe(name: &str, host: &str, vendor: Vendor) -> (Pushers, VendorService) {
    let service = VendorService::start(vendor).await;
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PAYLOADS.md")).unwrap();
    let mut blocks = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains(&format!("name = \"{name}\"\n")));
    let block = block.unwrap_or_else(|| panic!("no recipe {name}"));
    assert!(block.contains(host), "{block}");
    let ca_file = format!("ca-file = '{}'\n[app.voip]", service.ca_file().display());
    let config = block.replace(host, &service.url()).replace("[app.voip]", &ca_file);
    let dir = tempfile::tempdir().unwrap();
    for (file, content) in [
        ("xiaomi-secret", format!("Authorization: key={SECRET}\n")),
        ("vivo-token", format!("authToken: {SECRET}\n")),
        (
            "pushover.form",
            format!("token={SECRET}&user=${{token}}&message=${{cid_name}} ${{cid_number}}&priority=1&ttl=${{ttl}}"),
        ),
    ] {
        std::fs::write(dir.path().join(file), content).unwrap();
    }
    let file = dir.path().join("fswake.toml");
    std::fs::write(&file, config).unwrap();
    let config = Config::load(Some(&file), &Environment::default()).unwrap();
    (Pushers::new(config.apps).unwrap(), service)
}

fn to(provider: &str, token: &str) -> PushRequest {
    PushRequest {
        to: PushParams {
            provider: Provider::from_name(provider),
            app: PACKAGE.into(),
            team: None,
            tokens: Tokens::Call(PushToken::new(token)),
        },
        ttl: Duration::from_secs(5),
        ..call(Provider::Fcm, token)
    }
}

#[tokio::test]
async fn recipe_for_xiaomi_is_taken_and_reads_refusals_inside_a_200() {
    let (pushers, xiaomi) = recipe("xiaomi", "https://api.xmpush.xiaomi.com", Vendor::Xiaomi).await;
    assert_eq!(attempts(pushers.push(&to("xiaomi", KNOWN)).await), Ok(1));
    let asked = xiaomi.next().await;
    assert_eq!(asked.reason, "");
    assert!(asked.payload.contains("\"cid_name\":\"Zoë\""), "{}", asked.payload);
    let refused = attempts(pushers.push(&to("xiaomi", GONE)).await);
    assert_eq!(refused, Err("token refused (/code is 20301)".into()));
    xiaomi
        .faults
        .next(Fault::json(200, &json!({"result": "error", "code": 21301})));
    assert_eq!(
        attempts(pushers.push(&to("xiaomi", KNOWN)).await),
        Err("/code is 21301".into())
    );
    xiaomi
        .faults
        .next(Fault::json(200, &json!({"result": "error", "code": 1})));
    let refused = attempts(pushers.push(&to("xiaomi", KNOWN)).await);
    assert_eq!(refused, Err("refused by the provider: 200 /result is error".into()));
}

#[tokio::test]
async fn recipe_for_vivo_is_taken_and_reads_refusals_inside_a_200() {
    let (pushers, vivo) = recipe("vivo", "https://api-push.vivo.com.cn", Vendor::Vivo).await;
    assert_eq!(attempts(pushers.push(&to("vivo", KNOWN)).await), Ok(1));
    let asked = vivo.next().await;
    assert_eq!(asked.reason, "");
    assert!(asked.payload.contains("sip-call-id"), "{}", asked.payload);
    let refused = attempts(pushers.push(&to("vivo", GONE)).await);
    assert_eq!(refused, Err("token refused (/result is 10302)".into()));
    vivo.faults
        .next(Fault::json(200, &json!({"result": 10070, "desc": "x"})));
    assert_eq!(attempts(pushers.push(&to("vivo", KNOWN)).await), Ok(2));
}

#[tokio::test]
async fn recipe_for_a_relay_like_pushover_is_taken_and_reads_its_errors() {
    let (pushers, pushover) = recipe("pushover", "https://api.pushover.net", Vendor::Pushover).await;
    assert_eq!(attempts(pushers.push(&to("pushover", KNOWN)).await), Ok(1));
    let asked = pushover.next().await;
    assert_eq!((asked.reason, asked.payload.as_str()), ("", "Zoë +15550100"));
    let refused = attempts(pushers.push(&to("pushover", GONE)).await);
    assert_eq!(refused, Err("token refused (/user is invalid)".into()));
}

fn when(pointer: &str, found: Found, means: Meaning) -> RefusedWhen {
    RefusedWhen {
        pointer: pointer.parse().unwrap(),
        found,
        means,
    }
}

#[tokio::test]
async fn first_rule_that_fits_says_what_a_refusal_means_whatever_the_status() {
    let gateway = Gateway::start(Over::Http2, Wants::Nothing).await;
    let one = |value: &str| Found::One(vec![value.to_owned()]);
    let profile = fswake::push::app::HttpProfile {
        refused_when: vec![
            when("/code", one("gone"), Meaning::TokenGone),
            when("/code", one("bad"), Meaning::TokenBad),
            when("/code", one("busy"), Meaning::Busy),
            when("/code", one("key"), Meaning::Credentials),
            when("/ok", Found::NoneOf(vec!["true".into()]), Meaning::Refused),
        ],
        ..http_profile(&gateway, "/push/${token}")
    };
    let pushers = pushers(gateway_app(&gateway, profile));
    let request = call(Provider::Fcm, "token-1");
    for (status, body, expected) in [
        (200, json!({"code": "gone", "ok": true}), "token gone (/code is gone)"),
        (503, json!({"code": "gone"}), "token gone (/code is gone)"),
        (200, json!({"code": "bad"}), "token refused (/code is bad)"),
        (200, json!({"code": "key"}), "/code is key"),
        (200, json!({"ok": false}), "refused by the provider: 200 /ok is false"),
        (200, json!("no object"), "refused by the provider: 200 /ok is nothing"),
        (410, json!({"ok": true}), "token gone (Gone)"),
    ] {
        gateway.faults.next(Fault::json(status, &body));
        assert_eq!(attempts(pushers.push(&request).await), Err(expected.into()), "{body}");
    }
    // Busy is tried again, until it is over.
    gateway.faults.next(Fault::json(200, &json!({"code": "busy"})));
    gateway.faults.next(Fault::json(200, &json!({"ok": true})));
    assert_eq!(attempts(pushers.push(&request).await), Ok(2));
    // The gateway's own answer is no JSON at all.
    let refused = pushers.push(&request).await;
    assert!(
        matches!(refused, Err(PushError::Rejected { status: 200, .. })),
        "{refused:?}"
    );
}
