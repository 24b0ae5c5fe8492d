//! Tokens, keys and bearer tokens never appear in the log or in errors, even at TRACE.

// Support code of tests/push; only part of it is used here.
#[allow(dead_code)]
#[path = "push/support.rs"]
mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fswake::push::endpoint::EndpointRules;
use fswake::push::{PushRequest, Pushers};
use fswake_test_support::apns::Apns;
use fswake_test_support::fcm::Fcm;
use fswake_test_support::gateway::{BEARER, Gateway, Over, PASSWORD, Wants};
use fswake_test_support::hms::{self, Hms};
use fswake_test_support::http2::{Fault, Reply};
use fswake_test_support::webpush::{PushService, Subscription, name_in};

use fswake::push::app::{App, HttpAuth, HttpProfile};
use fswake::push::template::UrlTemplate;
use support::{
    FCM_TOKEN, HMS_TOKEN, TOKEN, apns_app, apns_call, fcm_app, fcm_call, gateway_app, hms_app, hms_call, http_profile,
    web_push_app, web_push_call, with_rules,
};

/// Keeps only what the test's own thread logs. The stand-ins run on another thread, and log what they receive.
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

/// All crates log to it, not only fswake. The test is alone in its process, because the logger is set once for all
/// threads.
#[test]
fn no_secret_is_logged_at_trace_or_in_an_error() {
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
    let (huawei, service) = servers
        .block_on(servers.spawn(async { (Hms::start().await, PushService::start().await) }))
        .unwrap();
    let subscription = service.subscribe();
    let told_of_others = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let of_huawei = to_huawei(&huawei).await;
            [of_huawei, to_push_service(&service, &subscription).await].concat()
        });
    let told = [told, told_of_gateways, told_of_others].concat();
    let jwt = servers.block_on(apns.next_push()).request.header("authorization")[7..].to_owned();
    let vapid = servers.block_on(service.next_push()).request.header("authorization")[8..].to_owned();
    let bytes = captured.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let log = format!("{}\n{}", String::from_utf8_lossy(&bytes), told.join("\n"));
    assert!(
        log.contains("would push") && log.contains("push not taken") && log.contains("h2::"),
        "nothing captured"
    );
    let access_tokens = fcm.tokens_given();
    let of_huawei = huawei.tokens_given();
    assert_eq!((access_tokens.len(), of_huawei.len()), (1, 2));
    for secret in [
        TOKEN,
        FCM_TOKEN,
        &jwt,
        access_tokens[0].as_str(),
        "PRIVATE KEY",
        "assertion=",
        BEARER,
        PASSWORD,
        // The same in the base64 of Basic authentication.
        "d2FrZUBleGFtcGxlLm9yZzpw",
        "k3y",
        "in-the-url",
        HMS_TOKEN,
        of_huawei[0].as_str(),
        hms::SECRET,
        // The same in a form.
        "0fa1%2Bs3cret",
        "client_secret=",
        name_in(&subscription.endpoint),
        "/push/",
        subscription.p256dh.as_str(),
        subscription.auth.as_str(),
        vapid.as_str(),
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

/// The log of pushes through a gateway with the token in the path, the query and the body.
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
    // A port without a server, and a server that is not trusted.
    told.push(format!("{:?}", with("http://127.0.0.1:1", None).push(&short).await));
    told.push(format!("{:?}", with(&gateway.url(), None).push(&short).await));
    told
}

/// Faults whose answers repeat a token.
fn answers_with(token: &str) -> Vec<Fault> {
    let refusal = Fault::json(
        400,
        &serde_json::json!({ "code": token, "reason": token, "error": token, "msg": token }),
    );
    let redirect = Fault::Reply(Reply {
        status: 302,
        headers: vec![("location", token.to_owned())],
        body: token.into(),
    });
    let mut all = refusal.halves().to_vec();
    all.extend([refusal, redirect, Fault::GoAway, Fault::Close]);
    all
}

async fn to_huawei(huawei: &Hms) -> Vec<String> {
    let pushers = Pushers::new(vec![hms_app(huawei)]).unwrap();
    pushers.warm().await;
    let mut told = vec![format!("{pushers:?} {:?}", pushers.states())];
    for fault in answers_with(HMS_TOKEN) {
        huawei.faults.next(fault);
        told.push(format!("{:?}", pushers.push(&hms_call()).await));
    }
    let refusal = serde_json::json!({ "error": 1101, "error_description": HMS_TOKEN });
    huawei.token_faults.next(Fault::json(400, &refusal));
    let refused = Pushers::new(vec![hms_app(huawei)]).unwrap();
    told.push(format!("{:?}", refused.push(&hms_call()).await));
    told
}

async fn to_push_service(service: &PushService, subscription: &Subscription) -> Vec<String> {
    let request = web_push_call(subscription);
    let pushers = Pushers::new(vec![web_push_app(service)]).unwrap();
    pushers.warm().await;
    let mut told = vec![format!("{:?}", pushers.push(&request).await)];
    for fault in answers_with(&subscription.endpoint) {
        service.faults.next(fault);
        told.push(format!("{:?}", pushers.push(&request).await));
    }
    told.push(format!("{pushers:?} {:?} {request:?}", pushers.states()));
    let short = PushRequest {
        ttl: Duration::from_millis(300),
        ..request
    };
    service.faults.next(Fault::Hang);
    told.push(format!("{:?}", pushers.push(&short).await));
    service.faults.clear();
    // One that is not trusted, and one where nothing may be pushed to.
    let stranger = App {
        ca_file: None,
        ..web_push_app(service)
    };
    for app in [stranger, with_rules(service, EndpointRules::default())] {
        told.push(format!("{:?}", Pushers::new(vec![app]).unwrap().push(&short).await));
    }
    // Nobody there.
    let port = service.server().addr.port().to_string();
    let nobody = Subscription {
        endpoint: subscription.endpoint.replace(&port, "1"),
        ..subscription.clone()
    };
    let nobody = PushRequest {
        ttl: Duration::from_millis(300),
        ..web_push_call(&nobody)
    };
    told.push(format!("{:?}", pushers.push(&nobody).await));
    told
}
