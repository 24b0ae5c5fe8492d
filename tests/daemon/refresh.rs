//! Refresh pushes: a phone is asked to register again before its registration ends.

use fswake_test_support::fcm;
use fswake_test_support::freeswitch::PhoneSpec;
use serde_json::json;

use crate::harness::*;

/// The shortest registration that is refreshed with the shortest `refresh-before`.
#[tokio::test]
async fn phone_is_pushed_quietly_before_its_registration_ends_and_counted_when_it_registers() {
    let mut stage = Stage::with_android().await;
    stage.set_app("refresh-before", "10s");
    let daemon = stage.start().await;
    let params = format!("pn-provider=fcm;pn-param={};pn-prid=fcm-{}", fcm::PROJECT, hex_token());
    let mut spec = PhoneSpec::new("1001", DOMAIN).params(&params);
    spec.expires = 30;
    let phone = stage.fs.phone(spec);
    phone.register();
    daemon.log.wait(&["event=Registered "]).await;

    let push = stage.android_push().await;
    assert_eq!(push.message["data"], json!({"kind": "refresh"}));
    assert_eq!(push.message["android"]["priority"], "NORMAL", "{}", push.message);
    assert!(push.message["notification"].is_null(), "{}", push.message);
    let ttl = push.message["android"]["ttl"]
        .as_str()
        .and_then(|ttl| ttl.strip_suffix('s')?.parse().ok());
    assert!(ttl.is_some_and(|ttl: u64| (9..=20).contains(&ttl)), "{}", push.message);
    phone.refresh();
    let labels = r#"app="android",provider="fcm""#;
    for line in [
        format!(r#"fswake_refreshes_total{{{labels},result="registered"}} 1"#),
        format!(r#"fswake_pushes_total{{{labels},kind="refresh",result="accepted"}} 1"#),
    ] {
        stage.measured(&daemon, &line).await;
    }
}
