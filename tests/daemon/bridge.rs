//! Connecting caller and phone: when, by which command, and what happens to the caller if it fails.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

fn saw(held: &Held) -> Vec<CallerSaw> {
    held.timeline().into_iter().map(|(_, saw)| saw).collect()
}

/// FreeSWITCH takes a leg out of a bridge made before the originate's end, which looks like a hang-up by the caller.
/// With the stand-in this happens every time. On a busy machine the originate takes longer.
#[tokio::test]
async fn leg_is_bridged_only_after_it_has_left_its_originate() {
    let busy = Config {
        originate_tail: Duration::from_millis(200),
        ..Config::default()
    };
    let stage = Stage::with_freeswitch(busy).await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    for call in both_ways(&daemon, "1001") {
        daemon.asleep(&phone).await;
        let held = woken(&stage, &phone, &call).await;
        let outcome = soon("outcome", held.outcome()).await;
        let Outcome::Connected { caller_is_a_leg, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(caller_is_a_leg, "the caller is not the A leg, as it is with `bridge`");
        phone.hang_up();
        assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NORMAL_CLEARING".into()));
        let ended = Outcome::HungUp("DESTINATION_OUT_OF_ORDER".into());
        assert!(!held.outcomes().iter().any(|(_, outcome)| *outcome == ended));
    }
}

#[tokio::test]
async fn answers_at_any_moment_of_freeswitchs_clock_are_bridged() {
    let mut stage = Stage::new().await;
    stage.set("wake.device-pushes-per-minute", 0);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    for n in 0..20u64 {
        phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(n * 3))));
        daemon.asleep(&phone).await;
        let [call, by_loopback] = both_ways(&daemon, "1001");
        let call = if n % 2 == 0 { call } else { by_loopback };
        let held = woken(&stage, &phone, &call).await;
        held.wait_bridged().await;
        held.caller_hangs_up();
        phone.got_bye().await;
    }
}

#[tokio::test]
async fn bridge_that_freeswitch_does_not_confirm_does_not_count_as_connected() {
    let (stage, daemon, phone) = one_sleeper().await;
    stage.fs.lose_bridges(true);
    let call = Call::with_async(daemon.address, "1001", DOMAIN);
    let held = woken(&stage, &phone, &call).await;
    daemon
        .log
        .wait(&["WARN", "FreeSWITCH has not confirmed the bridge"])
        .await;
    let line = daemon.summary().await;
    assert_ne!(field(&line, "outcome"), "connected", "{line}");
    phone.got_bye().await;
    let outcome = held.outcome().await;
    assert!(matches!(outcome, Outcome::Resumed { .. }), "{outcome:?}");
}

/// When the caller's own bridge fails behind a loopback, no held call is left. The caller must not stay in silence.
#[tokio::test]
async fn unconfirmed_bridge_in_a_loopbacks_place_does_not_count_as_connected() {
    let (stage, daemon, phone) = one_sleeper().await;
    stage.fs.lose_bridges(true);
    let [_, call] = both_ways(&daemon, "1001");
    let held = woken(&stage, &phone, &call).await;
    let line = daemon.summary().await;
    assert_ne!(field(&line, "outcome"), "connected", "{line}");
    phone.got_bye().await;
    let caller = held.behind.clone().expect("a caller");
    soon("the caller's end", async {
        while stage.fs.variable(&caller, "originate_disposition").is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn phone_that_hangs_up_between_its_answer_and_the_bridge_does_not_delay_the_caller() {
    for after in [1, 8, 20, 30] {
        let stage = Stage::new().await;
        let daemon = stage.start().await;
        let phone = stage.iphone("1001");
        phone.set_behaviour(Behaviour::HangsUp(
            Duration::from_millis(50),
            Duration::from_millis(after),
        ));
        daemon.asleep(&phone).await;
        let [call, _] = both_ways(&daemon, "1001");
        let held = woken(&stage, &phone, &call).await;
        let asked = std::time::Instant::now();
        soon("outcome", held.outcome()).await;
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{after} ms: {:?}",
            asked.elapsed()
        );
        let line = daemon.summary().await;
        assert_ne!(field(&line, "outcome"), "connected", "{after} ms: {line}");
    }
}

/// The leg is killed only if no bridge was ordered. After the order, it may be part of a call.
#[tokio::test]
async fn connection_lost_around_the_bridge_neither_cuts_a_call_nor_leaves_a_lone_leg() {
    for (last, lives) in [("api uuid_answer", false), ("api uuid_setvar", true)] {
        let (stage, daemon, phone) = one_sleeper().await;
        let call = Call::with_async(daemon.address, "1001", DOMAIN);
        let held = woken(&stage, &phone, &call).await;
        let ordered = async {
            let is_last = |c: &str| c.starts_with(last) && (!lives || c.ends_with("socket_resume false"));
            while !held.commands().iter().any(|(_, c)| is_last(c)) {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        soon("the bridge", ordered).await;
        held.cut_connection();
        if lives {
            held.wait_bridged().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(stage.fs.legs().len(), 1, "the call has ended");
        } else {
            phone.got_bye().await;
        }
    }
}

/// At that time the order to bridge is in transit, queued, or being carried out.
#[tokio::test]
async fn connection_lost_at_the_answer_does_not_leave_a_leg_to_its_lease() {
    for after in 0..12 {
        let stage = Stage::new().await;
        let daemon = stage.start().await;
        let phone = stage.iphone("1001");
        daemon.asleep(&phone).await;
        phone.set_behaviour(Behaviour::Manual);
        let [call, _] = both_ways(&daemon, "1001");
        let held = woken(&stage, &phone, &call).await;
        phone.invite(1).await;
        phone.answer();
        tokio::time::sleep(Duration::from_millis(after)).await;
        held.cut_connection();
        let cut = std::time::Instant::now();
        phone.got_bye().await;
        assert!(
            cut.elapsed() < Duration::from_secs(3),
            "{after} ms: {:?}",
            cut.elapsed()
        );
    }
}

#[tokio::test]
async fn call_without_a_caller_is_bridged_with_its_loopback() {
    let (stage, daemon, phone) = one_sleeper().await;
    let call = Call::to(daemon.address, "1001", DOMAIN).from("", "").through_loopback();
    let held = woken(&stage, &phone, &call).await;
    held.wait_bridged().await;
    let invite = phone.invite(1).await;
    assert_eq!(invite.variable("origination_aleg_uuid"), None, "there is no A leg");
    daemon.summary().await;
    phone.hang_up();
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NORMAL_CLEARING".into()));
}

#[tokio::test]
async fn loopback_that_must_stay_is_bridged_itself() {
    let (stage, daemon, phone) = one_sleeper().await;
    let [_, call] = both_ways(&daemon, "1001");
    let held = woken(&stage, &phone, &call.variable("loopback_bowout", "false")).await;
    held.wait_bridged().await;
    daemon.summary().await;
    let commands = held.commands();
    let bridge = commands.iter().find(|(_, c)| c.contains("uuid_bridge(")).unwrap();
    assert!(bridge.1.contains(&format!("uuid_bridge({}", held.uuid)), "{bridge:?}");
}

#[tokio::test]
async fn early_media_of_the_only_ringing_phone_reaches_the_caller_and_its_answer_connects_them() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [call, _] = both_ways(&daemon, "1001");
    let held = woken(&stage, &phone, &call).await;
    phone.set_behaviour(Behaviour::Manual);
    let leg = phone.invite(1).await.leg;
    phone.early_media();
    assert_eq!(soon("early media", held.outcome()).await, Outcome::Early { leg });
    assert!(saw(&held).contains(&CallerSaw::SessionProgress));
    assert!(!saw(&held).iter().any(|saw| matches!(saw, CallerSaw::Answered { .. })));
    daemon.log.wait(&["early-media"]).await;
    phone.answer();
    let connected = soon("answer", held.nth_outcome(1)).await;
    assert!(
        matches!(
            connected,
            Outcome::Connected {
                caller_is_a_leg: true,
                ..
            }
        ),
        "{connected:?}"
    );
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "connected");
    assert_eq!(held.variable("fswake_result").as_deref(), Some("connected"));
    assert!(held.variable("fswake_device").is_some());
    held.caller_hangs_up();
    phone.got_bye().await;
}

/// The loopback is no longer needed when the phone answers: the caller is bridged in its place, as after an answer
/// without early media.
#[tokio::test]
async fn caller_takes_the_loopbacks_place_when_a_phone_with_early_media_answers() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [_, call] = both_ways(&daemon, "1001");
    let held = woken(&stage, &phone, &call).await;
    phone.set_behaviour(Behaviour::Manual);
    let leg = phone.invite(1).await.leg;
    phone.early_media();
    assert_eq!(soon("early media", held.outcome()).await, Outcome::Early { leg });
    phone.answer();
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "connected");
    let caller = held.behind.clone().expect("a caller");
    let bridged: Vec<String> = held.commands().into_iter().map(|(_, c)| c).collect();
    let bridged: Vec<_> = bridged.iter().filter(|c| c.contains("uuid_bridge(")).collect();
    let order = |a_leg: &str| format!("uuid_bridge({a_leg}");
    assert_eq!(bridged.len(), 2, "{bridged:?}");
    assert!(bridged[0].contains(&order(&held.uuid)), "{bridged:?}");
    assert!(bridged[1].contains(&order(&caller)), "{bridged:?}");
    held.caller_hangs_up();
    phone.got_bye().await;
}

#[tokio::test]
async fn phone_that_declines_after_its_early_media_ends_the_call_with_its_own_cause() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let [call, _] = both_ways(&daemon, "1001");
    let held = woken(&stage, &phone, &call).await;
    phone.set_behaviour(Behaviour::Manual);
    phone.invite(1).await;
    phone.early_media();
    soon("early media", held.outcome()).await;
    daemon.log.wait(&["event=EarlyBridged "]).await;
    phone.refuse(603);
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("CALL_REJECTED".into()));
    assert_eq!(saw(&held).last(), Some(&CallerSaw::Final(603)));
    let line = daemon.summary().await;
    assert_eq!(field(&line, "outcome"), "declined");
}

#[tokio::test]
async fn early_media_is_not_passed_on_where_two_phones_ring_or_the_call_refuses_it() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (alone, iphone, android) = (stage.iphone("1001"), stage.iphone("1002"), stage.android("1002"));
    for phone in [&alone, &iphone, &android] {
        phone.set_behaviour(Behaviour::Manual);
        daemon.asleep(phone).await;
    }
    let refuses = Call::to(daemon.address, "1001", DOMAIN).variable("ignore_early_media", "true");
    let held = [stage.fs.call(&refuses), stage.call(&daemon, "1002")];
    tokio::join!(stage.push(), stage.android_push());
    stage.push().await;
    for phone in [&alone, &iphone, &android] {
        phone.wake();
        phone.invite(1).await;
    }
    for (held, phone) in [(&held[0], &alone), (&held[1], &iphone)] {
        assert_eq!(phone.invites()[0].variable("ignore_early_media"), Some("true"));
        phone.early_media();
        phone.answer();
        held.wait_bridged().await;
        assert!(!saw(held).contains(&CallerSaw::SessionProgress));
    }
}

#[tokio::test]
async fn caller_gets_ringing_once_a_push_is_accepted_or_a_phone_rings() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "2s");
    stage.set("wake.push-retries", 0);
    let daemon = stage.start().await;
    let (asleep, refused) = (stage.iphone("1001"), stage.iphone("1002"));
    daemon.asleep(&asleep).await;
    daemon.asleep(&refused).await;
    // The provider accepts the push.
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    assert_eq!(result_of(&held).await, "unreachable");
    assert_eq!(saw(&held), [CallerSaw::Ringing]);
    // The provider refuses the push, so no phone is going to ring.
    stage
        .apns
        .faults
        .next(fswake_test_support::http2::Fault::apns(400, "BadDeviceToken"));
    let held = stage.call(&daemon, "1002");
    assert_eq!(result_of(&held).await, "unreachable");
    assert_eq!(saw(&held), []);
    // A phone without a token rings.
    let desk = stage.fs.phone(PhoneSpec::new("1003", DOMAIN));
    desk.set_behaviour(Behaviour::Manual);
    daemon.registered(&desk).await;
    let held = stage.call(&daemon, "1003");
    desk.invite(1).await;
    daemon.log.wait(&["event=LegDialed "]).await;
    assert_eq!(saw(&held), []);
    desk.ring();
    soon("180", async {
        while saw(&held) != [CallerSaw::Ringing] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ringback_of_the_channel_is_played_in_place_of_a_180() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    for (ringback, app, argument) in [
        ("local_stream://moh", "endless_playback", "local_stream://moh"),
        // Then the far end keeps receiving RTP.
        ("silence", "playback", "silence_stream://-1,400"),
        (
            "%(2000,4000,440,480)",
            "playback",
            "tone_stream://%(2000,4000,440,480);loops=-1",
        ),
    ] {
        daemon.asleep(&phone).await;
        let call = Call::with_async(daemon.address, "1001", DOMAIN);
        let held = woken(&stage, &phone, &call.variable("ringback", ringback)).await;
        held.wait_bridged().await;
        let saw = saw(&held);
        let played = CallerSaw::Played(app.into(), argument.into());
        assert!(saw.contains(&played) && !saw.contains(&CallerSaw::Ringing), "{saw:?}");
        held.caller_hangs_up();
    }
    // If the channel asks for it, ringback starts at once, before any push.
    let call = Call::with_async(daemon.address, "1001", DOMAIN);
    let call = call
        .variable("ringback", "local_stream://moh")
        .variable("instant_ringback", "true");
    daemon.asleep(&phone).await;
    phone.set_behaviour(Behaviour::Silent);
    let held = stage.fs.call(&call);
    soon("music", async {
        while !saw(&held).iter().any(|saw| matches!(saw, CallerSaw::Played(..))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    held.caller_hangs_up();
}

#[tokio::test]
async fn call_goes_on_in_the_dialplan_after_its_bridge_without_hangup_after_bridge() {
    let (stage, daemon, phone) = one_sleeper().await;
    let [call, _] = both_ways(&daemon, "1001");
    let held = woken(&stage, &phone, &call.variable("hangup_after_bridge", "false")).await;
    held.wait_bridged().await;
    daemon.summary().await;
    phone.hang_up();
    let Outcome::Resumed { variables } = soon("next action", held.nth_outcome(1)).await else {
        panic!("{:?}", held.outcomes());
    };
    let variable = |name: &str| {
        let found = variables.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(
        variable("fswake_bridge"),
        None,
        "the dialplan's next bridge must do nothing"
    );
    assert_eq!(
        variable("absolute_codec_string"),
        None,
        "fswake left its variable behind"
    );
    assert_eq!(variable("originate_disposition"), Some("SUCCESS"));
    assert_eq!(variable("fswake_result"), Some("connected"));
}

/// Closing the connection before FreeSWITCH has been told to ignore that would end the call.
#[tokio::test]
async fn connection_stays_until_freeswitch_no_longer_needs_it() {
    let (stage, daemon, phone) = one_sleeper().await;
    let mut call = Call::with_async(daemon.address, "1001", DOMAIN);
    call.uuid = uuid::Uuid::new_v4().to_string();
    let lets_go = format!("uuid_setvar {} socket_resume false", call.uuid);
    stage.fs.answer(&lets_go, "-ERR Try again\n");
    let held = woken(&stage, &phone, &call).await;
    held.wait_bridged().await;
    daemon.log.wait(&["WARN", "socket_resume=false"]).await;
    daemon.summary().await;
    let tries = || held.commands().iter().filter(|(_, c)| c.contains(&lets_go)).count();
    soon("another try", async {
        while tries() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!((held.outcomes().len(), stage.fs.connections().1), (1, 1));
    stage.fs.answer_itself(&lets_go);
    soon("end of the connection", async {
        while stage.fs.connections().1 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(held.outcomes().len(), 1, "{:?}", held.outcomes());
    held.caller_hangs_up();
    phone.got_bye().await;
}

/// With a limit of 3 s, calls were given up while FreeSWITCH was only slow.
#[tokio::test]
async fn call_is_connected_although_freeswitch_takes_seconds_to_answer() {
    let (stage, _daemon, phone, held) = one_ringing().await;
    let question = format!("uuid_getvar {} transfer_source", held.uuid);
    stage.fs.answer_after(Duration::from_secs(4), &question, "_undef_");
    phone.answer();
    held.wait_bridged().await;
    assert!(stage.fs.asked(&question) > 0, "not the slow one");
}
