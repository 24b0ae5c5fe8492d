//! `fswake check`, and mistakes of configuration.

use crate::{fswake, text};

#[test]
fn check_accepts_a_valid_configuration() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fswake.example.toml");
    let output = fswake(&["check", "--config", file]);
    assert_eq!(text(&output.stdout), format!("ok: {file}\napp log: log\n"));
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn bad_configuration_is_reported_with_exit_code_78() {
    let output = fswake(&["--config", "/nonexistent/fswake.toml", "check"]);
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "fswake: /nonexistent/fswake.toml: cannot be read: no such file or directory\n"
    );
    assert_eq!(output.status.code(), Some(78));
}

/// A directory with a configuration of an app that has a certificate.
fn certificate_app((certificate, key): (String, String), app_ids: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("voip.pem"), certificate + &key).unwrap();
    let file = dir.path().join("fswake.toml");
    let app = format!("[[app]]\nname = 'ios'\nprovider = 'apns'\ncert-file = 'voip.pem'\napp-ids = [{app_ids}]\n");
    std::fs::write(&file, app).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (dir, file)
}

#[test]
fn check_finds_certificates_that_wake_no_phone() {
    use std::time::{Duration, SystemTime};
    let authority = fswake_test_support::tls::Authority::default();
    let past = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let ended = authority.issue_until("voip", past);
    let other = authority.issue_for_bundle("com.example.wrong.voip");
    for (pair, says) in [
        (ended, "the certificate expired on 2"),
        (
            other,
            "the certificate is for com.example.wrong, the app for com.example.acme: Apple refuses its pushes",
        ),
    ] {
        let (_dir, file) = certificate_app(pair, "'com.example.acme'");
        let output = fswake(&["check", "--config", &file]);
        let err = text(&output.stderr);
        assert_eq!(
            (text(&output.stdout).as_str(), output.status.code()),
            ("", Some(78)),
            "{err}"
        );
        assert!(
            err.starts_with("fswake: app ios: ") && err.contains("voip.pem") && err.contains(says),
            "{err}"
        );
    }
    for (pair, ids) in [
        (authority.issue("voip"), "'com.example.acme'"),
        (
            authority.issue_for_bundle("com.example.acme.voip"),
            "'com.example.acme'",
        ),
        (
            authority.issue_for_bundle("com.example.acme"),
            "'ABCDE12345.com.example.acme'",
        ),
    ] {
        let (_dir, file) = certificate_app(pair, ids);
        let output = fswake(&["check", "--config", &file]);
        assert_eq!(text(&output.stdout), format!("ok: {file}\napp ios: apns\n"));
    }
}

#[test]
fn check_reports_in_json_too() {
    let authority = fswake_test_support::tls::Authority::default();
    let (dir, file) = certificate_app(authority.issue_for_bundle("com.example.wrong"), "'com.example.acme'");
    let report = |file: &str| {
        let output = fswake(&["check", "--json", "--config", file]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (report, output.status.code())
    };
    let (bad, code) = report(&file);
    assert_eq!((&bad["ok"], code), (&false.into(), Some(78)), "{bad}");
    assert_eq!(bad["apps"][0]["name"], "ios");
    assert!(
        bad["problems"][0].as_str().unwrap().contains("com.example.wrong"),
        "{bad}"
    );
    std::fs::write(dir.path().join("fswake.toml"), "[wake]\nmax-wait = 'soon'\n").unwrap();
    let (bad, code) = report(&file);
    assert_eq!((&bad["ok"], code), (&false.into(), Some(78)), "{bad}");
    assert!(bad["problems"][0].as_str().unwrap().contains("wake.max-wait"), "{bad}");
    let (good, code) = report(concat!(env!("CARGO_MANIFEST_DIR"), "/fswake.example.toml"));
    assert_eq!((&good["ok"], code), (&true.into(), Some(0)), "{good}");
    assert_eq!(good["problems"], serde_json::json!([]));
}

#[test]
fn misspelt_key_is_reported_with_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fswake.toml");
    let says = |text: &str| {
        std::fs::write(&file, text).unwrap();
        self::text(&fswake(&["check", "--config", file.to_str().unwrap()]).stderr)
    };
    let near = says("[wake]\nmax_wait = '25s'\n");
    assert!(
        near.contains("wake.max_wait: unknown key; did you mean `max-wait`? allowed here: "),
        "{near}"
    );
    let far = says("[wake]\nbanana = '25s'\n");
    assert!(far.contains("wake.banana: unknown key; allowed here: "), "{far}");
}
