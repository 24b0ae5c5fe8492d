//! Google's answers and what to do about each.

use std::time::SystemTime;

use serde_json::Value;

use crate::push::transport::reply::{self, Reply};
use crate::push::transport::retry::{TransientFailure, Try};
use crate::types::push::{Fault, KeptBy, PushError};

/// The token belongs to another Firebase project.
pub(crate) const SENDER_ID_MISMATCH: &str = "SENDER_ID_MISMATCH";

/// `projects/*/messages/{id}`; kept only if it is safe to log.
pub(crate) fn message_name(body: &[u8]) -> Option<String> {
    let sent = reply::read(body);
    let name = reply::text(&sent, "name");
    let safe = !name.is_empty() && name.len() <= 256 && name.bytes().all(|b| b.is_ascii_graphic());
    safe.then(|| name.to_owned())
}

/// `error` of a reply.
struct ErrorReply(Value);

impl ErrorReply {
    fn read(body: &[u8]) -> Self {
        Self(reply::read(body)["error"].take())
    }

    /// `google.firebase.fcm.v1.FcmError` has the code, `google.rpc.BadRequest` the fields; others are passed over.
    fn reason(&self) -> &str {
        let mut details = reply::list(&self.0, "details");
        let from_details = details.find_map(|d| reply::code(reply::text(d, "errorCode")));
        from_details
            .or_else(|| reply::code(reply::text(&self.0, "status")))
            .unwrap_or("no error code")
    }

    /// `INVALID_ARGUMENT` means a bad token or a bad message. Only the former may set the token aside.
    ///
    /// Its text decides: for a malformed token Google names no field.
    fn names_the_token(&self) -> bool {
        let violations = reply::list(&self.0, "details").flat_map(|d| reply::list(d, "fieldViolations"));
        let fields: Vec<&str> = violations.map(|v| reply::text(v, "field")).collect();
        if fields.is_empty() {
            return reply::text(&self.0, "message").contains("registration token");
        }
        fields.contains(&"message.token")
    }
}

/// What to do about a reply other than 200.
pub(crate) fn classify(reply: &Reply, now: SystemTime) -> Try {
    let Reply { status, headers, body } = reply;
    let status = *status;
    let answer = ErrorReply::read(body);
    let reason = answer.reason().to_owned();
    match (reason.as_str(), status) {
        // Google does not say since when.
        ("UNREGISTERED", _) => Try::Refused(PushError::TokenGone { since: None, reason }),
        (SENDER_ID_MISMATCH, _) => Try::Refused(PushError::TokenBad { reason }),
        ("INVALID_ARGUMENT", _) if answer.names_the_token() => Try::Refused(PushError::TokenBad { reason }),
        ("THIRD_PARTY_AUTH_ERROR", _) => Try::Refused(PushError::Misconfigured {
            fault: Fault::AppleKeyAtGoogle,
            reason,
        }),
        ("QUOTA_EXCEEDED" | "UNAVAILABLE" | "INTERNAL", _) | (_, 429 | 500..=599) => {
            let kept_by = match reason.as_str() {
                // "Sending limit exceeded for the message target": one phone's limit as often as the project's.
                "QUOTA_EXCEEDED" => KeptBy::BusyForThis { status },
                _ => KeptBy::Busy { status },
            };
            Try::TransientFailure(TransientFailure::answered(kept_by, &reason, headers, now))
        }
        _ => Try::refused(status, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, error: &str) -> String {
        let body = format!(r#"{{"error":{error}}}"#);
        match classify(&Reply::of(status, &body), SystemTime::now()) {
            Try::Refused(error) => error.to_string(),
            Try::TransientFailure(TransientFailure { reason, .. }) => format!("passing: {reason}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn code_in_the_details_decides_before_the_status() {
        let detail = |code: &str| {
            format!(
                r#"{{"status":"NOT_FOUND","details":[{{"@type":"x"}},{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}"#
            )
        };
        assert_eq!(class(404, &detail("UNREGISTERED")), "token gone (UNREGISTERED)");
        assert_eq!(
            class(403, &detail("SENDER_ID_MISMATCH")),
            "token refused (SENDER_ID_MISMATCH)"
        );
        assert_eq!(class(401, &detail("THIRD_PARTY_AUTH_ERROR")), "THIRD_PARTY_AUTH_ERROR");
        assert_eq!(class(429, &detail("QUOTA_EXCEEDED")), "passing: 429 QUOTA_EXCEEDED");
        assert_eq!(class(503, &detail("UNAVAILABLE")), "passing: 503 UNAVAILABLE");
        assert_eq!(class(500, &detail("INTERNAL")), "passing: 500 INTERNAL");
    }

    #[test]
    fn not_found_without_fcms_own_code_drops_no_token() {
        assert_eq!(
            class(404, r#"{"status":"NOT_FOUND"}"#),
            "refused by the provider: 404 NOT_FOUND"
        );
        assert_eq!(class(404, "1"), "refused by the provider: 404 no error code");
        assert_eq!(class(403, r#"{"status":"PERMISSION_DENIED"}"#), "PERMISSION_DENIED");
    }

    #[test]
    fn oddly_typed_field_loses_no_other() {
        let odd = |detail: &str| {
            class(
                404,
                &format!(r#"{{"status":"NOT_FOUND","message":7,"details":{detail}}}"#),
            )
        };
        assert_eq!(
            odd(r#"[{"errorCode":null},7,null,{"errorCode":"UNREGISTERED"}]"#),
            "token gone (UNREGISTERED)"
        );
        assert_eq!(odd("null"), "refused by the provider: 404 NOT_FOUND");
        assert_eq!(
            odd(r#"{"errorCode":"UNREGISTERED"}"#),
            "refused by the provider: 404 NOT_FOUND"
        );
        assert_eq!(
            class(
                400,
                r#"{"code":"400","status":"INVALID_ARGUMENT","details":[{"fieldViolations":[7,{"field":"message.token"}]}]}"#
            ),
            "token refused (INVALID_ARGUMENT)"
        );
        assert_eq!(
            message_name(br#"{"name":"projects/a/messages/1","extra":[]}"#).as_deref(),
            Some("projects/a/messages/1")
        );
        assert_eq!(message_name(br#"{"name":7}"#), None);
    }

    #[test]
    fn invalid_argument_sets_the_token_aside_only_when_it_names_the_token() {
        let field = |field: &str| {
            format!(
                r#"{{"status":"INVALID_ARGUMENT","message":"the registration token","details":[{{"fieldViolations":[{{"field":"{field}"}}]}}]}}"#
            )
        };
        assert_eq!(class(400, &field("message.token")), "token refused (INVALID_ARGUMENT)");
        assert_eq!(
            class(400, &field("message.data[0].value")),
            "refused by the provider: 400 INVALID_ARGUMENT"
        );
        let text =
            r#"{"status":"INVALID_ARGUMENT","message":"The registration token is not a valid FCM registration token"}"#;
        assert_eq!(class(400, text), "token refused (INVALID_ARGUMENT)");
        let other = r#"{"status":"INVALID_ARGUMENT","message":"Invalid JSON payload received."}"#;
        assert_eq!(class(400, other), "refused by the provider: 400 INVALID_ARGUMENT");
    }
}
