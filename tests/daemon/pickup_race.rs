//! Pick-ups at the same time as the answer of the caller's phone (`src/esl/outbound/pickup_race.rs`). The one who has
//! the caller keeps them, and no channel is left answered without a partner.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::taken::ringing;

/// Time enough for the effects of a mistake.
const AFTER_A_SECOND: Duration = Duration::from_millis(1500);

/// Whether such a command has arrived on the call's connection.
fn was_told(held: &Held, parts: &[&str]) -> bool {
    let commands = held.commands();
    commands
        .iter()
        .any(|(_, command)| parts.iter().all(|part| command.contains(part)))
}

/// The bridge is ordered, and the daemon waits for its result.
async fn ordered(held: &Held) {
    let is_ordered = || was_told(held, &["socket_resume false"]) || was_told(held, &["exit"]);
    until("order to bridge", is_ordered).await;
}

/// The pick-up keeps the caller, and the caller is not hung up.
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

/// 1009 picks the caller up, and the phone answers. With either routing the caller belongs to 1009.
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

/// The pick-up's order came before fswake's, and no event could have reported it in time.
#[tokio::test]
async fn caller_picked_up_when_the_bridge_is_ordered_stays_with_the_pick_up() {
    is_his_who_picks_up(|held| held.pick_up_before_the_bridge("1009")).await;
}

/// With `api-expansion` off, FreeSWITCH expands nothing in a command.
#[tokio::test]
async fn conditional_order_becomes_a_plain_one_without_api_expansion() {
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

/// The pick-up was ordered after our bridge, but before FreeSWITCH's threads carried that out. FreeSWITCH reports
/// nothing of it to us, and hangs up a caller whose partner the pick-up ends.
#[tokio::test]
async fn caller_picked_up_after_the_bridge_is_ordered_stays_with_the_pick_up() {
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

/// A pick-up first reads the caller's partner, and hangs that leg up only once it has the caller. If the leg were
/// bridged with the caller meanwhile, its end would end the caller too.
#[tokio::test]
async fn pick_up_that_spans_the_order_ends_no_caller() {
    is_his_who_picks_up(|held| held.pick_up_around_the_order("1009")).await;
}

/// The cause shows who ended the call: FreeSWITCH itself hangs up a caller whom it cannot bridge.
#[tokio::test]
async fn end_during_a_pending_bridge_counts_as_hang_up_only_if_the_caller_hung_up() {
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
async fn caller_taken_from_a_pending_bridge_is_noticed_within_a_tenth_of_a_second() {
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
        // Checks the shortest time, because a busy machine makes some longer.
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

/// FreeSWITCH would leave their channels answered, without a partner and silent.
#[tokio::test]
async fn late_pick_ups_are_hung_up() {
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
            until("end of the late pick-up", is_over).await;
        }
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

/// The pick-up came after fswake's check, or its channel is in another call by then.
#[tokio::test]
async fn pick_up_that_only_seemed_late_goes_on() {
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

/// FreeSWITCH completes the bridge before the command that removes the caller's partner.
#[tokio::test]
async fn bridged_callers_partner_is_the_leg_whatever_came_first() {
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
        // A pick-up of the caller ends its partner, the leg.
        held.pick_up_from_bridge("1009");
        phone.got_bye().await;
    }
}

/// The held channel ends with PICKED_OFF in both cases: if the leg was picked up, or if the caller behind a loopback
/// was, whose leg then has no partner.
#[tokio::test]
async fn leg_picked_up_when_it_is_about_to_be_bridged_stays_with_the_pick_up() {
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

/// If the caller is transferred before the bridge, FreeSWITCH leaves the leg as it is, and the dead daemon cannot ask
/// about it.
#[tokio::test]
async fn leg_whose_caller_is_transferred_when_the_daemon_dies_ends_and_a_bridged_one_does_not() {
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
