//! Providers' answers: the diagnosis follows the error's code.

use super::*;

#[test]
fn wrong_clock_is_not_reported_as_a_wrong_credential() {
    for (reason, pattern, word) in [
        (
            "ExpiredProviderToken, but it is less than an hour old by this machine's clock: check the clock",
            None,
            "clock is wrong",
        ),
        ("InvalidProviderToken", Some(Pattern::CredentialsRefused), "credentials"),
        (
            "cannot connect to h:443: it refuses the app's certificate (CertificateRevoked)",
            Some(Pattern::CredentialsRefused),
            "credentials",
        ),
        (
            "CertificateExpired: the certificate expired on 2026-11-23 UTC",
            Some(Pattern::CredentialsRefused),
            "credentials",
        ),
        (
            "cannot connect to h:443: its certificate is not trusted (UnknownIssuer)",
            Some(Pattern::ProviderUnreachable),
            "could not be reached",
        ),
    ] {
        let refused = json!({"device": IPHONE, "class": "misconfigured", "reason": reason});
        let steps = [
            held(),
            about("push-sent", IPHONE),
            ("push-refused", refused),
            over("unreachable"),
        ];
        let (found, says) = says(&steps);
        assert_eq!(found, pattern, "{says}");
        assert!(says.contains(word), "{says}");
    }
}

#[test]
fn answering_provider_is_not_reported_as_unreachable() {
    let ends = |class: &str, reason: &str| {
        let refused = json!({"device": ANDROID, "class": class, "reason": format!("not delivered in time: {reason}")});
        says(&[
            held(),
            about("push-sent", ANDROID),
            ("push-refused", refused),
            over("unreachable"),
        ])
    };
    let (unreachable, busy) = (Some(Pattern::ProviderUnreachable), Some(Pattern::ProviderBusy));
    for (class, reason, pattern, words) in [
        (
            "unreachable",
            "cannot connect to h:443: connection refused",
            unreachable,
            "could not be reached",
        ),
        ("no-answer", "no answer in time", unreachable, "did not answer in time"),
        (
            "provider-busy",
            "503 UNAVAILABLE",
            busy,
            "the provider answered, and took no push",
        ),
        ("provider-busy", "429 TooManyRequests", busy, "too many in a short time"),
        // Lines of older versions, which had only one code for these errors.
        ("exhausted", "503 UNAVAILABLE", busy, "the provider answered"),
        (
            "exhausted",
            "access token: 500 Internal Server Error",
            busy,
            "the provider answered",
        ),
        (
            "exhausted",
            "no access token in time",
            unreachable,
            "did not answer in time",
        ),
        (
            "exhausted",
            "the name of h:443 cannot be resolved: x",
            unreachable,
            "could not be reached",
        ),
        ("exhausted", "too many pushes under way", None, "was not sent in time"),
        ("exhausted", "the call is over", None, "the call was over before"),
    ] {
        let (found, says) = ends(class, reason);
        assert!(
            found == pattern && says.contains(words),
            "{class} {reason}: {found:?} {says}"
        );
    }
}

/// The code decides, whatever the text is.
#[test]
fn diagnosis_follows_the_code_of_an_error_not_its_text() {
    let text = "no app serves: ExpiredProviderToken, the call is over, cannot be resolved, 429 TooManyRequests";
    for (code, status, pattern, words) in [
        ("token-gone", 0, Some(Pattern::StaleTokens), "is gone"),
        ("token-bad", 0, Some(Pattern::StaleTokens), "the other environment"),
        ("rejected", 400, None, "refused the push"),
        ("topic-rejected", 400, None, "refused the push"),
        ("not-sendable", 0, None, "refused the push"),
        ("no-app", 0, Some(Pattern::NoTokenOrApp), "no [[app]] has credentials"),
        ("credentials", 0, Some(Pattern::CredentialsRefused), "credentials"),
        (
            "certificate-expired",
            0,
            Some(Pattern::CredentialsRefused),
            "credentials",
        ),
        ("clock", 0, None, "clock is wrong"),
        (
            "untrusted",
            0,
            Some(Pattern::ProviderUnreachable),
            "could not be reached for",
        ),
        (
            "no-address",
            0,
            Some(Pattern::ProviderUnreachable),
            "could not be reached in time",
        ),
        (
            "no-connection",
            0,
            Some(Pattern::ProviderUnreachable),
            "could not be reached in time",
        ),
        (
            "no-answer",
            0,
            Some(Pattern::ProviderUnreachable),
            "did not answer in time",
        ),
        ("busy", 503, Some(Pattern::ProviderBusy), "it is busy"),
        ("busy-for-this", 429, Some(Pattern::ProviderBusy), "it is busy"),
        (
            "busy-for-phone",
            429,
            Some(Pattern::ProviderBusy),
            "too many in a short time",
        ),
        ("not-sent", 0, None, "was not sent in time"),
        ("call-over", 0, None, "the call was over before"),
    ] {
        let detail = json!({"device": IPHONE, "class": "rejected", "code": code, "status": status, "reason": text});
        let (found, says) = says(&[
            held(),
            about("push-sent", IPHONE),
            ("push-refused", detail),
            over("unreachable"),
        ]);
        assert!(found == pattern && says.contains(words), "{code}: {found:?} {says}");
    }
}
