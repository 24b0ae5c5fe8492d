//! Channel variables that change a call, with both routings.

use std::time::Duration;

use fswake_test_support::freeswitch::*;

use crate::harness::*;
use crate::outcomes::result_of;

/// A call to `user` with these variables, from the dialplan and through a loopback.
fn both_ways_with(daemon: &Daemon, user: &str, variables: &[(&str, &str)]) -> [Call; 2] {
    both_ways(daemon, user).map(|call| {
        variables
            .iter()
            .fold(call, |call, (name, value)| call.variable(name, value))
    })
}

#[tokio::test]
async fn timeouts_of_the_call_shorten_the_wait() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    daemon.asleep(&stage.iphone("1001")).await;
    for name in ["originate_timeout", "call_timeout", "leg_timeout"] {
        // On the caller's own channel, a leg's limit counts only if it is exported, because then it reaches legs.
        for call in both_ways_with(&daemon, "1001", &[(name, "1"), ("export_vars", name)]) {
            let held = stage.fs.call(&call);
            assert_eq!(result_of(&held).await, "unreachable", "{name}");
            assert!(held.started.elapsed() < Duration::from_secs(5), "{name}");
        }
    }
}

#[tokio::test]
async fn call_without_pushes_waits_for_the_phone_to_register() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    for (n, call) in both_ways_with(&daemon, "1001", &[("enable_send_apn", "false")])
        .iter()
        .enumerate()
    {
        let phone = stage.iphone("1001");
        daemon.asleep(&phone).await;
        let held = stage.fs.call(call);
        daemon.log.wait(&["event=\"call-held\"", "no push"]).await;
        phone.wake();
        phone.invite(1).await;
        phone.answer();
        held.wait_bridged().await;
        assert_eq!(daemon.log.count(&["push-sent"]), 0, "call {n}");
        phone.unregister();
    }
}

#[tokio::test]
async fn call_that_waits_for_any_register_is_held_for_a_user_without_a_device() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    for (user, name) in [
        ("1001", "apn_wait_any_register"),
        ("1002", "apn_originate_wait_any_register"),
    ] {
        for (n, call) in both_ways_with(&daemon, user, &[(name, "true")]).iter().enumerate() {
            let user = format!("{user}{n}");
            let call = call.clone().variable("fswake_aor", &format!("{user}@{DOMAIN}"));
            let held = stage.fs.call(&call);
            daemon.log.wait(&["event=CallHeld ", &user]).await;
            let phone = stage.iphone(&user);
            phone.register();
            phone.invite(1).await;
            phone.answer();
            held.wait_bridged().await;
        }
    }
}

#[tokio::test]
async fn call_left_to_others_is_handed_back_at_once() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    for call in both_ways_with(&daemon, "1001", &[("originate_reg_token", "abc")]) {
        let held = stage.fs.call(&call);
        assert_eq!(result_of(&held).await, "hands-off");
        assert!(held.timeline().is_empty(), "the caller was signalled to");
    }
    assert_eq!(daemon.log.count(&["push-sent"]), 0);
}

#[tokio::test]
async fn variables_set_the_caller_in_pushes_and_on_phones() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let named = [
        ("origination_caller_id_number", "4711"),
        ("origination_caller_id_name", "Fred"),
    ];
    // As with `bridge`: from the dial-string, or exported.
    let [_, call] = both_ways_with(&daemon, "1001", &named);
    stage.fs.call(&call);
    let push = stage.push().await.body.to_string();
    assert!(
        push.contains("4711") && push.contains("Fred") && !push.contains("Alice"),
        "{push}"
    );
    daemon.log.wait(&["call-held", "4711"]).await;
}

#[tokio::test]
async fn invalid_value_is_logged_once_and_ignored() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    for call in both_ways_with(
        &daemon,
        "1001",
        &[("enable_send_apn", "perhaps"), ("originate_timeout", "soon")],
    ) {
        assert_eq!(result_of(&stage.fs.call(&call)).await, "no-device");
    }
    for warning in [
        "enable_send_apn=perhaps is ignored",
        "originate_timeout=soon is ignored",
    ] {
        assert_eq!(daemon.log.count(&["WARN", warning]), 1, "{warning}");
    }
}

/// The query for a user's dial-string, and the one for FreeSWITCH's own leg to a contact.
const DIAL_STRING: &str =
    "${sofia_contact(*/${dialed_user}@${dialed_domain})}:_:loopback/${dialed_user}@${dialed_domain}/fswake";

#[tokio::test]
async fn phone_that_freeswitch_rings_next_to_a_loopback_is_neither_pushed_nor_rung() {
    for (state, pushes) in [("RINGING", 0), ("DOWN", 1)] {
        let stage = Stage::new().await;
        let daemon = stage.start().await;
        let phone = stage.iphone("1001");
        daemon.registered(&phone).await;
        let leg = "964d32db-27de-4439-98b4-8b0babd8d53f";
        let place = format!("1001@{}", phone.spec().address);
        let row = format!(r#"{{"uuid":"{leg}","name":"sofia/internal/{place}"}}"#);
        for (question, answer) in [
            (
                format!("user_data 1001@{DOMAIN} param dial-string"),
                DIAL_STRING.to_owned(),
            ),
            (
                format!("show channels like {place} as json"),
                format!(r#"{{"row_count":1,"rows":[{row}]}}"#),
            ),
            (format!("uuid_dump {leg}"), format!("Channel-Call-State: {state}\n")),
        ] {
            stage.fs.answer(&question, &answer);
        }
        let beside = [("ignore_early_media", "true"), ("loopback_leg", "B")];
        let [_, call] = both_ways_with(&daemon, "1001", &beside);
        let held = stage.fs.call(&call);
        daemon.log.wait(&["event=OtherLegSeen "]).await;
        if pushes == 0 {
            assert_eq!(result_of(&held).await, "timeout");
        } else {
            stage.push().await;
        }
        assert_eq!(
            held.variable("fswake_ring").as_deref(),
            Some("woken"),
            "the dialplan does not get the result"
        );
        assert_eq!(daemon.log.count(&["leg-started"]), 0);
        assert_eq!(phone.invites().len(), 0);
    }
}
