//! Calls that FreeSWITCH's application `sleep` holds, announced by an event, on one connection for all of them.
//!
//! `FSWAKE_SOCKET=sleep` runs all tests of the daemon with such calls. The tests here always have them.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::taken::{left_alone, ringing};

const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
type Take = fn(&Held);

/// Some 30 ms on a quiet machine.
const SOON: Duration = Duration::from_millis(800);
/// The longest that a call waits after fswake's end, with what a busy machine adds.
const LEASE: Duration = Duration::from_secs(7);

async fn stage() -> Stage {
    let mut stage = Stage::new().await;
    stage.set("freeswitch.hold", "sleep");
    stage
}

fn both(daemon: &Daemon) -> [Call; 2] {
    let call = Call::with_async(daemon.address, "1001", DOMAIN).by_sleep();
    [call.clone(), call.through_loopback()]
}

fn resumed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Resumed { .. })
}

#[tokio::test]
async fn phone_is_woken_and_connected_without_a_connection_of_the_calls_own() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phones = [stage.iphone("1001"), stage.iphone("1001")];
    for call in both(&daemon) {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phones[0], &phones[1]], &call).await;
        assert_eq!(stage.fs.connections().1, 0, "no call has a connection");
        phones[0].answer();
        assert_eq!(phones[1].cancelled().await, ELSEWHERE);
        held.wait_bridged().await;
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "connected", "{line}");
        assert_eq!(held.variable("fswake_result").as_deref(), Some("connected"));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(held.outcomes().len(), 1, "no lease ends it: {:?}", held.outcomes());
        held.caller_hangs_up();
        phones[0].got_bye().await;
    }
}

#[tokio::test]
async fn nobody_answers_and_the_dialplan_goes_on() {
    let mut stage = stage().await;
    stage.set("wake.max-wait", "5s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    for call in both(&daemon) {
        let started = Instant::now();
        let held = stage.fs.call(&call);
        stage.push().await;
        assert!(resumed(&held.outcome().await));
        let held_for = started.elapsed();
        assert!(held_for > Duration::from_secs(5), "no lease ends it: {held_for:?}");
        assert_eq!(held.variable("fswake_result").as_deref(), Some("unreachable"));
        assert_eq!(held.variable("fswake_held"), None);
    }
}

#[tokio::test]
async fn call_that_somebody_takes_is_left_at_once() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let takes: [(Take, Outcome, &str); 3] = [
        (
            |held| held.pick_up("1002"),
            Outcome::PickedUp { by: "1002".into() },
            "picked-up",
        ),
        (
            |held| held.transfer("5000"),
            Outcome::Transferred { to: "5000".into() },
            "transferred",
        ),
        (Held::park, Outcome::Transferred { to: "park".into() }, "parked"),
    ];
    for (take, outcome, how) in takes {
        let from = daemon.log.len();
        let [call, _] = both(&daemon);
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let taken = Instant::now();
        take(&held);
        assert_eq!(soon("its new place", held.outcome()).await, outcome);
        assert_eq!(phone.cancelled().await, ELSEWHERE);
        assert!(taken.elapsed() < SOON, "{how}: {:?}", taken.elapsed());
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken");
        daemon.log.wait_from(from, &["call-taken", how]).await;
        left_alone(&stage, &held).await;
    }
}

#[tokio::test]
async fn phones_stop_ringing_when_the_caller_hangs_up() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both(&daemon) {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        held.caller_hangs_up();
        phone.cancelled().await;
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "abandoned", "{line}");
    }
}

/// After a digit, somebody's `uuid_break` or the end of the lease, FreeSWITCH goes on with the dialplan.
#[tokio::test]
async fn hold_that_fswake_did_not_end_ends_the_legs_and_leaves_the_call_alone() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let [call, _] = both(&daemon);
    let held = ringing(&stage, &daemon, &[&phone], &call).await;
    held.is_broken();
    assert!(resumed(&held.outcome().await));
    phone.cancelled().await;
    daemon.log.wait(&["connection-lost"]).await;
    left_alone(&stage, &held).await;
}

#[tokio::test]
async fn killed_daemon_costs_held_calls_their_lease_and_new_ones_nothing() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let calls = both(&daemon);
    let mut held: Vec<Held> = Vec::new();
    for call in &calls {
        held.push(stage.fs.call(call));
        stage.push().await;
    }
    // The first leases are over, and those that hold now are the renewed ones.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(held.iter().all(|held| held.outcomes().is_empty()));
    let killed = Instant::now();
    daemon.kill().await;
    for held in &held {
        assert!(resumed(&held.outcome().await));
        let after = killed.elapsed();
        assert!(after < LEASE, "{after:?}");
    }
    let new = Instant::now();
    assert!(resumed(&stage.fs.call(&calls[0]).outcome().await));
    assert!(new.elapsed() < SOON, "{:?}", new.elapsed());
}

/// A daemon that stands still learns of the call when the dialplan has gone on: it must not ring phones for it.
#[tokio::test]
async fn daemon_that_stood_still_leaves_a_call_alone_that_has_gone_on() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    daemon.asleep(&phone).await;
    let [call, _] = both(&daemon);
    let before = phone.invites().len();
    daemon.signal("STOP");
    let held = stage.fs.call(&call);
    assert!(resumed(&held.outcome().await));
    let from = daemon.log.len();
    daemon.signal("CONT");
    daemon.log.wait_from(from, &["connection-lost"]).await;
    phone.wake();
    left_alone(&stage, &held).await;
    assert_eq!(phone.invites().len(), before);
}

/// Its lease is longer once FreeSWITCH has been slow, and a late reply does not end the connection of all calls.
#[tokio::test]
async fn freeswitch_that_answers_too_late_keeps_its_calls() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [call, _] = both(&daemon);
    let held = stage.fs.call(&call);
    stage.push().await;
    for slow in [2_000, 4_500] {
        stage.fs.stall_inbound(true);
        tokio::time::sleep(Duration::from_millis(slow)).await;
        stage.fs.stall_inbound(false);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    assert!(held.outcomes().is_empty(), "{:?}", held.outcomes());
    phone.wake();
    phone.invite(1).await;
    phone.answer();
    held.wait_bridged().await;
    held.caller_hangs_up();
}

/// The calls of a lost connection go on when their lease is over. The next connection takes new ones.
#[tokio::test]
async fn lost_connection_lets_its_calls_go_and_the_next_one_takes_new_calls() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [call, _] = both(&daemon);
    let held = stage.fs.call(&call);
    stage.push().await;
    let from = daemon.log.len();
    let lost = Instant::now();
    stage.fs.drop_inbound();
    daemon.log.wait_from(from, &["connection-lost"]).await;
    assert!(resumed(&held.outcome().await));
    assert!(lost.elapsed() < LEASE, "{:?}", lost.elapsed());
    daemon.log.wait_from(from, &["calls may be held"]).await;
    daemon.log.wait_from(from, &["connected to FreeSWITCH"]).await;
    let held = ringing(&stage, &daemon, &[&phone], &call).await;
    phone.answer();
    held.wait_bridged().await;
    held.caller_hangs_up();
}

#[tokio::test]
async fn call_with_ringback_logs_that_nothing_is_played() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let [call, _] = both(&daemon);
    let held = ringing(&stage, &daemon, &[&phone], &call.variable("ringback", "%(1000,0,440)")).await;
    daemon
        .log
        .wait(&["nothing is played while the application sleep holds a call"])
        .await;
    held.caller_hangs_up();
    phone.cancelled().await;
}

#[tokio::test]
async fn both_kinds_of_hold_are_served_at_the_same_time() {
    let stage = stage().await;
    let daemon = stage.start().await;
    let phones = [stage.iphone("1001"), stage.iphone("1002")];
    let [by_sleep, _] = both(&daemon);
    let by_socket = Call::with_async(daemon.address, "1002", DOMAIN);
    let first = ringing(&stage, &daemon, &[&phones[0]], &by_sleep).await;
    let second = ringing(&stage, &daemon, &[&phones[1]], &by_socket).await;
    for (phone, held) in [(&phones[1], &second), (&phones[0], &first)] {
        phone.answer();
        held.wait_bridged().await;
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}
