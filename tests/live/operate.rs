//! What operators see: the variables of a call's own record, and the doctor.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::realfs::{Console, DOMAIN, RealFs, WAKE_DOMAIN};
use fswake_test_support::sip::{Reaction, Script};
use fswake_test_support::site::{Settings, Wakes};
use serde_json::Value;

use crate::site;
use crate::steps::{answered_call, hang_up, new_sleeper};

crate::trials![
    record_of_a_connected_call_says_what_the_wake_was,
    record_of_a_call_that_nobody_took_says_it_too,
    record_of_a_caller_who_hung_up_says_that_it_was_held,
    doctor_finds_a_real_freeswitch_well_and_leaves_no_channel,
    doctor_says_what_a_user_of_the_event_socket_may_not_run,
];

/// CDR writers see the channel as this event shows it.
async fn records(fs: &RealFs) -> Console {
    let mut console = fs.console().await;
    console.subscribe("CHANNEL_HANGUP_COMPLETE").await.expect("events");
    console
}

/// The record of the next call that fswake held.
async fn next(console: &mut Console) -> HashMap<String, String> {
    loop {
        let event = console.event().await.expect("a record");
        if event.get("variable_fswake_result").is_some() {
            return event.headers.into_iter().collect();
        }
    }
}

async fn record_of_a_connected_call_says_what_the_wake_was(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let mut console = records(&site.fs).await;
    let number = format!("7{user}");
    let phone = site.sleeper(&user, DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let call = answered_call(&site, &number).await;
    phone.on_the_line().await;
    site.fs.active_channels(2).await;
    let channel = site.fs.caller_channel(&number).await.expect("the caller's channel");
    let result = format!("uuid_getvar {channel} fswake_result");
    // About 65 ms after the answer, once the bridge is up.
    let is_written = async {
        while site.fs.api(&result).await.trim() != "connected" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), is_written)
        .await
        .expect("the result on the caller's channel");
    call.hang_up().await;
    let record = next(&mut console).await;
    let says = |name: &str| {
        record
            .get(&format!("variable_fswake_{name}"))
            .map_or("", String::as_str)
    };
    assert_eq!((says("result"), says("pushes")), ("connected", "1"));
    let wake: u64 = says("wake_ms").parse().expect("a number");
    assert!(wake < 5_000, "{wake}");
    assert!(
        says("device").starts_with("apns:com.example.phone:"),
        "{}",
        says("device")
    );
    phone.ended().await;
}

async fn record_of_a_call_that_nobody_took_says_it_too(fs: Arc<RealFs>) {
    let settings = Settings::default().wake("max-wait", "2s").wake("push-retry", "600ms");
    let site = site(fs, &settings).await;
    let user = site.fs.new_user();
    let mut console = records(&site.fs).await;
    site.sleeper(&user, DOMAIN, Wakes::Never, Script::default()).await;
    let call = site.caller().await.call(&format!("6{user}"));
    assert_eq!(call.outcome().await, 410);
    let record = next(&mut console).await;
    assert_eq!(record["variable_fswake_result"], "unreachable");
    assert_eq!(record["variable_fswake_pushes"], "3");
}

async fn record_of_a_caller_who_hung_up_says_that_it_was_held(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let mut console = records(&site.fs).await;
    site.sleeper(&user, DOMAIN, Wakes::Never, Reaction::Ring).await;
    let call = site.caller().await.call(&format!("7{user}"));
    site.pushed(1).await;
    call.ringing().await;
    call.cancel().await;
    assert_eq!(call.outcome().await, 487);
    let record = next(&mut console).await;
    assert_eq!(record["variable_fswake_result"], "held");
    assert_eq!(record["variable_fswake_pushes"], "1");
    assert_eq!(record["Hangup-Cause"], "ORIGINATOR_CANCEL");
}

async fn doctor_finds_a_real_freeswitch_well_and_leaves_no_channel(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (user, phone) = new_sleeper(&site, WAKE_DOMAIN, Wakes::Elsewhere, Script::default()).await;
    let call = answered_call(&site, &format!("5{user}")).await;
    phone.on_the_line().await;
    let (_, out, err) = site.tool(&["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    for name in [
        "login",
        "events",
        "version",
        "modules",
        "profile internal",
        "calls",
        "outbound port",
        "file",
        "schema",
        "ios",
    ] {
        let checks = report["checks"].as_array().expect("checks");
        let check = checks.iter().find(|c| c["name"] == name);
        assert_eq!(
            check.map(|c| &c["state"]),
            Some(&Value::from("ok")),
            "{name} in {report:#}"
        );
    }
    // The loopback is gone: only the connected call is left.
    site.fs.active_channels(2).await;
    hang_up(&call, &phone).await;
}

async fn doctor_says_what_a_user_of_the_event_socket_may_not_run(fs: Arc<RealFs>) {
    // Devices of other tests' apps would be errors here.
    fs.forget_registrations().await;
    let site = site(fs, &Settings::default()).await;
    let (user, password) = RealFs::NARROW;
    site.tools_log_in_as(&format!("{user}@{DOMAIN}"), password);
    let (code, out, err) = site.tool(&["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let checks = report["checks"].as_array().expect("checks");
    let of = |name: &str| checks.iter().find(|c| c["name"] == name).unwrap_or(&Value::Null);
    // This user may run what the daemon runs, but not what only the doctor asks.
    for (name, state, says) in [
        ("login", "ok", user),
        ("events", "ok", ""),
        ("modules", "warning", "may not run `module_exists` (esl-allowed-api)"),
        ("profiles", "warning", "may not run `xml_locate` (esl-allowed-api)"),
        ("calls", "warning", "(esl-allowed-api)"),
    ] {
        let check = of(name);
        assert_eq!(check["state"], state, "{name} in {report:#}");
        assert!(
            check["seen"].as_str().is_some_and(|seen| seen.contains(says)),
            "{check:#}"
        );
    }
    assert_eq!((code, of("commands")), (Some(0), &Value::Null), "{report:#}");
    assert!(
        !out.contains("not loaded") && !out.contains("not in FreeSWITCH's files"),
        "{out}"
    );
}
