//! Every configuration in `fixtures` is converted to the text next to it (`.toml`, with stderr in `.said`), and fswake
//! accepts that text.
//!
//! `UPDATE_GOLDEN=1 cargo test --test import golden` rewrites both. Check the difference.

use std::path::{Path, PathBuf};
use std::process::Command;

use fswake::config::{Config, Environment};
use fswake::push::Pushers;
use fswake::push::app::Credentials;

use super::command::{Ran, import};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/fixtures")
}

/// Converts a fixture. Returns the parsed configuration, and its directory.
fn converted(name: &str, more: &[&str]) -> (Config, tempfile::TempDir, Ran) {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("fswake.toml");
    let conf = fixtures().join(format!("{name}.xml"));
    let mut args = vec!["--conf", conf.to_str().unwrap(), "--output", output.to_str().unwrap()];
    args.extend(more);
    let ran = import(dir.path(), &args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let env = Environment {
        default_file: "/nonexistent".into(),
        ..Environment::default()
    };
    let config = Config::load(Some(&output), &env).unwrap();
    Pushers::new(config.apps.clone()).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_fswake"))
        .arg("check")
        .arg("--config")
        .arg(&output)
        .output();
    assert!(checked.unwrap().status.success());
    compare(
        &fixtures().join(format!("{name}.toml")),
        &std::fs::read_to_string(&output).unwrap(),
    );
    let said = ran.stderr.replace(dir.path().to_str().unwrap(), "/etc/fswake");
    compare(&fixtures().join(format!("{name}.said")), &said);
    (config, dir, ran)
}

fn compare(golden: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, text).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(text, expected, "{}", golden.display());
}

#[test]
fn original_sample_becomes_a_configuration_that_pushes_as_it_did() {
    let (config, dir, ran) = converted("original", &[]);
    let [app] = config.apps.as_slice() else {
        panic!("{:?}", config.apps)
    };
    let Credentials::Http(profiles) = &app.credentials else {
        panic!("{app:?}")
    };
    for profile in [&profiles.voip, &profiles.im] {
        let profile = profile.as_ref().unwrap();
        assert_eq!(profile.content_type, "application/x-www-form-urlencoded");
        assert!(profile.body.is_some() && !profile.insecure);
    }
    for kind in ["voip", "im"] {
        let file = dir.path().join(format!("mod-apn-{kind}-auth"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "pusher:pa55:w0rd\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("pa55"), "{ran:?}");
    let toml = std::fs::read_to_string(dir.path().join("fswake.toml")).unwrap();
    assert!(!toml.contains("pa55"), "{toml}");
}

#[test]
fn sample_of_the_fork_keeps_its_names_and_variables() {
    let (config, _dir, ran) = converted("fork", &[]);
    let names = &config.contact.names.sets[0];
    assert_eq!(names.voip_token, "x-call-token");
    assert_eq!(names.im_token.as_deref(), Some("x-chat-token"));
    assert_eq!(names.platform.as_deref(), Some("x-os"));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"), "{ran:?}");
}

#[test]
fn profile_without_a_body_gets_mod_apns_own_and_it_is_json() {
    let (config, _dir, _) = converted("minimal", &[]);
    let Credentials::Http(profiles) = &config.apps[0].credentials else {
        panic!("{config:?}")
    };
    let voip = profiles.voip.as_ref().unwrap();
    assert_eq!(voip.content_type, "application/json");
    assert!(voip.body.is_some() && profiles.im.is_none());
}

#[test]
fn odd_values_are_reported_and_none_breaks_the_file() {
    let (config, dir, _) = converted("odd", &[]);
    assert_eq!(config.apps.len(), 1);
    let secret = std::fs::read_to_string(dir.path().join("mod-apn-voip-auth")).unwrap();
    assert_eq!(secret, "pusher:pa:ss\n");
}

#[test]
fn profiles_that_cannot_be_used_are_left_out_with_the_reason() {
    let (config, ..) = converted("nothing", &[]);
    assert_eq!(config.apps[0].provider.name(), "log");
}

#[test]
fn variables_of_vars_xml_make_a_profile_whole() {
    let dir = tempfile::tempdir().unwrap();
    let vars = dir.path().join("vars.xml");
    let set = r#"<include><X-PRE-PROCESS cmd="set" data="push_host=push.example.org"/></include>"#;
    std::fs::write(&vars, set).unwrap();
    let output = dir.path().join("fswake.toml");
    let conf = fixtures().join("nothing.xml");
    let ran = import(
        dir.path(),
        &[
            "--conf",
            conf.to_str().unwrap(),
            "--vars",
            vars.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let toml = std::fs::read_to_string(output).unwrap();
    assert!(toml.contains(r#"url = "https://push.example.org/${token}""#), "{toml}");
}
