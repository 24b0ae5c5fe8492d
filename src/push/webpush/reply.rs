//! Push services' answers and what to do about each (RFC 8030 sections 5, 7.3 and 8.4; RFC 8292 section 4.2).

use std::time::SystemTime;

use reqwest::StatusCode;

use crate::push::transport::reply::{self, Reply};
use crate::push::transport::retry::{TransientFailure, Try};
use crate::types::push::{KeptBy, PushError};

/// What to do about a reply. The status decides: only some services give a code. None of them says anything of the app
/// as a whole: the service is one that a phone chose.
pub(super) fn classify(reply: &Reply, now: SystemTime) -> Try {
    let Reply { status, headers, body } = reply;
    let (status, reason) = (*status, reason(*status, body));
    match status {
        200..=299 => Try::Taken {
            provider_id: None,
            status,
        },
        // "The push service MUST return 404 if the subscription expired"; 410 is what most return.
        404 | 410 => Try::Refused(PushError::TokenGone { since: None, reason }),
        // The subscription was made with another VAPID key (RFC 8292 section 4.2), or the service refuses ours.
        401 | 403 => Try::Refused(PushError::TokenBad { reason }),
        429 | 500..=599 => {
            let kept_by = KeptBy::BusyForThis { status };
            Try::TransientFailure(TransientFailure::answered(kept_by, &reason, headers, now))
        }
        _ => Try::Refused(PushError::Rejected {
            status,
            reason,
            topic: None,
        }),
    }
}

/// Apple's code is in `reason`, Mozilla's in `error`; otherwise the status has to do.
fn reason(status: u16, body: &[u8]) -> String {
    let answer = reply::read(body);
    let code = ["reason", "error"]
        .into_iter()
        .find_map(|field| reply::code(reply::text(&answer, field)));
    let known = || StatusCode::from_u16(status).ok()?.canonical_reason();
    code.or_else(known).unwrap_or("no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> String {
        match classify(&Reply::of(status, body), SystemTime::UNIX_EPOCH) {
            Try::Taken { status, .. } => format!("taken: {status}"),
            Try::Refused(error) => error.to_string(),
            Try::TransientFailure(passing) => format!("passing: {}", passing.reason),
            Try::Again { reason, .. } => reason,
        }
    }

    #[test]
    fn status_decides_and_a_code_names_the_reason() {
        for (status, body, expected) in [
            (201, "", "taken: 201"),
            (202, "", "taken: 202"),
            (200, r#"{"reason":"x"}"#, "taken: 200"),
            (404, "", "token gone (Not Found)"),
            (410, r#"{"code":410,"errno":106,"error":"Gone"}"#, "token gone (Gone)"),
            (401, r#"{"error":"Unauthorized"}"#, "token refused (Unauthorized)"),
            (403, r#"{"reason":"BadJwtToken"}"#, "token refused (BadJwtToken)"),
            (413, "", "refused by the provider: 413 Payload Too Large"),
            (
                400,
                r#"{"reason":"BadWebPushTopic"}"#,
                "refused by the provider: 400 BadWebPushTopic",
            ),
            (302, "", "refused by the provider: 302 Found"),
            (429, "", "passing: 429 Too Many Requests"),
            (503, r#"{"reason":7}"#, "passing: 503 Service Unavailable"),
            (599, "", "passing: 599 no reason"),
            // What may be a token is not repeated.
            (
                400,
                r#"{"reason":"gAAAAABl0k3n"}"#,
                "refused by the provider: 400 Bad Request",
            ),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }
}
