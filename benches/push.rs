//! APNs pushes a second over one connection, and as a ratio to the same HTTP library sending prebuilt requests.
//!
//! `cargo bench --bench push`. The stand-in runs in the same process and takes about half of the CPU time in both cases.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use fswake::push::app::{App, Credentials, PayloadStyle};
use fswake::push::{PushKind, PushRequest, Pushers};
use fswake::types::{Aor, CallId, Provider, PushId, PushParams, PushToken};
use fswake_test_support::apns::{Apns, BUNDLE_ID, KEY_ID, TEAM_ID};
use tokio::task::JoinSet;

const REQUESTS: u64 = 20_000;
const AT_ONCE: u64 = 200;
const ROUNDS: usize = 5;
const TOKEN: &str = "00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee";

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let apns = Apns::start().await;
    let pushers = Pushers::new(vec![app(&apns)]).expect("own credentials");
    pushers.warm().await;
    pushers.push(&request(0)).await.expect("the stand-in takes it");
    let sent = apns.next_push().await.request;
    apns.keep_pushes(false);

    // Prebuilt: what fswake sent once, byte for byte, repeated.
    let ca = std::fs::read(apns.ca_file()).expect("own file");
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("own PEM")])
        .tcp_nodelay(true)
        .build()
        .expect("a client");
    let prebuilt = client
        .post(format!("{}{}", apns.base_url(), sent.path))
        .headers(sent.headers)
        .body(sent.body)
        .build()
        .expect("a request");
    client
        .execute(prebuilt.try_clone().expect("a body of bytes"))
        .await
        .expect("the stand-in answers");

    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    // In turns, so that whatever else the machine does falls on both.
    for round in 0..=ROUNDS {
        let bare = rate(|_| {
            let (client, request) = (client.clone(), prebuilt.try_clone().expect("a body of bytes"));
            async move { client.execute(request).await.is_ok_and(|r| r.status() == 200) }
        })
        .await;
        let ours = rate(|n| {
            let (pushers, request) = (pushers.clone(), request(n));
            async move { pushers.push(&request).await.is_ok() }
        })
        .await;
        if round == 0 {
            continue;
        }
        println!(
            "round {round}: fswake {ours:>6.0}/s, bare {bare:>6.0}/s, ratio {:.2}",
            ours / bare
        );
        ratios.push(ours / bare);
        rates.push(ours);
    }
    assert_eq!(apns.server().connections(), 2, "one connection each");
    println!("pushes/s over one connection (median): {:.0}", median(rates));
    println!("ratio to the bare library (median): {:.2}", median(ratios));
}

/// Requests a second with [`AT_ONCE`] under way.
async fn rate<F>(send: impl Fn(u64) -> F) -> f64
where
    F: Future<Output = bool> + Send + 'static,
{
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for n in 0..REQUESTS {
        if n >= AT_ONCE {
            assert!(matches!(under_way.join_next().await, Some(Ok(true))), "a push failed");
        }
        under_way.spawn(send(n));
    }
    assert!(under_way.join_all().await.into_iter().all(|ok| ok), "a push failed");
    #[allow(clippy::cast_precision_loss)]
    let requests = REQUESTS as f64;
    requests / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn app(apns: &Apns) -> App {
    App {
        name: "bench".into(),
        provider: Provider::Apns,
        app_ids: Vec::new(),
        domains: Vec::new(),
        tenant: None,
        credentials: Credentials::ApnsToken {
            key_file: apns.key_file(),
            key_id: KEY_ID.into(),
            team_id: TEAM_ID.into(),
        },
        base_url: Some(apns.base_url()),
        ca_file: Some(apns.ca_file()),
        proxy: None,
        topic: None,
        payload: PayloadStyle::Default,
    }
}

fn request(n: u64) -> PushRequest {
    PushRequest {
        id: PushId(n),
        to: PushParams {
            provider: Provider::Apns,
            app: BUNDLE_ID.into(),
            team: None,
            call_token: Some(PushToken::new(TOKEN)),
            remote_token: None,
        },
        kind: PushKind::Call,
        call: CallId(uuid::Uuid::from_u128(7)),
        sip_call_id: "3c26700b6d0a-1x9yvz@pbx.example".into(),
        caller_number: "+15550100".into(),
        caller_name: "Zoë Example".into(),
        callee: Aor::new("1000", "pbx.example"),
        held_at: SystemTime::now(),
        ttl: Duration::from_secs(25),
    }
}
