//! What breaks around fswake costs no call more than the wake.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use rusqlite::Connection;

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO));

/// A call that has to wake its phone.
async fn wakes(stage: &Stage, daemon: &Daemon, phone: &Phone) {
    let held = stage.call(daemon, &phone.spec().user);
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
}

#[tokio::test]
async fn freeswitch_may_start_later_and_its_registrations_are_read_then() {
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
        "said once, not at every attempt"
    );
}

#[tokio::test]
async fn freeswitch_may_restart_and_what_registered_meanwhile_is_known() {
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
async fn call_held_while_freeswitch_restarts_is_given_up_and_the_next_one_works() {
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
async fn provider_that_refuses_connections_costs_max_wait_or_nothing_if_the_phone_comes_by_itself() {
    let mut stage = Stage::new().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    stage.set_app("base-url", format!("https://localhost:{}", closed.port()));
    stage.set("wake.max-wait", "1500ms");
    let daemon = stage.start().await;
    daemon.log.wait(&[" WARN ", "cannot reach the push provider"]).await;
    never_comes_then_comes_by_itself(&stage, &daemon).await;
}

#[tokio::test]
async fn provider_that_hangs_costs_max_wait_or_nothing_if_the_phone_comes_by_itself() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1500ms");
    let daemon = stage.start().await;
    for _ in 0..20 {
        stage.apns.faults.next(Fault::Hang);
    }
    never_comes_then_comes_by_itself(&stage, &daemon).await;
}

async fn never_comes_then_comes_by_itself(stage: &Stage, daemon: &Daemon) {
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
async fn provider_that_refuses_our_credentials_sends_callers_on_at_once_and_is_named() {
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
async fn caller_whose_own_connection_breaks_goes_on_and_the_legs_are_killed_by_another_way() {
    let (_stage, daemon, phone, held) = one_ringing().await;
    held.cut_connection();
    assert!(matches!(held.outcome().await, Outcome::Resumed { .. }));
    let lease = std::time::Instant::now();
    phone.cancelled().await;
    assert!(
        lease.elapsed() < Duration::from_secs(2),
        "killed, not left to its lease: {:?}",
        lease.elapsed()
    );
    assert_eq!(field(&daemon.summary().await, "outcome"), "error");
}

#[tokio::test]
async fn freeswitch_that_hangs_finds_its_callers_free_when_it_goes_on() {
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
    // And the daemon gets its phones' events again.
    phone.set_behaviour(ANSWERS);
    wakes(&stage, &daemon, &phone).await;
}

/// FreeSWITCH makes an `originate`'s channel in a thread of its own: a kill may overtake it (7 of 2,400, measured).
#[tokio::test]
async fn leg_that_is_killed_before_freeswitch_has_made_it_ends_all_the_same() {
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
        // Its lease would be 6 s.
        assert!(rung.elapsed() < Duration::from_millis(2500), "{:?}", rung.elapsed());
    }
}

/// FreeSWITCH makes nothing of the variables of a channel that is gone: what is left of the leg's originate must not
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
    // As though it were gone already, at the one moment that is too late for an event.
    held.forget("fswake_leg_0");
    phone.wake();
    daemon.log.wait(&["CHAN_NOT_IMPLEMENTED"]).await;
    assert!(phone.invites().is_empty());
    held.caller_hangs_up();
}
