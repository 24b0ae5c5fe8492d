//! Faults around fswake cost a call no more than the wake.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use rusqlite::Connection;

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO));

/// A call that must wake its phone.
async fn wakes(stage: &Stage, daemon: &Daemon, phone: &Phone) {
    let held = stage.call(daemon, &phone.spec().user);
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
}

#[tokio::test]
async fn freeswitch_may_start_later_and_its_registrations_are_listed_then() {
    let stage = Stage::new().await;
    stage.fs.listen(false);
    let daemon = stage.start_alone().await;
    daemon.log.wait(&[" WARN ", "no connection to FreeSWITCH"]).await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    phone.register();
    phone.sleep();
    stage.fs.listen(true);
    daemon.log.wait(&["connected to FreeSWITCH", "registrations=1"]).await;
    wakes(&stage, &daemon, &phone).await;
    assert_eq!(
        daemon.log.count(&["no connection to FreeSWITCH:"]),
        1,
        "logged at every attempt"
    );
}

#[tokio::test]
async fn freeswitch_may_restart_and_phones_registered_meanwhile_are_known() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let (old, new) = (stage.iphone("1001"), stage.iphone("1002"));
    daemon.asleep(&old).await;
    stage.fs.listen(false);
    stage.fs.restart(true);
    daemon.log.wait(&["no connection to FreeSWITCH"]).await;
    new.register();
    new.sleep();
    let from = daemon.log.len();
    stage.fs.listen(true);
    daemon
        .log
        .wait_from(from, &["connected to FreeSWITCH", "registrations=1"])
        .await;
    for phone in [&old, &new] {
        phone.set_behaviour(ANSWERS);
        wakes(&stage, &daemon, phone).await;
    }
}

#[tokio::test]
async fn call_held_during_a_freeswitch_restart_is_dropped_and_the_next_one_works() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    let from = daemon.log.len();
    stage.fs.restart(false);
    assert_eq!(held.outcome().await, Outcome::HungUp("MANAGER_REQUEST".into()));
    let line = daemon.log.wait_from(from, &["call over"]).await;
    assert_eq!(field(&line, "outcome"), "error");
    daemon.log.wait_from(from, &["connected to FreeSWITCH"]).await;
    wakes(&stage, &daemon, &phone).await;
}

#[tokio::test]
async fn phone_that_registers_while_the_inbound_connection_is_down_still_gets_its_call() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let (gone, dozing) = (stage.iphone("1001"), stage.iphone("1002"));
    daemon.asleep(&gone).await;
    daemon.dozing(&dozing).await;
    let held = [stage.call(&daemon, "1001"), stage.call(&daemon, "1002")];
    stage.push().await;
    stage.push().await;
    stage.fs.listen(false);
    stage.fs.drop_inbound();
    daemon.log.wait(&["no connection to FreeSWITCH"]).await;
    for phone in [&gone, &dozing] {
        phone.set_behaviour(ANSWERS);
        phone.change(|spec| spec.address = spec.address.replace(":5060", ":5070"));
        phone.wake();
    }
    stage.fs.listen(true);
    for held in held {
        held.wait_bridged().await;
    }
}

#[tokio::test]
async fn provider_that_refuses_connections_costs_at_most_max_wait() {
    let mut stage = Stage::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    stage.set_app("base-url", format!("https://localhost:{}", closed.port()));
    stage.set("wake.max-wait", "1500ms");
    let daemon = stage.start().await;
    daemon.log.wait(&[" WARN ", "cannot reach the push provider"]).await;
    never_registers_then_registers_without_a_push(&stage, &daemon).await;
}

#[tokio::test]
async fn provider_that_hangs_costs_at_most_max_wait() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1500ms");
    let daemon = stage.start().await;
    for _ in 0..20 {
        stage.apns.faults.next(Fault::Hang);
    }
    never_registers_then_registers_without_a_push(&stage, &daemon).await;
}

async fn never_registers_then_registers_without_a_push(stage: &Stage, daemon: &Daemon) {
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage.call(daemon, "1001");
    let result = result_of(&held).await;
    assert!(["timeout", "unreachable"].contains(&result.as_str()), "{result}");
    assert!(held.started.elapsed() < Duration::from_secs(4));
    let from = daemon.log.len();
    let held = stage.call(daemon, "1001");
    daemon.log.wait_from(from, &["push-sent"]).await;
    phone.wake();
    held.wait_bridged().await;
}

#[tokio::test]
async fn provider_that_refuses_our_credentials_does_not_delay_callers_and_is_logged() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1m");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.apns.faults.next(Fault::apns(403, "InvalidProviderToken"));
    stage.apns.faults.next(Fault::apns(403, "InvalidProviderToken"));
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    daemon.log.wait(&["push-refused", "InvalidProviderToken"]).await;
}

#[tokio::test]
async fn store_that_cannot_be_written_delays_no_call_and_loses_no_device() {
    let stage = Stage::new().await;
    let mut daemon = stage.start().await;
    let path = stage.dir.path().join("fswake.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    wakes(&stage, &daemon, &phone).await;
    daemon.log.wait(&[" ERROR ", "the store cannot be written"]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = client.get(url(&daemon, "/readyz").await).send();
    let ready = soon("answer", ready).await.unwrap();
    assert_eq!(ready.status(), 503);
    let checks: serde_json::Value = serde_json::from_str(&ready.text().await.unwrap()).unwrap();
    let bad = checks["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["ok"] == false);
    assert_eq!(bad.map(|check| &check["name"]).collect::<Vec<_>>(), ["store"]);
    let from = daemon.log.len();
    phone.expire();
    daemon.log.wait_from(from, &["event=Unregistered "]).await;
    wakes(&stage, &daemon, &phone).await;
    other.execute_batch("ROLLBACK").unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code().await, Some(0));
    let count = other.query_row("SELECT count(*) FROM devices", [], |row| row.get::<_, i64>(0));
    assert_eq!(count, Ok(1));
}

#[tokio::test]
async fn caller_goes_on_after_a_broken_connection_and_the_legs_are_killed_over_another_one() {
    let (_stage, daemon, phone, held) = one_ringing().await;
    held.cut_connection();
    assert!(matches!(held.outcome().await, Outcome::Resumed { .. }));
    let lease = std::time::Instant::now();
    phone.cancelled().await;
    assert!(
        lease.elapsed() < Duration::from_secs(2),
        "left to its lease instead of killed: {:?}",
        lease.elapsed()
    );
    assert_eq!(field(&daemon.summary().await, "outcome"), "error");
}

#[tokio::test]
async fn callers_are_released_when_a_hanging_freeswitch_recovers() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    let from = daemon.log.len();
    stage.fs.freeze(true);
    daemon
        .log
        .wait_from(from, &["call over", "outcome=\"unreachable\""])
        .await;
    stage.fs.freeze(false);
    assert!(matches!(soon("resume", held.outcome()).await, Outcome::Resumed { .. }));
    // The daemon gets events of its phones again.
    phone.set_behaviour(ANSWERS);
    wakes(&stage, &daemon, &phone).await;
}

/// FreeSWITCH makes an `originate`'s channel in a separate thread, so a kill may come before the channel exists (7 of
/// 2,400, measured).
#[tokio::test]
async fn leg_killed_before_freeswitch_has_made_it_still_ends() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    daemon.asleep(&phone).await;
    stage.fs.originates_late(Duration::from_millis(300));
    for (n, is_cut) in [(1, false), (2, true)] {
        let held = stage.call(&daemon, "1001");
        stage.push().await;
        phone.wake();
        soon("originate", async {
            while !held
                .commands()
                .iter()
                .any(|(_, c)| c.starts_with("bgapi ") && c.contains(" originate "))
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        if is_cut {
            held.cut_connection();
        } else {
            held.caller_hangs_up();
        }
        let rung = phone.invite(n).await.at;
        phone
            .wait_for("CANCEL", |invites| invites[n - 1].cancel.is_some())
            .await;
        // Its lease would be 4 s.
        assert!(rung.elapsed() < Duration::from_millis(2500), "{:?}", rung.elapsed());
    }
}

/// FreeSWITCH expands the variables of a channel that is gone to nothing. What remains of the leg's originate must not
/// ring.
#[tokio::test]
async fn caller_who_goes_as_his_phone_is_dialled_leaves_no_leg_behind() {
    let (_stage, daemon, phone, held) = one_pushed().await;
    soon("prepared", async {
        while held.variable("fswake_leg_0").is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    // This simulates a caller who is already gone, but whose event has not arrived yet.
    held.forget("fswake_leg_0");
    phone.wake();
    daemon.log.wait(&["CHAN_NOT_IMPLEMENTED"]).await;
    assert!(phone.invites().is_empty());
    held.caller_hangs_up();
}
