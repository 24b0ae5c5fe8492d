//! Pushes to push services of the web: what they get, what each of their answers becomes, and where fswake does not push.

use std::time::Duration;

use fswake::push::app::App;
use fswake::push::endpoint::EndpointRules;
use fswake::push::{
    About, CancelReason, KeptBy, NotificationPurpose, NotificationPush, OwnRefusal, Payload, PushError, PushKind,
    PushRequest, Pushers,
};
use fswake::types::{NotificationId, Provider, TokenType};
use fswake_test_support::http2::{Fault, Reply};
use fswake_test_support::webpush::{PushService, name_in};
use serde_json::json;

use super::support::{MovedClock, attempts, call, pushers, styles, turned, web_push_app, web_push_call, with_rules};

#[tokio::test]
async fn call_reaches_the_phone_alone_at_once_and_for_as_long_as_the_wait() {
    let service = PushService::start().await;
    let receipt = pushers(web_push_app(&service))
        .push(&web_push_call(&service.subscribe()))
        .await
        .unwrap();
    assert_eq!((receipt.status, receipt.attempts, receipt.provider_id), (201, 1, None));
    let push = service.next_push().await;
    assert_eq!((push.status, push.reason.as_str()), (201, ""));
    assert_eq!(push.payload["kind"], "call");
    assert_eq!(push.payload["caller-name"], "Zoë");
    let header = |name| push.request.header(name);
    assert_eq!((header("urgency"), header("content-encoding")), ("high", "aes128gcm"));
    let ttl: u64 = header("ttl").parse().unwrap();
    assert!((20..=25).contains(&ttl), "{ttl}");
    let body = String::from_utf8_lossy(&push.request.body);
    assert!(!body.contains("caller") && !body.contains("+15550100"), "{body}");
}

#[tokio::test]
async fn news_of_a_call_take_its_place_and_other_pushes_do_not() {
    let service = PushService::start().await;
    let (pushers, subscription) = (pushers(web_push_app(&service)), service.subscribe());
    let mut topics = Vec::new();
    for (kind, urgency) in [
        (PushKind::Call, "high"),
        (PushKind::Cancel(CancelReason::TimedOut), "high"),
        (PushKind::MissedCall, "normal"),
    ] {
        pushers.push(&turned(web_push_call(&subscription), kind)).await.unwrap();
        let push = service.next_push().await;
        assert_eq!(push.request.header("urgency"), urgency);
        topics.push(push.request.header("topic").to_owned());
    }
    topics.dedup();
    assert_eq!(topics.len(), 1, "{topics:?}");
    assert_eq!(topics[0].len(), 22);
    let message = PushRequest {
        about: About::Notification(NotificationPush {
            purpose: NotificationPurpose::Request(NotificationId(1)),
            token_type: TokenType::Im,
            payload: Payload::parse(r#"{"title":"Zoë","body":"Hello","badge":2}"#)
                .unwrap()
                .into(),
        }),
        ttl: Duration::from_secs(86_400),
        ..web_push_call(&subscription)
    };
    pushers.push(&message).await.unwrap();
    let push = service.next_push().await;
    assert_eq!(push.payload, json!({"title": "Zoë", "body": "Hello", "badge": 2}));
    let header = |name| push.request.header(name);
    assert_eq!(
        (header("ttl"), header("urgency"), header("topic")),
        ("86400", "normal", "")
    );
}

#[tokio::test]
async fn every_style_fits_what_every_push_service_takes() {
    let service = PushService::start().await;
    for payload in styles(r#"{"who":"${caller-name}","again":"${caller-name}"}"#) {
        let app = App {
            payload,
            ..web_push_app(&service)
        };
        let mut request = web_push_call(&service.subscribe());
        if let About::Call(call) = &mut request.about {
            call.caller_name = "Zoë".repeat(3000).into();
        }
        pushers(app).push(&request).await.unwrap();
        let push = service.next_push().await;
        assert_eq!(push.reason, "");
        assert!(
            (3900..=4096).contains(&push.request.body.len()),
            "{}",
            push.request.body.len()
        );
    }
}

#[tokio::test]
async fn subscription_without_keys_is_pushed_without_a_payload() {
    let service = PushService::start().await;
    let subscription = service.subscribe();
    let request = call(Provider::WebPush, &subscription.endpoint);
    pushers(web_push_app(&service)).push(&request).await.unwrap();
    let push = service.next_push().await;
    assert_eq!((push.status, push.request.body.len()), (201, 0));
    assert_eq!(
        (push.request.header("content-encoding"), push.request.header("urgency")),
        ("", "high")
    );
}

#[tokio::test]
async fn what_a_push_service_answers_is_about_this_phone() {
    let service = PushService::start().await;
    let (pushers, subscription) = (pushers(web_push_app(&service)), service.subscribe());
    let status = |status| {
        Fault::Reply(Reply {
            status,
            ..Reply::default()
        })
    };
    for (fault, expected) in [
        (status(404), "token gone (Not Found)"),
        (status(410), "token gone (Gone)"),
        (status(401), "token refused (Unauthorized)"),
        (
            Fault::json(403, &json!({"reason": "BadJwtToken"})),
            "token refused (BadJwtToken)",
        ),
        (status(413), "refused by the provider: 413 Payload Too Large"),
        (status(400), "refused by the provider: 400 Bad Request"),
        (status(308), "refused by the provider: 308 Permanent Redirect"),
    ] {
        service.faults.next(fault);
        assert_eq!(
            attempts(pushers.push(&web_push_call(&subscription)).await),
            Err(expected.into())
        );
        assert_eq!(service.pushes_so_far().await.len(), 1, "{expected}");
    }
    service.expire(&subscription);
    assert_eq!(
        attempts(pushers.push(&web_push_call(&subscription)).await),
        Err("token gone (Gone)".into())
    );
    let another = service.subscribe_for_another();
    assert_eq!(
        attempts(pushers.push(&web_push_call(&another)).await),
        Err("token refused (Forbidden)".into())
    );
    // None of this says anything of the app.
    assert!(pushers.states()[0].is_ok(), "{:?}", pushers.states());
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let service = PushService::start().await;
    let pushers = pushers(web_push_app(&service));
    let status = |status| Fault::json(status, &json!({}));
    for fault in [
        status(429),
        status(500),
        status(503),
        Fault::GoAway,
        Fault::Close,
        Fault::RefuseStream,
        Fault::Hang,
    ] {
        service.faults.next(fault.clone());
        assert_eq!(
            attempts(pushers.push(&web_push_call(&service.subscribe())).await),
            Ok(2),
            "{fault:?}"
        );
    }
    service.pushes_so_far().await;
    service.faults.next(status(429).retry_after("2"));
    assert_eq!(
        attempts(pushers.push(&web_push_call(&service.subscribe())).await),
        Ok(2)
    );
    let (first, second) = (service.next_push().await, service.next_push().await);
    assert!(second.request.at - first.request.at >= Duration::from_millis(1_990));
    let ttl = |push: &fswake_test_support::webpush::Push| push.request.header("ttl").parse::<u64>().unwrap();
    assert!(ttl(&first) >= ttl(&second) + 2, "{} {}", ttl(&first), ttl(&second));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (service, other) = (PushService::start().await, PushService::start().await);
    let subscription = service.subscribe();
    for status in [301, 302, 303, 307, 308] {
        service.faults.next(Fault::Reply(Reply {
            status,
            headers: vec![("location", other.subscribe().endpoint)],
            body: Vec::new(),
        }));
        let refused = pushers(web_push_app(&service))
            .push(&web_push_call(&subscription))
            .await;
        assert!(matches!(refused, Err(PushError::Rejected { .. })), "{refused:?}");
    }
    assert_eq!(
        (other.server().connections(), other.pushes_so_far().await.len()),
        (0, 0)
    );
}

#[tokio::test]
async fn nothing_is_sent_where_the_operator_does_not_let_phones_push() {
    let service = PushService::start().await;
    let (subscription, port) = (service.subscribe(), service.server().addr.port());
    let name = name_in(&subscription.endpoint).to_owned();
    let not_public = with_rules(&service, EndpointRules::default());
    let only = |hosts: &[&str]| EndpointRules {
        allow_hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        allow_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..EndpointRules::default()
    };
    let denied = EndpointRules {
        deny_hosts: vec!["localhost".parse().unwrap()],
        ..only(&[])
    };
    let denied_network = EndpointRules {
        deny_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..only(&[])
    };
    for (app, host) in [
        // Looked up: loopback.
        (not_public.clone(), "localhost"),
        // Written out, in all the ways in which a URL may have it.
        (not_public.clone(), "127.0.0.1"),
        (not_public.clone(), "0x7f.1"),
        (not_public.clone(), "2130706433"),
        (not_public.clone(), "[::1]"),
        (not_public.clone(), "[::ffff:127.0.0.1]"),
        (not_public.clone(), "0.0.0.0"),
        (not_public, "169.254.169.254"),
        (with_rules(&service, only(&["push.example.org"])), "localhost"),
        (with_rules(&service, denied), "localhost."),
        (with_rules(&service, denied_network), "localhost"),
    ] {
        let request = call(Provider::WebPush, &format!("https://{host}:{port}/push/{name}"));
        let refused = pushers(app).push(&request).await;
        let Err(PushError::Refused(OwnRefusal::EndpointNotAllowed(named))) = &refused else {
            panic!("{host}: {refused:?}");
        };
        assert!(!named.contains(&name) && !named.is_empty(), "{named}");
    }
    assert_eq!(
        (service.server().connections(), service.pushes_so_far().await.len()),
        (0, 0)
    );
    // By the name that the operator allows.
    let allowed = pushers(with_rules(&service, only(&["localhost"])));
    assert_eq!(attempts(allowed.push(&web_push_call(&subscription)).await), Ok(1));
}

#[tokio::test]
async fn only_https_urls_without_a_user_are_pushed_to() {
    let service = PushService::start().await;
    let pushers = pushers(web_push_app(&service));
    let at = format!("localhost:{}/push/1", service.server().addr.port());
    for endpoint in [
        format!("http://{at}"),
        format!("ftp://{at}"),
        format!("https://user@{at}"),
        format!("https://user:word@{at}"),
        "https://".into(),
        at,
    ] {
        let refused = attempts(pushers.push(&call(Provider::WebPush, &endpoint)).await);
        assert_eq!(refused, Err("token refused (NotAnEndpoint)".into()), "{endpoint}");
    }
    assert_eq!(service.server().connections(), 0);
}

#[tokio::test]
async fn server_that_is_not_trusted_gets_nothing_and_says_nothing_of_the_app() {
    let (service, stranger) = (PushService::start().await, PushService::start().await);
    let app = App {
        ca_file: Some(stranger.ca_file()),
        ..web_push_app(&service)
    };
    let pushers = pushers(app);
    let refused = attempts(pushers.push(&web_push_call(&service.subscribe())).await).unwrap_err();
    assert!(
        refused.starts_with("refused by fswake: EndpointNotTrusted: cannot connect to localhost:"),
        "{refused}"
    );
    assert_eq!(service.pushes_so_far().await.len(), 0);
    assert!(pushers.states()[0].is_ok());
}

#[tokio::test]
async fn service_that_hangs_costs_no_other_service_anything() {
    let (slow, good) = (PushService::start().await, PushService::start().await);
    let both = App {
        // Each has an authority of its own.
        ca_file: Some(together(&slow, &good)),
        ..web_push_app(&good)
    };
    let pushers = pushers(both);
    let hanging = slow.subscribe();
    slow.faults.token(name_in(&hanging.endpoint), Fault::Hang);
    assert_eq!(attempts(pushers.push(&web_push_call(&good.subscribe())).await), Ok(1));
    let hung: Vec<_> = (0..150).map(|_| web_push_call(&hanging)).collect();
    let waiting = {
        let pushers = pushers.clone();
        tokio::spawn(async move { super::support::parallel(&pushers, hung).await })
    };
    slow.next_push().await;
    let pushed = tokio::time::timeout(Duration::from_secs(15), pushers.push(&web_push_call(&good.subscribe()))).await;
    assert_eq!(attempts(pushed.expect("long before the others give up")), Ok(1));
    assert_eq!(good.server().connections(), 1, "its connection is still the same");
    waiting.abort();
}

/// A file with the authorities of both, beside the first one's.
fn together(one: &PushService, other: &PushService) -> std::path::PathBuf {
    let read = |service: &PushService| std::fs::read_to_string(service.ca_file()).unwrap();
    let file = one.ca_file().with_file_name("both.pem");
    std::fs::write(&file, read(one) + &read(other)).unwrap();
    file
}

#[tokio::test]
async fn one_phones_dead_server_says_nothing_of_the_app_and_several_do() {
    let service = PushService::start().await;
    let pushers = pushers(web_push_app(&service));
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let request = |user: &str| {
        let mut request = call(Provider::WebPush, &format!("https://localhost:{free}/push/1"));
        (request.ttl, request.callee.user) = (Duration::from_millis(50), user.into());
        request
    };
    for _ in 0..5 {
        let lost = pushers.push(&request("1000")).await;
        assert!(
            matches!(
                &lost,
                Err(PushError::Exhausted {
                    kept_by: KeptBy::NoConnection,
                    ..
                })
            ),
            "{lost:?}"
        );
    }
    assert!(pushers.states()[0].is_ok(), "{:?}", pushers.states());
    for user in ["1001", "1002", "1003"] {
        let _ = pushers.push(&request(user)).await;
    }
    assert_eq!(pushers.states()[0].status.as_str(), "unreachable");
    pushers.push(&web_push_call(&service.subscribe())).await.unwrap();
    assert_eq!(pushers.states()[0].status.as_str(), "ok");
}

#[tokio::test]
async fn vapid_token_is_signed_once_for_each_service_and_again_in_time() {
    let (service, moved) = (PushService::start().await, MovedClock::default());
    let pushers = Pushers::with_clock(vec![web_push_app(&service)], &moved.clock()).unwrap();
    let (subscription, mut used) = (service.subscribe(), Vec::new());
    for minutes in [0, 5 * 60, 59, 2] {
        moved.minutes(minutes);
        pushers.push(&web_push_call(&subscription)).await.unwrap();
        used.push(service.next_push().await.request.header("authorization").to_owned());
    }
    assert_eq!((&used[0], &used[0]), (&used[1], &used[2]));
    assert_ne!(used[2], used[3]);
}

#[tokio::test]
async fn probe_signs_and_reaches_the_services_that_the_operator_names_and_pushes_nothing() {
    let service = PushService::start().await;
    let probed = pushers(web_push_app(&service)).probe().await.remove(0).1.unwrap();
    let proof = probed.outcome.unwrap().to_string();
    assert!(proof.starts_with("the VAPID key can sign"), "{proof}");
    let rules = EndpointRules {
        allow_hosts: vec!["no-such-host.invalid".parse().unwrap()],
        ..EndpointRules::default()
    };
    let failed = pushers(with_rules(&service, rules)).probe().await.remove(0).1.unwrap();
    let failed = failed.outcome.unwrap_err().to_string();
    assert!(
        failed.starts_with("the name of no-such-host.invalid:443 cannot be resolved"),
        "{failed}"
    );
    assert_eq!(service.pushes_so_far().await.len(), 0);
}

#[tokio::test]
async fn unusable_key_is_refused_at_start_without_showing_it() {
    let service = PushService::start().await;
    std::fs::write(service.key_file(), "s3cret-and-no-key").unwrap();
    let error = Pushers::new(vec![web_push_app(&service)]).unwrap_err().to_string();
    assert!(
        error.contains("not a VAPID key") && !error.contains("s3cret"),
        "{error}"
    );
}
