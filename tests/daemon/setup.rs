//! Mistakes in the configuration, and apps that are not configured.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::outcomes::result_of;

/// Runs a daemon that must not start. Returns exit code and stderr.
async fn refused(stage: &Stage) -> (Option<i32>, String) {
    let output = soon("exit", stage.command().output()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn bad_configuration_is_refused_with_file_key_value_and_what_is_allowed() {
    for (key, value, words) in [
        (
            "wake.max-wait",
            "forever",
            ["wake.max-wait", "forever", "a duration from 1s to 10m"],
        ),
        (
            "wake.decline",
            "some",
            ["wake.decline", "some", "\"this-device\" or \"all\""],
        ),
        ("listen.allow", "everyone", ["listen.allow", "everyone", ""]),
        ("wake.max-weight", "1s", ["max-weight", "", "allowed"]),
        ("log.filter", "a=b=c", ["log.filter", "a=b=c", "levels and modules"]),
        (
            "freeswitch.password-file",
            "none",
            ["freeswitch.password-file", "none", "no such file"],
        ),
    ] {
        let mut stage = Stage::new().await;
        stage.set(key, value);
        let (code, stderr) = refused(&stage).await;
        assert_eq!(code, Some(78), "{stderr}");
        let file = stage.dir.path().join("fswake.toml").display().to_string();
        assert!(
            stderr.contains(&file) && words.iter().all(|word| stderr.contains(word)),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[tokio::test]
async fn missing_or_invalid_signing_key_is_refused_by_name() {
    let mut stage = Stage::new().await;
    stage.set_app("key-file", "missing.p8");
    let (code, stderr) = refused(&stage).await;
    assert_eq!(code, Some(78));
    assert!(stderr.contains("key-file") && stderr.contains("missing.p8"), "{stderr}");
    let key = stage.dir.path().join("bad.p8");
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nsesame\n-----END PRIVATE KEY-----\n").unwrap();
    stage.set_app("key-file", "bad.p8");
    let (code, stderr) = refused(&stage).await;
    assert_eq!(code, Some(78));
    assert!(
        stderr.contains("app ios") && stderr.contains("bad.p8") && !stderr.contains("sesame"),
        "{stderr}"
    );
}

#[tokio::test]
async fn address_in_use_and_unusable_store_fail_with_their_names() {
    let mut stage = Stage::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    stage.set("listen.addresses", vec![address.clone()]);
    let (code, stderr) = refused(&stage).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("listen on {address}")), "{stderr}");

    let mut stage = Stage::new().await;
    let directory = stage.dir.path().join("not-a-file");
    std::fs::create_dir(&directory).unwrap();
    stage.set("store.path", directory.display().to_string());
    let (code, stderr) = refused(&stage).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("not-a-file"), "{stderr}");
}

#[tokio::test]
async fn wrong_password_is_logged_without_it_and_calls_still_wake_known_devices() {
    let mut stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    daemon.kill().await;
    std::fs::write(stage.dir.path().join("password"), "open-sesame\n").unwrap();
    stage.secret("open-sesame");
    stage.set("freeswitch.password-file", "password");
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start_alone().await;
    daemon.log.wait(&[" WARN ", "no connection to FreeSWITCH"]).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    assert_eq!(result_of(&held).await, "unreachable");
}

#[tokio::test]
async fn app_that_is_not_configured_is_logged_at_register_and_its_calls_go_on_early() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1m");
    let daemon = stage.start().await;
    let token = hex_token();
    stage.secret(&token);
    let params = format!("pn-provider=apns;pn-param=DEF123GHIJ.com.example.other.voip;pn-prid={token}");
    let phone = stage.fs.phone(PhoneSpec::new("1001", DOMAIN).params(&params));
    for _ in 0..2 {
        daemon.asleep(&phone).await;
    }
    let warning = daemon.log.wait(&[" WARN ", "no [[app]] serves this device"]).await;
    assert_eq!(
        (field(&warning, "aor"), field(&warning, "provider")),
        ("1001@fs.test", "apns")
    );
    assert_eq!(field(&warning, "app"), "com.example.other");
    let asked = Instant::now();
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    assert!(asked.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn app_removed_by_a_reload_is_logged_once_when_a_known_phone_registers_again() {
    let mut stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let phones = [stage.android("1002"), stage.android("1003")];
    for phone in &phones {
        daemon.registered(phone).await;
    }
    stage.take_app();
    stage.write();
    let from = daemon.log.len();
    daemon.signal("HUP");
    let said = daemon.log.wait_from(from, &["configuration reloaded"]).await;
    assert!(said.contains(r#"apps_removed=["android"]"#), "{said}");
    // The refresh comes a second later, because `last_seen` counts seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for phone in phones.iter().chain(&phones) {
        daemon.registered(phone).await;
    }
    daemon
        .log
        .wait_from(from, &[" WARN ", "no [[app]] serves this device", "fcm"])
        .await;
    assert_eq!(daemon.log.count(&["no [[app]] serves this device"]), 1);
}
