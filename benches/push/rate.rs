//! APNs pushes a second over one connection, also as a ratio to the same HTTP library with prebuilt requests.
//!
//! The prebuilt requests have the same headers as fswake's, each with its own `apns-id`, and are built before the clock
//! starts. The difference is fswake's own work: payload, headers, JWT, limits, timeouts. The stand-in runs in the same
//! process, and takes about half of the CPU time in both cases.

use std::future::Future;
use std::time::Instant;

use fswake::push::Pushers;
use fswake_test_support::apns::Apns;
use reqwest::header::HeaderValue;
use tokio::task::JoinSet;

use super::{Endpoint, TOKEN, app, median, request};

const REQUESTS: u64 = 20_000;
const AT_ONCE: usize = 200;
const ROUNDS: usize = 5;

/// Pushes a second over one connection, and as a ratio to the bare library.
pub async fn measure() {
    let apns = Apns::start().await;
    let pushers = Pushers::new(vec![app("bench", &Endpoint::of(&apns))]).expect("own credentials");
    pushers.warm().await;
    pushers.push(&request(0, TOKEN)).await.expect("the stand-in accepts it");
    let sent = apns.next_push().await.request;
    apns.keep_pushes(false);

    let ca = std::fs::read(apns.ca_file()).expect("own file");
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("own PEM")])
        .tcp_nodelay(true)
        .no_proxy()
        .retry(reqwest::retry::never())
        .build()
        .expect("a client");
    let prebuilt = |_: u64| {
        let mut headers = sent.headers.clone();
        let mut id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("a UUID");
        id.set_sensitive(true);
        headers.insert("apns-id", id);
        if let Some(authorization) = headers.get_mut("authorization") {
            authorization.set_sensitive(true);
        }
        let url = format!("{}{}", apns.base_url(), sent.path);
        client
            .post(url)
            .headers(headers)
            .body(sent.body.clone())
            .build()
            .expect("a request")
    };
    client.execute(prebuilt(0)).await.expect("the stand-in answers");

    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    // They alternate, so that other load on the machine affects both.
    for round in 0..=ROUNDS {
        let bare = rate(prebuilt, |request| {
            let client = client.clone();
            async move { client.execute(request).await.is_ok_and(|r| r.status() == 200) }
        })
        .await;
        let ours = rate(
            |n| request(n, TOKEN),
            |request| {
                let pushers = pushers.clone();
                async move { pushers.push(&request).await.is_ok() }
            },
        )
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

/// Requests a second, with [`AT_ONCE`] in progress.
async fn rate<R, F>(build: impl Fn(u64) -> R, send: impl Fn(R) -> F) -> f64
where
    F: Future<Output = bool> + Send + 'static,
{
    let requests: Vec<R> = (0..REQUESTS).map(build).collect();
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for request in requests {
        if under_way.len() >= AT_ONCE {
            assert!(matches!(under_way.join_next().await, Some(Ok(true))), "a push failed");
        }
        under_way.spawn(send(request));
    }
    assert!(under_way.join_all().await.into_iter().all(|ok| ok), "a push failed");
    #[allow(clippy::cast_precision_loss)]
    let requests = REQUESTS as f64;
    requests / started.elapsed().as_secs_f64()
}
