//! gateway/kamailio.cfg on a real Kamailio: registrations, a wake, and calls that go on without fswake.

use std::time::Duration;

use fswake_test_support::kamailio::{self, Kamailio};
use fswake_test_support::sip::{Account, Phone, Reaction};
use fswake_test_support::{apns, skipped};
use serde_json::json;

use crate::harness::*;
use crate::site::Site;

const ANSWERS: Reaction = Reaction::Answer(Duration::from_millis(50));

/// A user's phone at this registrar.
async fn phone(proxy: &Kamailio, user: &str) -> Phone {
    let account = Account {
        user: user.to_owned(),
        domain: DOMAIN.to_owned(),
        password: String::new(),
        server: proxy.address,
        tls_server: proxy.address,
        ws_server: proxy.address,
        wss_server: proxy.address,
    };
    Phone::new(account, ANSWERS).await
}

/// The same with a token.
async fn iphone(stage: &Stage, proxy: &Kamailio, user: &str) -> Phone {
    let phone = phone(proxy, user).await;
    let token = hex_token();
    stage.secret(&token);
    let (team, app) = (apns::TEAM_ID, apns::BUNDLE_ID);
    phone.contact_params(&format!(";pn-provider=apns;pn-param={team}.{app}.voip;pn-prid={token}"));
    phone
}

#[tokio::test]
async fn calls_through_kamailio_wait_for_the_phone_that_its_push_wakes() {
    if let Err(reason) = kamailio::has(&["jansson", "http_client"]) {
        return skipped::note(&reason);
    }
    let mut stage = Stage::new().await;
    stage.set("freeswitch.enabled", false);
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    let proxy = Kamailio::gateway(site.address).await;
    let (iphone, caller) = (iphone(&stage, &proxy, "1001").await, phone(&proxy, "1002").await);

    assert_eq!(iphone.register().await, 200);
    stage.stored(1).await;
    let known = site.json(&format!("/v1/devices?aor=1001@{DOMAIN}")).await;
    assert_eq!(known["bindings"].as_array().unwrap().len(), 1, "{known}");

    // It sleeps while registered, and wakes up at another address.
    iphone.sleep();
    let call = caller.call("1001");
    let push = stage.push().await;
    assert!(push.body.to_string().contains("1002"), "{}", push.body);
    iphone.wake_elsewhere().await;
    assert_eq!(iphone.register().await, 200);
    assert_eq!(call.outcome().await, 200, "{}", iphone.story());
    assert_eq!(iphone.invites(), 1, "{}", iphone.story());
    call.hang_up().await;
    let wakes = site.until("/v1/wakes", |v| v["wakes"][0]["result"] == "woken").await;
    assert_eq!(wakes["wakes"][0]["caller"], json!("1002"));

    // An unknown user: the call does not wait.
    assert_eq!(caller.call("1003").outcome().await, 480);

    assert_eq!(iphone.unregister().await, 200);
    stage.stored(0).await;

    // Without fswake the call goes to the registered address.
    assert_eq!(iphone.register_anew().await, 200);
    daemon.kill().await;
    let call = caller.call("1001");
    assert_eq!(call.outcome().await, 200, "{}", iphone.story());
    call.hang_up().await;
}
