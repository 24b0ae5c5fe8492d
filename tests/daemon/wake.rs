//! A sleeping phone is woken and connected.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fswake_test_support::apns::BUNDLE_ID;
use fswake_test_support::freeswitch::*;
use rusqlite::Connection;

use crate::harness::*;

const RINGS: Behaviour = Behaviour::Rings(Duration::ZERO, None);
const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn sleeping_iphone_is_pushed_woken_rung_and_connected() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "20s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.codecs = vec!["PCMA".into()]);
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;

    let held = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).from("+4930123", "Zoë O'Brien, Jr"));
    let push = stage.push().await;
    assert_eq!((push.status, push.reason), (200, ""));
    let header = |name| push.request.header(name);
    assert_eq!(header("apns-topic"), format!("{BUNDLE_ID}.voip"));
    assert_eq!((header("apns-push-type"), header("apns-priority")), ("voip", "10"));
    let expires: u64 = header("apns-expiration").parse().unwrap();
    assert!(expires.abs_diff(unix_now() + 20) <= 2, "{expires}");
    let (call, sip_call_id) = (
        push.body["call-id"].as_str().unwrap(),
        push.body["sip-call-id"].as_str().unwrap(),
    );
    assert_eq!(push.body["caller-number"], "+4930123");
    assert_eq!(push.body["caller-name"], "Zoë O'Brien, Jr");
    assert_eq!(push.body["callee"], "1001@fs.test");

    phone.wake();
    let invite = phone.invite(1).await;
    assert_eq!(invite.call_id, sip_call_id);
    assert_eq!(invite.caller, ("+4930123".to_owned(), "Zoë O'Brien, Jr".to_owned()));
    assert_eq!(invite.headers, [("X-Fswake-Call".to_owned(), call.to_owned())]);
    assert_eq!(invite.uri, format!("sip:1001@{}", phone.spec().address));
    assert_eq!(invite.offer, ["PCMU", "PCMA"]);

    let Outcome::Connected {
        phone: at,
        held_codec,
        leg_codec,
        ..
    } = held.outcome().await
    else {
        panic!()
    };
    assert_eq!(
        (at, held_codec.as_str(), leg_codec.as_str()),
        (phone.spec().address, "PCMA", "PCMA")
    );
    let saw: Vec<_> = held.timeline().into_iter().map(|(_, saw)| saw).collect();
    assert_eq!(saw, [CallerSaw::Ringing, CallerSaw::Answered { codec: "PCMA".into() }]);

    let line = daemon.summary().await;
    assert_eq!(held.variable("fswake_result").as_deref(), Some("connected"));
    assert_eq!(held.variable("fswake_call").as_deref(), Some(call));
    assert_eq!((field(&line, "call.id"), field(&line, "aor")), (call, "1001@fs.test"));
    assert_eq!((field(&line, "outcome"), field(&line, "devices")), ("connected", "1"));
    assert_eq!((field(&line, "pushes"), field(&line, "legs")), ("1", "1"));
    assert!(
        field(&line, "answered_by").starts_with(&format!("apns:{BUNDLE_ID}:")),
        "{line}"
    );
    for figure in ["call_to_push_ms", "push_to_register_ms", "register_to_invite_ms"] {
        let ms: f64 = field(&line, figure).parse().unwrap();
        assert!((0.0..15_000.0).contains(&ms), "{figure} in {line}");
    }
    assert_eq!(daemon.log.count(&["call over"]), 1);
}

#[tokio::test]
async fn sleeping_android_phone_is_woken_through_the_loopback_dial_string() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let phone = stage.android("1002");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;

    let held = stage
        .fs
        .call(&Call::to(daemon.address, "1002", DOMAIN).through_loopback());
    let sent = stage.android_push().await;
    assert_eq!((sent.status, sent.reason.as_str()), (200, ""));
    assert_eq!(sent.message["android"]["priority"], "HIGH");
    assert_eq!(sent.message["data"]["caller-number"], "1000");
    phone.wake();
    let invite = phone.invite(1).await;
    assert_eq!(sent.message["data"]["sip-call-id"], invite.call_id);
    let Outcome::Connected {
        held_codec, leg_codec, ..
    } = held.outcome().await
    else {
        panic!()
    };
    assert_eq!(held_codec, leg_codec);
    phone.hang_up();
    assert_eq!(held.nth_outcome(1).await, Outcome::HungUp("NORMAL_CLEARING".into()));
}

#[tokio::test]
async fn contacts_of_old_linphone_and_mod_apn_wake_their_phones() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (voip, im, firebase) = (hex_token(), hex_token(), format!("fcm-{}", hex_token()));
    for token in [&voip, &im, &firebase] {
        stage.secret(token);
    }
    let mod_apn = format!("app-id={BUNDLE_ID};pn-voip-tok={voip};pn-im-tok={im};pn-platform=iOS");
    let linphone = format!("app-id=example-phone;pn-type=firebase;pn-tok={firebase};pn-silent=1;pn-timeout=0");
    for (user, params) in [("1003", mod_apn), ("1004", linphone)] {
        let phone = stage
            .fs
            .phone(PhoneSpec::new(user, DOMAIN).params(&params).behind("192.168.1.7:5060"));
        phone.set_behaviour(ANSWERS);
        daemon.asleep(&phone).await;
        let held = stage.call(&daemon, user);
        if user == "1003" {
            assert_eq!(stage.push().await.token, voip);
        } else {
            assert_eq!(stage.android_push().await.message["token"], firebase.as_str());
        }
        phone.wake();
        let uri = phone.invite(1).await.uri;
        assert!(
            !uri.contains("pn-") && !uri.contains("app-id") && uri.contains("fs_path="),
            "{uri}"
        );
        held.wait_bridged().await;
    }
}

#[tokio::test]
async fn device_outlives_a_daemon_that_is_killed() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    daemon.kill().await;

    let daemon = stage.start().await;
    let held = stage.call(&daemon, "1001");
    stage.push().await;
    phone.wake();
    held.wait_bridged().await;
}

#[tokio::test]
async fn first_to_answer_gets_the_call_and_the_other_gets_completed_elsewhere() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (iphone, android) = (stage.iphone("1001"), stage.android("1001"));
    for phone in [&iphone, &android] {
        phone.set_behaviour(RINGS);
        daemon.asleep(phone).await;
    }
    let held = stage.call(&daemon, "1001");
    let (apple, google) = tokio::join!(stage.push(), stage.android_push());
    assert_eq!(apple.body["call-id"], google.message["data"]["call-id"]);
    assert_ne!(
        apple.body["sip-call-id"], google.message["data"]["sip-call-id"],
        "one Call-ID for each phone"
    );
    iphone.wake();
    android.wake();
    iphone.invite(1).await;
    android.invite(1).await;
    android.answer();
    held.wait_bridged().await;
    assert_eq!(
        iphone.cancelled().await,
        "SIP;cause=200;text=\"Call completed elsewhere\""
    );
    let line = daemon.summary().await;
    assert_eq!(
        (field(&line, "devices"), field(&line, "pushes"), field(&line, "legs")),
        ("2", "2", "2")
    );
    assert!(field(&line, "answered_by").starts_with("fcm:"), "{line}");
    assert_eq!((iphone.invites().len(), android.invites().len()), (1, 1));
}

#[tokio::test]
async fn phone_that_sleeps_with_a_live_connection_is_rung_again_when_it_wakes_elsewhere() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.change(|spec| spec.params.insert_str(0, "transport=tcp;"));
    phone.set_behaviour(ANSWERS);
    daemon.dozing(&phone).await;
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    assert!(!phone.invite(1).await.seen);
    phone.change(|spec| spec.address = "127.0.77.1:40000".into());
    phone.wake();
    let invite = phone.invite(2).await;
    assert!(invite.seen);
    assert_eq!(push.body["sip-call-id"], invite.call_id);
    held.wait_bridged().await;
}

#[tokio::test]
async fn phone_that_is_awake_is_rung_at_once_and_not_pushed() {
    let mut stage = Stage::new().await;
    stage.set("wake.fresh-for", "30s");
    stage.set("wake.push-delay", "1s");
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(1300))));
    daemon.registered(&phone).await;
    stage.call(&daemon, "1001").wait_bridged().await;
    assert_eq!(field(&daemon.summary().await, "pushes"), "0");
    assert!(stage.apns.pushes_so_far().await.is_empty());
}

#[tokio::test]
async fn alias_of_the_domain_finds_the_phone() {
    let mut stage = Stage::new().await;
    let aliases: toml::Table = [("192.0.2.10".to_owned(), DOMAIN.into())].into_iter().collect();
    stage.set("aor.domain-aliases", aliases);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    for domain in ["192.0.2.10", "FS.Test"] {
        let held = stage.fs.call(&Call::to(daemon.address, "1001", domain));
        stage.push().await;
        phone.wake();
        held.wait_bridged().await;
        let from = daemon.log.len();
        phone.expire();
        daemon.log.wait_from(from, &["event=Unregistered "]).await;
    }
    let held = stage.fs.call(&Call::to(daemon.address, "1001", "192.0.2.11"));
    assert!(matches!(held.outcome().await, Outcome::Resumed { .. }));
}

#[tokio::test]
async fn journal_has_all_steps_of_a_wake_and_no_token() {
    let stage = Stage::new().await;
    let mut daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    daemon.log.wait(&["event=PushEnded "]).await;
    phone.wake();
    held.wait_bridged().await;
    let call = field(&daemon.summary().await, "call.id").to_owned();
    daemon.signal("TERM");
    assert_eq!(daemon.exit_code().await, Some(0));

    let store = Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    let sql = "SELECT event, detail, aor_user, aor_domain FROM journal WHERE call = ?1 ORDER BY id";
    let mut rows = store.prepare(sql).unwrap();
    let rows = rows
        .query_map([&call], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .unwrap();
    let rows: Vec<(String, String, String, String)> = rows.collect::<Result<_, _>>().unwrap();
    let events: Vec<_> = rows.iter().map(|row| row.0.as_str()).collect();
    let expected = [
        "call-held",
        "push-sent",
        "push-accepted",
        "device-registered",
        "leg-started",
        "leg-ringing",
        "leg-answered",
        "call-over",
    ];
    assert_eq!(events, expected);
    for (_, detail, user, domain) in &rows {
        assert_eq!((user.as_str(), domain.as_str()), ("1001", DOMAIN));
        assert!(
            serde_json::from_str::<serde_json::Value>(detail).unwrap().is_object(),
            "{detail}"
        );
        assert!(!detail.contains(&push.token), "{detail}");
    }
    assert!(rows[2].1.contains(push.request.header("apns-id")), "{}", rows[2].1);
}

#[tokio::test]
async fn tokens_stay_out_of_the_log_when_they_stay_in_the_request_uri() {
    let mut stage = Stage::new().await;
    stage.set("contact.strip-push-params", false);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    phone.wake();
    held.wait_bridged().await;
    assert!(phone.invite(1).await.uri.contains(&push.token));
    daemon.summary().await;
}
