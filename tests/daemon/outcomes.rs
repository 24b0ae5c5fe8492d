//! Phones that decline, never register, or cannot be woken.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;

use crate::harness::*;

/// The channel variable `fswake_result` of a call that returned to the dialplan.
pub async fn result_of(held: &Held) -> String {
    let Outcome::Resumed { variables } = soon("outcome", held.outcome()).await else {
        panic!("not resumed: {:?}", held.outcomes());
    };
    variables
        .into_iter()
        .find(|(name, _)| name == "fswake_result")
        .map_or_else(String::new, |(_, value)| value)
}

fn refuses(status: u16) -> Behaviour {
    Behaviour::Refuses {
        status,
        after: Duration::from_millis(20),
        rings: true,
    }
}

#[tokio::test]
async fn decline_of_one_device_lets_the_other_ring_on() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (iphone, android) = (stage.iphone("1001"), stage.android("1001"));
    daemon.asleep(&iphone).await;
    daemon.asleep(&android).await;
    iphone.set_behaviour(refuses(603));
    let held = stage.call(&daemon, "1001");
    tokio::join!(stage.push(), stage.android_push());
    iphone.wake();
    android.wake();
    daemon.log.wait(&["leg-ended", "CALL_REJECTED"]).await;
    android.invite(1).await;
    android.answer();
    held.wait_bridged().await;
}

#[tokio::test]
async fn decline_by_the_last_device_releases_the_caller_before_the_wait_is_over() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1m");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    phone.set_behaviour(refuses(486));
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    assert_eq!(result_of(&held).await, "declined");
    assert_eq!(field(&daemon.summary().await, "outcome"), "declined");
}

#[tokio::test]
async fn decline_for_all_ends_the_call_with_the_phones_status() {
    let mut stage = Stage::with_android().await;
    stage.set("wake.decline", "all");
    let daemon = stage.start().await;
    for (status, cause, heard) in [(603, "CALL_REJECTED", 603), (486, "USER_BUSY", 486)] {
        let (iphone, android) = (stage.iphone(&status.to_string()), stage.android(&status.to_string()));
        daemon.asleep(&iphone).await;
        daemon.asleep(&android).await;
        let held = stage.call(&daemon, &status.to_string());
        tokio::join!(stage.push(), stage.android_push());
        android.wake();
        let from = daemon.log.len();
        android.invite(1).await;
        daemon.log.wait_from(from, &["event=LegRinging "]).await;
        iphone.set_behaviour(refuses(status));
        iphone.wake();
        // The record is written before the dialplan's bridge fails with the phone's cause.
        let Outcome::Resumed { variables } = soon("outcome", held.outcome()).await else {
            panic!("{:?}", held.outcomes());
        };
        let variable = |name: &str| {
            let found = variables.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(variable("fswake_result"), Some("declined"));
        assert_eq!(variable("fswake_pushes"), Some("2"));
        let woken = variable("fswake_device").unwrap();
        assert!(
            woken.starts_with("fcm:"),
            "not the phone that registered first, as none answered: {woken}"
        );
        assert!(variable("fswake_wake_ms").is_some());
        assert_eq!(held.nth_outcome(1).await, Outcome::HungUp(cause.into()));
        assert_eq!(held.timeline().last().unwrap().1, CallerSaw::Final(heard));
        assert_eq!(
            android.cancelled().await,
            "SIP;cause=200;text=\"Call completed elsewhere\""
        );
    }
}

#[tokio::test]
async fn phone_that_never_registers_costs_the_caller_max_wait() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1500ms");
    stage.set("wake.push-retry", "500ms");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    assert_eq!(result_of(&held).await, "unreachable");
    let took = held.started.elapsed();
    assert!(
        Duration::from_millis(1500) <= took && took < Duration::from_secs(4),
        "{took:?}"
    );
    let line = daemon.summary().await;
    assert_eq!((field(&line, "outcome"), field(&line, "pushes")), ("unreachable", "3"));
    let pushes = stage.apns.pushes_so_far().await;
    let calls: Vec<_> = pushes.iter().map(|push| push.body["call-id"].clone()).collect();
    assert!(
        calls.len() == 3 && calls.iter().all(|call| *call == calls[0]),
        "more than one call id: {calls:?}"
    );
}

#[tokio::test]
async fn callers_own_limit_makes_the_wait_shorter() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).variable("call_timeout", "1"));
    assert_eq!(result_of(&held).await, "unreachable");
    assert!(held.started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn ringing_phone_rings_until_the_calls_own_limit_and_is_cancelled_as_a_missed_call() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).variable("call_timeout", "2"));
    stage.push().await;
    phone.wake();
    assert_eq!(result_of(&held).await, "timeout");
    let took = held.started.elapsed();
    assert!(took >= Duration::from_secs(2), "the wait limited the ringing: {took:?}");
    let reason = phone.cancelled().await;
    assert!(!reason.contains("elsewhere"), "{reason}");
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NO_ANSWER".into()));
    assert_eq!(held.timeline().last().unwrap().1, CallerSaw::Final(480));
}

/// A number of seconds too large for any clock.
#[tokio::test]
async fn call_with_an_unlimited_time_rings_until_it_is_answered() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        daemon.asleep(&phone).await;
        let before = phone.invites().len();
        let held = woken(&stage, &phone, &call.variable("call_timeout", &u64::MAX.to_string())).await;
        phone.invite(before + 1).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        phone.answer();
        held.wait_bridged().await;
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

#[tokio::test]
async fn call_to_a_user_without_a_device_is_not_held() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let held = stage.call(&daemon, "9999");
    assert_eq!(result_of(&held).await, "no-device");
    assert!(held.timeline().is_empty(), "the caller got ringing");
}

#[tokio::test]
async fn wait_ends_early_when_every_push_is_refused_for_good() {
    let mut stage = Stage::with_android().await;
    stage.set("wake.max-wait", "1m");
    let daemon = stage.start().await;
    let (iphone, android) = (stage.iphone("1001"), stage.android("1001"));
    daemon.asleep(&iphone).await;
    daemon.asleep(&android).await;
    stage.apns.faults.next(Fault::gone("Unregistered", 4_000_000_000_000));
    stage
        .fcm
        .as_ref()
        .unwrap()
        .faults
        .next(Fault::fcm(404, "NOT_FOUND", "UNREGISTERED"));
    let asked = Instant::now();
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(daemon.log.count(&["device forgotten", "gone"]), 2);
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "no-device");
}

#[tokio::test]
async fn bad_token_is_set_aside_until_the_phone_registers_again() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&phone).await;
    stage.apns.faults.next(Fault::apns(400, "BadDeviceToken"));
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    stage.push().await;
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    assert!(stage.apns.pushes_so_far().await.is_empty());
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
}
