//! Phones that are woken by web push: browsers, and apps with UnifiedPush.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::webpush::{PushService, Subscription, name_in};
use fswake_test_support::webpush_testing::WebPushTesting;

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

async fn site() -> (Stage, PushService) {
    let service = PushService::start().await;
    let mut stage = Stage::new().await;
    stage.app(&format!("name = 'browser'\n{}", service.app()));
    (stage, service)
}

/// A phone with this subscription, no part of which may be logged.
pub fn phone(stage: &Stage, user: &str, subscription: &Subscription) -> Phone {
    for secret in [
        &subscription.p256dh,
        &subscription.auth,
        name_in(&subscription.endpoint),
    ] {
        stage.secret(secret);
    }
    stage
        .fs
        .phone(PhoneSpec::new(user, DOMAIN).params(&subscription.params()))
}

#[tokio::test]
async fn sleeping_browser_is_pushed_woken_rung_and_connected() {
    let (mut stage, service) = site().await;
    stage.set("wake.max-wait", "20s");
    let daemon = stage.start().await;
    let phone = phone(&stage, "1001", &service.subscribe());
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    for (n, call) in (1..).zip(both_ways(&daemon, "1001")) {
        let held = stage.fs.call(&call.from("+4930123", "Zoë O'Brien, Jr"));
        let push = soon("push to the service", service.next_push()).await;
        assert_eq!((push.status, push.reason.as_str()), (201, ""));
        assert_eq!(push.payload["caller-name"], "Zoë O'Brien, Jr");
        assert_eq!(push.payload["callee"], "1001@fs.test");
        let ttl: u64 = push.request.header("ttl").parse().unwrap();
        assert!((15..=20).contains(&ttl), "{ttl}");
        phone.wake();
        let invite = phone.invite(n).await;
        assert_eq!(push.payload["sip-call-id"], invite.call_id);
        assert_eq!(
            invite.uri,
            format!("sip:1001@{}", phone.spec().address),
            "no key is left in it"
        );
        held.wait_bridged().await;
        phone.hang_up();
        let from = daemon.log.len();
        phone.expire();
        daemon.log.wait_from(from, &["Unregistered("]).await;
    }
    let line = daemon.summary().await;
    assert_eq!((field(&line, "outcome"), field(&line, "pushes")), ("connected", "1"));
    assert!(field(&line, "answered_by").starts_with("webpush::"), "{line}");
    // What operators see of the phone has no part of its subscription; the stage looks for it.
    let http = daemon.http().await;
    stage.set("http.addresses", vec![http.to_string()]);
    stage.write();
    for asked in [&["devices", "list"][..], &["apps"], &["trace", "1001@fs.test"]] {
        let (code, shown, error) = stage.tool(asked).await;
        assert_eq!(code, Some(0), "{error}");
        assert!(shown.contains("webpush"), "{asked:?}: {shown}");
    }
}

#[tokio::test]
async fn call_that_is_over_is_taken_back_and_a_subscription_that_is_gone_is_dropped() {
    let (stage, service) = site().await;
    let daemon = stage.start().await;
    let subscription = service.subscribe();
    let phone = phone(&stage, "1001", &subscription);
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    let held = stage.call(&daemon, "1001");
    let call = soon("push", service.next_push()).await;
    held.caller_hangs_up();
    daemon.summary().await;
    let cancel = soon("cancel", service.next_push()).await;
    assert_eq!(
        (&cancel.payload["kind"], &cancel.payload["reason"]),
        (&"cancel".into(), &"caller-hung-up".into())
    );
    assert_eq!(call.request.header("topic"), cancel.request.header("topic"));
    service.expire(&subscription);
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    stage.stored(0).await;
}

#[tokio::test]
async fn phone_cannot_have_fswake_connect_to_machines_inside() {
    let (mut stage, service) = site().await;
    stage.take_app();
    let app = service.app();
    let strict: Vec<&str> = app.lines().filter(|line| !line.starts_with("allow-networks")).collect();
    stage.app(&format!("name = 'browser'\n{}", strict.join("\n")));
    let daemon = stage.start().await;
    let phone = phone(&stage, "1001", &service.subscribe());
    daemon.asleep(&phone).await;
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    daemon.log.wait(&["EndpointNotAllowed localhost"]).await;
    assert_eq!(
        (service.server().connections(), service.pushes_so_far().await.len()),
        (0, 0)
    );
}

#[tokio::test]
async fn push_service_that_others_wrote_reads_the_push_that_wakes_a_browser() {
    let Some(service) = WebPushTesting::start().await else {
        return;
    };
    let mut stage = Stage::new().await;
    stage.app(&format!("name = 'browser'\n{}", service.app()));
    let daemon = stage.start().await;
    let subscription = service.subscribe().await;
    let phone = phone(&stage, "1001", &subscription);
    phone.set_behaviour(ANSWERS);
    daemon.asleep(&phone).await;
    let held = stage
        .fs
        .call(&Call::to(daemon.address, "1001", DOMAIN).from("+4930123", "Zoë \"&\" Co"));
    let message = service.wait_for(&subscription, 1).await.remove(0);
    assert_eq!(
        (&message["kind"], &message["caller-name"]),
        (&"call".into(), &"Zoë \"&\" Co".into())
    );
    phone.wake();
    assert_eq!(message["sip-call-id"], phone.invite(1).await.call_id);
    held.wait_bridged().await;
    phone.hang_up();
    daemon.summary().await;
    // The subscription ends: so does the token.
    let from = daemon.log.len();
    phone.expire();
    daemon.log.wait_from(from, &["Unregistered("]).await;
    service.expire(&subscription).await;
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    stage.stored(0).await;
    assert_eq!(service.messages(&subscription).await.len(), 1);
}
