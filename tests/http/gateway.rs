//! Wakes on request, and registrations reported by another SIP server.

use fswake_test_support::http2::Fault;
use fswake_test_support::skipped;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::answers::checked;
use crate::cli::fswake;
use crate::harness::*;
use crate::site::Site;

/// More requests than one address may have.
const MANY: usize = 150;

async fn wake(site: &Site, body: Value) -> (u16, Value) {
    checked(site, Method::POST, "/v1/wake", "/v1/wake", Some(body)).await
}

pub async fn tell(site: &Site, body: Value) -> (u16, Value) {
    checked(site, Method::POST, "/v1/registrations", "/v1/registrations", Some(body)).await
}

/// A daemon without FreeSWITCH.
pub async fn gateway(change: impl FnOnce(&mut Stage)) -> (Stage, Daemon, Site) {
    let mut stage = Stage::new().await;
    stage.set("freeswitch.enabled", false);
    change(&mut stage);
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    (stage, daemon, site)
}

/// The Contact of an iPhone.
fn contact(user: &str, port: u16, token: &str) -> String {
    let app = fswake_test_support::apns::BUNDLE_ID;
    let team = fswake_test_support::apns::TEAM_ID;
    format!(
        "<sip:{user}@192.0.2.7:{port};transport=tcp;pn-provider=apns;pn-param={team}.{app}.voip;pn-prid={token}>;expires=600"
    )
}

pub fn registration(user: &str, port: u16, token: &str, expires: u32) -> Value {
    json!({
        "aor": format!("{user}@fs.test"),
        "contact": contact(user, port, token),
        "expires": expires,
        "call_id": format!("{user}@phone"),
        "user_agent": "example-phone",
        "node": "proxy-1",
    })
}

#[tokio::test]
async fn wake_is_answered_when_the_phone_has_registered_and_is_visible_to_operators() {
    let (stage, daemon, phone) = one_sleeper().await;
    let site = Site::of(&daemon).await;
    let id = uuid::Uuid::new_v4().to_string();
    let body =
        json!({"aor": "1001@fs.test", "caller": "1002", "caller_name": "Alice", "id": id, "sip_call_id": "abc@proxy"});
    let asked = wake(&site, body);
    let comes = async {
        let push = stage.push().await;
        let calls = site.json("/v1/calls").await;
        assert_eq!(
            (&calls["calls"][0]["way"], &calls["calls"][0]["caller"]),
            (&json!("request"), &json!("1002")),
            "{calls}"
        );
        phone.wake();
        push
    };
    let ((status, answer), push) = tokio::join!(asked, comes);
    assert_eq!(
        (status, &answer["result"], &answer["call"]),
        (200, &json!("woken"), &json!(id))
    );
    let contact = answer["contact"].as_str().unwrap();
    assert!(
        contact.starts_with("sip:1001@") && !contact.contains("pn-prid"),
        "{contact}"
    );
    assert!(answer["ms"].as_u64().unwrap() < 30_000, "{answer}");
    assert_eq!(answer["devices"][0]["state"], "registered");
    assert!(
        answer["node"]
            .as_str()
            .unwrap()
            .ends_with(&format!(":{}", stage.fs.address().port()))
    );
    let payload = push.body.to_string();
    assert!(
        payload.contains(&id) && payload.contains("abc@proxy") && payload.contains("Alice"),
        "{payload}"
    );

    let wakes = site.until("/v1/wakes", |v| v["wakes"][0]["result"] == "woken").await;
    assert_eq!(wakes["wakes"][0]["call"], id.as_str());
    let (_, trace, _) = stage.tool(&["trace", &id]).await;
    assert!(
        trace.contains("wake asked for") && trace.contains("over: a phone is awake (woken)"),
        "{trace}"
    );
    daemon.log.wait(&["wake over", "outcome=\"woken\""]).await;
    site.counts(r#"fswake_wake_requests_total{result="woken"}"#, 1.0).await;
    assert!(
        site.metric(r#"fswake_calls_total{callee="mobile",result="woken"}"#)
            .await
            < 0.5
    );
    let summary = site.json("/v1/summary").await;
    assert_eq!(
        (&summary["windows"][0]["calls"], &summary["windows"][0]["connected"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn every_other_outcome_has_its_own_answer() {
    let mut stage = Stage::new().await;
    stage.set("wake.device-pushes-per-minute", 1);
    stage.set("wake.fresh-for", "30s");
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let result = |answer: &Value| answer["result"].as_str().unwrap_or_default().to_owned();

    let (status, answer) = wake(&site, json!({"aor": "nobody@fs.test"})).await;
    assert_eq!((status, result(&answer)), (404, "no-device".into()));

    let phone = stage.iphone("1001");
    daemon.asleep(&phone).await;
    let (status, answer) = wake(&site, json!({"aor": "1001@fs.test", "wait_ms": 400})).await;
    assert_eq!((status, result(&answer)), (504, "not-registered".into()));
    assert_eq!(answer["devices"][0]["state"], "pushed");
    assert!((400..5_000).contains(&answer["ms"].as_u64().unwrap()), "{answer}");

    let request = site
        .request(Method::POST, "/v1/wake")
        .json(&json!({"aor": "1001@fs.test"}));
    let limited = request.send().await.unwrap();
    assert_eq!(
        (
            limited.status().as_u16(),
            limited.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "60")
    );
    let limited = wake(&site, json!({"aor": "1001@fs.test"})).await;
    assert_eq!((limited.0, result(&limited.1)), (429, "limited".into()));

    let awake = stage.iphone("1002");
    daemon.registered(&awake).await;
    let (status, answer) = wake(&site, json!({"aor": "1002@fs.test"})).await;
    assert_eq!((status, &answer["devices"][0]["state"]), (200, &json!("awake")));

    let refused = stage.iphone("1003");
    daemon.asleep(&refused).await;
    stage.apns.faults.next(Fault::apns(400, "PayloadEmpty"));
    let (status, answer) = wake(&site, json!({"aor": "1003@fs.test"})).await;
    assert_eq!((status, result(&answer)), (502, "refused".into()));
    let problem = answer["devices"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("PayloadEmpty"), "{problem}");
}

#[tokio::test]
async fn invalid_wakes_and_registrations_are_refused_with_the_reason() {
    let (_stage, _daemon, site) = gateway(|_| {}).await;
    for (body, status, words) in [
        (json!({}), 422, "aor"),
        (json!({"aor": "1001"}), 400, "user@domain"),
        (json!({"aor": "a@b", "wait_ms": 0}), 400, "wait_ms"),
        (json!({"aor": "a@b", "wait_ms": 600_001}), 400, "wait_ms"),
        (json!({"aor": "a@b", "wait_for": "both"}), 400, "wait_for"),
        (json!({"aor": "a@b", "id": "x"}), 400, "UUID"),
        (
            json!({"aor": "a@b", "id": "00000000-0000-0000-0000-000000000000"}),
            400,
            "UUID",
        ),
        (json!({"aor": "a@b", "caller": "1".repeat(257)}), 400, "256"),
        (json!({"aor": "a@b", "to": "c"}), 422, "to"),
    ] {
        let (got, problem) = wake(&site, body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(got == status && detail.contains(words), "{got} {detail}");
    }
    for (change, status, words) in [
        (json!({"aor": "1001"}), 400, "user@domain"),
        (json!({"expires": -1}), 422, "expires"),
        (json!({"contact": ""}), 400, "contact"),
        (json!({"contact": "*"}), 400, "contact"),
        (json!({"contact": "tel:+15550100"}), 400, "Contact"),
        (json!({"contact": "x".repeat(9_000)}), 400, "8192"),
        (json!({"node": "a/b"}), 400, "node"),
        (json!({"node": "gateway"}), 400, "node"),
        (json!({"contact": "*", "expires": 0, "call_id": ""}), 400, "call_id"),
        (json!({"expires": 0, "reason": "bored"}), 400, "reason"),
    ] {
        let mut body = registration("1001", 5060, &hex_token(), 600);
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let (got, problem) = tell(&site, body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(got == status && detail.contains(words), "{change}: {got} {detail}");
    }
    assert_eq!(site.json("/v1/devices").await["devices"], json!([]));
}

#[tokio::test]
async fn closing_the_connection_cancels_the_wake() {
    let (stage, daemon, _phone) = one_sleeper().await;
    let site = Site::of(&daemon).await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let body = json!({"aor": "1001@fs.test"}).to_string();
    let head = format!(
        "POST /v1/wake HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stage.push().await;
    drop(stream);
    daemon.log.wait(&["wake over", "outcome=\"abandoned\""]).await;
    stage.journal("asker-gone", 1).await;
    assert_eq!(site.json("/v1/calls").await["calls"], json!([]));
}

#[tokio::test]
async fn second_request_with_the_same_id_gets_the_same_answer_and_another_users_is_refused() {
    let (stage, daemon, phone) = one_sleeper().await;
    let site = Site::of(&daemon).await;
    let id = uuid::Uuid::new_v4().to_string();
    let body = || json!({"aor": "1001@fs.test", "id": id});
    let others = async {
        stage.push().await;
        let (status, problem) = wake(&site, json!({"aor": "1002@fs.test", "id": id})).await;
        assert_eq!(status, 409, "{problem}");
        let second = wake(&site, body());
        let comes = async {
            daemon.log.wait(&["asked for again"]).await;
            phone.wake();
        };
        tokio::join!(second, comes).0
    };
    let (first, second) = tokio::join!(wake(&site, body()), others);
    assert_eq!(first.0, 200);
    assert_eq!(second.0, 200);
    assert_eq!(first.1["contact"], second.1["contact"]);
    assert!(
        stage.apns.pushes_so_far().await.is_empty(),
        "more than one push for both requests"
    );
}

#[tokio::test]
async fn hundreds_of_waiting_requests_do_not_block_others() {
    let (stage, daemon, site) = gateway(|stage| stage.set("wake.push-retries", 0)).await;
    let site = std::sync::Arc::new(site);
    let tokens: Vec<_> = (0..MANY).map(|_| hex_token()).collect();
    for (n, token) in tokens.iter().enumerate() {
        let (status, _) = tell(&site, registration(&format!("u{n}"), 5060, token, 600)).await;
        assert_eq!(status, 200);
    }
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..MANY {
        let site = std::sync::Arc::clone(&site);
        waiting.spawn(async move { wake(&site, json!({"aor": format!("u{n}@fs.test")})).await });
    }
    for _ in 0..MANY {
        stage.push().await;
    }
    // A new connection is served, although more requests wait than there are places.
    let fresh = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = fresh.get(format!("http://{}/v1/calls", site.address)).send();
    let calls: Value = soon("an answer", health).await.unwrap().json().await.unwrap();
    assert_eq!(calls["calls"].as_array().unwrap().len(), MANY);
    for (n, token) in tokens.iter().enumerate() {
        tell(&site, registration(&format!("u{n}"), 5061, token, 600)).await;
    }
    while let Some(answer) = soon("all answers", waiting.join_next()).await {
        let (status, answer) = answer.unwrap();
        assert_eq!((status, &answer["result"]), (200, &json!("woken")), "{answer}");
    }
    assert_eq!(daemon.log.count(&["panicked"]), 0);
}

#[tokio::test]
async fn without_freeswitch_reported_registrations_are_enough() {
    let (stage, daemon, site) = gateway(|_| {}).await;
    let token = hex_token();
    stage.secret(&token);
    assert_eq!(site.get("/readyz").await.0, 200);
    assert_eq!(site.json("/v1/attention").await["items"], json!([]));
    assert_eq!(site.json("/v1/summary").await["freeswitch"], json!([]));

    let (status, answer) = tell(&site, registration("1001", 5060, &token, 600)).await;
    assert_eq!(
        (status, answer),
        (
            200,
            json!({"registered": true, "stored": true, "provider": "apns", "app": fswake_test_support::apns::BUNDLE_ID, "served_by": "ios", "warnings": []})
        )
    );
    stage.stored(1).await;
    let asked = wake(&site, json!({"aor": "1001@fs.test"}));
    let comes = async {
        stage.push().await;
        tell(&site, registration("1001", 49_152, &token, 600)).await
    };
    let ((status, answer), _) = tokio::join!(asked, comes);
    assert_eq!((status, &answer["node"]), (200, &json!("proxy-1")));
    assert_eq!(answer["contact"], "sip:1001@192.0.2.7:49152;transport=tcp");

    // The registration expires. The token is kept.
    let mut end = registration("1001", 49_152, &token, 0);
    end["reason"] = json!("expired");
    let (_, answer) = tell(&site, end).await;
    assert_eq!(answer["registered"], false);
    let of_user = |v: &Value| {
        (
            v["devices"].as_array().unwrap().len(),
            v["bindings"].as_array().unwrap().len(),
        )
    };
    let left = site.json("/v1/devices?aor=1001@fs.test").await;
    assert_eq!(of_user(&left), (1, 0));
    // The phone logs out and its server reports no Contact. The token is dropped.
    tell(&site, registration("1001", 49_152, &token, 600)).await;
    let (status, _) = tell(
        &site,
        json!({"aor": "1001@fs.test", "contact": "*", "expires": 0, "call_id": "1001@phone"}),
    )
    .await;
    assert_eq!(status, 200);
    stage.stored(0).await;
    let (status, _) = wake(&site, json!({"aor": "1001@fs.test"})).await;
    assert_eq!(status, 404);
    assert_eq!(daemon.log.count(&[" WARN "]) + daemon.log.count(&[" ERROR "]), 0);
    let (code, out, _) = stage.tool(&["doctor"]).await;
    assert!(!out.contains("freeswitch\n"), "{code:?} {out}");
}

#[tokio::test]
async fn listed_registration_stores_the_token_and_does_not_count_as_awake() {
    let (stage, _daemon, site) = gateway(|stage| stage.set("wake.fresh-for", "30s")).await;
    let token = hex_token();
    let row = |port: u16, expires: u32| {
        let mut row = registration("1001", port, &token, expires);
        row["listed"] = json!(true);
        row
    };
    let (status, answer) = tell(&site, row(5060, 600)).await;
    assert_eq!((status, &answer["registered"]), (200, &json!(true)));
    stage.stored(1).await;
    let asked = wake(&site, json!({"aor": "1001@fs.test"}));
    let comes = async {
        stage.push().await;
        // The same row again, with less time left, is not a REGISTER.
        tell(&site, row(5060, 500)).await;
        tell(&site, registration("1001", 5061, &token, 600)).await;
    };
    let ((status, answer), ()) = tokio::join!(asked, comes);
    assert_eq!((status, &answer["devices"][0]["state"]), (200, &json!("registered")));
    assert!(answer["contact"].as_str().unwrap().contains(":5061"), "{answer}");

    // A later row moves the phone.
    tell(&site, row(5062, 900)).await;
    let known = site.json("/v1/devices?aor=1001@fs.test").await;
    assert_eq!(known["bindings"].as_array().unwrap().len(), 1, "{known}");
    assert!(
        known["bindings"][0]["contact"].as_str().unwrap().contains(":5062"),
        "{known}"
    );
    tell(&site, row(5062, 0)).await;
    stage.stored(0).await;
}

#[tokio::test]
async fn phones_whose_server_reports_no_call_id_stay_distinct() {
    let (stage, _daemon, site) = gateway(|_| {}).await;
    for port in [5060, 5061] {
        let mut body = registration("1001", port, &hex_token(), 600);
        body.as_object_mut().unwrap().remove("call_id");
        assert_eq!(tell(&site, body).await.0, 200);
    }
    stage.stored(2).await;
    let both = site.json("/v1/devices?aor=1001@fs.test").await;
    assert_eq!(both["bindings"].as_array().unwrap().len(), 2, "{both}");
}

#[tokio::test]
async fn reported_registrations_are_refused_where_freeswitch_is_used() {
    let stage = Stage::new().await;
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let (status, problem) = tell(&site, registration("1001", 5060, &hex_token(), 600)).await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn stopping_daemon_answers_waiting_requests() {
    let (stage, mut daemon, _phone) = one_sleeper().await;
    let site = Site::of(&daemon).await;
    let asked = wake(&site, json!({"aor": "1001@fs.test"}));
    let stops = async {
        stage.push().await;
        daemon.stop_at_once().await;
    };
    let ((status, answer), ()) = tokio::join!(asked, stops);
    assert_eq!((status, &answer["result"]), (503, &json!("draining")));
    assert_eq!(daemon.exit_code().await, Some(0));
}

#[tokio::test]
async fn operator_wakes_a_phone_from_the_command_line() {
    let (stage, daemon, phone) = one_sleeper().await;
    let site = Site::of(&daemon).await;
    let asked = fswake(&stage, &site, &["wake", "1001@fs.test", "--caller", "1002"]);
    let comes = async {
        stage.push().await;
        phone.wake();
    };
    let (output, ()) = tokio::join!(asked, comes);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(
        out.contains("registered, ") && out.contains("a phone can be rung, after "),
        "{out}"
    );
    let output = fswake(&stage, &site, &["wake", "nobody@fs.test"]).await;
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err.starts_with("fswake: not woken: no phone of this user is known"),
        "{err}"
    );
}

/// Runs a script of gateway/ with fswake's address. Returns `None` if this machine lacks a program.
async fn script(site: &Site, command: &[&str], needs: &[&str]) -> Option<std::process::Output> {
    for program in needs {
        let found = std::process::Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        if !found.unwrap().status.success() {
            skipped::note(&format!("no {program}"));
            return None;
        }
    }
    let mut all = tokio::process::Command::new(command[0]);
    all.args(&command[1..])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway"));
    all.env("FSWAKE", format!("http://{}", site.address)).kill_on_drop(true);
    Some(soon("end of the script", all.output()).await.unwrap())
}

/// A script prints where to ring a phone after its wake, or why it cannot be rung.
async fn script_wakes(command: &[&str], needs: &[&str]) {
    let (stage, daemon, phone) = one_sleeper().await;
    let site = Site::of(&daemon).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let Some(output) = script(&site, &[command, &["no\\'\"body@fs.test"][..]].concat(), needs).await else {
        return;
    };
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let err = text(output.stderr);
    assert!(err.contains("no phone of this user is known"), "{err}");
    let comes = async {
        stage.push().await;
        phone.wake();
    };
    let command = [command, &["1001@fs.test", "Al\"ice"][..]].concat();
    let (output, ()) = tokio::join!(script(&site, &command, needs), comes);
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let out = text(output.stdout);
    assert!(out.starts_with("sip:1001@") && !out.contains('"'), "{out}");
    let wakes = site.until("/v1/wakes", |v| v["wakes"][0]["result"] == "woken").await;
    assert_eq!(wakes["wakes"][0]["caller"], "Al\"ice");
}

#[tokio::test]
async fn shell_script_wakes_a_phone() {
    script_wakes(&["./wake.sh"], &["curl"]).await;
}

#[tokio::test]
async fn lua_script_wakes_a_phone() {
    script_wakes(&["lua5.4", "wake.lua"], &["curl", "lua5.4"]).await;
}
