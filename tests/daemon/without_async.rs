//! Calls held by `socket` without `async`. Their channel's own thread serves the connection, and does nothing else
//! until that ends.
//!
//! With `FSWAKE_SOCKET=static` all tests of the daemon run this way. The tests here always do.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::taken::{left_alone, ringing};

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::ZERO));
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
type Take = fn(&Held);

/// About 30 ms on a quiet machine.
const SOON: Duration = Duration::from_millis(800);

fn call(daemon: &Daemon) -> Call {
    Call::with_async(daemon.address, "1001", DOMAIN).without_async()
}

fn resumed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Resumed { .. })
}

#[tokio::test]
async fn answered_call_is_bridged_and_reported_as_connected() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phones = [stage.iphone("1001"), stage.iphone("1001")];
    for _ in 0..2 {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phones[0], &phones[1]], &call(&daemon)).await;
        phones[0].answer();
        // FreeSWITCH would wait for this leg's originate before it bridges the other one.
        assert_eq!(phones[1].cancelled().await, ELSEWHERE);
        held.wait_bridged().await;
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "connected", "{line}");
        assert_eq!(held.variable("fswake_result").as_deref(), Some("connected"));
        assert_eq!(held.variable("fswake_bridge").as_deref(), None);
        soon("end of the call's connection", async {
            while stage.fs.connections().1 > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        held.caller_hangs_up();
        phones[0].got_bye().await;
        // The next call uses the same connection to FreeSWITCH.
        stage.fs.listen(false);
    }
}

#[tokio::test]
async fn dialplan_goes_on_if_no_phone_answers() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let held = stage.fs.call(&call(&daemon));
    stage.push().await;
    assert!(resumed(&held.outcome().await));
    let said: Vec<_> = held.commands().into_iter().map(|(_, command)| command).collect();
    assert!(!said.iter().any(|command| command.starts_with("resume")), "{said:?}");
}

#[tokio::test]
async fn call_that_is_taken_is_left_alone_at_once() {
    let stage = Stage::new().await;
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
        let held = ringing(&stage, &daemon, &[&phone], &call(&daemon)).await;
        let taken = Instant::now();
        take(&held);
        assert_eq!(soon("the transfer", held.outcome()).await, outcome);
        assert!(taken.elapsed() < SOON, "{how}: {:?}", taken.elapsed());
        assert_eq!(phone.cancelled().await, ELSEWHERE);
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken");
        daemon.log.wait_from(from, &["call-taken", how]).await;
        left_alone(&stage, &held).await;
    }
}

/// A snippet with `socket_resume=true` and without `async` would leave the caller in CS_RESET forever.
#[tokio::test]
async fn killed_daemon_leaves_the_call_to_the_dialplan_with_every_snippet() {
    for resumes in ["true", "false"] {
        for rings in [false, true] {
            let stage = Stage::new().await;
            let daemon = stage.start().await;
            let phone = stage.iphone("1001");
            let call = call(&daemon).variable("socket_resume", resumes);
            let held = if rings {
                ringing(&stage, &daemon, &[&phone], &call).await
            } else {
                daemon.asleep(&phone).await;
                let held = stage.fs.call(&call);
                stage.push().await;
                soon("the wake's variables", async {
                    while held.variable("fswake_result").is_none() {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                })
                .await;
                held
            };
            daemon.kill().await;
            let outcome = soon("next action", held.outcome()).await;
            assert!(
                resumed(&outcome),
                "socket_resume={resumes}, rings: {rings}: {outcome:?}"
            );
        }
    }
}

/// It is more important to make the bridge than to learn of its result.
#[tokio::test]
async fn call_is_connected_where_no_further_connection_can_be_made() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let held = ringing(&stage, &daemon, &[&phone], &call(&daemon)).await;
    stage.fs.forbid("expand");
    phone.answer();
    held.wait_bridged().await;
    daemon.log.wait(&["WARN", "no second connection to FreeSWITCH"]).await;
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "error", "{line}");
    held.caller_hangs_up();
    phone.got_bye().await;
}

/// On a busy machine a login takes longer than a caller should wait.
#[tokio::test]
async fn result_of_a_bridge_is_known_although_the_second_connection_came_later() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let held = ringing(&stage, &daemon, &[&phone], &call(&daemon)).await;
    stage.fs.logins_take(Duration::from_millis(2500));
    let answered = Instant::now();
    phone.answer();
    held.wait_bridged().await;
    let bridged = answered.elapsed();
    assert!(bridged < Duration::from_secs(2), "{bridged:?}: it waited for the login");
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "connected", "{line}");
    assert_eq!(held.variable("fswake_result").as_deref(), Some("connected"));
    held.caller_hangs_up();
    phone.got_bye().await;
}

/// The phone hangs up while the login is under way, and the caller goes on in the dialplan.
#[tokio::test]
async fn call_that_was_over_before_the_second_connection_came_is_left_alone() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let to = call(&daemon).variable("hangup_after_bridge", "false");
    let held = ringing(&stage, &daemon, &[&phone], &to).await;
    stage.fs.logins_take(Duration::from_millis(2500));
    phone.answer();
    held.wait_bridged().await;
    phone.hang_up();
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "connected", "{line}");
    let is_ended = |(_, outcome): &(Instant, Outcome)| matches!(outcome, Outcome::HungUp(_));
    assert!(!held.outcomes().iter().any(is_ended), "{:?}", held.outcomes());
}

/// Early media reaches the caller, who is bridged before the phone answers.
#[tokio::test]
async fn early_media_reaches_the_caller_and_the_answer_is_noticed() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Manual);
    daemon.asleep(&phone).await;
    let held = stage.fs.call(&call(&daemon));
    stage.push().await;
    phone.wake();
    let leg = phone.invite(1).await.leg;
    phone.early_media();
    assert_eq!(soon("early media", held.outcome()).await, Outcome::Early { leg });
    phone.answer();
    soon("answer", held.nth_outcome(1)).await;
    assert_eq!(field(&daemon.summary().await, "outcome"), "connected");
    assert_eq!(held.variable("fswake_result").as_deref(), Some("connected"));
    held.caller_hangs_up();
    phone.got_bye().await;
}

#[tokio::test]
async fn phone_that_hangs_up_around_its_bridge_ends_the_call() {
    for after in [1, 8, 20, 30] {
        let stage = Stage::new().await;
        let daemon = stage.start().await;
        let phone = stage.iphone("1001");
        let (answers, hangs_up) = (Duration::from_millis(50), Duration::from_millis(after));
        phone.set_behaviour(Behaviour::HangsUp(answers, hangs_up));
        daemon.asleep(&phone).await;
        let held = stage.fs.call(&call(&daemon));
        stage.push().await;
        phone.wake();
        soon("outcome", held.outcome()).await;
        daemon.summary().await;
    }
}

#[tokio::test]
async fn phone_that_answers_at_once_is_connected() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage.fs.call(&call(&daemon).through_loopback());
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    assert_eq!(field(&daemon.summary().await, "outcome"), "connected");
}

/// FreeSWITCH's event socket lets some five clients wait to be served. More at once come a second late, or are reset.
#[tokio::test]
async fn burst_of_calls_logs_in_one_after_another() {
    const CALLS: usize = 30;
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let users: Vec<_> = (0..CALLS).map(|n| format!("{}", 2000 + n)).collect();
    let phones: Vec<_> = users.iter().map(|user| stage.iphone(user)).collect();
    for phone in &phones {
        phone.set_behaviour(ANSWERS);
        daemon.asleep(phone).await;
    }
    let call = |user: &String| Call::with_async(daemon.address, user, DOMAIN).without_async();
    let held: Vec<_> = users.iter().map(|user| stage.fs.call(&call(user))).collect();
    for _ in 0..CALLS {
        stage.push().await;
    }
    for phone in &phones {
        phone.wake();
    }
    for held in &held {
        held.wait_bridged().await;
    }
    assert!(
        stage.fs.most_logins_at_once() <= 3,
        "{}",
        stage.fs.most_logins_at_once()
    );
}
