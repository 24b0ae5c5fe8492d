//! Wakes that are in progress, shared, over, or only seem to be over.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

#[tokio::test]
async fn phone_that_may_sleep_over_udp_gets_one_invite_when_it_registers_where_it_was() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.dozing(&phone).await;
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    daemon.log.wait(&["not-rung-asleep"]).await;
    let woken = phone.wake();
    let invite = phone.invite(1).await;
    assert!(invite.seen && invite.at > woken);
    assert_eq!(push.body["sip-call-id"], invite.call_id);
    held.wait_bridged().await;
    assert_eq!(phone.invites().len(), 1);
    stage.journal("not-rung-asleep", 1).await;
    let (_, told, _) = stage.tool(&["trace", "1001@fs.test"]).await;
    assert!(told.contains("over UDP, only its push can wake it"), "{told}");
}

#[tokio::test]
async fn redial_after_a_decline_and_a_closed_connection_pushes_at_once() {
    let mut stage = Stage::new().await;
    stage.set("wake.push-gap", "1m");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Refuses {
        status: 486,
        after: Duration::from_millis(20),
        rings: true,
    });
    daemon.asleep(&phone).await;
    let first = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    assert_eq!(result_of(&first).await, "declined");
    let from = daemon.log.len();
    phone.disconnect();
    daemon.log.wait_from(from, &["event=Unregistered "]).await;

    phone.set_behaviour(ANSWERS);
    let (asked, second) = (Instant::now(), stage.call(&daemon, "1001"));
    stage.push().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    phone.wake();
    second.wait_bridged().await;
}

#[tokio::test]
async fn phone_that_registers_and_stays_silent_is_pushed_again_and_rung_at_its_next_register() {
    let mut stage = Stage::new().await;
    stage.set("wake.push-retry", "1s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Silent);
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    let first = stage.push().await;
    phone.wake();
    phone.invite(1).await;
    let again = stage.push().await;
    assert_eq!(first.body["call-id"], again.body["call-id"]);
    phone.set_behaviour(ANSWERS);
    phone.change(|spec| spec.address = "127.0.77.2:40000".into());
    phone.wake();
    let invite = phone.invite(2).await;
    assert_eq!(again.body["sip-call-id"], invite.call_id);
    held.wait_bridged().await;
    assert!(phone.invites()[0].cancel.is_some(), "{:?}", phone.invites());
}

#[tokio::test]
async fn trace_distinguishes_a_phone_that_never_registered_from_one_that_did_not_ring() {
    let mut stage = Stage::new().await;
    stage.set("wake.push-retry", "500ms");
    stage.set("wake.max-wait", "3s");
    let daemon = stage.start().await;
    for (user, comes) in [("1001", true), ("1002", false)] {
        let phone = stage.iphone(user);
        phone.set_behaviour(Behaviour::Silent);
        daemon.asleep(&phone).await;
        let held = stage.call(&daemon, user);
        stage.push().await;
        if comes {
            phone.wake();
        }
        assert_eq!(result_of(&held).await, "unreachable");
        stage.journal("call-over", if comes { 1 } else { 2 }).await;
        let (_, told, _) = stage.tool(&["trace", &format!("{user}@{DOMAIN}")]).await;
        let silent = "registered and did not ring: its INVITE was not answered";
        assert_eq!(told.contains(silent), comes, "{told}");
        assert_eq!(told.contains("registered, but does not ring"), comes, "{told}");
        assert_eq!(told.contains("the phone never registered"), !comes, "{told}");
        stage.apns.pushes_so_far().await;
    }
}

#[tokio::test]
async fn phone_that_registers_during_a_bridge_is_rung_if_the_bridge_fails() {
    let busy = Config {
        originate_tail: Duration::from_secs(2),
        ..Config::default()
    };
    let mut stage = Stage::with_freeswitch(busy).await;
    stage.set("wake.device-pushes-per-minute", 0);
    let daemon = stage.start().await;
    let (first, second) = (stage.iphone("1001"), stage.iphone("1001"));
    let soon_over = Duration::from_secs(1);
    first.set_behaviour(Behaviour::HangsUp(Duration::from_millis(50), soon_over));
    second.set_behaviour(ANSWERS);
    daemon.asleep(&first).await;
    daemon.asleep(&second).await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    stage.push().await;
    first.wake();
    daemon.log.wait(&["command=Connect "]).await;
    let from = daemon.log.len();
    second.wake();
    daemon.log.wait_from(from, &["event=Registered "]).await;
    assert!(second.invites().is_empty(), "{:?}", second.invites());
    assert!(second.invite(1).await.seen);
    daemon.log.wait(&["BridgeFailed"]).await;
    soon("bridge", held.wait_bridged()).await;
    assert_eq!(field(&daemon.summary().await, "legs"), "2");
}
