//! Values from phones, callers or calls stay single values in the operator's template.

use std::collections::BTreeSet;

use fswake::push::app::{HttpAuth, HttpProfile};
use fswake::push::template::{BodyTemplate, HeaderTemplate};
use fswake::push::{About, OwnRefusal, PushError, PushRequest, Pushers};
use fswake::types::{Aor, Provider, PushToken, Tokens};
use fswake_test_support::gateway::{Gateway, GatewayRequest, Over, Wants};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::header::HeaderName;
use serde_json::{Value, json};

use super::support::{call, gateway_app, http_profile, pushers};

const PATH: &str = "/a/${user}/b/${token}-x/c${realm}?u=${cid_name}&t=${app_id}&fixed=1&p=${payload}&c=${x_call_id}";

/// Fragments with a meaning in a URL, JSON, a form, XML, a header or a template.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "/",
        "\\",
        "..",
        ".",
        "%2e%2e",
        "%2F",
        "?",
        "&",
        "=",
        "&evil=1",
        "#",
        "@evil.example",
        "://",
        ":",
        ";",
        "\"",
        "'",
        "\\\"",
        "\r\nX-Evil: 1\r\n\r\n",
        "\n",
        "\t",
        "\0",
        " ",
        "+",
        "%",
        "%00",
        "${token}",
        "${",
        "}",
        "{",
        "[",
        ",",
        "\"},\"evil\":{\"",
        "\u{2028}",
        "\u{202e}",
        "</p><evil/>",
        "]]>",
        "<!--",
        "&amp;",
        "\u{ffff}",
        "é",
        "😀",
        "a",
    ];
    let piece = prop_oneof![
        6 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn request(values: &[String]) -> PushRequest {
    let [user, realm, token, app, name, number, sip] = values else {
        unreachable!("seven values")
    };
    let mut request = call(Provider::Other(app.clone().into()), token);
    request.callee = Aor::new(user.as_str(), realm.as_str());
    request.to.app = app.as_str().into();
    request.to.tokens = Tokens::Call(PushToken::new(token.as_str()));
    if let About::Call(call) = &mut request.about {
        call.caller_name = name.as_str().into();
        call.caller_number = number.as_str().into();
        call.sip_call_id = sip.as_str().into();
    }
    request
}

struct SentRequest<'a> {
    values: &'a [String],
    asked: GatewayRequest,
}

impl SentRequest<'_> {
    fn check_url(&self) {
        let [user, realm, token, app, name, number, sip] = self.values else {
            unreachable!("seven values")
        };
        let (path, query) = self.asked.request.path.split_once('?').unwrap();
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        let segments: Vec<_> = path.split('/').map(decoded).collect();
        assert_eq!(
            segments,
            ["", "a", user, "b", &format!("{token}-x"), &format!("c{realm}")]
        );
        let pairs: Vec<_> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
        let keys: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["u", "t", "fixed", "p", "c"]);
        assert_eq!(
            [decoded(pairs[0].1), decoded(pairs[1].1), decoded(pairs[4].1)],
            [name, app, sip].map(Clone::clone)
        );
        self.check_payload(&serde_json::from_str(&decoded(pairs[3].1)).unwrap(), number);
    }

    fn check_payload(&self, payload: &Value, number: &str) {
        let keys: Vec<_> = payload.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "call-id",
            "callee",
            "caller-name",
            "caller-number",
            "expires",
            "kind",
            "sip-call-id",
            "time",
        ];
        assert_eq!(keys, expected);
        assert_eq!(
            (&payload["caller-name"], &payload["caller-number"]),
            (&json!(self.values[4]), &json!(number))
        );
    }

    fn check_headers(&self, expected: &[&str]) {
        let names: BTreeSet<_> = self.asked.request.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, expected.iter().copied().collect());
        let host = self.asked.request.header("host");
        assert!(
            host.strip_prefix("localhost:")
                .is_some_and(|port| port.parse::<u16>().is_ok()),
            "{host}"
        );
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let who = format!("<{}>", self.values[4].replace(breaks, " "));
        assert_eq!(self.asked.request.headers["x-who"].as_bytes(), who.as_bytes());
    }
}

/// Pushes hostile values through one profile, and checks what the gateway received.
fn property(content_type: &str, body: Option<&str>, check: impl Fn(&SentRequest<'_>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let gateway = runtime.block_on(Gateway::start(Over::Http1, Wants::Bearer));
    let spec = HttpProfile {
        headers: vec![HeaderTemplate::parse("X-Who", "<${cid_name}>").unwrap()],
        body: body.map(|body| BodyTemplate::parse(content_type, Some(body)).unwrap()),
        content_type: content_type.into(),
        auth: HttpAuth::Bearer(gateway.file("bearer")),
        ..http_profile(&gateway, PATH)
    };
    let pushers: Pushers = pushers(gateway_app(&gateway, spec));
    let mut headers = vec!["accept", "authorization", "host", "user-agent", "x-who"];
    if body.is_some() {
        headers.extend(["content-length", "content-type"]);
    }
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(300)
    });
    let strategy = proptest::collection::vec(hostile(), 7);
    runner
        .run(&strategy, |values| {
            let outcome = runtime.block_on(pushers.push(&request(&values)));
            if matches!(values[0].as_str(), "." | "..") {
                let refused = PushError::Refused(OwnRefusal::DotSegment);
                prop_assert_eq!(outcome, Err(refused));
                return Ok(());
            }
            prop_assert!(outcome.is_ok(), "{outcome:?}");
            let sent = SentRequest {
                values: &values,
                asked: runtime.block_on(gateway.next()),
            };
            sent.check_url();
            sent.check_headers(&headers);
            check(&sent);
            Ok(())
        })
        .unwrap();
    // An HTTP/1.1 connection may return to the pool shortly after the next push was sent.
    assert!(gateway.connections() < 20, "{}", gateway.connections());
}

#[test]
fn no_value_changes_the_structure_of_a_url() {
    property("text/plain", None, |_| {});
}

#[test]
fn no_value_changes_the_structure_of_a_json_body() {
    let template = r#"{"who":{"name":"<${cid_name}>","user":${user}},"list":["${token}","${x_call_id}"],"data":${payload},"text":"${payload}"}"#;
    property("application/json", Some(template), |sent| {
        let [user, _, token, _, name, number, sip] = sent.values else {
            unreachable!("seven values")
        };
        let body = sent.asked.json();
        let keys: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["data", "list", "text", "who"]);
        assert_eq!(body["who"], json!({ "name": format!("<{name}>"), "user": user }));
        assert_eq!(body["list"], json!([token, sip]));
        sent.check_payload(&body["data"], number);
        sent.check_payload(&serde_json::from_str(body["text"].as_str().unwrap()).unwrap(), number);
    });
}

#[test]
fn no_value_changes_the_structure_of_a_form() {
    let template =
        r#"token=${token}&name=${cid_name}&payload=${payload}&deep={"n": "${cid_name}", "p": ${payload}}&last=${user}"#;
    property("application/x-www-form-urlencoded", Some(template), |sent| {
        let [user, _, token, _, name, number, _] = sent.values else {
            unreachable!("seven values")
        };
        let url = reqwest::Url::parse(&format!("http://x/?{}", sent.asked.body())).unwrap();
        let pairs: Vec<_> = url.query_pairs().collect();
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_ref()).collect();
        assert_eq!(keys, ["token", "name", "payload", "deep", "last"]);
        let deep: Value = serde_json::from_str(&pairs[3].1).unwrap();
        assert_eq!(deep["n"], **name);
        assert_eq!(deep.as_object().unwrap().len(), 2);
        sent.check_payload(&deep["p"], number);
        assert_eq!(
            (&pairs[0].1, &pairs[1].1, &pairs[4].1),
            (&token.into(), &name.into(), &user.into())
        );
        sent.check_payload(&serde_json::from_str(&pairs[2].1).unwrap(), number);
    });
}

#[test]
fn no_value_changes_the_structure_of_xml_or_adds_a_line_of_text() {
    use quick_xml::events::Event;
    property("application/xml", Some("<p who=\"${user}\">${cid_name}</p>"), |sent| {
        let mut reader = quick_xml::Reader::from_str(sent.asked.body());
        let mut names = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Eof => break,
                Event::Start(start) => {
                    let keys: Vec<_> = start.attributes().map(|a| a.unwrap().key.as_ref().to_owned()).collect();
                    assert_eq!(keys, ["who"]);
                    names.push(start.name().as_ref().to_owned());
                }
                Event::Text(_) | Event::GeneralRef(_) | Event::End(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names, ["p"]);
    });
    property("text/plain", Some("to ${user}\nfrom ${cid_name}\n"), |sent| {
        let body = sent.asked.body();
        assert_eq!(body.split('\n').count(), 3, "{body:?}");
        assert!(!body.contains(['\r', '\0', '\u{2028}']), "{body:?}");
    });
}
