//! What happens to calls when fswake is killed or was never started, and when the caller hangs up.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;

fn resumed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Resumed { .. })
}

#[tokio::test]
async fn call_goes_on_in_the_dialplan_when_there_is_no_daemon() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let address = daemon.address;
    daemon.kill().await;
    let held = stage.fs.call(&Call::to(address, "1001", DOMAIN));
    assert!(resumed(&held.outcome().await));
}

#[tokio::test]
async fn held_call_goes_on_in_the_dialplan_when_the_daemon_is_killed() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = [
        stage.call(&daemon, "1001"),
        stage
            .fs
            .call(&Call::to(daemon.address, "1001", DOMAIN).through_loopback()),
    ];
    stage.push().await;
    stage.push().await;
    daemon.kill().await;
    for held in held {
        assert!(resumed(&soon("resume", held.outcome()).await));
    }
}

#[tokio::test]
async fn ringing_leg_of_a_killed_daemon_ends_by_its_lease_within_five_seconds() {
    let (stage, daemon, phone, held) = one_ringing().await;
    // The first lease is over, so it was renewed.
    let renewed = |held: &Held| {
        held.commands()
            .iter()
            .filter(|(_, c)| c.contains("sched_api") || c.contains("sched_hangup"))
            .count()
            >= 2
    };
    soon("renewal of the lease", async {
        while !renewed(&held) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(stage.fs.legs().len(), 1);
    daemon.kill().await;
    let killed = Instant::now();
    assert!(resumed(&soon("resume", held.outcome()).await));
    phone.cancelled().await;
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert!(stage.fs.legs().is_empty());
}

/// More events than the connection sends commands for, as in a call that is recorded, moved and played to.
#[tokio::test]
async fn leg_rings_on_however_many_events_its_calls_connection_gets() {
    let (stage, _daemon, phone, held) = one_ringing().await;
    let leg = stage.fs.legs().remove(0);
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        stage
            .fs
            .fire("CHANNEL_EXECUTE_COMPLETE", &[("Unique-ID", leg.as_str())], "");
        // Any command makes the stand-in look at its queue. A busy FreeSWITCH sends these events without that.
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    assert_eq!(stage.fs.legs(), [leg]);
    phone.answer();
    held.wait_bridged().await;
}

#[tokio::test]
async fn connected_call_survives_a_killed_daemon() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO)));
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    daemon.summary().await;
    daemon.kill().await;
    soon("end of all connections", async {
        while stage.fs.connections() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!((held.outcomes().len(), stage.fs.legs().len()), (1, 1));
    held.caller_hangs_up();
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NORMAL_CLEARING".into()));
    phone.got_bye().await;
}

#[tokio::test]
async fn caller_who_hangs_up_before_the_phone_wakes_leaves_nothing_ringing() {
    let (_stage, daemon, phone, held) = one_pushed().await;
    held.caller_hangs_up();
    assert_eq!(field(&daemon.summary().await, "outcome"), "abandoned");
    daemon.registered(&phone).await;
    // The daemon gets this event after it has handled the REGISTER.
    phone.ping(true);
    daemon.log.wait(&["event=Pinged "]).await;
    assert!(phone.invites().is_empty());
    assert_eq!(daemon.log.count(&["call over"]), 1);
}

#[tokio::test]
async fn hang_up_while_phones_ring_ends_the_legs_with_its_cause() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for (gives_up, reason, outcome) in [
        (
            Held::caller_hangs_up as fn(&Held),
            "SIP;cause=487;text=\"ORIGINATOR_CANCEL\"",
            "abandoned",
        ),
        (
            Held::loses_race,
            "SIP;cause=200;text=\"Call completed elsewhere\"",
            "taken",
        ),
        (Held::ring_time_is_over, "Q.850;cause=19;text=\"NO_ANSWER\"", "timeout"),
    ] {
        daemon.asleep(&phone).await;
        let invites = phone.invites().len();
        let held = stage
            .fs
            .call(&Call::to(daemon.address, "1001", DOMAIN).through_loopback());
        stage.push().await;
        let from = daemon.log.len();
        phone.wake();
        phone.invite(invites + 1).await;
        daemon.log.wait_from(from, &["event=LegRinging "]).await;
        gives_up(&held);
        assert_eq!(phone.cancelled().await, reason);
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), outcome);
    }
    assert!(stage.fs.legs().is_empty());
}
