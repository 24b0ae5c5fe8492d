//! APNs' answers and what to do about each.

use std::time::SystemTime;

use reqwest::header::HeaderMap;

use crate::push::transport::reply;
use crate::push::transport::retry::{TransientFailure, Try};
use crate::types::push::{Fault, KeptBy, PushError};

/// Apple has not issued this token for this app.
pub(crate) const BAD_DEVICE_TOKEN: &str = "BadDeviceToken";

/// The connection is bound to the key of its first push; another key needs a connection of its own.
pub(crate) const OTHER_KEY_ON_THIS_CONNECTION: &str = "UnrelatedKeyIdInToken";

/// Whether Apple refuses the signing key: another key may be taken.
pub(crate) fn is_about_the_key(reason: &str) -> bool {
    matches!(reason, "InvalidProviderToken" | "BadEnvironmentKeyIdInToken")
}

/// What to do about a reply other than 200. The reason code decides; the status only where Apple documents no code.
pub(crate) fn classify(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Try {
    let answer = reply::read(body);
    let reason = reply::code(reply::text(&answer, "reason"))
        .unwrap_or("no reason code")
        .to_owned();
    match (reason.as_str(), status) {
        ("Unregistered" | "ExpiredToken", _) => Try::Refused(PushError::TokenGone {
            // Milliseconds since 1970 at which APNs knew that the token was gone; with 410 only.
            since: reply::number(&answer, "timestamp").map(|ms| ms / 1000),
            reason,
        }),
        (BAD_DEVICE_TOKEN | "DeviceTokenNotForTopic", _) => Try::Refused(PushError::TokenBad { reason }),
        // IdleTimeout comes with 400, but refuses the connection, not the push.
        (
            "TooManyRequests"
            | "TooManyProviderTokenUpdates"
            | "InternalServerError"
            | "ServiceUnavailable"
            | "Shutdown"
            | "IdleTimeout",
            _,
        )
        | (_, 429 | 500..=599) => {
            let kept_by = match reason.as_str() {
                // Apple counts pushes to each phone.
                "TooManyRequests" => KeptBy::BusyForPhone { status },
                "TooManyProviderTokenUpdates" => KeptBy::BusyForKey { status },
                _ => KeptBy::Busy { status },
            };
            Try::TransientFailure(TransientFailure::answered(kept_by, &reason, headers, now))
        }
        ("ExpiredProviderToken", 401 | 403) => Try::Refused(PushError::Misconfigured {
            fault: Fault::Clock,
            reason,
        }),
        _ => Try::refused(status, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_its_class() {
        let class = |status: u16, reason: &str| {
            let body = format!(r#"{{"reason":"{reason}","timestamp":1700000000999}}"#);
            match classify(status, &HeaderMap::new(), body.as_bytes(), SystemTime::now()) {
                Try::Refused(PushError::TokenGone { since, .. }) => format!("gone {}", since.unwrap_or_default()),
                Try::Refused(PushError::TokenBad { .. }) => "bad".into(),
                Try::Refused(PushError::Misconfigured { .. }) => "misconfigured".into(),
                Try::Refused(_) => "rejected".into(),
                Try::TransientFailure(_) => "passing".into(),
                other => format!("{other:?}"),
            }
        };
        let documented = [
            (410, "gone 1700000000", &["Unregistered", "ExpiredToken"][..]),
            (400, "bad", &["BadDeviceToken", "DeviceTokenNotForTopic"]),
            (400, "passing", &["IdleTimeout"]),
            (
                400,
                "rejected",
                &[
                    "BadCollapseId",
                    "BadExpirationDate",
                    "BadMessageId",
                    "BadPriority",
                    "BadTopic",
                    "DuplicateHeaders",
                    "InvalidPushType",
                    "MissingDeviceToken",
                    "MissingTopic",
                    "PayloadEmpty",
                    "TopicDisallowed",
                ],
            ),
            (
                403,
                "misconfigured",
                &[
                    "BadCertificate",
                    "BadCertificateEnvironment",
                    "ExpiredProviderToken",
                    "Forbidden",
                    "InvalidProviderToken",
                    "MissingProviderToken",
                    "UnrelatedKeyIdInToken",
                    "BadEnvironmentKeyIdInToken",
                ],
            ),
            (404, "rejected", &["BadPath"]),
            (405, "rejected", &["MethodNotAllowed"]),
            (413, "rejected", &["PayloadTooLarge"]),
            (429, "passing", &["TooManyRequests", "TooManyProviderTokenUpdates"]),
            (500, "passing", &["InternalServerError"]),
            (503, "passing", &["ServiceUnavailable", "Shutdown"]),
        ];
        for (status, expected, reasons) in documented {
            for reason in reasons {
                assert_eq!(class(status, reason), expected, "{status} {reason}");
            }
        }
    }

    #[test]
    fn time_of_a_410_is_read_however_it_is_written() {
        for (timestamp, since) in [
            ("1700000000000", Some(1_700_000_000)),
            ("\"1700000000000\"", Some(1_700_000_000)),
            ("1700000000000.0", Some(1_700_000_000)),
            ("null", None),
            ("{}", None),
            ("\"yesterday\"", None),
        ] {
            let body = format!(r#"{{"timestamp":{timestamp},"reason":"Unregistered"}}"#);
            let tried = classify(410, &HeaderMap::new(), body.as_bytes(), SystemTime::now());
            let reason = "Unregistered".into();
            let gone = PushError::TokenGone { since, reason };
            assert!(
                matches!(&tried, Try::Refused(error) if *error == gone),
                "{timestamp}: {tried:?}"
            );
        }
    }

    #[test]
    fn status_410_without_apples_reason_code_drops_no_token() {
        for body in [
            "",
            "<html>gone</html>",
            r#"{"reason":"\u0000"}"#,
            r#"{"reason":null,"timestamp":1700000000000}"#,
            r#"{"reason":["Unregistered"]}"#,
            r#"{"timestamp":"1700000000000"}"#,
            r#"["Unregistered"]"#,
        ] {
            let tried = classify(410, &HeaderMap::new(), body.as_bytes(), SystemTime::now());
            assert!(
                matches!(tried, Try::Refused(PushError::Rejected { status: 410, .. })),
                "{body}"
            );
        }
    }
}
