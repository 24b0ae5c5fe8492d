//! What counts as a token, and which app it belongs to: inputs from the field, from REGISTER to push.

use fswake_test_support::apns::{BUNDLE_ID, KEY_ID, TEAM_ID};
use fswake_test_support::freeswitch::*;

use crate::harness::*;

/// Eight characters. Apple's team ids never have that length.
const ODD_TEAM: &str = "ABCD1234";

/// A sleeping phone with these push parameters.
async fn sleeper(stage: &Stage, daemon: &Daemon, user: &str, params: &str) -> Phone {
    let phone = stage.fs.phone(PhoneSpec::new(user, DOMAIN).params(params));
    daemon.asleep(&phone).await;
    phone
}

fn rfc(param: &str, prid: &str) -> String {
    format!("pn-provider=apns;pn-param={param};pn-prid={prid}")
}

/// The log's warnings about one user.
fn warnings(daemon: &Daemon, user: &str) -> Vec<String> {
    let about = format!("{user}@{DOMAIN}");
    let lines = daemon.log.lines();
    lines
        .into_iter()
        .filter(|line| line.contains("WARN") && line.contains(&about))
        .collect()
}

#[tokio::test]
async fn token_in_upper_case_is_the_same_device_and_moves_with_it_to_another_user() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let token = hex_token();
    let param = format!("{TEAM_ID}.{BUNDLE_ID}.voip");
    let phone = sleeper(&stage, &daemon, "1001", &rfc(&param, &token)).await;
    // A later REGISTER of the same phone, with another Call-ID.
    let again = sleeper(&stage, &daemon, "1001", &rfc(&param, &token.to_ascii_uppercase())).await;
    again.set_behaviour(Behaviour::Rings(
        std::time::Duration::ZERO,
        Some(std::time::Duration::ZERO),
    ));
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    assert_eq!((push.token.as_str(), push.status), (token.as_str(), 200));
    again.wake();
    assert!(matches!(held.outcome().await, Outcome::Connected { .. }));
    let line = daemon.summary().await;
    assert_eq!(
        (field(&line, "devices"), field(&line, "pushes"), field(&line, "legs")),
        ("1", "1", "1")
    );
    assert_eq!((phone.invites().len(), again.invites().len()), (0, 1));

    sleeper(&stage, &daemon, "1002", &rfc(&param, &token.to_ascii_uppercase())).await;
    daemon
        .log
        .wait(&["device forgotten", "1001@fs.test", "another-user"])
        .await;
    stage.stored(1).await;
}

#[tokio::test]
async fn phone_without_a_voip_token_is_reached_by_its_other_one_and_logged_at_its_register() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    for (user, params) in [
        (
            "1001",
            "app-id=BUNDLE;pn-voip-tok=(null);pn-im-tok=TOKEN;pn-platform=iOS",
        ),
        (
            "1002",
            "pn-provider=apns;pn-param=TEAM.BUNDLE.remote&voip;pn-prid=TOKEN:remote&(null):voip",
        ),
        (
            "1003",
            "app-id=BUNDLE;pn-voip-tok=%3Cnull%3E;pn-im-tok=TOKEN;pn-platform=iOS",
        ),
        (
            "1004",
            "pn-provider=apns;pn-param=TEAM.BUNDLE.remote&voip;pn-prid=%7Blength%20=%2032%7D:voip&TOKEN:remote",
        ),
    ] {
        let token = hex_token();
        let params = params
            .replace("TEAM", TEAM_ID)
            .replace("BUNDLE", BUNDLE_ID)
            .replace("TOKEN", &token);
        sleeper(&stage, &daemon, user, &params).await;
        let held = stage.call(&daemon, user);
        let mut push = stage.push().await;
        // The other call's end is pushed, too.
        while push.request.header("apns-push-type") == "background" {
            push = stage.push().await;
        }
        assert_eq!((push.token.as_str(), push.status), (token.as_str(), 200), "{user}");
        assert_eq!(push.request.header("apns-push-type"), "alert");
        assert_eq!(push.request.header("apns-topic"), BUNDLE_ID);
        held.caller_hangs_up();
        let warned = warnings(&daemon, user);
        assert_eq!(warned.len(), 1, "{warned:#?}");
        assert!(warned[0].contains("no VoIP token"), "{warned:#?}");
    }
}

#[tokio::test]
async fn placeholder_token_holds_no_call_and_is_logged_once() {
    let mut stage = Stage::with_android().await;
    stage.set("wake.max-wait", "20s");
    let daemon = stage.start().await;
    let android = "pn-provider=fcm;pn-param=acme-1;pn-prid=null".to_owned();
    let param = format!("{TEAM_ID}.{BUNDLE_ID}.voip");
    let apple = |prid: &str| rfc(&param, prid);
    for (n, params) in [
        android,
        apple("{length=32,bytes=0x5e6f..}"),
        apple("../../x"),
        apple("nil"),
        apple("5e6f7"),
    ]
    .iter()
    .enumerate()
    {
        let user = format!("20{n}");
        let phone = sleeper(&stage, &daemon, &user, params).await;
        // A second REGISTER must not cause a second warning.
        daemon.asleep(&phone).await;
        let held = stage.call(&daemon, &user);
        assert!(matches!(held.outcome().await, Outcome::Resumed { .. }), "{params}");
        let warned = warnings(&daemon, &user);
        assert_eq!(warned.len(), 1, "{params}: {warned:#?}");
        assert!(warned[0].contains("no token in parameter pn-prid"), "{warned:#?}");
    }
    stage.stored(0).await;
    assert!(stage.apns.pushes_so_far().await.is_empty());
}

#[tokio::test]
async fn configured_app_id_is_the_topic_with_any_team() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    for (n, param) in [
        format!("{ODD_TEAM}.{BUNDLE_ID}.remote&voip"),
        format!("acme.{BUNDLE_ID}.voip"),
        BUNDLE_ID.to_owned(),
        format!("{BUNDLE_ID}.voip"),
    ]
    .iter()
    .enumerate()
    {
        let user = format!("30{n}");
        let token = hex_token();
        sleeper(&stage, &daemon, &user, &rfc(param, &format!("{token}:voip"))).await;
        let held = stage.call(&daemon, &user);
        let push = stage.push().await;
        assert_eq!(
            (push.token.as_str(), push.status, push.reason),
            (token.as_str(), 200, ""),
            "{param}"
        );
        assert_eq!(
            push.request.header("apns-topic"),
            format!("{BUNDLE_ID}.voip"),
            "{param}"
        );
        held.caller_hangs_up();
    }
    assert_eq!(daemon.log.count(&["no [[app]] serves"]), 0);
}

#[tokio::test]
async fn team_id_is_in_no_topic_where_no_app_ids_are_configured() {
    let mut stage = Stage::new().await;
    stage.take_app();
    let (url, ca) = (stage.apns.base_url(), stage.apns.ca_file().display().to_string());
    let key = stage.apns.key_file().display().to_string();
    stage.app(&format!(
        "name = 'ios'\nprovider = 'apns'\nbase-url = '{url}'\nca-file = '{ca}'\nkey-file = '{key}'\nkey-id = '{KEY_ID}'\n\
         team-id = '{TEAM_ID}'"
    ));
    let daemon = stage.start().await;
    for (n, param) in [
        format!("{ODD_TEAM}.{BUNDLE_ID}.remote&voip"),
        format!("{TEAM_ID}.{BUNDLE_ID}.voip"),
        BUNDLE_ID.to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let user = format!("40{n}");
        sleeper(&stage, &daemon, &user, &rfc(param, &format!("{}:voip", hex_token()))).await;
        let held = stage.call(&daemon, &user);
        let push = stage.push().await;
        assert_eq!(
            push.request.header("apns-topic"),
            format!("{BUNDLE_ID}.voip"),
            "{param}"
        );
        held.caller_hangs_up();
    }
}

#[tokio::test]
async fn device_of_an_app_id_that_is_configured_later_stays_one_device() {
    let mut stage = Stage::new().await;
    let app = stage.take_app();
    let daemon = stage.start().await;
    let token = hex_token();
    // Nothing shows that the first label is a team id.
    let param = format!("acme.{BUNDLE_ID}.voip");
    let phone = sleeper(&stage, &daemon, "1001", &rfc(&param, &token)).await;
    stage.stored(1).await;
    daemon.kill().await;

    stage.put_app(app);
    let daemon = stage.start().await;
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    assert_eq!(push.request.header("apns-topic"), format!("{BUNDLE_ID}.voip"));
    held.caller_hangs_up();
    daemon.asleep(&phone).await;
    daemon.log.wait(&["device forgotten", "app-renamed"]).await;
    stage.stored(1).await;
    let held = stage.call(&daemon, "1001");
    let push = stage.push().await;
    assert_eq!(push.token, token);
    held.caller_hangs_up();
    assert!(stage.apns.pushes_so_far().await.is_empty());
}
