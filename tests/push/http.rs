//! What reaches a gateway, how fswake authenticates, and the result of each answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fswake::push::app::{App, Credentials, HttpAuth, HttpProfile, HttpProfiles, PayloadStyle};
use fswake::push::template::BodyTemplate;
use fswake::push::{About, CancelReason, NotificationPush, Payload, PushError, PushKind, PushRequest};
use fswake::types::{NotificationId, Provider, PushToken, TokenType, Tokens};
use fswake_test_support::gateway::{Gateway, Over, Wants};
use fswake_test_support::http2::{Fault, Reply};
use fswake_test_support::proxy::Proxy;
use fswake_test_support::tls::Authority;
use serde_json::json;

use super::support::{
    TOKEN, apns_call, attempts, call, fcm_call, gateway_app, http_profile, parallel, pushers, turned,
};

/// How an app authenticates.
type Authentication = fn(&Gateway) -> HttpAuth;

/// The same with a file of one's own.
type InFile = fn(PathBuf) -> HttpAuth;

fn simple(gateway: &Gateway) -> App {
    gateway_app(gateway, http_profile(gateway, "/push"))
}

fn reply(status: u16, headers: &[(&'static str, &str)]) -> Fault {
    Fault::Reply(Reply {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: b"{\"token\":\"repeated\"}".to_vec(),
    })
}

fn short(request: PushRequest, ttl: Duration) -> PushRequest {
    PushRequest { ttl, ..request }
}

#[tokio::test]
async fn default_body_is_valid_json_with_mod_apns_keys_and_the_call_as_its_payload() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let pushers = pushers(simple(&gateway));
    for (request, platform) in [(apns_call(), "iOS"), (fcm_call(), "android")] {
        assert_eq!(pushers.push(&request).await.unwrap().status, 200);
        let asked = gateway.next().await;
        assert_eq!(asked.request.header("content-type"), "application/json");
        let body = asked.json();
        let token = request.to.token().expose();
        let keys: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["app", "payload", "platform", "realm", "token", "type", "user"]);
        assert_eq!(body["token"], token);
        assert_eq!(
            json!([body["type"], body["app"], body["user"], body["realm"], body["platform"]]),
            json!(["voip", "com.example.phone", "1000", "pbx.example", platform])
        );
        assert_eq!(body["payload"]["kind"], "call");
        assert_eq!(body["payload"]["caller-name"], "Zoë");
        assert_eq!(body["payload"]["sip-call-id"], "sip-1@pbx");
    }
}

#[tokio::test]
async fn every_variable_is_filled_in_by_each_of_its_names() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let names = [
        "type",
        "user",
        "realm",
        "token",
        "token_type",
        "app_id",
        "platform",
        "provider",
        "uuid",
        "aleg_uuid",
        "x_call_id",
        "cid_name",
        "cid_number",
        "kind",
        "reason",
        "call-id",
        "sip-call-id",
        "caller-number",
        "caller-name",
        "callee",
        "callee-user",
        "callee-domain",
        "app-id",
    ];
    let query: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| format!("v{n}=${{{name}}}"))
        .collect();
    let spec = HttpProfile {
        body: None,
        ..http_profile(
            &gateway,
            &format!(
                "/${{type}}/${{user}}?{}&t=${{time}}&e=${{expires}}&l=${{ttl}}&p=${{payload}}",
                query.join("&")
            ),
        )
    };
    let app = App {
        payload: PayloadStyle::ModApn,
        ..gateway_app(&gateway, spec)
    };
    let request = turned(fcm_call(), PushKind::Cancel(CancelReason::AnsweredElsewhere));
    pushers(app).push(&request).await.unwrap();
    let asked = gateway.next().await.request;
    assert_eq!((asked.method.as_str(), asked.body.len()), ("GET", 0));
    let url = reqwest::Url::parse(&format!("http://x{}", asked.path)).unwrap();
    assert_eq!(url.path(), "/voip/1000");
    let found: Vec<_> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let id = "00000000-0000-0000-0000-000000000007";
    let token = request.to.token().expose();
    assert_eq!(
        found[..names.len()],
        [
            "voip",
            "1000",
            "pbx.example",
            token,
            "voip",
            "com.example.phone",
            "android",
            "fcm",
            id,
            id,
            "sip-1@pbx",
            "Zoë",
            "+15550100",
            "cancel",
            "answered-elsewhere",
            id,
            "sip-1@pbx",
            "+15550100",
            "Zoë",
            "1000@pbx.example",
            "1000",
            "pbx.example",
            "com.example.phone",
        ]
    );
    let numbers: Vec<i64> = found[names.len()..names.len() + 3]
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(numbers[1] >= numbers[0] + 24 && numbers[2] == 25, "{numbers:?}");
    let payload: serde_json::Value = serde_json::from_str(found.last().unwrap()).unwrap();
    assert_eq!(
        (&payload["type"], &payload["reason"]),
        (&json!("cancel"), &json!("answered-elsewhere"))
    );
}

#[tokio::test]
async fn bodies_are_filled_in_as_their_content_type_wants_it() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let cases = [
        (
            "application/vnd.x+json; charset=utf-8",
            r#"{"to": ["${token}!", 1, null], "n": ${ttl}, "who": ${cid_name}, "text": "${payload}", "data": ${payload}}"#,
        ),
        (
            "application/x-www-form-urlencoded",
            "to=${token}&who=${cid_name}&fixed&data=${payload}",
        ),
        ("text/xml", "<p who=\"${cid_name}\"/>"),
        ("text/plain", "${cid_name} <${cid_number}>\nbye"),
    ];
    let mut bodies = Vec::new();
    for (content_type, template) in cases {
        let spec = HttpProfile {
            body: Some(BodyTemplate::parse(content_type, Some(template)).unwrap()),
            content_type: content_type.into(),
            ..http_profile(&gateway, "/push")
        };
        let app = App {
            payload: PayloadStyle::Template(r#"{"k":"${caller-name}"}"#.into()),
            ..gateway_app(&gateway, spec)
        };
        let mut request = apns_call();
        if let About::Call(call) = &mut request.about {
            call.caller_name = "A \"&\"\nB".into();
        }
        pushers(app).push(&request).await.unwrap();
        let asked = gateway.next().await;
        assert_eq!(asked.request.header("content-type"), content_type);
        bodies.push(asked.body().to_owned());
    }
    let payload = json!({ "k": "A \"&\"\nB" });
    let body: serde_json::Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(
        body,
        json!({ "to": [format!("{TOKEN}!"), 1, null], "n": 25, "who": "A \"&\"\nB", "text": payload.to_string(), "data": payload })
    );
    assert_eq!(
        bodies[1..],
        [
            format!("to={TOKEN}&who=A%20%22%26%22%0AB&fixed&data=%7B%22k%22%3A%22A%20%5C%22%26%5C%22%5CnB%22%7D"),
            "<p who=\"A &quot;&amp;&quot; B\"/>".to_owned(),
            "A \"&\" B <+15550100>\nbye".to_owned(),
        ]
    );
}

#[tokio::test]
async fn each_kind_of_authentication_is_one_that_the_server_takes() {
    let kinds: [(Wants, Authentication, usize); 9] = [
        (Wants::Bearer, |g| HttpAuth::Bearer(g.file("bearer")), 0),
        (Wants::Basic, |g| HttpAuth::Basic(g.file("user")), 0),
        (Wants::ApiKey, |g| HttpAuth::Header(g.file("key")), 0),
        (Wants::Digest("MD5", true), |g| HttpAuth::Digest(g.file("user")), 1),
        (Wants::Digest("SHA-256", true), |g| HttpAuth::Digest(g.file("user")), 1),
        (Wants::Digest("MD5-sess", true), |g| HttpAuth::Digest(g.file("user")), 1),
        (
            Wants::Digest("SHA-256-sess", true),
            |g| HttpAuth::Digest(g.file("user")),
            1,
        ),
        (Wants::Digest("MD5", false), |g| HttpAuth::Digest(g.file("user")), 1),
        (Wants::Digest("SHA-256", false), |g| HttpAuth::Digest(g.file("user")), 1),
    ];
    for over in [Over::Plain, Over::Http1, Over::Http2] {
        for (wants, auth, challenges) in kinds {
            let gateway = Gateway::start(over, wants).await;
            let spec = HttpProfile {
                auth: auth(&gateway),
                ..http_profile(&gateway, "/${type}/push?who=${cid_name}")
            };
            let pushers = pushers(gateway_app(&gateway, spec));
            for _ in 0..3 {
                pushers.push(&apns_call()).await.unwrap();
            }
            let statuses: Vec<_> = gateway.so_far().await.iter().map(|asked| asked.status).collect();
            let expected = [vec![401; challenges], vec![200; 3]].concat();
            assert_eq!(statuses, expected, "{over:?} {wants:?}");
            // Another, or none: an operator has to act, and the push ends at once.
            let spec = http_profile(&gateway, "/push");
            let outcome = super::support::pushers(gateway_app(&gateway, spec))
                .push(&apns_call())
                .await;
            assert_eq!(outcome.unwrap_err().to_string(), "401 Unauthorized", "{wants:?}");
        }
    }
}

#[tokio::test]
async fn nonce_that_the_server_forgot_costs_one_more_request_and_a_wrong_password_two() {
    let gateway = Gateway::start(Over::Http2, Wants::Digest("SHA-256", true)).await;
    let spec = |file: &str| HttpProfile {
        auth: HttpAuth::Digest(gateway.file(file)),
        ..http_profile(&gateway, "/push")
    };
    let right = pushers(gateway_app(&gateway, spec("user")));
    right.push(&apns_call()).await.unwrap();
    gateway.forget_nonces();
    assert_eq!(attempts(right.push(&apns_call()).await), Ok(2));
    // Many at once share what one of them learned, and none fails.
    gateway.forget_nonces();
    let outcomes = parallel(&right, std::iter::repeat_n(apns_call(), 20)).await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    std::fs::write(gateway.file("wrong"), "wake@example.org:no\n").unwrap();
    gateway.so_far().await;
    let outcome = pushers(gateway_app(&gateway, spec("wrong"))).push(&apns_call()).await;
    assert_eq!(outcome.unwrap_err().to_string(), "401 Unauthorized");
    assert_eq!(gateway.so_far().await.len(), 3);
}

#[tokio::test]
async fn each_answer_of_the_gateway_becomes_what_it_asks_for() {
    for over in [Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let pushers = pushers(simple(&gateway));
        for (status, expected) in [
            (200, "sent"),
            (202, "sent"),
            (204, "sent"),
            (
                301,
                "301 Moved Permanently: redirects are not followed, url must be where they lead",
            ),
            (
                304,
                "304 Not Modified: redirects are not followed, url must be where they lead",
            ),
            (400, "refused by the provider: 400 Bad Request"),
            (401, "401 Unauthorized"),
            (403, "403 Forbidden"),
            (404, "refused by the provider: 404 Not Found"),
            (410, "token gone (Gone)"),
            (418, "refused by the provider: 418 I'm a teapot"),
        ] {
            gateway
                .faults
                .next(reply(status, &[("location", "https://elsewhere.example/")]));
            let outcome = pushers.push(&apns_call()).await;
            let text = outcome.map_or_else(|e| e.to_string(), |_| "sent".into());
            assert_eq!(text, expected, "{over:?}");
        }
        assert_eq!(gateway.so_far().await.len(), 11, "each asked once");
        for passing in [reply(500, &[]), reply(503, &[]), reply(429, &[]), Fault::Close] {
            gateway.faults.next(passing);
            assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
        }
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_inside_the_wait_and_ends_the_push_beyond_it() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let pushers = pushers(simple(&gateway));
    let began = Instant::now();
    gateway.faults.next(reply(429, &[("retry-after", "1")]));
    assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2));
    assert!(began.elapsed() >= Duration::from_secs(1));
    gateway.faults.next(reply(503, &[("retry-after", "60")]));
    let outcome = pushers.push(&apns_call()).await;
    assert_eq!(outcome.unwrap_err().to_string(), "503 Service Unavailable");
}

#[tokio::test]
async fn gateway_that_hangs_is_left_after_its_timeout_and_tried_anew_inside_the_wait() {
    for over in [Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let spec = HttpProfile {
            timeout: Duration::from_millis(300),
            ..http_profile(&gateway, "/push")
        };
        let pushers = pushers(gateway_app(&gateway, spec));
        gateway.faults.next(Fault::Hang);
        assert_eq!(attempts(pushers.push(&apns_call()).await), Ok(2), "{over:?}");
        assert_eq!(gateway.connections(), 2, "{over:?}");
        gateway.faults.token("", Fault::Hang);
        let outcome = pushers.push(&short(apns_call(), Duration::from_secs(1))).await;
        assert_eq!(outcome.unwrap_err().to_string(), "no answer in time");
    }
}

#[tokio::test]
async fn connection_that_was_opened_at_start_carries_every_push() {
    for over in [Over::Plain, Over::Http1, Over::Http2] {
        let gateway = Gateway::start(over, Wants::Nothing).await;
        let pushers = pushers(simple(&gateway));
        pushers.warm().await;
        for _ in 0..20 {
            pushers.push(&apns_call()).await.unwrap();
        }
        assert_eq!(
            (gateway.connections(), gateway.so_far().await.len()),
            (1, 20),
            "{over:?}"
        );
    }
    let gateway = Gateway::start(Over::Http2, Wants::Nothing).await;
    let pushers = pushers(simple(&gateway));
    pushers.warm().await;
    let outcomes = parallel(&pushers, std::iter::repeat_n(apns_call(), 200)).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(gateway.connections(), 1, "HTTP/2 carries pushes side by side");
}

#[tokio::test]
async fn redirect_is_not_followed_with_credentials() {
    let other = Gateway::start(Over::Http1, Wants::Nothing).await;
    let gateway = Gateway::start(Over::Http1, Wants::Bearer).await;
    let spec = HttpProfile {
        auth: HttpAuth::Bearer(gateway.file("bearer")),
        ..http_profile(&gateway, "/push")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    for status in [302, 307, 308] {
        gateway
            .faults
            .next(reply(status, &[("location", &format!("{}/stolen", other.url()))]));
        let outcome = pushers.push(&apns_call()).await;
        assert!(matches!(outcome, Err(PushError::Misconfigured { .. })), "{outcome:?}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn certificate_is_verified_unless_the_profile_says_insecure() {
    let gateway = Gateway::start(Over::Http2, Wants::Nothing).await;
    let other = gateway.file("other.pem");
    std::fs::write(&other, Authority::default().pem()).unwrap();
    let with = |insecure| {
        let spec = HttpProfile {
            insecure,
            ..http_profile(&gateway, "/push")
        };
        pushers(App {
            ca_file: Some(other.clone()),
            ..gateway_app(&gateway, spec)
        })
    };
    let began = Instant::now();
    let outcome = with(false).push(&apns_call()).await;
    assert!(
        matches!(&outcome, Err(PushError::Misconfigured { reason, .. }) if reason.contains("certificate") && !reason.contains("push?")),
        "{outcome:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(2), "it is not tried again");
    assert_eq!(gateway.so_far().await.len(), 0);
    with(true).push(&apns_call()).await.unwrap();
}

#[tokio::test]
async fn proxy_of_the_app_is_used() {
    let (gateway, proxy) = (Gateway::start(Over::Http2, Wants::Nothing).await, Proxy::start().await);
    let pushers = pushers(App {
        proxy: Some(proxy.url()),
        ..simple(&gateway)
    });
    pushers.push(&apns_call()).await.unwrap();
    assert_eq!(proxy.tunnels(), 1);
}

#[tokio::test]
async fn gateway_serves_phones_of_any_provider_or_of_those_it_names() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let all = pushers(simple(&gateway));
    let some = pushers(App {
        providers: vec![Provider::Other("hms".into()), Provider::Fcm],
        app_ids: vec!["com.example.phone".into()],
        domains: vec!["pbx.example".into()],
        ..simple(&gateway)
    });
    let hms = call(Provider::Other("hms".into()), "h");
    for (request, by_some) in [(apns_call(), false), (fcm_call(), true), (hms.clone(), true)] {
        assert_eq!(all.serves(&request.to, "any.example").as_deref(), Some("gateway"));
        assert_eq!(some.serves(&request.to, "pbx.example").is_some(), by_some);
        assert!(some.serves(&request.to, "other.example").is_none());
    }
    all.push(&hms).await.unwrap();
    let body = gateway.next().await.json();
    assert_eq!((&body["platform"], &body["token"]), (&json!("hms"), &json!("h")));
}

#[tokio::test]
async fn cancel_never_goes_to_a_pushkit_token_and_a_call_takes_what_token_there_is() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let spec = HttpProfile {
        body: None,
        ..http_profile(&gateway, "/${kind}/${token_type}/${token}")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    let tokens = |mut request: PushRequest, voip: Option<&str>, im: Option<&str>| {
        request.to.tokens = Tokens::new(voip.map(PushToken::new), im.map(PushToken::new)).unwrap();
        request
    };
    let cancel = PushKind::Cancel(CancelReason::CallerHungUp);
    for (request, voip, im, expected) in [
        (apns_call(), Some("v"), Some("i"), Ok("/call/voip/v")),
        (apns_call(), None, Some("i"), Ok("/call/im/i")),
        (
            turned(apns_call(), cancel.clone()),
            Some("v"),
            Some("i"),
            Ok("/cancel/im/i"),
        ),
        (
            turned(apns_call(), cancel.clone()),
            Some("v"),
            None,
            Err("NoRemoteToken"),
        ),
        (turned(fcm_call(), cancel), Some("v"), None, Ok("/cancel/voip/v")),
        (
            turned(fcm_call(), PushKind::MissedCall),
            Some("v"),
            Some("i"),
            Ok("/missed-call/im/i"),
        ),
        (
            turned(apns_call(), PushKind::MissedCall),
            Some("v"),
            None,
            Err("NoRemoteToken"),
        ),
    ] {
        let outcome = pushers.push(&tokens(request, voip, im)).await;
        match expected {
            Ok(path) => assert_eq!(gateway.next().await.request.path, path, "{outcome:?}"),
            Err(reason) => assert!(
                matches!(&outcome, Err(PushError::Refused(why)) if why.to_string() == reason),
                "{outcome:?}"
            ),
        }
    }
}

#[tokio::test]
async fn notification_goes_by_the_profile_of_its_type_with_what_its_asker_wrote() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let credentials = Credentials::Http(Box::new(HttpProfiles {
        im: Some(http_profile(&gateway, "/im/${kind}/${aleg_uuid}x")),
        ..HttpProfiles::default()
    }));
    let pushers = pushers(App {
        credentials,
        ..simple(&gateway)
    });
    let mut request = apns_call();
    request.to.tokens = Tokens::Both {
        call: request.to.token().clone(),
        remote: PushToken::new("im-token"),
    };
    let notify = |token_type| PushRequest {
        about: About::Notification(NotificationPush {
            notification: NotificationId(1),
            token_type,
            payload: Arc::new(Payload::parse(r#"{"body":"hi","badge":1}"#).unwrap()),
        }),
        ..request.clone()
    };
    pushers.push(&notify(TokenType::Im)).await.unwrap();
    let asked = gateway.next().await;
    assert_eq!(asked.request.path, "/im/notification/x");
    let body = asked.json();
    assert_eq!(json!([body["type"], body["token"]]), json!(["im", "im-token"]));
    assert_eq!(body["payload"], json!({ "body": "hi", "badge": 1 }));
    let refused = pushers.push(&notify(TokenType::Voip)).await.unwrap_err();
    assert_eq!(refused.to_string(), "refused by fswake: the app has no profile voip");
    // The request was wrong, not the app.
    let state = pushers.states().remove(0);
    assert_eq!((state.is_ok(), &state.last_failure), (true, &None), "{state:?}");
    let refused = pushers.push(&request).await.unwrap_err();
    assert_eq!(refused.to_string(), "the app has no profile voip");
    assert!(!pushers.states().remove(0).is_ok());
}

#[tokio::test]
async fn call_finds_its_way_however_many_messages_hang() {
    let gateway = Gateway::start(Over::Plain, Wants::Nothing).await;
    let spec = HttpProfile {
        timeout: Duration::from_secs(30),
        ..http_profile(&gateway, "/push/${kind}")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    let message = PushRequest {
        about: About::Notification(NotificationPush {
            notification: NotificationId(1),
            token_type: TokenType::Voip,
            payload: Arc::default(),
        }),
        ..apns_call()
    };
    // Seven of ten slots.
    for _ in 0..70 {
        gateway.faults.next(Fault::Hang);
    }
    let messages: Vec<_> = (0..200)
        .map(|_| {
            let (pushers, message) = (pushers.clone(), message.clone());
            tokio::spawn(async move { pushers.push(&message).await })
        })
        .collect();
    for _ in 0..70 {
        assert_eq!(gateway.next().await.request.path, "/push/notification");
    }
    pushers.push(&apns_call()).await.unwrap();
    let asked: Vec<_> = gateway.so_far().await.into_iter().map(|a| a.request.path).collect();
    assert_eq!(asked, ["/push/call"]);
    messages.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_and_never_quoted() {
    let gateway = Gateway::start(Over::Http1, Wants::Nothing).await;
    let file = gateway.file("bad");
    let cases: [(InFile, &str, &str); 9] = [
        (HttpAuth::Bearer, "", "must hold one line of text: it is empty"),
        (
            HttpAuth::Bearer,
            "SECRET\nSECRET",
            "must hold one line of text: line 2 is a second one",
        ),
        (
            HttpAuth::Bearer,
            "SECR\u{7f}ET",
            "must hold one line of text: it has a control character",
        ),
        (HttpAuth::Basic, "SECRET", "must hold one line, user:password"),
        (HttpAuth::Digest, ":SECRET", "must hold one line, user:password"),
        (HttpAuth::Header, "SECRET", "must hold one line, Name: value"),
        (HttpAuth::Header, "a b: SECRET", "names a header that cannot be set"),
        (
            HttpAuth::Header,
            "Content-Length: 5",
            "names a header that cannot be set",
        ),
        (HttpAuth::Header, "Host: SECRET", "names a header that cannot be set"),
    ];
    for (kind, text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let spec = HttpProfile {
            auth: kind(file.clone()),
            ..http_profile(&gateway, "/")
        };
        let error = fswake::push::Pushers::new(vec![gateway_app(&gateway, spec)])
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("app gateway: {}: {expected}", file.display()));
    }
}

#[tokio::test]
async fn new_secret_in_the_file_is_used_for_the_next_push() {
    let gateway = Gateway::start(Over::Http1, Wants::Bearer).await;
    let file = gateway.file("token");
    std::fs::write(&file, "old\n").unwrap();
    let spec = HttpProfile {
        auth: HttpAuth::Bearer(file.clone()),
        ..http_profile(&gateway, "/push")
    };
    let pushers = pushers(gateway_app(&gateway, spec));
    assert!(pushers.push(&apns_call()).await.is_err());
    std::fs::copy(gateway.file("bearer"), &file).unwrap();
    pushers.look();
    pushers.push(&apns_call()).await.unwrap();
}
