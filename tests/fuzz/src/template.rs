//! Templates of gateways and payloads: the input has a line with the kind, a line with the value, and the template.

use fswake::fuzzing::{fill_body, fill_payload, fill_url};
use reqwest::Url;
use serde_json::Value;

use crate::Target;

/// The fuzz target.
pub const TARGET: Target = Target {
    name: "template",
    check,
    words: &[
        "url\n",
        "payload\n",
        "application/json\n",
        "application/x-www-form-urlencoded\n",
        "text/xml\n",
        "text/plain\n",
        "${token}",
        "${payload}",
        "${user}",
        "${realm}",
        "${caller-name}",
        "${call-id}",
        "${caller_name}",
        "${",
        "}",
        "${=",
        "https://push.example.org/",
        "/../",
        "%2e%2e",
        "?a=",
        "&b=",
        "#",
        "@",
        "\\u0024{",
        "\\\"",
        "\"",
        "{\"a\":",
        "]]>",
        "&lt;",
        "<",
        ">",
        "\u{2028}",
        "\u{85}",
        "\0",
        "\\",
    ],
};

fn check(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let (Some(kind), Some(value), Some(template)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    // A value may have line breaks, which the input has as
    // .
    let value = value.replace("\\n", "\n");
    match kind {
        "url" => changes_no_url(template, &value),
        "payload" => {
            if let Some(plain) = fill_payload(template, "v") {
                let filled = fill_payload(template, &value).unwrap();
                assert_eq!(shape(&filled), shape(&plain), "{filled}");
                assert_eq!(serde_json::from_str::<Value>(&filled.to_string()).unwrap(), filled);
            }
        }
        content_type => changes_no_body(content_type, template, &value),
    }
}

fn changes_no_url(template: &str, value: &str) {
    let Some(plain) = fill_url(template, "v") else { return };
    let (Some(plain), Some(Some(filled))) = (plain, fill_url(template, value)) else {
        // `.` and `..` are refused.
        return;
    };
    let (plain, filled) = (Url::parse(&plain).unwrap(), Url::parse(&filled).unwrap());
    assert_eq!(filled.origin(), plain.origin(), "{filled}");
    assert_eq!(
        (filled.username(), filled.password(), filled.fragment()),
        ("", None, None),
        "{filled}"
    );
    let segments = |url: &Url| url.path().matches('/').count();
    assert_eq!(segments(&filled), segments(&plain), "{filled} {plain}");
    let keys = |url: &Url| url.query_pairs().map(|(key, _)| key.into_owned()).collect::<Vec<_>>();
    assert_eq!(keys(&filled), keys(&plain), "{filled}");
}

fn changes_no_body(content_type: &str, template: &str, value: &str) {
    let Some(plain) = fill_body(content_type, template, "v") else {
        return;
    };
    let filled = fill_body(content_type, template, value).unwrap();
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let (_, subtype) = essence.split_once('/').unwrap_or_default();
    let is = |kind: &str| subtype == kind || subtype.ends_with(&format!("+{kind}"));
    if is("json") {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(shape(&read(&filled)), shape(&read(&plain)), "{filled}");
    } else if essence == "application/x-www-form-urlencoded" {
        let keys = |text: &str| {
            text.split('&')
                .map(|pair| pair.split('=').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&filled), keys(&plain), "{filled}");
    } else {
        // In markup these two characters have no special meaning.
        let is_markup = is("xml") || is("html");
        let lines = |text: &str| {
            text.chars()
                .filter(|c| c.is_control() || (!is_markup && "\u{2028}\u{2029}".contains(*c)))
                .count()
        };
        assert_eq!(lines(&filled), lines(&plain), "{filled:?}");
        if is_markup {
            let marks = |text: &str| text.matches(['<', '>', '"', '\'']).count();
            assert_eq!(marks(&filled), marks(&plain), "{filled}");
        }
    }
}

/// A value with its strings and numbers removed.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{key:?}:{}", shape(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(",")),
        Value::String(_) => "text".to_owned(),
        other => other.to_string(),
    }
}
