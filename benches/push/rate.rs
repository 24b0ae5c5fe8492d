//! APNs pushes a second over one connection, beside the same HTTP library on its own.
//!
//! The library sends requests of the same headers and size, in two ways:
//! - `prebuilt`: built before the clock starts. What fswake takes more is all of its own work.
//! - `building`: each is built when it is sent, with the URL, the headers and the JSON, as any program has to. What fswake
//!   takes more is what it adds: which app, limits, tries, timeouts, health.
//!
//! The stand-in runs in a process of its own.

use std::future::Future;
use std::time::Instant;

use fswake::push::{PushRequest, Pushers};
use fswake_test_support::apns::Apns;
use fswake_test_support::http2::HttpRequest;
use fswake_test_support::process::Process;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::task::JoinSet;

use super::stand_ins::StandIns;
use super::{Endpoint, TOKEN, app, median, request};

const REQUESTS: u64 = 20_000;
const AT_ONCE: usize = 200;
const ROUNDS: usize = 7;

/// What was measured in one round.
#[derive(Clone, Copy)]
struct Rate {
    /// Requests a second.
    a_second: f64,
    /// This process's processor time for each, in microseconds.
    processor: f64,
}

/// Pushes a second over one connection, and as a ratio to the bare library.
pub async fn measure() {
    let stand_ins = StandIns::start();
    let at = &stand_ins.quick;
    let (pushers, sent) = pushers(at).await;
    let client = client(at);
    let url = format!("{}/3/device/", at.base_url);
    let prebuilt = |_: u64| bare(&client, format!("{url}{TOKEN}"), headers(&sent), sent.body.to_vec());
    client.execute(prebuilt(0)).await.expect("the stand-in answers");

    let mut rates: [Vec<Rate>; 3] = Default::default();
    // They alternate, so that other load on the machine affects all of them.
    for round in 0..=ROUNDS {
        let library = rate(prebuilt, |request| {
            let client = client.clone();
            async move { client.execute(request).await.is_ok_and(|reply| reply.status() == 200) }
        })
        .await;
        let building = rate(
            |n| request(n, TOKEN),
            |request| {
                let (client, url, authorization) = (client.clone(), url.clone(), sent.headers["authorization"].clone());
                async move {
                    let request = built(&client, &url, authorization, &request);
                    client.execute(request).await.is_ok_and(|reply| reply.status() == 200)
                }
            },
        )
        .await;
        let fswake = rate(
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
        let line = |rate: Rate| format!("{:>6.0}/s {:>5.1} us", rate.a_second, rate.processor);
        println!(
            "round {round}: fswake {}, library building {}, prebuilt {}",
            line(fswake),
            line(building),
            line(library)
        );
        for (all, rate) in rates.iter_mut().zip([fswake, building, library]) {
            all.push(rate);
        }
    }
    let [fswake, building, library] = &rates;
    println!(
        "pushes/s over one connection (median): {:.0}",
        median(all(fswake, |rate| rate.a_second))
    );
    for (name, other) in [("building its requests", building), ("with prebuilt requests", library)] {
        let ratio = |of: fn(&Rate) -> f64| median(fswake.iter().zip(other).map(|(a, b)| of(a) / of(b)).collect());
        println!(
            "ratio to the bare library {name} (median): {:.2}; of processor time {:.2}",
            ratio(|rate| rate.a_second),
            ratio(|rate| rate.processor)
        );
    }
}

fn all(rates: &[Rate], of: fn(&Rate) -> f64) -> Vec<f64> {
    rates.iter().map(of).collect()
}

/// fswake's own pushers, and one of their requests.
async fn pushers(at: &Endpoint) -> (Pushers, HttpRequest) {
    let copy = Apns::start().await;
    let mut bench = app("bench", at);
    bench.domains = vec!["pbx.example".into()];
    // The same key, so that both have the same provider token.
    let of_copy = Endpoint {
        key_file: at.key_file.clone(),
        ..Endpoint::of(&copy)
    };
    let pushers = Pushers::new(vec![bench, app("copy", &of_copy)]).expect("own credentials");
    pushers.push(&request(0, TOKEN)).await.expect("the stand-in accepts it");
    let mut to_copy = request(0, TOKEN);
    to_copy.domain = "copy".into();
    let _refused = pushers.push(&to_copy).await;
    (pushers, copy.next_push().await.request)
}

fn client(at: &Endpoint) -> reqwest::Client {
    let ca = std::fs::read(&at.ca_file).expect("own file");
    reqwest::Client::builder()
        .http2_prior_knowledge()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("own PEM")])
        .tcp_nodelay(true)
        .no_proxy()
        .retry(reqwest::retry::never())
        .build()
        .expect("a client")
}

fn bare(client: &reqwest::Client, url: String, headers: HeaderMap, body: Vec<u8>) -> reqwest::Request {
    client.post(url).headers(headers).body(body).build().expect("a request")
}

/// The headers of a request, with an `apns-id` of its own.
fn headers(sent: &HttpRequest) -> HeaderMap {
    let mut headers = sent.headers.clone();
    let mut id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("a UUID");
    id.set_sensitive(true);
    headers.insert("apns-id", id);
    if let Some(authorization) = headers.get_mut("authorization") {
        authorization.set_sensitive(true);
    }
    headers
}

/// The same request as a program without fswake would write it.
fn built(client: &reqwest::Client, url: &str, mut authorization: HeaderValue, push: &PushRequest) -> reqwest::Request {
    let call = push.call().expect("a call");
    let now = std::time::SystemTime::now();
    let unix = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let body = json!({
        "aps": {},
        "kind": "call",
        "call-id": call.call.to_string(),
        "sip-call-id": &*call.sip_call_id,
        "caller-number": &*call.caller_number,
        "caller-name": &*call.caller_name,
        "callee": push.callee.to_string(),
        "time": unix(call.held_at),
        "expires": unix(now + push.ttl),
    });
    let mut headers = HeaderMap::new();
    let text = |text: &str| HeaderValue::from_str(text).expect("a header");
    let mut id = text(&uuid::Uuid::new_v4().to_string());
    id.set_sensitive(true);
    authorization.set_sensitive(true);
    headers.insert("apns-id", id);
    headers.insert("authorization", authorization);
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("apns-push-type", HeaderValue::from_static("voip"));
    headers.insert("apns-priority", HeaderValue::from_static("10"));
    headers.insert("apns-topic", text(&format!("{}.voip", push.to.app)));
    headers.insert("apns-expiration", HeaderValue::from(unix(now + push.ttl)));
    bare(
        client,
        format!("{url}{}", push.to.token().expose()),
        headers,
        body.to_string().into_bytes(),
    )
}

/// Requests a second, with [`AT_ONCE`] in progress.
async fn rate<R, F>(build: impl Fn(u64) -> R, send: impl Fn(R) -> F) -> Rate
where
    F: Future<Output = bool> + Send + 'static,
{
    let requests: Vec<R> = (0..REQUESTS).map(build).collect();
    let this = Process::own();
    let (started, used) = (Instant::now(), this.cpu());
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
    Rate {
        a_second: requests / started.elapsed().as_secs_f64(),
        processor: this.cpu().saturating_sub(used).as_secs_f64() * 1e6 / requests,
    }
}
