//! Answers of the HTTP interface, checked against the OpenAPI document.

use std::collections::BTreeSet;
use std::time::Duration;

use fswake::http::{DOCUMENT, ROUTES};
use fswake_test_support::freeswitch::*;
use fswake_test_support::http2::Fault;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::*;
use crate::schema;
use crate::site::Site;

const RINGS: Behaviour = Behaviour::Rings(Duration::ZERO, None);
/// A caller's name that contains markup.
const SCRIPT: &str = "<script>alert(1)</script>";

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// The schema and content type of an answer.
fn answer<'a>(document: &'a Value, method: &str, path: &str, status: u16) -> (&'a str, &'a Value) {
    let operation = &document["paths"][path][method];
    let content = operation["responses"][status.to_string()]["content"].as_object();
    let content = content.unwrap_or_else(|| panic!("{method} {path}: {status} is not in the document"));
    let (kind, body) = content.iter().next().unwrap();
    (kind, &body["schema"])
}

/// Sends a request, and checks the answer against the document.
pub async fn checked(site: &Site, method: Method, route: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = site.request(method.clone(), path);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let is = response
        .headers()
        .get("content-type")
        .map(|v| v.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let document = document();
    if status == 204 {
        assert!(document["paths"][route]["delete"]["responses"]["204"].is_object());
        return (status, Value::Null);
    }
    let (kind, wanted) = answer(&document, &method.as_str().to_lowercase(), route, status);
    assert!(
        is.as_deref().is_some_and(|is| is.starts_with(kind)),
        "{path}: {is:?}, not {kind}"
    );
    let value = if kind == "text/plain" {
        Value::String(text)
    } else {
        serde_json::from_str(&text).unwrap()
    };
    schema::check(&document, wanted, &value, path);
    (status, value)
}

#[test]
fn document_and_routes_are_the_same() {
    let document = document();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    // The page is not part of the API.
    let routes = ROUTES.iter().filter(|(_, path)| *path != "/");
    let routes: BTreeSet<_> = routes.map(|(m, p)| ((*m).to_owned(), (*p).to_owned())).collect();
    assert_eq!(documented, routes);
}

#[tokio::test]
async fn every_answer_matches_the_document_with_calls_devices_and_wakes() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "60s");
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    let phone = stage.iphone("1001");
    phone.set_behaviour(RINGS);
    daemon.asleep(&phone).await;
    stage.stored(1).await;
    let mut call = Call::to(daemon.address, "1001", DOMAIN);
    call.caller_name = SCRIPT.into();
    let held = stage.fs.call(&call);
    stage.push().await;

    let get = |route: &'static str, path: String| checked_get(&site, route, path);
    assert_eq!(get("/healthz", "/healthz".into()).await, (200, json!("ok\n")));
    let (status, ready) = get("/readyz", "/readyz".into()).await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)), "{ready}");
    get("/metrics", "/metrics".into()).await;
    let (_, summary) = get("/v1/summary", "/v1/summary".into()).await;
    assert_eq!(summary["freeswitch"][0]["up"], true);
    assert_eq!(summary["windows"][1]["seconds"], 86_400);
    let (_, apps) = get("/v1/apps", "/v1/apps".into()).await;
    assert_eq!(apps["apps"][0]["name"], "ios");

    let (_, calls) = get("/v1/calls", "/v1/calls".into()).await;
    let shown = &calls["calls"][0];
    assert_eq!(
        (&shown["aor"], &shown["caller_name"]),
        (&json!("1001@fs.test"), &json!(SCRIPT))
    );
    assert_eq!(shown["devices"][0]["state"], "pushed");
    assert_eq!(shown["devices"][0]["user_agent"], "example-phone");
    let calls = site
        .until("/v1/calls", |v| v["calls"][0]["devices"][0]["push"] == "taken")
        .await;
    assert_eq!(calls["calls"][0]["devices"][0]["push_problem"], Value::Null);
    let (_, attention) = get("/v1/attention", "/v1/attention".into()).await;
    assert_eq!(attention, json!({"phones": 1, "items": []}));
    let (_, apps) = get("/v1/apps", "/v1/apps".into()).await;
    assert_eq!(apps["apps"][0]["phones"], 1);
    let id = shown["devices"][0]["id"].as_str().unwrap().to_owned();

    let (_, devices) = get("/v1/devices", "/v1/devices".into()).await;
    let device = &devices["devices"][0];
    assert_eq!(
        (device["id"].as_str(), &device["served_by"]),
        (Some(&*id), &json!("ios"))
    );
    let (_, of_user) = get("/v1/devices", "/v1/devices?aor=1001@FS.TEST".into()).await;
    assert_eq!(of_user["devices"][0]["id"].as_str(), Some(&*id));
    let (_, nobody) = get("/v1/devices", "/v1/devices?aor=nobody@fs.test".into()).await;
    assert_eq!(nobody, json!({"devices": [], "bindings": [], "next": null}));
    let path = format!("/v1/devices/{id}");
    get("/v1/devices/{id}", path.clone()).await;

    phone.wake();
    site.until("/v1/calls", |v| v["calls"][0]["devices"][0]["state"] == "ringing")
        .await;
    let (_, awake) = get("/v1/devices/{id}", path.clone()).await;
    assert_eq!(awake["bindings"].as_array().unwrap().len(), 1, "{awake}");
    held.caller_hangs_up();
    let wakes = site
        .until("/v1/wakes", |v| v["wakes"][0]["result"] == "abandoned")
        .await;
    let (_, page) = get("/v1/wakes", "/v1/wakes?limit=1".into()).await;
    assert_eq!(page["wakes"][0], wakes["wakes"][0]);
    let call_id = page["wakes"][0]["call"].as_str().unwrap().to_owned();
    let (_, timeline) = get("/v1/wakes/{call}", format!("/v1/wakes/{call_id}")).await;
    let steps: Vec<_> = timeline["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["step"].as_str().unwrap())
        .collect();
    for step in [
        "call-held",
        "push-sent",
        "push-accepted",
        "device-registered",
        "leg-ringing",
        "call-over",
    ] {
        assert!(steps.contains(&step), "{step} is not among {steps:?}");
    }
    let (status, document) = get("/v1/openapi.json", "/v1/openapi.json".into()).await;
    assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));

    let asked = json!({"aor": "1001@fs.test", "type": "voip", "payload": {"text": SCRIPT}});
    let (_, pushed) = checked(&site, Method::POST, "/v1/push", "/v1/push", Some(asked)).await;
    assert_eq!(pushed["sent"], 1, "{pushed}");
    let (_, none) = checked(
        &site,
        Method::POST,
        "/v1/push",
        "/v1/push",
        Some(json!({"aor": "x@fs.test"})),
    )
    .await;
    assert_eq!(none["nobody"], "no-device");

    let gone = checked(&site, Method::DELETE, "/v1/devices/{id}", &path, None).await;
    assert_eq!(gone, (204, Value::Null));
    stage.stored(0).await;
    daemon.log.wait(&["device forgotten", "asked"]).await;
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(checked(&site, method, "/v1/devices/{id}", &path, None).await.0, 404);
    }
}

async fn checked_get(site: &Site, route: &str, path: String) -> (u16, Value) {
    checked(site, Method::GET, route, &path, None).await
}

#[tokio::test]
async fn invalid_requests_get_a_problem_that_says_what_is_wrong() {
    let stage = Stage::new().await;
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    for (method, route, path, body, status, words) in [
        (Method::GET, "/v1/devices", "/v1/devices?limit=0", None, 400, "limit"),
        (Method::GET, "/v1/devices", "/v1/devices?limit=1001", None, 400, "1000"),
        (Method::GET, "/v1/devices", "/v1/devices?limit=x", None, 400, "limit"),
        (Method::GET, "/v1/devices", "/v1/devices?offset=1", None, 400, "offset"),
        (
            Method::GET,
            "/v1/devices",
            "/v1/devices?aor=1001",
            None,
            400,
            "user@domain",
        ),
        (Method::GET, "/v1/devices/{id}", "/v1/devices/zz", None, 404, "device"),
        (Method::GET, "/v1/devices/{id}", "/v1/devices/%ff", None, 400, "UTF-8"),
        (Method::GET, "/v1/wakes", "/v1/wakes?before=-x", None, 400, "before"),
        (
            Method::GET,
            "/v1/wakes/{call}",
            "/v1/wakes/1%20OR%201=1",
            None,
            404,
            "call",
        ),
        (Method::POST, "/v1/push", "/v1/push", Some(json!({})), 422, "aor"),
        (
            Method::POST,
            "/v1/push",
            "/v1/push",
            Some(json!({"aor": "a@b", "type": "sms"})),
            400,
            "voip",
        ),
        (
            Method::POST,
            "/v1/push",
            "/v1/push",
            Some(json!({"aor": "a@b", "payload": []})),
            422,
            "payload",
        ),
        (
            Method::POST,
            "/v1/push",
            "/v1/push",
            Some(json!({"aor": "a@b", "to": "c"})),
            422,
            "to",
        ),
    ] {
        let (got, problem) = checked(&site, method, route, path, body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(got == status && detail.contains(words), "{path}: {got} {detail}");
    }
    let (status, body) = site.get("/v1/nothing").await;
    assert!(status == 404 && body.contains("openapi"), "{body}");
    for (method, path) in [
        (Method::POST, "/v1/calls"),
        (Method::PUT, "/v1/push"),
        (Method::GET, "/v1/push"),
    ] {
        let response = site.request(method, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(response.headers().contains_key("allow"), "{path}");
    }
}

#[tokio::test]
async fn readyz_names_what_is_not_ready() {
    let mut stage = Stage::new().await;
    // No server listens there.
    stage.set("freeswitch.port", 1);
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    let (status, body) = checked(&site, Method::GET, "/readyz", "/readyz", None).await;
    assert_eq!(status, 503);
    let bad: Vec<_> = body["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["ok"] == false)
        .collect();
    assert_eq!(bad.len(), 1, "{body}");
    assert_eq!(bad[0]["name"], "esl");
}

#[tokio::test]
async fn attention_has_advice_and_the_number_of_phones() {
    let mut stage = Stage::new().await;
    // No server listens there.
    stage.set("freeswitch.port", 1);
    let daemon = stage.start_alone().await;
    let site = Site::of(&daemon).await;
    let (status, body) = checked(&site, Method::GET, "/v1/attention", "/v1/attention", None).await;
    assert_eq!((status, &body["phones"]), (200, &json!(0)));
    let items = body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{body}");
    assert_eq!(
        (&items[0]["what"], &items[0]["level"]),
        (&json!("FreeSWITCH"), &json!("error"))
    );
    assert_eq!(items[0]["phones"], 0);
    let advice = items[0]["advice"].as_str().unwrap();
    assert!(advice.contains("event_socket.conf.xml"), "{advice}");
    // A device without an app, and an app without a phone; then an app that serves the device.
    let store = rusqlite::Connection::open(stage.dir.path().join("fswake.db")).unwrap();
    for (n, app) in ["com.example.phone", "com.example.phone", "com.example.other"]
        .iter()
        .enumerate()
    {
        let sql = "INSERT INTO devices (aor_user, aor_domain, provider, app, token, user_agent, register_call_id, first_seen, last_seen)
                   VALUES (?1, 'fs.test', 'apns', ?2, ?1, 'x', 'y', 1, 1)";
        store.execute(sql, rusqlite::params![n.to_string(), app]).unwrap();
    }
    let counted = site
        .until("/v1/attention", |v| {
            v["phones"] == 3 && v["items"].as_array().unwrap().len() == 2
        })
        .await;
    assert_eq!(
        (&counted["items"][0]["phones"], &counted["items"][1]["phones"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        counted["items"][1]["problem"],
        "no [[app]] serves apns com.example.other"
    );
    assert_eq!(site.json("/v1/apps").await["apps"][0]["phones"], 2);
}

#[tokio::test]
async fn readyz_fails_only_if_no_app_can_wake_a_phone() {
    let probe = fswake_test_support::apns::PROBE;
    for (fault, word) in [
        (
            Fault::apns(403, "InvalidProviderToken"),
            "refused: InvalidProviderToken",
        ),
        (Fault::apns(400, "TopicDisallowed"), "rejected: TopicDisallowed"),
        (Fault::apns(503, "ServiceUnavailable"), "busy: 503 ServiceUnavailable"),
    ] {
        let stage = Stage::new().await;
        stage.apns.faults.token(probe, fault);
        let daemon = stage.start().await;
        let site = Site::of(&daemon).await;
        let body = site.until("/readyz", |body| body["ready"] == false).await;
        assert!(body.to_string().contains(word), "{body}");
        // It becomes ready again without a call.
        stage.apns.faults.mend(probe);
        site.until("/readyz", |body| body["ready"] == true).await;
        assert_eq!(stage.apns.pushes_so_far().await.len(), 0);
    }
}

#[tokio::test]
async fn readyz_fails_if_no_app_has_a_provider_and_there_are_devices() {
    let mut stage = Stage::new().await;
    stage.take_app();
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    assert_eq!(
        site.get("/readyz").await.0,
        200,
        "not ready although no device is known yet"
    );
    daemon.asleep(&stage.iphone("1001")).await;
    let body = site.until("/readyz", |body| body["ready"] == false).await;
    assert!(
        body.to_string()
            .contains("no app has a provider: pushes are only written to the log (phones with push tokens: 1)"),
        "{body}"
    );
    assert_eq!(site.json("/v1/apps").await["apps"][0]["state"], "only-logs");
}

#[tokio::test]
async fn pages_have_no_gap_and_no_repetition() {
    let mut stage = Stage::new().await;
    stage.set("wake.max-wait", "1s");
    let daemon = stage.start().await;
    let site = Site::of(&daemon).await;
    for user in 0..7 {
        daemon.registered(&stage.iphone(&format!("20{user}"))).await;
    }
    stage.stored(7).await;
    for _ in 0..5 {
        let held = stage.call(&daemon, "nobody");
        soon("release", held.outcome()).await;
    }
    site.until("/v1/wakes?limit=10", |v| {
        let wakes = v["wakes"].as_array().unwrap();
        wakes.len() == 5 && wakes.iter().all(|w| w["result"] == "no-device")
    })
    .await;
    for (path, list, key, id, count) in [
        ("/v1/devices?limit=3", "devices", "after", "id", 7),
        ("/v1/wakes?limit=2", "wakes", "before", "call", 5),
    ] {
        let mut seen = Vec::new();
        let mut next = String::new();
        loop {
            let page = site.json(&format!("{path}{next}")).await;
            for item in page[list].as_array().unwrap() {
                seen.push(item[id].as_str().unwrap().to_owned());
            }
            match page["next"].as_i64() {
                Some(after) => next = format!("&{key}={after}"),
                None => break,
            }
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (count, count), "{path}");
    }
}
