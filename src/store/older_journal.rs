//! The kind of a push's error in journal lines of older versions, which have only its class and its text.
//!
//! The upgrade of a store gives such lines their code. For files that are only read, this module finds it. No other
//! place reads these texts.

use crate::types::push::{Fault, KeptBy, PushErrorKind, TOPIC_CODES};

/// What kind of error a line without a code is about.
pub fn error_kind(class: &str, reason: &str) -> PushErrorKind {
    match class {
        "token-gone" => PushErrorKind::TokenGone,
        "token-bad" => PushErrorKind::TokenBad,
        "rejected" => rejected(reason),
        "misconfigured" => misconfigured(reason),
        "unreachable" => PushErrorKind::Exhausted(unreachable(reason)),
        "no-answer" => PushErrorKind::Exhausted(KeptBy::NoAnswer),
        "provider-busy" => PushErrorKind::Exhausted(busy(status_in(reason), reason)),
        "exhausted" => exhausted(reason),
        // The first versions wrote the reason only.
        _ if reason.starts_with("token gone") => PushErrorKind::TokenGone,
        _ if reason.starts_with("token refused") => PushErrorKind::TokenBad,
        _ if reason.starts_with("not configured") => misconfigured(reason),
        _ if reason.starts_with("not delivered") => exhausted(reason),
        _ => rejected(reason),
    }
}

fn rejected(reason: &str) -> PushErrorKind {
    let status = status_in(reason);
    if reason.starts_with("refused by fswake") {
        PushErrorKind::Refused
    } else if TOPIC_CODES.iter().any(|code| reason.contains(code)) {
        PushErrorKind::TopicRejected { status }
    } else {
        PushErrorKind::Rejected { status }
    }
}

fn misconfigured(reason: &str) -> PushErrorKind {
    let is_refused_in_tls = reason.contains("refuses the app's certificate");
    let is_expired = reason.contains("CertificateExpired");
    let is_of_the_connection = [
        "certificate",
        "cannot connect to",
        "error sending request",
        "client error",
        "tls",
        "TLS",
    ]
    .iter()
    .any(|word| reason.contains(word));
    PushErrorKind::Misconfigured(if reason.contains("no app serves") {
        return PushErrorKind::NoApp;
    } else if reason.contains("ExpiredProviderToken") || reason.contains("reasonable timeframe") {
        // Google: "Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        Fault::Clock
    } else if is_of_the_connection && !is_expired && !is_refused_in_tls {
        Fault::Untrusted
    } else if is_refused_in_tls {
        Fault::CertificateRefused
    } else if is_expired {
        Fault::CertificateExpired
    } else if reason.contains("THIRD_PARTY_AUTH_ERROR") {
        Fault::AppleKeyAtGoogle
    } else {
        Fault::Credentials
    })
}

/// What prevented a push: older versions had one class for all causes.
fn exhausted(reason: &str) -> PushErrorKind {
    let rest = reason.strip_prefix("not delivered in time: ").unwrap_or(reason);
    let rest = rest.strip_prefix("access token: ").unwrap_or(rest);
    let status = rest.split_whitespace().next().and_then(|word| word.parse().ok());
    if let Some(status @ (429_u16 | 500..=599)) = status {
        return PushErrorKind::Exhausted(busy(status, rest));
    }
    let has = |words: &[&str]| words.iter().any(|word| rest.contains(word));
    if has(&["the call is over"]) {
        PushErrorKind::CallOver
    } else if has(&["too many pushes", "no time left", "defect of fswake"]) {
        PushErrorKind::Exhausted(KeptBy::Us)
    } else if has(&["no answer in time", "no access token in time"]) {
        PushErrorKind::Exhausted(KeptBy::NoAnswer)
    } else {
        PushErrorKind::Exhausted(unreachable(rest))
    }
}

fn unreachable(reason: &str) -> KeptBy {
    if reason.contains("cannot be resolved") {
        KeptBy::NoAddress
    } else {
        KeptBy::NoConnection
    }
}

fn busy(status: u16, reason: &str) -> KeptBy {
    if reason.contains("TooManyProviderTokenUpdates") {
        KeptBy::BusyForKey { status }
    } else if reason.contains("TooManyRequests") {
        KeptBy::BusyForPhone { status }
    } else {
        KeptBy::Busy { status }
    }
}

/// The HTTP status in a reason, as in `503 UNAVAILABLE`; 0 if there is none.
fn status_in(reason: &str) -> u16 {
    let mut words = reason.split_whitespace();
    words.find_map(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_older_versions_have_their_kind() {
        for (class, reason, code, status) in [
            ("token-gone", "token gone (Unregistered)", "token-gone", None),
            ("", "token refused (BadDeviceToken)", "token-bad", None),
            ("", "not configured: InvalidProviderToken", "credentials", None),
            (
                "rejected",
                "refused by the provider: 413 PayloadTooLarge",
                "rejected",
                Some(413),
            ),
            (
                "rejected",
                "refused by the provider: 400 TopicDisallowed",
                "topic-rejected",
                Some(400),
            ),
            ("rejected", "refused by fswake: NoToken", "not-sendable", None),
            (
                "misconfigured",
                "no app serves provider apns and app id x",
                "no-app",
                None,
            ),
            (
                "misconfigured",
                "CertificateExpired: the certificate expired on 2026-11-23 UTC",
                "certificate-expired",
                None,
            ),
            (
                "misconfigured",
                "cannot connect to h:443: its certificate is not trusted (x)",
                "untrusted",
                None,
            ),
            (
                "misconfigured",
                "cannot connect to h:443: it refuses the app's certificate (x)",
                "certificate-refused",
                None,
            ),
            (
                "misconfigured",
                "403 THIRD_PARTY_AUTH_ERROR",
                "apple-key-at-google",
                None,
            ),
            ("misconfigured", "ExpiredProviderToken", "clock", None),
            (
                "unreachable",
                "the name of h:443 cannot be resolved: x",
                "no-address",
                None,
            ),
            (
                "provider-busy",
                "429 TooManyProviderTokenUpdates",
                "busy-for-key",
                Some(429),
            ),
            ("", "not delivered in time: 503 UNAVAILABLE", "busy", Some(503)),
            (
                "exhausted",
                "not delivered in time: the call is over",
                "call-over",
                None,
            ),
            ("exhausted", "too many pushes under way", "not-sent", None),
        ] {
            let kind = error_kind(class, reason);
            assert_eq!((kind.code(), kind.status()), (code, status), "{class} {reason}");
        }
    }
}
