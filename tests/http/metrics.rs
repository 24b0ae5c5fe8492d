//! Metrics, and that docs, dashboard and alerts name the same ones.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use fswake::metrics::Name;
use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::harness::*;
use crate::site::Site;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Every word that starts like our metrics.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|w| w.starts_with("fswake_"));
    ours.map(|w| {
        let is_known = |w: &str| Name::ALL.iter().any(|n| n.as_str() == w);
        let stem = ["_bucket", "_count", "_sum"].iter().find_map(|end| w.strip_suffix(end));
        stem.filter(|stem| !is_known(w) && is_known(stem))
            .unwrap_or(w)
            .to_owned()
    })
    .collect()
}

fn all() -> BTreeSet<String> {
    Name::ALL.iter().map(|n| n.as_str().to_owned()).collect()
}

#[test]
fn exactly_the_existing_metrics_are_documented() {
    assert_eq!(names_in(&read("docs/METRICS.md")), all());
}

#[test]
fn dashboard_and_alerts_use_existing_metrics() {
    let alerts = names_in(&read("docs/alerts.yml"));
    let board: Value = serde_json::from_str(&read("docs/grafana.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut asked = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let names = names_in(target["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{target}");
            asked.extend(names);
        }
    }
    for name in alerts.iter().chain(&asked) {
        assert!(all().contains(name), "{name} does not exist");
    }
    assert!(asked.len() > 20 && alerts.len() >= 7, "{asked:?} {alerts:?}");
}

/// `promtool` of Debian's package prometheus; CI installs it.
pub fn promtool() -> Option<&'static str> {
    let found = std::process::Command::new("promtool").arg("--version").output().is_ok();
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "promtool is missing: .ci/run installs it"
        );
        fswake_test_support::skipped::note("promtool is not installed (Debian: prometheus)");
    }
    found.then_some("promtool")
}

#[test]
fn promtool_accepts_the_alerts_and_each_fires_when_it_should() {
    let Some(promtool) = promtool() else { return };
    for args in [
        ["check", "rules", "docs/alerts.yml"],
        ["test", "rules", "tests/http/alerts_test.yml"],
        ["test", "rules", "tests/http/certificate_alerts_test.yml"],
    ] {
        let output = std::process::Command::new(promtool)
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{out}{err}");
    }
}

/// Asserts that `promtool check metrics` finds no fault in a scrape.
async fn lint(text: &str) {
    let Some(promtool) = promtool() else { return };
    let mut check = tokio::process::Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = check.stdin.take().unwrap();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let output = check.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn every_series_exists_from_the_start_and_promtool_finds_no_fault() {
    let stage = Stage::with_android().await;
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    let (_, text) = site.get("/metrics").await;
    for name in Name::ALL {
        if *name == Name::CertificateExpiry {
            // Neither app has a certificate.
            continue;
        }
        let name = name.as_str();
        let is_there = text.lines().any(|l| !l.starts_with('#') && l.starts_with(name));
        assert!(is_there, "{name} is missing");
    }
    for series in [
        r#"fswake_pushes_total{app="android",provider="fcm",kind="call",result="token-gone"}"#,
        r#"fswake_pushes_total{app="ios",provider="apns",kind="missed-call",result="exhausted"}"#,
        r#"fswake_wakes_total{app="ios",provider="apns",result="bounced"}"#,
        r#"fswake_calls_total{callee="desk",result="connected"}"#,
        r#"fswake_app_problem{app="ios",provider="apns",problem="refused"}"#,
        r#"fswake_push_to_register_seconds_bucket{app="ios",provider="apns",le="60"}"#,
    ] {
        site.counts(series, 0.0).await;
    }
    for kind in fswake::push::apps::status::ProblemKind::ALL {
        let series = format!(
            r#"fswake_app_problem{{app="android",provider="fcm",problem="{}"}}"#,
            kind.as_str()
        );
        site.counts(&series, 0.0).await;
    }
    lint(&text).await;
}

#[tokio::test]
async fn answered_wake_is_counted_from_call_to_invite() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    site.counts("fswake_esl_up", 1.0).await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    site.counts("fswake_held_calls", 1.0).await;
    phone.wake();
    held.wait_bridged().await;
    daemon.summary().await;
    for series in [
        r#"fswake_calls_total{callee="mobile",result="connected"}"#,
        r#"fswake_wakes_total{app="ios",provider="apns",result="answered"}"#,
        r#"fswake_pushes_total{app="ios",provider="apns",kind="call",result="accepted"}"#,
        r#"fswake_push_to_register_seconds_count{app="ios",provider="apns"}"#,
        r#"fswake_hold_seconds_count{result="connected"}"#,
        "fswake_call_to_push_seconds_count",
        "fswake_register_to_invite_seconds_count",
        "fswake_devices",
    ] {
        site.counts(series, 1.0).await;
    }
    assert!(site.metric(r#"fswake_registrations_total{push="yes"}"#).await > 1.5);
    site.counts("fswake_held_calls", 0.0).await;
}

#[tokio::test]
async fn phone_that_never_registers_is_a_bounce_and_a_late_one_is_measured() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    soon("release", held.outcome()).await;
    daemon.summary().await;
    let bounced = r#"fswake_wakes_total{app="ios",provider="apns",result="bounced"}"#;
    site.counts(bounced, 1.0).await;
    let late = r#"fswake_late_registration_seconds_count{app="ios",provider="apns"}"#;
    site.counts(late, 0.0).await;
    daemon.registered(&phone).await;
    site.counts(late, 1.0).await;
}

#[tokio::test]
async fn refused_token_is_counted_by_its_class_and_the_wake_as_refused() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.apns.faults.next(Fault::apns(400, "BadDeviceToken"));
    let held = stage.call(&daemon, "1001");
    soon("release", held.outcome()).await;
    daemon.summary().await;
    for series in [
        r#"fswake_pushes_total{app="ios",provider="apns",kind="call",result="token-bad"}"#,
        r#"fswake_wakes_total{app="ios",provider="apns",result="refused"}"#,
        r#"fswake_calls_total{callee="mobile",result="unreachable"}"#,
    ] {
        site.counts(series, 1.0).await;
    }
}

#[tokio::test]
async fn expiry_of_a_certificate_is_exported_in_seconds() {
    let mut stage = Stage::new().await;
    let end = SystemTime::now() + Duration::from_secs(20 * 86_400 + 3_600);
    let (certificate, key) = stage.apns.new_client(end);
    for (name, text) in [("voip.pem", certificate), ("voip.key", key)] {
        std::fs::write(stage.dir.path().join(name), text).unwrap();
    }
    stage.app("name = 'old'\nprovider = 'apns'\ncert-file = 'voip.pem'\ncert-key-file = 'voip.key'\napp-ids = ['com.example.old']");
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    let series = r#"fswake_certificate_expiry_timestamp_seconds{app="old",provider="apns"}"#;
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let told = site.metric(series).await;
    assert!((told - end).abs() < 2.0, "{told} {end}");
    lint(&site.get("/metrics").await.1).await;
    let apps = site.json("/v1/apps").await;
    assert_eq!(apps["apps"][0]["days_left"], 20);
}

#[tokio::test]
async fn probes_do_not_count_as_pushes_and_their_findings_are_problems_until_fixed() {
    let stage = Stage::with_android().await;
    let fcm = stage.fcm.as_ref().unwrap();
    fcm.faults.token(
        fswake_test_support::fcm::PROBE,
        Fault::fcm(503, "UNAVAILABLE", "UNAVAILABLE"),
    );
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let busy = r#"fswake_app_problem{app="android",provider="fcm",problem="busy"}"#;
    site.counts(busy, 1.0).await;
    let apps = site
        .until("/v1/apps", |answer| {
            answer["apps"]
                .as_array()
                .unwrap()
                .iter()
                .any(|app| app["state"] == "ok")
        })
        .await;
    let android = &apps["apps"][0];
    assert_eq!((&android["state"], &android["ok"]), (&"busy".into(), &false.into()));
    assert_eq!(android["problems"][0]["reason"], "503 UNAVAILABLE");
    // One of two apps: users of the other one can still be woken.
    let (status, ready) = site.get("/readyz").await;
    assert!(
        status == 200 && ready.contains("busy: 503 UNAVAILABLE"),
        "{status} {ready}"
    );
    stage.apns.next_probe().await;
    fcm.next_probe().await;
    let (_, text) = site.get("/metrics").await;
    let counted = text.lines().filter(|line| {
        let is_ours = [
            "fswake_pushes_total",
            "fswake_push_seconds_count",
            "fswake_calls_total",
            "fswake_wakes_total",
        ];
        is_ours.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
    });
    assert_eq!(counted.collect::<Vec<_>>(), Vec::<&str>::new());
    assert_eq!(
        (stage.apns.pushes_so_far().await.len(), fcm.pushes_so_far().await.len()),
        (0, 0)
    );
    let summary = site.json("/v1/wakes").await;
    assert_eq!(summary["wakes"], serde_json::json!([]));
    fcm.faults.mend(fswake_test_support::fcm::PROBE);
    site.counts(busy, 0.0).await;
}
