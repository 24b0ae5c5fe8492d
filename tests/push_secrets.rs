//! Tokens, keys and bearers stay out of the log and out of errors, even at TRACE.

// The support of tests/push; not all are needed here.
#[allow(dead_code)]
#[path = "push/support.rs"]
mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fswake::push::{PushRequest, Pushers};
use fswake_test_support::apns::Apns;
use fswake_test_support::fcm::Fcm;
use fswake_test_support::gateway::{BEARER, Gateway, Over, PASSWORD, Wants};
use fswake_test_support::http2::Fault;

use fswake::push::app::{App, HttpAuth, HttpProfile};
use fswake::push::template::UrlTemplate;
use support::{FCM_TOKEN, TOKEN, apns_app, apns_call, fcm_app, fcm_call, gateway_app, http_profile};

/// Keeps what the test's own thread logs: the stand-ins run on another, and print what they get.
#[derive(Clone)]
struct Captured {
    log: Arc<Mutex<Vec<u8>>>,
    thread: ThreadId,
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if thread::current().id() == self.thread {
            self.log
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All crates log to it, not only fswake. Alone in its process, because the logger is set once for all threads.
#[test]
fn nothing_secret_is_logged_at_trace_or_told_in_an_error() {
    let captured = Captured {
        log: Arc::default(),
        thread: thread::current().id(),
    };
    let writer = captured.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let servers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (apns, fcm) = servers
        .block_on(servers.spawn(async { (Apns::start().await, Fcm::start().await) }))
        .unwrap();
    let told = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let logger = Pushers::new(Vec::new()).unwrap();
            let pushers = Pushers::new(vec![apns_app(&apns), fcm_app(&fcm)]).unwrap();
            pushers.warm().await;
            let mut told = vec![format!("{pushers:?}")];
            for request in [apns_call(), fcm_call()] {
                let short = PushRequest {
                    ttl: Duration::from_millis(300),
                    ..request.clone()
                };
                told.push(format!("{:?}", logger.push(&request).await));
                told.push(format!("{:?}", pushers.push(&request).await));
                for fault in [
                    Fault::apns(400, TOKEN),
                    Fault::fcm(403, "X", "SENDER_ID_MISMATCH"),
                    Fault::GoAway,
                ] {
                    apns.faults.next(fault.clone());
                    fcm.faults.next(fault);
                    told.push(format!("{:?}", pushers.push(&request).await));
                }
                for _ in 0..3 {
                    apns.faults.next(Fault::Close);
                    fcm.faults.next(Fault::Hang);
                }
                let failed = pushers.push(&short).await.unwrap_err();
                told.push(format!("{failed} {failed:?}"));
                apns.faults.clear();
                fcm.faults.clear();
            }
            told
        });
    let gateways = servers.block_on(servers.spawn(gateways())).unwrap();
    let told_of_gateways = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let mut told = Vec::new();
            for (gateway, auth) in gateways {
                told.extend(through(&gateway, auth).await);
            }
            told
        });
    let told = [told, told_of_gateways].concat();
    let jwt = servers.block_on(apns.next_push()).request.header("authorization")[7..].to_owned();
    let bytes = captured.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let log = format!("{}\n{}", String::from_utf8_lossy(&bytes), told.join("\n"));
    assert!(
        log.contains("would push") && log.contains("push not taken") && log.contains("h2::"),
        "nothing captured"
    );
    let access_tokens = fcm.tokens_given();
    assert_eq!(access_tokens.len(), 1);
    for secret in [
        TOKEN,
        FCM_TOKEN,
        &jwt,
        access_tokens[0].as_str(),
        "PRIVATE KEY",
        "assertion=",
        BEARER,
        PASSWORD,
        // The same in Basic's base64.
        "d2FrZUBleGFtcGxlLm9yZzpw",
        "k3y",
        "in-the-url",
    ] {
        let leak = log.lines().find(|line| line.contains(secret));
        assert_eq!(leak, None, "{secret}");
    }
}

async fn gateways() -> Vec<(Gateway, HttpAuth)> {
    let mut gateways = Vec::new();
    for over in [Over::Plain, Over::Http1, Over::Http2] {
        for wants in [
            Wants::Bearer,
            Wants::Basic,
            Wants::ApiKey,
            Wants::Digest("SHA-256", true),
        ] {
            let gateway = Gateway::start(over, wants).await;
            let auth = match wants {
                Wants::Bearer => HttpAuth::Bearer(gateway.file("bearer")),
                Wants::Basic => HttpAuth::Basic(gateway.file("user")),
                Wants::ApiKey => HttpAuth::Header(gateway.file("key")),
                _ => HttpAuth::Digest(gateway.file("user")),
            };
            gateways.push((gateway, auth));
        }
    }
    gateways
}

/// Everything that pushes through a gateway log, with the token in the path, in the query and in the body.
async fn through(gateway: &Gateway, auth: HttpAuth) -> Vec<String> {
    let with = |url: &str, ca_file| {
        let spec = HttpProfile {
            url: UrlTemplate::parse(&format!("{url}/${{token}}?key=in-the-url&to=${{token}}")).unwrap(),
            auth: auth.clone(),
            ..http_profile(gateway, "/")
        };
        Pushers::new(vec![App {
            ca_file,
            ..gateway_app(gateway, spec)
        }])
        .unwrap()
    };
    let pushers = with(&gateway.url(), Some(gateway.ca_file()));
    pushers.warm().await;
    let mut told = vec![format!("{pushers:?} {:?}", pushers.states())];
    for fault in [
        None,
        Some(Fault::apns(400, TOKEN)),
        Some(Fault::apns(302, TOKEN)),
        Some(Fault::apns(410, TOKEN)),
    ] {
        if let Some(fault) = fault {
            gateway.faults.next(fault);
        }
        told.push(format!("{:?}", pushers.push(&apns_call()).await));
    }
    let short = PushRequest {
        ttl: Duration::from_millis(300),
        ..apns_call()
    };
    gateway.faults.next(Fault::apns(503, TOKEN));
    gateway.faults.next(Fault::Close);
    gateway.faults.next(Fault::Hang);
    told.push(format!("{:?}", pushers.push(&short).await));
    gateway.faults.clear();
    // Nobody there, and nobody who can be trusted.
    told.push(format!("{:?}", with("http://127.0.0.1:1", None).push(&short).await));
    told.push(format!("{:?}", with(&gateway.url(), None).push(&short).await));
    told
}
