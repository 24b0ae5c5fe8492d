//! Changes while the daemon runs: credential files, and the configuration.

use std::path::Path;
use std::time::Duration;

use fswake_test_support::apns::KEY_ID;
use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use tokio::net::UnixDatagram;

use crate::drain::notification;
use crate::harness::*;
use crate::outcomes::result_of;

/// Replaces a file atomically, as careful programs do.
fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Sends SIGHUP and waits for the log line about it.
async fn reload(daemon: &Daemon) -> String {
    let from = daemon.log.len();
    daemon.signal("HUP");
    daemon.log.wait_from(from, &["configuration", "reloaded"]).await
}

/// Whether it is ready, with the answer's body.
async fn ready(daemon: &Daemon) -> (u16, String) {
    let url = url(daemon, "/readyz").await;
    let response = soon("answer", reqwest::get(url)).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn key_replaced_under_load_signs_the_next_push_and_loses_none() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phones: Vec<_> = (0..10).map(|n| stage.iphone(&format!("10{n:02}"))).collect();
    for phone in &phones {
        phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
        daemon.asleep(phone).await;
    }
    let (early, late) = phones.split_at(5);
    for _ in early {
        stage.apns.faults.next(Fault::Delay(Duration::from_millis(2_500)));
    }
    let mut held: Vec<_> = early.iter().map(|p| stage.call(&daemon, &p.spec().user)).collect();
    for _ in early {
        assert_eq!(stage.push().await.key, Some(0));
    }
    replace(&stage.apns.key_file(), &stage.apns.new_key(KEY_ID));
    daemon.log.wait(&["new credentials are in use", "ios"]).await;
    held.extend(late.iter().map(|p| stage.call(&daemon, &p.spec().user)));
    for _ in late {
        let push = stage.push().await;
        assert_eq!((push.key, push.status), (Some(1), 200));
    }
    for (phone, held) in phones.iter().zip(&held) {
        phone.wake();
        held.wait_bridged().await;
    }
    assert_eq!(daemon.log.count(&["push refused"]), 0);
}

#[tokio::test]
async fn symlink_that_points_to_another_account_is_followed() {
    let mut stage = Stage::with_android().await;
    let at = |name: &str| stage.dir.path().join(name);
    let fcm = stage.fcm.as_ref().unwrap();
    for (version, account) in [
        ("v1", std::fs::read_to_string(fcm.service_account_file()).unwrap()),
        ("v2", fcm.new_key("fedcba9876543210")),
    ] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("account.json"), account).unwrap();
    }
    std::os::unix::fs::symlink("v1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/account.json", at("account.json")).unwrap();
    std::os::unix::fs::symlink("v2", at("..next")).unwrap();
    let (next, data) = (at("..next"), at("..data"));
    stage.set_app("service-account-file", "account.json");
    let daemon = stage.start().await;
    let phone = stage.android("1002");
    daemon.asleep(&phone).await;
    stage.call(&daemon, "1002");
    assert_eq!(stage.android_push().await.status, 200);
    std::fs::rename(next, data).unwrap();
    stage.fcm.as_ref().unwrap().revoke_old_keys();
    daemon.log.wait(&["new credentials are in use", "android"]).await;
    stage.call(&daemon, "1002");
    assert_eq!(stage.android_push().await.status, 200);
    assert_eq!(daemon.log.count(&["push refused"]), 0);
}

#[tokio::test]
async fn broken_new_key_is_one_error_without_its_content_and_in_readyz_until_it_is_fixed() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let file = stage.apns.key_file();
    let good = std::fs::read_to_string(&file).unwrap();
    assert_eq!(ready(&daemon).await.0, 200);
    stage.secret("open-sesame");
    replace(&file, "-----BEGIN PRIVATE KEY-----\nopen-sesame\n");
    let said = daemon.log.wait(&["ERROR", "cannot be used"]).await;
    assert!(
        said.contains("ios") && said.contains(&file.display().to_string()),
        "{said}"
    );
    // Phones are woken with the old key.
    let (status, why) = ready(&daemon).await;
    assert_eq!(status, 200);
    assert!(
        why.contains("app ios") && why.contains("broken-file") && !why.contains("sesame"),
        "{why}"
    );
    stage.call(&daemon, "1001");
    assert_eq!(stage.push().await.status, 200);
    // A file that goes missing later is another problem, logged once as well.
    std::fs::remove_file(&file).unwrap();
    daemon.log.wait(&["ERROR", "no such file"]).await;
    stage.call(&daemon, "1001");
    assert_eq!(stage.push().await.status, 200);
    replace(&file, &good);
    daemon
        .log
        .wait(&["the credential files match those in use again"])
        .await;
    assert!(!ready(&daemon).await.1.contains("broken-file"));
    assert_eq!(daemon.log.count(&["cannot be used"]), 2);
}

#[tokio::test]
async fn refused_credentials_clear_readiness_until_a_push_is_accepted() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    // Its answer must not come after the push's.
    daemon.log.wait(&["takes this app's credentials"]).await;
    stage.apns.faults.next(Fault::apns(403, "InvalidProviderToken"));
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    assert_eq!(result_of(&held).await, "unreachable");
    let (status, why) = ready(&daemon).await;
    assert_eq!(status, 503);
    assert!(why.contains("app ios") && why.contains("InvalidProviderToken"), "{why}");
    stage.call(&daemon, "1001");
    stage.push().await;
    daemon.log.wait(&["the provider takes this app's pushes again"]).await;
    assert_eq!(ready(&daemon).await.0, 200);
}

#[tokio::test]
async fn reload_adds_an_app_and_changes_the_wait_for_the_next_call_and_the_log_filter() {
    let mut stage = Stage::with_android().await;
    let android = stage.take_app();
    stage.set("wake.max-wait", "10m");
    let daemon = stage.start().await;
    let phone = stage.android("1002");
    daemon.asleep(&phone).await;
    assert_eq!(result_of(&stage.call(&daemon, "1002")).await, "unreachable");
    let iphone = stage.iphone("1001");
    daemon.asleep(&iphone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;

    stage.put_app(android);
    stage.set("wake.max-wait", "1s");
    stage.set("log.filter", "info");
    stage.write();
    let said = reload(&daemon).await;
    assert!(
        said.contains(r#"apps_added=["android"]"#) && said.contains("log.filter"),
        "{said}"
    );
    let from = daemon.log.len();
    let next = stage.call(&daemon, "1002");
    assert_eq!(stage.android_push().await.status, 200);
    assert_eq!(result_of(&next).await, "unreachable");
    assert!(daemon.log.lines()[from..].iter().all(|line| !line.contains(" DEBUG ")));
    // The call held before the reload goes on with the old settings.
    assert!(held.outcomes().is_empty());
    iphone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    iphone.wake();
    held.wait_bridged().await;
}

#[tokio::test]
async fn bad_configuration_changes_nothing_and_logs_why() {
    let mut stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let phone = stage.android("1002");
    daemon.asleep(&phone).await;
    stage.set("wake.max-wait", "1s");
    stage.set("wake.decline", "some");
    stage.write();
    let said = reload(&daemon).await;
    assert!(said.contains("ERROR") && said.contains("not reloaded"), "{said}");
    for word in ["fswake.toml", "wake.decline", "some", "this-device"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    // An error in an app makes the whole configuration unusable.
    stage.set("wake.decline", "all");
    std::fs::write(stage.dir.path().join("bad.json"), "{\"project_id\":\"SECRET\"").unwrap();
    stage.secret("SECRET");
    stage.set_app("service-account-file", "bad.json");
    stage.write();
    let said = reload(&daemon).await;
    assert!(
        said.contains("not reloaded") && said.contains("bad.json") && said.contains("android"),
        "{said}"
    );
    let held = stage.call(&daemon, "1002");
    assert_eq!(stage.android_push().await.status, 200);
    assert_eq!(
        stage.android_push().await.status,
        200,
        "not pushed again after 5 s, as with the old wait"
    );
    assert!(held.outcomes().is_empty());
}

#[tokio::test]
async fn settings_that_need_a_restart_are_logged_at_every_reload() {
    let mut stage = Stage::new().await;
    let daemon = stage.start().await;
    stage.set("listen.addresses", vec!["127.0.0.1:1"]);
    stage.set("store.journal-keep", "1d");
    stage.set("log.format", "json");
    stage.write();
    for _ in 0..2 {
        let from = daemon.log.len();
        reload(&daemon).await;
        let said = daemon.log.wait_from(from, &["WARN", "only after a restart"]).await;
        assert!(said.contains("listen.addresses, store, log.format"), "{said}");
    }
}

#[tokio::test]
async fn changed_parameter_names_and_aliases_find_registered_phones() {
    let mut stage = Stage::new().await;
    let daemon = stage.start().await;
    let token = hex_token();
    stage.secret(&token);
    let params = format!(
        "x-token={token};x-app={};x-platform=iOS",
        fswake_test_support::apns::BUNDLE_ID
    );
    let phone = stage.fs.phone(PhoneSpec::new("1001", DOMAIN).params(&params));
    phone.set_behaviour(Behaviour::Silent);
    daemon.registered(&phone).await;
    let set: toml::Table = "voip-token = 'x-token'\napp-id = 'x-app'\nplatform = 'x-platform'"
        .parse()
        .unwrap();
    stage.set("contact.params", toml::value::Array::from([set.into()]));
    let aliases: toml::Table = [("192.0.2.10".to_owned(), DOMAIN.into())].into_iter().collect();
    stage.set("aor.domain-aliases", aliases);
    stage.write();
    let from = daemon.log.len();
    reload(&daemon).await;
    daemon.log.wait_from(from, &["connected to FreeSWITCH"]).await;
    stage.fs.call(&Call::to(daemon.address, "1001", "192.0.2.10"));
    assert_eq!(stage.push().await.token, token);
}

#[tokio::test]
async fn another_freeswitch_is_connected_to_without_a_restart() {
    let mut stage = Stage::new().await;
    let daemon = stage.start().await;
    let other = FakeFreeSwitch::start(Config::default()).await;
    stage.set("freeswitch.port", i64::from(other.address().port()));
    stage.write();
    let from = daemon.log.len();
    reload(&daemon).await;
    let port = format!("port={}", other.address().port());
    daemon.log.wait_from(from, &["connected to FreeSWITCH", &port]).await;
}

#[tokio::test]
async fn systemd_is_notified_of_a_reload_and_its_end_with_any_result() {
    let mut stage = Stage::new().await;
    let path = stage.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let daemon = stage
        .start_with(|command| {
            command.env("NOTIFY_SOCKET", &path);
        })
        .await;
    assert_eq!(notification(&systemd).await, "READY=1");
    for wait in ["20s", "for ever"] {
        stage.set("wake.max-wait", wait);
        stage.write();
        daemon.signal("HUP");
        let told = notification(&systemd).await;
        let usec = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&told);
        assert!(usec.parse::<u64>().unwrap() > 0);
        assert_eq!(notification(&systemd).await, "READY=1");
    }
}
