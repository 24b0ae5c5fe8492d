//! Held calls that others take: by pick-up or transfer.
//!
//! The stand-in complains about every command to a channel that was taken some time ago, and about every command that
//! would take the caller back. The harness checks for complaints at the end.

use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::*;

use crate::harness::*;

/// About 15 ms on a quiet machine.
const SOON: Duration = Duration::from_millis(800);
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// A call whose only phone rings and has no token, so no other phone could answer.
async fn desk_rings(stage: &Stage, daemon: &Daemon, call: &Call) -> (Held, Phone) {
    let phone = stage.fs.phone(PhoneSpec::new("1001", DOMAIN));
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    daemon.registered(&phone).await;
    let held = stage.fs.call(call);
    daemon.log.wait(&["event=LegRinging "]).await;
    (held, phone)
}

/// A call whose phones ring.
pub async fn ringing(stage: &Stage, daemon: &Daemon, phones: &[&Phone], call: &Call) -> Held {
    for phone in phones {
        phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
        daemon.asleep(phone).await;
    }
    let from = daemon.log.len();
    let held = stage.fs.call(call);
    for _ in phones {
        stage.push().await;
    }
    for phone in phones {
        let before = phone.invites().len();
        phone.wake();
        phone.invite(before + 1).await;
    }
    daemon.log.wait_from(from, &["event=LegRinging "]).await;
    held
}

/// No further commands are sent to the channel, now and later.
pub async fn left_alone(stage: &Stage, held: &Held) {
    let closed = async {
        while stage.fs.connections().1 > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon("end of the call's connection", closed).await;
    soon("its new place", held.outcome()).await;
    assert_eq!(held.outcomes().len(), 1, "{:?}", held.outcomes());
    assert!(stage.fs.legs().is_empty());
}

#[tokio::test]
async fn picked_up_call_is_left_alone_and_its_phones_get_completed_elsewhere() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phones = [stage.iphone("1001"), stage.iphone("1001")];
    for call in both_ways(&daemon, "1001") {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phones[0], &phones[1]], &call).await;
        let taken = Instant::now();
        held.pick_up("1002");
        for phone in &phones {
            assert_eq!(phone.cancelled().await, ELSEWHERE);
        }
        assert!(taken.elapsed() < SOON, "{:?}", taken.elapsed());
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken");
        daemon.log.wait_from(from, &["call-taken", "picked-up"]).await;
        left_alone(&stage, &held).await;
        assert_eq!(held.outcomes()[0].1, Outcome::PickedUp { by: "1002".into() });
    }
}

/// A pick-up of the caller ends the last leg with PICKED_OFF before the caller leaves the park. This end is not a
/// failure of the phone, and the caller must not go back to the dialplan.
#[tokio::test]
async fn pick_up_does_not_count_as_a_failure_of_the_only_ringing_phone() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let [call, _] = both_ways(&daemon, "1001");
    let (held, phone) = desk_rings(&stage, &daemon, &call).await;
    held.pick_up("1002");
    assert_eq!(phone.cancelled().await, ELSEWHERE);
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "taken");
    left_alone(&stage, &held).await;
    assert_eq!(held.outcomes()[0].1, Outcome::PickedUp { by: "1002".into() });
}

#[tokio::test]
async fn pick_up_before_any_phone_rings_is_noticed_and_no_phone_rings_afterwards() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [call, _] = both_ways(&daemon, "1001");
    let held = stage.fs.call(&call);
    stage.push().await;
    held.pick_up("1002");
    let line = daemon.log.wait(&["call-taken", "picked-up"]).await;
    assert!(line.contains("1002"), "the line does not name the new owner: {line}");
    assert_eq!(field(&daemon.summary().await, "outcome"), "taken");
    phone.wake();
    left_alone(&stage, &held).await;
    phone.ping(true);
    daemon.log.wait(&["event=Pinged "]).await;
    assert!(phone.invites().is_empty());
}

#[tokio::test]
async fn pick_up_before_the_daemon_subscribes_is_noticed() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [call, _] = both_ways(&daemon, "1001");
    let held = stage.fs.call(&call.picked_up_unheard("1002"));
    let line = daemon.log.wait(&["call-taken", "picked-up"]).await;
    assert!(line.contains("1002"), "the line does not name the new owner: {line}");
    assert_eq!(field(&daemon.summary().await, "outcome"), "taken");
    phone.wake();
    left_alone(&stage, &held).await;
}

#[tokio::test]
async fn transferred_call_is_left_alone() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let taken = Instant::now();
        held.transfer("5000");
        assert_eq!(phone.cancelled().await, ELSEWHERE);
        assert!(taken.elapsed() < SOON, "{:?}", taken.elapsed());
        let line = daemon.log.wait_from(from, &["call-taken", "transferred"]).await;
        assert!(
            line.contains("5000"),
            "the line does not have the new destination: {line}"
        );
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken");
        left_alone(&stage, &held).await;
        assert_eq!(held.outcomes()[0].1, Outcome::Transferred { to: "5000".into() });
    }
}

/// Between its answer and the end of its originate the phone is not bridged yet. FreeSWITCH reports a transfer up to a
/// tick after it began.
#[tokio::test]
async fn call_taken_while_a_phone_answers_is_left_alone() {
    for after in [0, 2, 5, 8, 11] {
        let stage = Stage::new().await;
        let daemon = stage.start().await;
        let phone = stage.iphone("1001");
        let [call, _] = both_ways(&daemon, "1001");
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        phone.answer();
        tokio::time::sleep(Duration::from_millis(after)).await;
        held.transfer("5000");
        let line = daemon.summary().await;
        assert_eq!(field(&line, "outcome"), "taken", "{after} ms after the answer: {line}");
        phone.got_bye().await;
        left_alone(&stage, &held).await;
    }
}

/// `uuid_park` writes no `transfer_source`. Behind a loopback, the caller's state distinguishes a parked caller from
/// one who gave up.
#[tokio::test]
async fn parked_caller_does_not_count_as_abandoned() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for call in both_ways(&daemon, "1001") {
        // The caller was transferred earlier. That does not show where the caller is now.
        let call = call.variable("transfer_source", "0:x:bl_xfer:1001/default/XML");
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        held.park();
        assert_eq!(phone.cancelled().await, ELSEWHERE);
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken", "{line}");
        daemon.log.wait_from(from, &["call-taken", "parked"]).await;
    }
}

#[tokio::test]
async fn ringing_leg_that_is_taken_ends_the_others_as_completed_elsewhere() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phones = [stage.iphone("1001"), stage.iphone("1001")];
    let [call, _] = both_ways(&daemon, "1001");
    let held = ringing(&stage, &daemon, &[&phones[0], &phones[1]], &call).await;
    held.leg_is_picked_up();
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "taken");
    assert_eq!(phones[0].cancelled().await, ELSEWHERE);
}

#[tokio::test]
async fn ringing_leg_that_is_taken_behind_a_loopback_does_not_count_as_abandoned() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phones = [stage.iphone("1001"), stage.iphone("1001")];
    let [_, call] = both_ways(&daemon, "1001");
    let held = ringing(&stage, &daemon, &[&phones[0], &phones[1]], &call).await;
    held.ringing_leg_is_picked_up();
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "taken", "{line}");
    assert_eq!(phones[0].cancelled().await, ELSEWHERE);
}

/// FreeSWITCH 1.11.2 does this if the pick-up comes at the same time as the loopback's answer.
#[tokio::test]
async fn loopback_that_ends_when_its_caller_is_picked_up_does_not_count_as_abandoned() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let [_, call] = both_ways(&daemon, "1001");
    let held = ringing(&stage, &daemon, &[&phone], &call).await;
    held.caller_is_picked_up("1002");
    assert_eq!(phone.cancelled().await, ELSEWHERE);
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "taken", "{line}");
    daemon.log.wait(&["call-taken", "picked-up", "1002"]).await;
    // The caller cannot be queried, because its channel has ended before the loopback.
    for late in [0, 90] {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        held.caller_goes_to_his_end(Duration::from_millis(late));
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken", "{late} ms: {line}");
        let line = daemon.log.wait_from(from, &["call-taken", "transferred"]).await;
        assert!(
            line.contains("valet_park:lot 8001"),
            "the line does not have the new destination: {line}"
        );
    }
    // The same after the loopback was answered: before the order to bridge, or between the two threads of its bridge.
    for cause in ["NORMAL_CLEARING", "DESTINATION_OUT_OF_ORDER"] {
        let from = daemon.log.len();
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        held.caller_goes_on(cause);
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "taken", "{cause}: {line}");
    }
    // The dial-string's own timeout ended the call, and the caller's dialplan went on. The call was not taken.
    for own_time in ["NO_ANSWER", "ALLOTTED_TIMEOUT"] {
        let held = ringing(&stage, &daemon, &[&phone], &call).await;
        let from = daemon.log.len();
        held.caller_goes_on(own_time);
        let line = daemon.log.wait_from(from, &["call over"]).await;
        assert_eq!(field(&line, "outcome"), "timeout", "{own_time}: {line}");
    }
    // The same, and the caller has hung up.
    let held = ringing(&stage, &daemon, &[&phone], &call).await;
    let from = daemon.log.len();
    held.caller_hangs_up();
    let line = daemon.log.wait_from(from, &["call over"]).await;
    assert_eq!(field(&line, "outcome"), "abandoned", "{line}");
}

#[tokio::test]
async fn dial_strings_own_timeout_does_not_count_as_a_hang_up() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    let [_, call] = both_ways(&daemon, "1001");
    let held = ringing(&stage, &daemon, &[&phone], &call).await;
    held.ring_time_is_over();
    let reason = phone.cancelled().await;
    assert!(!reason.contains("elsewhere"), "a missed call: {reason}");
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "timeout");
}
