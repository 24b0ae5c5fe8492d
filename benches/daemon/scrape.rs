//! Requests to /metrics and /v1/wakes while calls are held: how long they take, and whether they delay calls.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fswake_test_support::freeswitch::{Behaviour, PhoneSpec};
use rusqlite::params;

use crate::latency;
use crate::machine::{Watch, row};
use crate::phones::{DOMAIN, PHONES};
use crate::stage::Stage;

/// The journal rows of one wake.
const STEPS: [(&str, &str); 8] = [
    (
        "call-held",
        r#"{"caller":"+15550100","devices":1,"wait-ms":25000,"way":"dial-string"}"#,
    ),
    (
        "push-sent",
        r#"{"device":"apns:com.example.app:0a1b2c3d","try":1,"user-agent":"Example-iOS/5.2"}"#,
    ),
    (
        "push-accepted",
        r#"{"device":"apns:com.example.app:0a1b2c3d","provider-id":"","status":200,"attempts":1,"ms":38}"#,
    ),
    (
        "device-registered",
        r#"{"device":"apns:com.example.app:0a1b2c3d","how":"fresh","user-agent":"Example-iOS/5.2","ms":900}"#,
    ),
    (
        "leg-started",
        r#"{"device":"apns:com.example.app:0a1b2c3d","leg":0,"why":"woken"}"#,
    ),
    ("leg-ringing", r#"{"device":"apns:com.example.app:0a1b2c3d","ms":210}"#),
    (
        "leg-answered",
        r#"{"device":"apns:com.example.app:0a1b2c3d","codec":"PCMA"}"#,
    ),
    ("call-over", r#"{"result":"connected","caller":"connected"}"#),
];
/// How often each is requested in the second round.
const EVERY: Duration = Duration::from_millis(100);

pub async fn run(short: bool) {
    let (calls, rows, samples) = if short {
        (200, 10_000, 200)
    } else {
        (1_000, 100_000, 1_500)
    };
    println!("asking at {calls} held calls and {rows} journal rows");
    let stage = Stage::start().await;
    let phone = stage.fs.phone(PhoneSpec::new("phone", DOMAIN).at(PHONES));
    phone.wake();
    phone.set_behaviour(Behaviour::Rings(Duration::ZERO, None));
    stage.sleepers(calls + 2 * samples).await;
    fill_journal(&stage, rows);
    let mut held = stage.call_all(calls, 500, true).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.apns.pushes_so_far().await;

    let watch = Watch::start(stage.process());
    for (what, path) in [
        ("/metrics", "/metrics"),
        ("/v1/wakes, 50 of them", "/v1/wakes"),
        ("/v1/wakes, 200 of them", "/v1/wakes?limit=200"),
        ("/v1/calls, all of them", "/v1/calls"),
        ("/v1/devices, 50 of them", "/v1/devices"),
    ] {
        let mut times = Vec::new();
        let client = client();
        for _ in 0..if short { 20 } else { 200 } {
            times.push(ask(&client, stage.http, path).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        row(what, times);
    }
    println!("{}", watch.report());

    println!("nobody asks:");
    latency::round(&stage, &mut held, 0..samples).await;
    println!(
        "/metrics, /v1/wakes and /v1/calls asked every {} ms:",
        EVERY.as_millis()
    );
    let http = stage.http;
    let asking = tokio::spawn(async move {
        let client = client();
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            for path in ["/metrics", "/v1/wakes", "/v1/calls"] {
                ask(&client, http, path).await;
            }
        }
    });
    latency::round(&stage, &mut held, samples..2 * samples).await;
    asking.abort();
    println!();
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// The time of an answer, up to its last byte.
async fn ask(client: &reqwest::Client, http: SocketAddr, path: &str) -> Duration {
    let asked = Instant::now();
    let answer = client
        .get(format!("http://{http}{path}"))
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.bytes().await.expect("a body");
    asked.elapsed()
}

fn fill_journal(stage: &Stage, rows: usize) {
    let mut db = rusqlite::Connection::open(stage.dir.path().join("fswake.db")).expect("the store");
    db.busy_timeout(Duration::from_secs(10)).expect("a timeout");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock");
    let start = i64::try_from(now.as_millis()).expect("a date") - 3_600_000;
    let tx = db.transaction().expect("a transaction");
    for n in 0..rows {
        let (event, detail) = STEPS[n % STEPS.len()];
        let call = uuid::Uuid::from_u128((n / STEPS.len()) as u128).to_string();
        let at = start + i64::try_from(n).expect("a number") * 30;
        tx.execute(
            "INSERT INTO journal (at_ms, call, aor_user, aor_domain, event, detail) VALUES (?1, ?2, ?3, 'fs.test', ?4, ?5)",
            params![at, call, (n % 1_000).to_string(), event, detail],
        )
        .expect("a row");
    }
    tx.commit().expect("a commit");
}
