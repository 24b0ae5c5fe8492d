//! Huawei's answers and what to do about each.
//!
//! The code in the body decides: Huawei answers 200 with a refusal inside. Source: Huawei, HMS Core, Push Kit, REST API
//! reference, "Downlink messages", HTTP and service error codes
//! (developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197).

use std::time::SystemTime;

use serde_json::Value;

use crate::push::transport::reply::{self, Reply};
use crate::push::transport::retry::{TransientFailure, Try};
use crate::types::push::{Fault, KeptBy, PushError};

/// Huawei's success.
const SUCCESS: &str = "80000000";
/// Codes and what they mean, in Huawei's words. Operators know the words, not the numbers.
const CODES: [(&str, &str); 19] = [
    ("80100000", "the token is illegal"),
    ("80100001", "some request parameters are incorrect"),
    ("80100003", "incorrect message structure"),
    ("80100004", "the message expires before it is sent"),
    ("80100013", "collapse_key is not valid"),
    ("80100016", "the message contains sensitive information"),
    ("80100017", "more than 100 topic messages at once"),
    ("80100018", "the message is not the one that was reviewed"),
    ("80200001", "authentication error"),
    ("80200003", "the access token has expired"),
    ("80200005", "the JSON Web Token has expired"),
    ("80300002", "the app may not send messages"),
    ("80300007", "all tokens are invalid"),
    ("80300008", "the message is larger than 4096 bytes"),
    ("80300010", "too many tokens"),
    ("80300011", "the app may not send messages of high urgency"),
    ("80300013", "the receipt address is wrong"),
    ("80600003", "the OAuth service could not be asked"),
    ("81000001", "system internal error"),
];

/// Whether Huawei no longer takes this access token.
pub(super) fn is_about_the_access_token(reply: &Reply) -> bool {
    matches!(code(&reply::read(&reply.body)).as_str(), "80200001" | "80200003") || reply.status == 401
}

/// What to do about a reply.
pub(super) fn classify(reply: &Reply, now: SystemTime) -> Try {
    let status = reply.status;
    let answer = reply::read(&reply.body);
    let code = code(&answer);
    let meaning = CODES.iter().find(|(own, _)| *own == code).map(|(_, meaning)| *meaning);
    let reason = match (code.as_str(), meaning) {
        ("", _) => "no result code".to_owned(),
        (code, Some(meaning)) => format!("{code}: {meaning}"),
        (code, None) => code.to_owned(),
    };
    match (code.as_str(), status) {
        (SUCCESS, 200..=299) => Try::Taken {
            provider_id: request_id(&answer),
            status,
        },
        // 80100000 reports how many of the tokens were taken: here there is one.
        ("80100000" | "80300007", _) => Try::Refused(PushError::TokenBad { reason }),
        ("80200001" | "80200003" | "80200005" | "80300002" | "80600003", _) => {
            Try::Refused(PushError::credentials(reason))
        }
        ("80300011", _) => Try::Refused(PushError::Misconfigured {
            fault: Fault::Settings,
            reason,
        }),
        ("81000001" | "80100017", _) | (_, 429 | 500..=599) => {
            let kept_by = KeptBy::Busy { status };
            Try::TransientFailure(TransientFailure::answered(kept_by, &reason, &reply.headers, now))
        }
        _ => Try::refused(status, reason),
    }
}

/// Eight digits, or nothing.
fn code(answer: &Value) -> String {
    let code = reply::number(answer, "code").map(|code| code.to_string());
    code.filter(|code| code.len() == 8).unwrap_or_default()
}

/// Huawei's name for the push; kept only if it is safe to log.
fn request_id(answer: &Value) -> Option<String> {
    let id = reply::text(answer, "requestId");
    let safe = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_graphic());
    safe.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> String {
        match classify(&Reply::of(status, body), SystemTime::UNIX_EPOCH) {
            Try::Taken { provider_id, .. } => format!("taken: {}", provider_id.unwrap_or_default()),
            Try::Refused(error) => format!("{}: {error}", error.class()),
            Try::TransientFailure(passing) => format!("passing: {}", passing.reason),
            Try::Again { reason, .. } => reason,
        }
    }

    fn of(code: &str) -> String {
        class(200, &format!(r#"{{"code":"{code}","msg":"x","requestId":"r-1"}}"#))
    }

    #[test]
    fn code_decides_and_200_is_not_success() {
        for (code, expected) in [
            ("80000000", "taken: r-1"),
            ("80100000", "token-bad: token refused (80100000: the token is illegal)"),
            (
                "80300007",
                "token-bad: token refused (80300007: all tokens are invalid)",
            ),
            ("80200003", "misconfigured: 80200003: the access token has expired"),
            ("80300002", "misconfigured: 80300002: the app may not send messages"),
            (
                "80300011",
                "misconfigured: 80300011: the app may not send messages of high urgency",
            ),
            (
                "80300008",
                "rejected: refused by the provider: 200 80300008: the message is larger than 4096 bytes",
            ),
            ("80199999", "rejected: refused by the provider: 200 80199999"),
            ("81000001", "passing: 200 81000001: system internal error"),
        ] {
            assert_eq!(of(code), expected);
        }
        assert_eq!(class(200, r#"{"code":80000000}"#), "taken: ");
        assert_eq!(class(503, ""), "passing: 503 no result code");
        assert_eq!(
            class(503, r#"{"code":"80300007"}"#),
            "token-bad: token refused (80300007: all tokens are invalid)"
        );
        assert_eq!(
            class(200, "<html>"),
            "rejected: refused by the provider: 200 no result code"
        );
        assert_eq!(class(500, r#"{"code":"80000000"}"#), "passing: 500 80000000");
        assert_eq!(
            class(404, r#"{"code":"IQAAAACy0kYw"}"#),
            "rejected: refused by the provider: 404 no result code"
        );
    }

    #[test]
    fn access_token_is_doubted_for_its_own_codes_only() {
        let is_about = |status, body| is_about_the_access_token(&Reply::of(status, body));
        assert!(is_about(200, r#"{"code":"80200003"}"#));
        assert!(is_about(401, ""));
        assert!(!is_about(200, r#"{"code":"80300002"}"#));
    }
}
