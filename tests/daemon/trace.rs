//! `fswake trace` with the daemon and without it, and a call's own record.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use serde_json::Value;

use crate::harness::*;
use crate::outcomes::result_of;

#[tokio::test]
async fn wake_is_traced_while_the_daemon_runs_and_when_it_does_not() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "20s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50))));
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    // The provider's answer comes before the REGISTER, as in the timeline below.
    daemon.log.wait(&["push-accepted"]).await;
    phone.wake();
    held.wait_bridged().await;
    stage.journal("call-over", 1).await;

    let (code, beside, err) = stage.tool(&["trace", "1001@fs.test"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let mut from = 0;
    for words in [
        "call held, from 1000, by the dialplan; phones known: 1; waits 20.0 s",
        "push written, try 1; example-phone",
        "provider took the push: 200, after ",
        "REGISTER, fresh, ",
        "INVITE (leg 0): it has registered",
        "rings, ",
        "answered, codec PCMU",
        "over: connected (connected)",
    ] {
        let at = beside[from..].find(words);
        from += at.unwrap_or_else(|| panic!("{words} after {from} in\n{beside}"));
    }
    drop(daemon);
    let (code, alone, _) = stage.tool(&["trace", "1001@fs.test"]).await;
    assert_eq!((code, alone.as_str()), (Some(0), beside.as_str()));
    let call = beside.split(' ').next().unwrap();
    let (_, json, _) = stage.tool(&["trace", call, "--json"]).await;
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["wakes"][0]["result"], "connected");
}

#[tokio::test]
async fn record_of_a_call_is_on_its_channel_with_every_outcome() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    stage.set("wake.push-retries", 0);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50))));
    daemon.asleep(&phone).await;
    // The call is connected.
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    daemon.summary().await;
    let variable = |held: &Held, name: &str| held.variable(name).unwrap_or_default();
    assert_eq!(variable(&held, "fswake_result"), "connected");
    assert_eq!(variable(&held, "fswake_pushes"), "1");
    let wake: u64 = variable(&held, "fswake_wake_ms").parse().unwrap();
    assert!(wake < 1_000, "{wake}");
    let device = variable(&held, "fswake_device");
    assert!(
        device.starts_with("apns:com.example.phone:") && device.len() == 31,
        "{device}"
    );
    phone.hang_up();
    daemon.asleep(&phone).await;
    // The call returns to the dialplan.
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    assert_eq!(result_of(&held).await, "unreachable");
    assert_eq!(variable(&held, "fswake_pushes"), "1");
    // The caller hangs up. What was written before stays.
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    soon("record", async {
        while held.variable("fswake_result").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        (variable(&held, "fswake_result"), variable(&held, "fswake_pushes")),
        ("held".into(), "1".into())
    );
    held.caller_hangs_up();
    daemon.log.wait(&["call over", "abandoned"]).await;
}
