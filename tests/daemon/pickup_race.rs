//! Pick-ups that cross the answer of the caller's phone (`src/esl/outbound/pickup_race.rs`): who has the caller keeps
//! him, and nobody is left answered with nobody.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::taken::ringing;

/// What happens only if it is wrong would have happened by then.
const AFTER_A_SECOND: Duration = Duration::from_millis(1500);

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let met = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, met).await;
}

/// Whether such a command has come on the call's connection.
fn was_told(held: &Held, parts: &[&str]) -> bool {
    let commands = held.commands();
    commands
        .iter()
        .any(|(_, command)| parts.iter().all(|part| command.contains(part)))
}

/// The bridge is ordered, and the daemon waits for it.
async fn ordered(held: &Held) {
    let is_ordered = || was_told(held, &["socket_resume false"]) || was_told(held, &["exit"]);
    until("order to bridge", is_ordered).await;
}

/// The pick-up keeps the caller, and nobody hangs up on the caller.
async fn has_him(stage: &Stage, held: &Held, number: &str) {
    let is_his = || {
        let by = number.to_owned();
        held.outcomes()
            .iter()
            .any(|(_, outcome)| *outcome == Outcome::PickedUp { by: by.clone() })
    };
    until("pick-up", is_his).await;
    until("end of the call's connection", || stage.fs.connections().1 == 0).await;
    let cut = Outcome::HungUp("DESTINATION_OUT_OF_ORDER".into());
    assert!(
        !held.outcomes().iter().any(|(_, outcome)| *outcome == cut),
        "{:?}",
        held.outcomes()
    );
    assert!(stage.fs.legs().is_empty());
}

/// Somebody with the number 1009 picks the caller up, and the phone answers: with either routing the caller is theirs.
async fn is_his_who_picks_up(pick_up: impl Fn(&Held)) {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let from = daemon.log.len();
        pick_up(&held);
        phone.answer();
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken", "{line}");
        phone.got_bye().await;
        has_him(&stage, &held, "1009").await;
    }
}

/// The pick-up's order came before fswake's, and no event could report it.
#[tokio::test]
async fn caller_who_is_picked_up_as_his_bridge_is_ordered_keeps_that_call() {
    is_his_who_picks_up(|held| held.pick_up_before_the_bridge("1009")).await;
}

/// A FreeSWITCH that may not look anything up while it reads a command (`api-expansion`).
#[tokio::test]
async fn order_with_a_condition_that_freeswitch_may_not_read_becomes_a_plain_one() {
    let stage = Stage::new().await;
    stage.fs.expand_no_commands();
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let from = daemon.log.len();
        phone.answer();
        held.wait_bridged().await;
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "connected", "{line}");
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

/// His order came after ours, and before FreeSWITCH's threads followed that: it says nothing of it to us, and would
/// hang up on a caller whose partner the pick-up ends.
#[tokio::test]
async fn caller_who_is_picked_up_once_his_bridge_is_ordered_keeps_that_call() {
    for expands in [true, false] {
        let (stage, daemon, phone) = one_sleeper().await;
        stage.fs.lose_bridges(true);
        if !expands {
            stage.fs.expand_no_commands();
        }
        for call in both_ways(&daemon, "1001") {
            let from = daemon.log.len();
            let held = woken(&stage, &phone, &call).await;
            ordered(&held).await;
            held.pick_up_from_bridge("1009");
            let line = daemon.log.wait_from(from, &["call over"]).await;
            assert_eq!(field(&line, "outcome"), "taken", "{line}");
            phone.got_bye().await;
            assert!(
                held.started.elapsed() < Duration::from_secs(3),
                "{:?}",
                held.started.elapsed()
            );
            has_him(&stage, &held, "1009").await;
        }
    }
}

/// Whoever picks the caller up looks who ends with him, and hangs up on that leg only when he has him. A leg that is
/// bridged with the caller meanwhile would take him with it.
#[tokio::test]
async fn pick_up_that_begins_before_the_order_and_ends_after_it_cuts_nobody() {
    is_his_who_picks_up(|held| held.pick_up_around_the_order("1009")).await;
}

/// The cause shows who ended the call: FreeSWITCH hangs up on a caller whom it cannot bridge.
#[tokio::test]
async fn caller_who_ends_while_his_bridge_is_waited_for_has_hung_up_only_by_himself() {
    for (cause, outcome, words) in [
        (
            "DESTINATION_OUT_OF_ORDER",
            "error",
            "a phone answered, and FreeSWITCH ended the call instead of connecting the two",
        ),
        ("NORMAL_CLEARING", "abandoned", "the caller hung up"),
    ] {
        let (stage, daemon, phone) = one_sleeper().await;
        stage.fs.lose_bridges(true);
        for call in both_ways(&daemon, "1001") {
            let from = daemon.log.len();
            let held = woken(&stage, &phone, &call).await;
            ordered(&held).await;
            held.ends_in_its_bridge(cause);
            let line = daemon.log.wait_from(from, &["call over"]).await;
            assert_eq!(field(&line, "outcome"), outcome, "{cause}: {line}");
            phone.got_bye().await;
        }
        stage.journal("call-over", 2).await;
        let (_, told, _) = stage.tool(&["trace", "1001@fs.test"]).await;
        assert_eq!(told.matches(words).count(), 2, "{cause}: {told}");
    }
}

/// FreeSWITCH sends no event, and leaves the phone's leg as it is.
#[tokio::test]
async fn caller_who_is_taken_from_a_bridge_that_is_waited_for_is_missed_within_a_tenth_of_a_second() {
    for call in 0..2 {
        let (stage, daemon, phone) = one_sleeper().await;
        stage.fs.lose_bridges(true);
        let call = &both_ways(&daemon, "1001")[call];
        let held = woken(&stage, &phone, call).await;
        ordered(&held).await;
        let a_leg = held.behind.clone().unwrap_or_else(|| held.uuid.clone());
        let question = format!("api uuid_getvar {a_leg} transfer_source");
        let asked = || -> Vec<Instant> {
            let all = held.commands();
            let from = all.iter().position(|(_, c)| c.contains("uuid_bridge(")).unwrap();
            all[from..]
                .iter()
                .filter(|(_, c)| *c == question)
                .map(|(at, _)| *at)
                .collect()
        };
        until("questions", || asked().len() >= 6).await;
        // The shortest of them: a busy machine makes some longer.
        let shortest = asked().windows(2).map(|two| two[1] - two[0]).min().unwrap();
        assert!(shortest < Duration::from_millis(100), "{shortest:?}");
        held.transfer_from_bridge("5000");
        let line = daemon.summary().await;
        assert_eq!(field(&line, "outcome"), "taken", "{line}");
        daemon.log.wait(&["call-taken", "transferred"]).await;
        phone.got_bye().await;
        assert!(stage.fs.legs().is_empty());
    }
}

/// FreeSWITCH would leave them in silence: answered, and with nobody.
#[tokio::test]
async fn pick_ups_that_come_too_late_end() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let late = [held.pick_up_too_late("1009"), held.pick_up_too_late("1008")];
        let from = daemon.log.len();
        phone.answer();
        held.wait_bridged().await;
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "connected", "{line}");
        for late in &late {
            let is_over = || was_told(&held, &[late]) && !held.stranger_is_there(late);
            until("end of who came too late", is_over).await;
        }
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

/// The pick-up came after fswake's check; or it is in another call by then.
#[tokio::test]
async fn pick_up_that_seemed_too_late_and_is_a_call_lives_on() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let (phone, asleep) = (stage.iphone("1001"), stage.iphone("1002"));
    daemon.asleep(&asleep).await;
    for call in both_ways(&daemon, "1001") {
        for has_the_caller in [true, false] {
            let held = ringing(&stage, &daemon, &[&phone], &call).await;
            let late = held.pick_up_too_late("1009");
            phone.answer();
            held.wait_bridged().await;
            until("order to end him", || was_told(&held, &["sched_api", &late])).await;
            if has_the_caller {
                held.latecomer_wins(&late);
            } else {
                let other = stage.call(&daemon, "1002");
                stage.push().await;
                other.pick_up_with(&late, "1009");
            }
            tokio::time::sleep(AFTER_A_SECOND).await;
            assert!(held.stranger_is_there(&late), "{has_the_caller}");
            held.caller_hangs_up();
            phone.got_bye().await;
        }
    }
}

/// A FreeSWITCH whose bridge stands before the command that takes the caller's partner away.
#[tokio::test]
async fn bridged_caller_has_his_leg_as_his_partner_whatever_came_first() {
    let stage = Stage::with_freeswitch(Config::default().instant()).await;
    stage.fs.expand_no_commands();
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let from = daemon.log.len();
        phone.answer();
        held.wait_bridged().await;
        daemon.log.wait_from(from, &["call over"]).await;
        // So a pick-up of the caller ends it.
        held.pick_up_from_bridge("1009");
        phone.got_bye().await;
    }
}

/// The held channel ends with PICKED_OFF whether the leg was picked up or the caller behind a loopback, whose leg is
/// alone then.
#[tokio::test]
async fn leg_that_somebody_picks_up_as_it_is_to_be_bridged_is_his() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let [call, _] = both_ways(&daemon, "1001");
    let held = ringing(&stage, &daemon, &[&phone], &call).await;
    let leg = phone.invite(1).await.leg;
    let from = daemon.log.len();
    phone.answer();
    daemon.log.wait_from(from, &["command=Connect "]).await;
    held.leg_is_picked_up();
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "taken", "{line}");
    until("end of the call's connection", || stage.fs.connections().1 == 0).await;
    tokio::time::sleep(AFTER_A_SECOND).await;
    assert_eq!(stage.fs.legs(), [leg]);
}

/// FreeSWITCH leaves the leg as it is where its caller is transferred before the bridge, and nobody is left who asks.
#[tokio::test]
async fn leg_whose_caller_goes_elsewhere_as_the_daemon_dies_ends_and_a_bridged_one_does_not() {
    let one = async |way: usize, goes_elsewhere: bool| {
        let (stage, daemon, phone) = one_sleeper().await;
        let call = &both_ways(&daemon, "1001")[way];
        let held = woken(&stage, &phone, call).await;
        ordered(&held).await;
        if goes_elsewhere {
            held.transfer_from_bridge("5000");
        }
        daemon.kill().await;
        if goes_elsewhere {
            until("end of the leg", || phone.invites()[0].bye.is_some()).await;
        } else {
            let is_bridged = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Connected { .. });
            until("bridge", || held.outcomes().iter().any(is_bridged)).await;
            tokio::time::sleep(Duration::from_secs(18)).await;
            assert_eq!(stage.fs.legs().len(), 1, "a call goes on");
        }
    };
    tokio::join!(one(0, true), one(1, true), one(0, false), one(1, false));
}
