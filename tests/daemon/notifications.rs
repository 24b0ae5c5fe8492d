//! Pushes without a call, requested and answered by events.

use fswake_test_support::apns::{self, BUNDLE_ID};
use fswake_test_support::fcm;
use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use fswake_test_support::realfs::{Console, ConsoleEvent, ESL_PASSWORD};
use serde_json::json;

use crate::harness::*;

const QUESTION: &str = "mobile::push::notification";
const ANSWER: &str = "mobile::push::response";

/// A script as mod_apn's users have it: it fires a request and receives all answers.
struct Script(Console);

impl Script {
    async fn start(stage: &Stage) -> Self {
        let mut console = Console::connect(stage.fs.address(), ESL_PASSWORD).await.unwrap();
        console.subscribe(&format!("CUSTOM {ANSWER}")).await.unwrap();
        Self(console)
    }

    async fn fire(&mut self, headers: &[(&str, &str)], body: &str) {
        self.0.send_custom(QUESTION, headers, body).await.unwrap();
    }

    /// A request to push 1001 with this type of token.
    async fn ask(&mut self, kind: &str, uuid: &str, body: &str) {
        let headers = [("type", kind), ("user", "1001"), ("realm", DOMAIN), ("uuid", uuid)];
        self.fire(&headers, body).await;
    }

    async fn answer(&mut self) -> (String, String) {
        let event: ConsoleEvent = self.0.event().await.expect("an answer");
        assert_eq!(event.get("Event-Subclass"), Some(ANSWER));
        let get = |name: &str| {
            event
                .get(name)
                .unwrap_or_else(|| panic!("no {name}: {event:?}"))
                .to_owned()
        };
        (get("uuid"), get("response"))
    }
}

fn result_of(uuid: &str, response: &str) -> (String, String) {
    (uuid.to_owned(), response.to_owned())
}

/// An iPhone with two tokens: one for calls, one for messages.
fn iphone(stage: &Stage, user: &str) -> (Phone, String, String) {
    let (call, message) = (hex_token(), hex_token());
    stage.secret(&call);
    stage.secret(&message);
    let (team, app) = (apns::TEAM_ID, BUNDLE_ID);
    let params = format!("pn-provider=apns;pn-param={team}.{app}.voip&remote;pn-prid={call}:voip&{message}:remote");
    let phone = stage.fs.phone(PhoneSpec::new(user, DOMAIN).params(&params));
    (phone, call, message)
}

/// Each is claimed first, because another fswake may be there. FreeSWITCH resets connections if many come at once: then
/// an event would be answered twice.
#[tokio::test]
async fn burst_of_events_logs_in_one_after_another() {
    let (stage, _b) = crate::nodes::stage().await;
    let daemon = stage.start_alone().await;
    let (phone, ..) = iphone(&stage, "1001");
    daemon.asleep(&phone).await;
    let mut scripts = Vec::new();
    for _ in 0..30 {
        scripts.push(Script::start(&stage).await);
    }
    let ask = scripts.iter_mut().enumerate().map(|(n, script)| async move {
        script.ask("voip", &format!("u-{n}"), "{}").await;
    });
    futures_util::future::join_all(ask).await;
    for _ in 0..30 {
        stage.push().await;
    }
    assert!(
        stage.fs.most_logins_at_once() <= 3,
        "{}",
        stage.fs.most_logins_at_once()
    );
}

#[tokio::test]
async fn message_event_is_pushed_to_every_device_of_the_user_and_answered_once() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (phone, _, message_token) = iphone(&stage, "1001");
    let android = stage.android("1001");
    daemon.asleep(&phone).await;
    daemon.asleep(&android).await;
    let mut script = Script::start(&stage).await;
    let body = r#"{"body":"Zoë says \"hi\"","title":"New message","barge":3,"sound":"default","image":"https://example.org/i.png",
        "category":"MESSAGE","custom":[{"name":"thread","value":17}],"room":"lobby"}"#;
    script.ask("im", "u-1", body).await;

    let push = stage.push().await;
    assert_eq!((push.status, push.reason), (200, ""));
    assert_eq!(push.token, message_token);
    let header = |name| push.request.header(name);
    assert_eq!((header("apns-push-type"), header("apns-priority")), ("alert", "10"));
    assert_eq!(header("apns-topic"), BUNDLE_ID);
    assert_eq!(
        push.body,
        json!({
            "aps": {
                "alert": { "title": "New message", "body": "Zoë says \"hi\"" },
                "badge": 3,
                "sound": "default",
                "category": "MESSAGE",
                "mutable-content": 1,
            },
            "image": "https://example.org/i.png",
            "thread": 17,
            "room": "lobby",
        })
    );
    let sent = stage.android_push().await;
    assert_eq!((sent.status, sent.reason.as_str()), (200, ""));
    assert_eq!(
        sent.message["notification"],
        json!({ "title": "New message", "body": "Zoë says \"hi\"", "image": "https://example.org/i.png" })
    );
    assert_eq!(
        sent.message["data"],
        json!({ "thread": "17", "room": "lobby", "image": "https://example.org/i.png" })
    );
    assert_eq!(sent.message["android"]["notification"]["notification_count"], 3);
    assert_eq!(sent.message["android"]["ttl"], "86400s");

    assert_eq!(script.answer().await, result_of("u-1", "sent"));
    let line = daemon.log.wait(&[" INFO ", "notification sent"]).await;
    assert_eq!(
        (field(&line, "aor"), field(&line, "by"), field(&line, "sent")),
        ("1001@fs.test", "event", "2")
    );
}

#[tokio::test]
async fn voip_event_goes_to_the_call_token_as_a_voip_push_and_may_name_the_app() {
    let stage = Stage::with_android().await;
    let daemon = stage.start().await;
    let (phone, call_token, _) = iphone(&stage, "1001");
    let android = stage.android("1001");
    daemon.asleep(&phone).await;
    daemon.asleep(&android).await;
    let mut script = Script::start(&stage).await;
    let headers = |app| {
        [
            ("type", "voip"),
            ("user", "1001"),
            ("realm", DOMAIN),
            ("app_id", app),
            ("uuid", "v"),
        ]
    };
    // The event that mod_apn's own endpoint fires for a call.
    let body = r#"{"content-available":true,"custom":[{"name":"content-message","value":"incomming call"}]}"#;
    script.fire(&headers(BUNDLE_ID), body).await;
    let push = stage.push().await;
    assert_eq!((push.token.as_str(), push.reason), (call_token.as_str(), ""));
    assert_eq!(push.request.header("apns-push-type"), "voip");
    assert_eq!(push.request.header("apns-topic"), format!("{BUNDLE_ID}.voip"));
    assert_eq!(
        push.body,
        json!({ "aps": { "content-available": 1 }, "content-message": "incomming call" })
    );
    assert_eq!(script.answer().await, result_of("v", "sent"));
    script.fire(&headers(fcm::PROJECT), body).await;
    let sent = stage.android_push().await;
    assert_eq!(
        sent.message["data"],
        json!({ "content_available": "true", "content-message": "incomming call" })
    );
    assert!(sent.message["notification"].is_null());
    assert_eq!(script.answer().await, result_of("v", "sent"));
}

#[tokio::test]
async fn what_cannot_be_pushed_is_answered_notsent_with_one_clear_line() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let mut script = Script::start(&stage).await;

    for (n, (headers, body, line)) in [
        (
            vec![("type", "im"), ("user", "1001"), ("realm", DOMAIN)],
            "{\"body\":\"hi\"}",
            "notification not sent aor=1001@fs.test by=\"event\" not_sent=0 reason=\"no-token\"",
        ),
        (
            vec![("type", "voip"), ("user", "nobody"), ("realm", DOMAIN)],
            "{}",
            "notification not sent aor=nobody@fs.test by=\"event\" not_sent=0 reason=\"no-device\"",
        ),
        (
            vec![
                ("type", "voip"),
                ("user", "1001"),
                ("realm", DOMAIN),
                ("app_id", "other"),
            ],
            "{}",
            "reason=\"no-such-app\"",
        ),
        (
            vec![("type", "voip"), ("user", "1001"), ("realm", DOMAIN)],
            "{\"body\": \n oops",
            "notification refused refusal=the payload is not JSON (line 2, column 2) aor=1001@fs.test",
        ),
        (
            vec![("type", "voip"), ("realm", DOMAIN)],
            "{}",
            "notification refused refusal=the event has no header user",
        ),
        (
            vec![("type", "fax"), ("user", "1001"), ("realm", DOMAIN)],
            "{}",
            "notification refused refusal=the event's type is neither voip nor im",
        ),
        (
            vec![("type", "voip"), ("user", "1001"), ("realm", DOMAIN)],
            "{\"badge\":\"many\"}",
            "reason=\"refused by fswake: WrongType badge\"",
        ),
        (
            vec![("type", "voip"), ("user", "1001"), ("realm", DOMAIN)],
            "{\"aps\":{}}",
            "reason=\"refused by fswake: ReservedKey aps\"",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (from, uuid) = (daemon.log.len(), format!("u-{n}"));
        let mut headers = headers;
        headers.push(("uuid", &uuid));
        script.fire(&headers, body).await;
        assert_eq!(script.answer().await, result_of(&uuid, "notsent"), "{line}");
        daemon.log.wait_from(from, &[" WARN ", line]).await;
        let complaints = daemon.log.lines()[from..]
            .iter()
            .filter(|l| l.contains(" WARN "))
            .count();
        assert_eq!(complaints, 1, "{line}");
    }
    assert_eq!(stage.apns.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn answers_are_not_requests_and_a_request_cannot_inject_a_command() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let mut script = Script::start(&stage).await;
    // Fired inside FreeSWITCH, where a header may have any value.
    for uuid in ["x\nresponse: sent", "x\r\n\r\nbgapi fsctl shutdown", "\u{e9}"] {
        let from = daemon.log.len();
        stage.fs.fire_custom(
            QUESTION,
            &[("type", "voip"), ("user", "1001"), ("realm", DOMAIN), ("uuid", uuid)],
        );
        daemon
            .log
            .wait_from(from, &[" WARN ", "notification refused", "uuid"])
            .await;
    }
    // An answer, from this or a second fswake, must not be taken for a request.
    stage.fs.fire_custom(
        ANSWER,
        &[
            ("uuid", "other"),
            ("response", "sent"),
            ("type", "voip"),
            ("user", "1001"),
            ("realm", DOMAIN),
        ],
    );
    assert_eq!(script.answer().await, result_of("other", "sent"));
    script.ask("voip", "{odd}: a;b${c}", "").await;
    assert_eq!(stage.push().await.reason, "");
    assert_eq!(script.answer().await, result_of("{odd}: a;b${c}", "sent"));
    assert_eq!(stage.apns.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn question_without_uuid_is_pushed_and_not_answered() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let mut script = Script::start(&stage).await;
    script
        .fire(&[("type", "voip"), ("user", "1001"), ("realm", DOMAIN)], "")
        .await;
    assert_eq!(stage.push().await.reason, "");
    daemon.log.wait(&["notification sent"]).await;
    script.ask("voip", "next", "").await;
    assert_eq!(script.answer().await, result_of("next", "sent"));
}

#[tokio::test]
async fn token_that_is_gone_is_dropped_and_the_next_request_finds_no_device() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    let mut script = Script::start(&stage).await;
    stage.apns.faults.next(Fault::apns(410, "Unregistered"));
    script.ask("voip", "a", "").await;
    assert_eq!(script.answer().await, result_of("a", "notsent"));
    stage.stored(0).await;
    script.ask("voip", "b", "").await;
    assert_eq!(script.answer().await, result_of("b", "notsent"));
    daemon.log.wait(&["reason=\"no-device\""]).await;
}

#[tokio::test]
async fn slow_provider_delays_only_its_answer() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let slow = stage.iphone("1001");
    daemon.asleep(&slow).await;
    let mut script = Script::start(&stage).await;
    stage.apns.faults.next(Fault::Delay(std::time::Duration::from_secs(2)));
    script.ask("voip", "slow", "").await;
    let from = daemon.log.len();
    let other = stage.iphone("1002");
    daemon.registered(&other).await;
    let lines = daemon.log.lines();
    assert!(
        !lines[from..].iter().any(|l| l.contains("notification sent")),
        "the provider's answer was not slow"
    );
    assert_eq!(script.answer().await, result_of("slow", "sent"));
}

#[tokio::test]
async fn second_fswake_with_events_off_leaves_them_to_the_first() {
    let mut stage = Stage::new().await;
    stage.set("notifications.events", false);
    let daemon = stage.start().await;
    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let mut script = Script::start(&stage).await;
    script.ask("voip", "u", "").await;
    // Once the next event on the same connection has arrived, this one has too.
    daemon.registered(&stage.iphone("1002")).await;
    assert_eq!(daemon.log.count(&["event=NotificationAsked "]), 0);
}

/// A chat message as sent by sofia and mod_sms (1.10.12), marked by the chatplan.
fn chat(stage: &Stage, to: &str, delivery: (&'static str, &str), text: &str) {
    let headers = [
        ("proto", "sip"),
        ("from", "1002@fs.test"),
        ("from_user", "1002"),
        ("from_host", "fs.test"),
        ("to_user", to),
        ("to_host", DOMAIN),
        ("to", "x"),
        ("subject", "SIMPLE MESSAGE"),
        ("type", "text/plain"),
        ("from_full", "\"Al\\\"ice\" <sip:1002@fs.test>;tag=a1"),
        ("sip_profile", "internal"),
        ("dest_proto", "sip"),
        ("fswake_push", "im"),
        delivery,
    ];
    stage.fs.fire("MESSAGE", &headers, text);
}

#[tokio::test]
async fn chat_message_with_any_text_is_pushed_to_unregistered_phones() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let (absent, _, token) = iphone(&stage, "1001");
    let (present, _, other_token) = iphone(&stage, "1003");
    daemon.asleep(&absent).await;
    daemon.registered(&present).await;
    let tried = ("Nonblocking-Delivery", "true");
    let hostile = "hi \"there\"\n{\"aps\":{}} ${body} \\ \u{7}";
    chat(&stage, "1001", tried, hostile);
    let push = stage.push().await;
    assert_eq!((push.token.as_str(), push.reason), (token.as_str(), ""));
    assert_eq!(
        push.body,
        json!({
            "aps": { "alert": { "title": "Al\"ice", "body": hostile }, "sound": "default" },
            "kind": "message",
            "sender": "sip:1002@fs.test",
            "recipient": "sip:1001@fs.test",
        })
    );
    // FreeSWITCH delivers the message unless it reports that no phone took it.
    chat(&stage, "1003", tried, "one");
    chat(&stage, "nobody", tried, "two");
    chat(&stage, "1003", ("Delivery-Failure", "true"), "three");
    let push = stage.push().await;
    assert_eq!((push.token.as_str(), push.reason), (other_token.as_str(), ""));
    assert_eq!(push.body["aps"]["alert"]["body"], "three");
    assert_eq!(stage.apns.pushes_so_far().await.len(), 0);
    assert_eq!(
        daemon.log.count(&[" WARN "]),
        0,
        "logged although the message needs no push"
    );
}

/// Runs `fswake push` with the daemon's configuration. Returns exit code, stdout and stderr.
async fn push(stage: &Stage, daemon: &Daemon, args: &[&str]) -> (Option<i32>, String, String) {
    let line = daemon.log.wait(&["HTTP", "address="]).await;
    let file = stage.dir.path().join("ask.toml");
    let address = field(&line, "address");
    std::fs::write(&file, format!("[http]\naddresses = ['{address}']\n")).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_fswake"))
        .arg("--config")
        .arg(&file)
        .arg("push")
        .args(args)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn push_from_the_command_line_says_what_came_of_it_device_by_device() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let (phone, _, token) = iphone(&stage, "1001");
    daemon.asleep(&phone).await;
    let to_user = ["--user", "1001", "--realm", DOMAIN];
    let with = |more: &[&'static str]| [&to_user[..], more].concat();

    let (code, out, err) = push(&stage, &daemon, &with(&["--payload", r#"{"body":"It works"}"#])).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.starts_with(&format!("apns:{BUNDLE_ID}:")) && out.contains("  sent ("),
        "{out}"
    );
    let sent = stage.push().await;
    assert_eq!(
        (sent.token.as_str(), &sent.body["aps"]["alert"]["body"]),
        (token.as_str(), &json!("It works"))
    );

    stage.apns.faults.next(Fault::apns(400, "BadDeviceToken"));
    let (code, out, err) = push(&stage, &daemon, &with(&["--type", "voip"])).await;
    assert_eq!(code, Some(1));
    assert!(out.contains("not sent: token refused (BadDeviceToken)"), "{out}");
    assert!(err.contains("not sent: no provider took it"), "{err}");
    let (code, out, err) = push(&stage, &daemon, &["--user", "nobody", "--realm", DOMAIN]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("no device of this user"), "{err}");
    let (code, _, err) = push(&stage, &daemon, &with(&["--payload", "{"])).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("--payload: not JSON"), "{err}");
    assert_eq!(push(&stage, &daemon, &with(&["--type", "sms"])).await.0, Some(2));
}
