//! Phones that are woken through an operator's gateway, and through parameters with configured names.

use std::time::Duration;

use fswake_test_support::freeswitch::*;
use fswake_test_support::gateway::{Gateway, GatewayRequest, Over, Wants};
use fswake_test_support::http2::{Fault, Reply};

use crate::harness::*;
use crate::outcomes::result_of;

const ANSWERS: Behaviour = Behaviour::Rings(Duration::ZERO, Some(Duration::from_millis(50)));

/// A site as after mod_apn: one push server for all phones, nothing else.
async fn site(over: Over, more: &str) -> (Stage, Gateway) {
    let gateway = Gateway::start(over, Wants::Digest("MD5", true)).await;
    let mut stage = Stage::new().await;
    stage.take_app();
    let (url, ca, user) = (gateway.url(), gateway.ca_file(), gateway.file("user"));
    stage.app(&format!(
        "name = 'push-server'\nprovider = 'http'\nca-file = '{}'\n{more}\n[voip]\n\
         url = '{url}/${{type}}/${{user}}/${{realm}}/${{token}}'\nauth-type = 'digest'\nauth-file = '{}'",
        ca.display(),
        user.display()
    ));
    (stage, gateway)
}

async fn asked(gateway: &Gateway) -> GatewayRequest {
    loop {
        let asked = soon("push through the gateway", gateway.next()).await;
        if asked.status == 200 {
            return asked;
        }
    }
}

/// A phone with these Contact parameters. `token` in them is a secret.
fn phone(stage: &Stage, user: &str, params: &str, token: &str) -> Phone {
    stage.secret(token);
    stage.fs.phone(PhoneSpec::new(user, DOMAIN).params(params))
}

#[tokio::test]
async fn phones_of_mod_apn_are_pushed_through_their_push_server_woken_and_connected() {
    for (over, platform) in [(Over::Http1, "iOS"), (Over::Http2, "android")] {
        let (stage, gateway) = site(over, "").await;
        let daemon = stage.start().await;
        let token = hex_token();
        let params = format!("app-id=com.acme;pn-voip-tok={token};pn-platform={platform}");
        let phone = phone(&stage, "1001", &params, &token);
        phone.set_behaviour(ANSWERS);
        daemon.asleep(&phone).await;
        let held = stage
            .fs
            .call(&Call::to(daemon.address, "1001", DOMAIN).from("+4930123", "Zoë \"&\" Co"));
        let push = asked(&gateway).await;
        assert_eq!(push.request.path, format!("/voip/1001/{DOMAIN}/{token}"));
        let body = push.json();
        assert_eq!(
            (&body["token"], &body["platform"]),
            (&token.as_str().into(), &platform.into())
        );
        assert_eq!(body["payload"]["caller-number"], "+4930123");
        phone.wake();
        let invite = phone.invite(1).await;
        assert_eq!(body["payload"]["sip-call-id"], invite.call_id);
        assert!(matches!(held.outcome().await, Outcome::Connected { .. }));
        let line = daemon.summary().await;
        assert_eq!((field(&line, "outcome"), field(&line, "pushes")), ("connected", "1"));
    }
}

#[tokio::test]
async fn token_that_the_push_server_reports_as_gone_is_dropped_and_the_call_goes_on() {
    let (mut stage, gateway) = site(Over::Http1, "").await;
    stage.set("wake.max-wait", "1m");
    let daemon = stage.start().await;
    let token = hex_token();
    let params = format!("app-id=com.acme;pn-voip-tok={token};pn-platform=iOS");
    let phone = phone(&stage, "1001", &params, &token);
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    gateway.faults.next(Fault::Reply(Reply {
        status: 410,
        ..Reply::default()
    }));
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "unreachable");
    stage.stored(0).await;
    assert_eq!(result_of(&stage.call(&daemon, "1001")).await, "no-device");
}

#[tokio::test]
async fn end_of_a_call_is_pushed_to_a_gateway_only_if_configured() {
    for (setting, told) in [("", false), ("cancel-push = true", true)] {
        let (stage, gateway) = site(Over::Http1, setting).await;
        let daemon = stage.start().await;
        let token = format!("fcm-{}", hex_token());
        let params = format!("app-id=com.acme;pn-voip-tok={token};pn-platform=android");
        let phone = phone(&stage, "1001", &params, &token);
        daemon.asleep(&phone).await;
        let held = stage.call(&daemon, "1001");
        assert_eq!(asked(&gateway).await.json()["payload"]["kind"], "call");
        held.caller_hangs_up();
        daemon.summary().await;
        if told {
            let payload = &asked(&gateway).await.json()["payload"];
            assert_eq!(
                (&payload["kind"], &payload["reason"]),
                (&"cancel".into(), &"caller-hung-up".into())
            );
        } else {
            // The next push is a second call's. There was none before it.
            let _held = stage.call(&daemon, "1001");
            assert_eq!(asked(&gateway).await.json()["payload"]["kind"], "call");
        }
    }
}

#[tokio::test]
async fn parameters_with_configured_names_wake_phones_by_user_agent() {
    let (mut stage, gateway) = site(Over::Http1, "providers = ['hms', 'apns']").await;
    let sets: toml::Table =
        "[[params]]\nuser-agent-regex = '^Acme(Phone|Tab)/[2-9]'\nvoip-token = 'x-tok'\nim-token = ''\n\
         app-id = 'x-app'\nplatform = 'x-type'\nplatforms = { huawei = 'hms' }\n\
         [[params]]\nuser-agent = 'other'\nvoip-token = 'o-tok'\nprovider = 'apns'"
            .parse()
            .unwrap();
    stage.set("contact.params", sets["params"].clone());
    let daemon = stage.start().await;
    for (user, agent, params, platform) in [
        (
            "1001",
            "AcmeTab/2.0",
            "x-app=com.acme;x-tok=TOKEN;x-type=huawei",
            Some("hms"),
        ),
        ("1002", "An Other phone", "o-tok=TOKEN", Some("iOS")),
        // No set is for this User-Agent: a desk phone.
        ("1003", "AcmeTab/1.0", "x-app=com.acme;x-tok=TOKEN;x-type=huawei", None),
    ] {
        let token = hex_token();
        stage.secret(&token);
        let mut spec = PhoneSpec::new(user, DOMAIN).params(&params.replace("TOKEN", &token));
        agent.clone_into(&mut spec.agent);
        let phone = stage.fs.phone(spec);
        phone.set_behaviour(ANSWERS);
        daemon.asleep(&phone).await;
        let held = stage.call(&daemon, user);
        let Some(platform) = platform else {
            assert_eq!(result_of(&held).await, "no-device");
            continue;
        };
        let body = asked(&gateway).await.json();
        assert_eq!(
            (&body["token"], &body["platform"]),
            (&token.as_str().into(), &platform.into())
        );
        phone.wake();
        let invite = phone.invite(1).await;
        assert_eq!(
            invite.uri,
            format!("sip:{user}@{}", phone.spec().address),
            "the parameters were not stripped"
        );
        assert!(matches!(held.outcome().await, Outcome::Connected { .. }));
    }
}

#[tokio::test]
async fn unencrypted_or_unverified_gateway_is_logged_at_start_without_its_url() {
    let mut stage = Stage::new().await;
    stage.take_app();
    stage.app(
        "name = 'old'\nprovider = 'http'\n[voip]\nurl = 'http://192.0.2.1:9/${token}?key=s3cret'\n\
         [im]\nurl = 'https://127.0.0.1:9/${token}?key=s3cret'\ninsecure = true",
    );
    stage.secret("s3cret");
    let daemon = stage.start().await;
    let clear = daemon.log.wait(&[" WARN ", "no TLS", "profile=\"voip\""]).await;
    assert!(clear.contains("http://192.0.2.1:9"), "{clear}");
    daemon.log.wait(&[" WARN ", "insecure = true", "profile=\"im\""]).await;
}
