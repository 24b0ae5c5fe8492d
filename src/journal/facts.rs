//! Facts read back from the texts that the journal and the running daemon have written of failed pushes.
//!
//! Neither writes more of an error than its class and its text, so such texts are parsed here, and only here.

use crate::types::push::{Fault, KeptBy, PushError, TOPIC_CODES};

/// Whether what failed is the connection to the provider, not what it said: its certificate, or ours at the TLS layer.
pub fn is_about_the_way(reason: &str) -> bool {
    // Some of these are only in journals of older versions.
    [
        "certificate",
        "cannot connect to",
        "error sending request",
        "client error",
        "tls",
        "TLS",
    ]
    .iter()
    .any(|word| reason.contains(word))
        && !reason.contains("CertificateExpired")
        && !reason.contains("refuses the app's certificate")
}

/// Whether what failed is this machine's clock: the provider calls a token expired that was signed just now.
pub fn is_about_the_clock(reason: &str) -> bool {
    // Google: "Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    reason.contains("ExpiredProviderToken") || reason.contains("reasonable timeframe")
}

/// What an operator has to mend.
pub(crate) fn fault_in(reason: &str) -> Fault {
    if is_about_the_clock(reason) {
        Fault::Clock
    } else if is_about_the_way(reason) {
        Fault::Untrusted
    } else if reason.contains("CertificateExpired") {
        Fault::CertificateExpired
    } else if reason.contains("THIRD_PARTY_AUTH_ERROR") {
        Fault::AppleKeyAtGoogle
    } else if reason.contains("refuses the app's certificate") {
        Fault::CertificateRefused
    } else {
        Fault::Credentials
    }
}

/// Whether the provider's name has no address.
pub(crate) fn has_no_address(reason: &str) -> bool {
    reason.contains("cannot be resolved")
}

/// What it is that the provider takes no pushes of for now.
pub(crate) fn kept_busy(status: u16, reason: &str) -> KeptBy {
    if reason.contains("TooManyProviderTokenUpdates") {
        KeptBy::BusyForKey { status }
    } else if reason.contains("TooManyRequests") {
        KeptBy::BusyForThis { status }
    } else {
        KeptBy::Busy { status }
    }
}

/// Apple's code for a topic that it refuses, where the text has one.
pub(crate) fn topic_code_in(reason: &str) -> Option<&'static str> {
    TOPIC_CODES.into_iter().find(|code| reason.contains(code))
}

/// Whether it is the certificate of whoever answers in the provider's place.
pub(crate) fn is_untrusted(reason: &str) -> bool {
    reason.contains("certificate is not trusted")
}

/// A refusal as the running daemon tells it: the provider's code, and in brackets the topic that it was about.
pub(crate) fn rejected(status: u16, reason: &str) -> PushError {
    let with_topic = reason.strip_suffix(')').and_then(|text| text.split_once(" ("));
    let (code, topic) = with_topic.map_or((reason, None), |(code, topic)| (code, Some(topic.to_owned())));
    PushError::Rejected {
        status,
        reason: code.to_owned(),
        topic,
    }
}

/// Whether a push failed before a provider was asked: no app serves the device, or with nothing to prove itself with.
pub(super) fn never_left(reason: &str) -> bool {
    reason.contains("no app serves") || reason.contains("CertificateExpired: the certificate expired")
}

/// Whether a push that was "taken" was only written to the log, by the status in the journal.
pub(super) fn is_only_logged(status: Option<u64>) -> bool {
    status == Some(0)
}
