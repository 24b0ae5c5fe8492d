//! Pushes that are not for calls, requested by events of a real FreeSWITCH: mod_apn's events, and SIP MESSAGEs that the
//! shipped chatplan marks.

use std::sync::Arc;
use std::time::Duration;

use fswake_test_support::apns::{BUNDLE_ID, Push, TEAM_ID};
use fswake_test_support::realfs::{DOMAIN, RealFs};
use fswake_test_support::sip::{Phone, Script};
use fswake_test_support::site::{Settings, Site, new_token};
use fswake_test_support::skipped;
use serde_json::json;
use tokio::net::UdpSocket;

use crate::site;

crate::trials![
    mod_apn_event_is_pushed_and_answered,
    offline_users_sip_message_is_pushed_and_an_online_users_is_not,
    each_change_of_a_mailbox_is_pushed_once,
];

const QUESTION: &str = "mobile::push::notification";
const ANSWER: &str = "mobile::push::response";

/// A registered phone with one token for calls and one for messages; returns the latter.
async fn phone(site: &Site, user: &str) -> (Phone, String) {
    let phone = Phone::new(site.fs.account(user, DOMAIN), Script::default()).await;
    let (call, message) = (new_token(), new_token());
    phone.contact_params(&format!(
        ";pn-provider=apns;pn-param={TEAM_ID}.{BUNDLE_ID}.voip&remote;pn-prid={call}:voip&{message}:remote"
    ));
    assert_eq!(phone.register().await, 200);
    site.heard(&phone).await;
    (phone, message)
}

async fn pushed(site: &Site, count: usize) -> Push {
    let pushes = site.pushed(count).await;
    pushes.last().expect("a push").push.clone()
}

async fn mod_apn_event_is_pushed_and_answered(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let user = site.fs.new_user();
    let (_phone, token) = phone(&site, &user).await;
    let mut console = site.fs.console().await;
    console.subscribe(&format!("CUSTOM {ANSWER}")).await.unwrap();
    let headers = |user, uuid| [("type", "im"), ("user", user), ("realm", DOMAIN), ("uuid", uuid)];
    let body = r#"{"body":"Zoë says \"hi\"","badge":2,"custom":[{"name":"room","value":7}]}"#;
    console
        .send_custom(QUESTION, &headers(&user, "u-1"), body)
        .await
        .unwrap();
    let push = pushed(&site, 1).await;
    assert_eq!((push.token.as_str(), push.reason), (token.as_str(), ""));
    assert_eq!(
        push.body,
        json!({ "aps": { "alert": { "body": "Zoë says \"hi\"" }, "badge": 2 }, "room": 7 })
    );
    let answer = console.event().await.unwrap();
    assert_eq!(
        (answer.get("uuid"), answer.get("response")),
        (Some("u-1"), Some("sent"))
    );

    console
        .send_custom(QUESTION, &headers("nobody", "u-2"), body)
        .await
        .unwrap();
    let answer = console.event().await.unwrap();
    assert_eq!(
        (answer.get("uuid"), answer.get("response")),
        (Some("u-2"), Some("notsent"))
    );
    console
        .send_custom(QUESTION, &headers(&user, "u-3"), "{")
        .await
        .unwrap();
    let answer = console.event().await.unwrap();
    assert_eq!(
        (answer.get("uuid"), answer.get("response")),
        (Some("u-3"), Some("notsent"))
    );
    // In FreeSWITCH's spelling, as scripts see it.
    assert!(answer.headers.iter().any(|(name, _)| name == "uuid"), "{answer:?}");
    assert_eq!(site.pushes().len(), 1);
}

/// A SIP MESSAGE from another user; FreeSWITCH's answer.
async fn send_message(site: &Site, to: &str, text: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = site.fs.ports.sip;
    let own = socket.local_addr().unwrap();
    let id = uuid::Uuid::new_v4();
    let message = format!(
        "MESSAGE sip:{to}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: \"Al\\\"ice\" <sip:10000@{DOMAIN}>;tag={id}\r\nTo: <sip:{to}@{DOMAIN}>\r\nCall-ID: {id}\r\nCSeq: 1 MESSAGE\r\n\
         Fswake_push: voip\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    socket.send_to(message.as_bytes(), server).await.unwrap();
    let mut answer = vec![0; 2048];
    let received = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut answer)).await;
    let length = received.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer[..length])
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

async fn offline_users_sip_message_is_pushed_and_an_online_users_is_not(fs: Arc<RealFs>) {
    let site = site(fs, &Settings::default()).await;
    let (offline, online) = (site.fs.new_user(), site.fs.new_user());
    let (gone, token) = phone(&site, &offline).await;
    let (here, _) = phone(&site, &online).await;
    site.forget_place(&gone).await;
    for (n, text) in [
        "hi \"there\"\r\n{\"aps\":{\"badge\":9}} ${body} \\",
        "${system touch /tmp/x} 'a' <b> Zoë \u{1F4DE}",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(send_message(&site, &offline, text).await.contains("202"));
        let push = pushed(&site, n + 1).await;
        assert_eq!((push.token.as_str(), push.reason), (token.as_str(), ""));
        assert_eq!(
            push.body,
            json!({
                "aps": { "alert": { "title": "Al\"ice", "body": text }, "sound": "default" },
                "kind": "message",
                "sender": format!("sip:10000@{DOMAIN}"),
                "recipient": format!("sip:{offline}@{DOMAIN}"),
            })
        );
    }
    assert!(send_message(&site, &online, "hello").await.contains("202"));
    site.daemon()
        .log
        .wait(&["message needs no push", "all-registered"])
        .await;
    assert_eq!(site.pushes().len(), 2);
    drop(here);
}

/// mod_voicemail: messages come, are marked as heard, and are deleted.
async fn each_change_of_a_mailbox_is_pushed_once(fs: Arc<RealFs>) {
    if !fs.api("load mod_voicemail").await.contains("+OK") {
        return skipped::note("this FreeSWITCH has no mod_voicemail");
    }
    let settings = Settings {
        app: "voicemail-push = true\n",
        ..Settings::default()
    };
    let site = site(fs, &settings).await;
    let user = site.fs.new_user();
    let (_phone, token) = phone(&site, &user).await;
    let mut console = site.fs.console().await;
    let message = tempfile::NamedTempFile::with_suffix(".wav").unwrap();
    std::fs::write(message.path(), vec![0; 2000]).unwrap();
    let inject = format!("vm_inject {user}@{DOMAIN} {} 1002 Alice", message.path().display());
    let changes = [
        (inject.clone(), json!([1, 0])),
        (inject, json!([2, 0])),
        (format!("vm_read {user}@{DOMAIN} read"), json!([0, 2])),
        (format!("vm_delete {user}@{DOMAIN}"), json!([0, 0])),
    ];
    for (n, (change, counts)) in changes.into_iter().enumerate() {
        let answer = site.fs.api(&change).await;
        assert!(!answer.contains("-ERR"), "{change}: {answer}");
        let push = pushed(&site, n + 1).await;
        assert_eq!((push.token.as_str(), push.reason), (token.as_str(), ""), "{change}");
        assert_eq!(
            json!([push.body["new"], push.body["saved"]]),
            counts,
            "{change}: {}",
            push.body
        );
        assert_eq!(push.body["aps"]["badge"], counts[0], "{change}");
        assert_eq!(push.body["aps"]["alert"].is_null(), n > 1, "{change}: {}", push.body);
        // As for a SUBSCRIBE: mod_voicemail sends the counts again, unless the mailbox is empty.
        let account = format!("{user}@{DOMAIN}");
        let headers = [("Message-Account", account.as_str())];
        console.send_event("MESSAGE_QUERY", &headers, "").await.unwrap();
        site.daemon()
            .log
            .wait_times((n + 1).min(3), &["voicemail needs no push"])
            .await;
    }
    assert_eq!(site.pushes().len(), 4);
    site.fs.api("unload mod_voicemail").await;
}
