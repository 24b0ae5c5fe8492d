//! Queries to FreeSWITCH's directory, which may be slow: whose number was dialled, and who rings that user's phones.
//!
//! The stand-in complains about any such query on a call's own connection.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

/// The query for who rings 1001's phones.
fn who_rings() -> String {
    format!("user_data 1001@{DOMAIN} param dial-string")
}

/// A user's dial-string that rings plain contacts as well as fswake, and one that rings only fswake.
const BESIDE: &str = "${sofia_contact(*/1001@x)}:_:loopback/1001@x/fswake";
const OURS: &str = "loopback/1001@x/fswake";

/// A call from the fswake part of such a dial-string.
fn from_a_part(daemon: &Daemon) -> Call {
    let call = Call::to(daemon.address, "1001", DOMAIN).through_loopback();
    call.variable("ignore_early_media", "true")
        .variable("loopback_leg", "B")
}

/// A phone that is awake, called by such a part, while the directory takes this long to return the dial-string.
async fn awake_and_called(after: Duration, says: &str) -> (Stage, Daemon, Phone, Held) {
    let mut stage = Stage::new().await;
    stage.set("wake.fresh-for", "30s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.registered(&phone).await;
    stage.fs.answer_after(after, &who_rings(), says);
    let held = stage.fs.call(&from_a_part(&daemon));
    (stage, daemon, phone, held)
}

/// Waits until the directory got this query.
async fn asked(stage: &Stage, question: &str) {
    soon("the question", async {
        while stage.fs.asked(question) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The query for whose number was dialled.
fn whose(number: &str) -> String {
    format!("user_data {number}@{DOMAIN} attr id")
}

#[tokio::test]
async fn alias_of_the_users_number_finds_the_phone() {
    let (stage, daemon, phone) = one_sleeper().await;
    stage.fs.answer(&whose("2001"), "1001");
    stage.fs.answer(&whose("2002"), "-ERR no reply\n");
    stage.fs.answer(&whose("2003"), "1001@x} &park()");
    for nobody in ["2002", "2003", "3 3"] {
        let held = stage.fs.call(&Call::to(daemon.address, nobody, DOMAIN));
        assert!(matches!(held.outcome().await, Outcome::Resumed { .. }), "{nobody}");
        assert_eq!(held.variable("fswake_result").as_deref(), Some("no-device"));
    }
    assert!(phone.invites().is_empty());
    let held = woken(&stage, &phone, &Call::to(daemon.address, "2001", DOMAIN)).await;
    held.wait_bridged().await;
    assert_eq!(phone.invite(1).await.variable("dialed_user"), Some("1001"));
    assert_eq!(stage.fs.asked(&whose("2001")), 1);
    // Then `fswake trace` finds the call by the user's name.
    let user = format!("aor=1001@{DOMAIN}");
    daemon.log.wait(&["call-held", "dialled", &user]).await;
    daemon.log.wait(&["call over", &user]).await;
    // If the number is known no query is needed.
    stage.fs.answer(&whose("1001"), "1001");
    stage.fs.call(&Call::to(daemon.address, "1001", DOMAIN));
    stage.push().await;
    assert_eq!(stage.fs.asked(&whose("1001")), 0);
}

#[tokio::test]
async fn hang_up_during_a_directory_query_leaves_nothing_behind() {
    let (stage, daemon, phone) = one_sleeper().await;
    stage.fs.answer(&whose("2001"), "1001");
    for after in [0, 1, 2, 4, 8] {
        let held = stage.fs.call(&Call::to(daemon.address, "2001", DOMAIN));
        tokio::time::sleep(Duration::from_millis(after)).await;
        held.caller_hangs_up();
        held.outcome().await;
    }
    soon("every connection closed", async {
        while stage.fs.connections().1 != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(phone.invites().is_empty());
}

/// A directory that hangs, for example behind mod_xml_curl.
#[tokio::test]
async fn directory_that_hangs_neither_delays_the_end_of_a_call_nor_loses_it() {
    let (stage, daemon, phone) = one_sleeper().await;
    stage.fs.answer_after(Duration::from_secs(60), &whose("2001"), "1001");
    // A call that the caller gives up meanwhile is in the journal.
    let held = stage.fs.call(&Call::to(daemon.address, "2001", DOMAIN));
    asked(&stage, &whose("2001")).await;
    held.caller_hangs_up();
    assert_eq!(field(&daemon.summary().await, "outcome"), "abandoned");
    daemon.log.wait(&["call-held", "dialled", "asked-ms"]).await;
    // Other calls return to their dialplan after a bounded time.
    let started = Instant::now();
    let held = stage.fs.call(&Call::to(daemon.address, "2001", DOMAIN));
    let outcome = held.outcome().await;
    assert!(matches!(outcome, Outcome::Resumed { .. }), "{outcome:?}");
    assert_eq!(held.variable("fswake_result").as_deref(), Some("no-device"));
    let took = started.elapsed();
    assert!(
        took > Duration::from_millis(2900) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert!(phone.invites().is_empty());
}

#[tokio::test]
async fn phone_that_registers_as_the_number_itself_is_rung_during_the_directory_query() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    stage.fs.answer_after(Duration::from_secs(60), &whose("2001"), "1001");
    let phone = stage.iphone("2001");
    phone.set_behaviour(ANSWERS);
    let held = stage.fs.call(&Call::to(daemon.address, "2001", DOMAIN));
    daemon.log.wait(&["command=AskWhoseNumber "]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    phone.wake();
    held.wait_bridged().await;
    assert!(held.started.elapsed() < Duration::from_secs(3));
    assert_eq!(stage.fs.asked(&whose("2001")), 1);
}

#[tokio::test]
async fn slow_directory_does_not_lengthen_the_calls_own_limit() {
    let (stage, daemon, phone) = one_sleeper().await;
    stage.fs.answer_after(Duration::from_secs(1), &whose("2001"), "1001");
    let aor = format!("2001@{DOMAIN}");
    // `fswake_aor` may be an alias, too.
    let call = Call::to(daemon.address, "7", DOMAIN).variable("fswake_aor", &aor);
    let held = woken(&stage, &phone, &call).await;
    held.wait_bridged().await;
    assert!(held.started.elapsed() > Duration::from_secs(1));
    assert_eq!(phone.invite(1).await.variable("dialed_user"), Some("1001"));
}

#[tokio::test]
async fn sleeping_phone_is_pushed_and_connected_during_the_directory_query() {
    for says in [BESIDE, OURS] {
        let (stage, daemon, phone) = one_sleeper().await;
        stage.fs.answer_after(Duration::from_secs(3), &who_rings(), says);
        let held = woken(&stage, &phone, &from_a_part(&daemon)).await;
        held.wait_bridged().await;
        let took = held.started.elapsed();
        assert!(took < Duration::from_secs(2), "{says}: {took:?}");
        assert_eq!((phone.invites().len(), stage.fs.asked(&who_rings())), (1, 1));
    }
}

#[tokio::test]
async fn slow_directory_delays_neither_a_hang_up_nor_another_call() {
    let (stage, daemon, _phone, held) = awake_and_called(Duration::from_secs(3), OURS).await;
    asked(&stage, &who_rings()).await;
    // Another call, from the dialplan, rings at once.
    let other = stage.fs.call(&Call::to(daemon.address, "1001", DOMAIN));
    other.wait_bridged().await;
    assert!(
        other.started.elapsed() < Duration::from_secs(2),
        "{:?}",
        other.started.elapsed()
    );
    held.caller_hangs_up();
    held.outcome().await;
    daemon.log.wait(&["call over", "abandoned"]).await;
    let took = held.started.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    // Its connection is closed as well, so FreeSWITCH's channel is gone.
    soon("its connection closed", async {
        while stage.fs.connections().1 != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(
        held.started.elapsed() < Duration::from_millis(2500),
        "{:?}",
        held.started.elapsed()
    );
}

#[tokio::test]
async fn registered_phone_is_rung_only_after_the_directorys_answer() {
    for (says, legs) in [(BESIDE, 0), (OURS, 1)] {
        let (stage, daemon, phone, held) = awake_and_called(Duration::from_secs(1), says).await;
        daemon.log.wait(&["who-rings"]).await;
        assert!(held.started.elapsed() > Duration::from_secs(1));
        if legs == 0 {
            // FreeSWITCH has no leg to it either, so it may be asleep.
            stage.push().await;
            assert_eq!(held.variable("fswake_ring").as_deref(), Some("woken"));
        } else {
            held.wait_bridged().await;
            assert_eq!(held.variable("fswake_ring"), None);
        }
        assert_eq!(phone.invites().len(), legs, "{says}");
    }
}
