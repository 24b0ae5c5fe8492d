//! The diagnosis of single wakes.

mod providers;
mod similar;

use fswake::journal::{Pattern, Reason, Wake};

use super::*;

const IPHONE: &str = "apns:com.example.app:0badcafe";

const ANDROID: &str = "fcm:acme-1234:0badcafe";

/// The diagnosis of a call with these steps, 100 ms each.
fn says(steps: &[(&str, Value)]) -> (Option<Pattern>, String) {
    let book = Book::new();
    for (n, (step, detail)) in steps.iter().enumerate() {
        book.line(1, "1001", i64::try_from(n).unwrap() * 100, step, detail);
    }
    let wake = book.journal().wake(CallId(id(1))).unwrap().unwrap();
    agree(&wake);
    wake.diagnosis.map_or((None, String::new()), |d| (d.pattern, d.says))
}

/// The same with a time for each step, and several calls: the diagnosis of the last one.
fn last_says(steps: &[(u128, i64, &str, Value)]) -> (Option<Pattern>, String) {
    let book = Book::new();
    for (call, at_ms, step, detail) in steps {
        book.line(*call, "1001", *at_ms, step, detail);
    }
    let call = steps.last().unwrap().0;
    let wake = book.journal().wake(CallId(id(call))).unwrap().unwrap();
    agree(&wake);
    wake.diagnosis.map_or((None, String::new()), |d| (d.pattern, d.says))
}

/// The reason in a row must be that of the sentence in its timeline.
fn agree(wake: &Wake) {
    let pattern = wake.diagnosis.as_ref().and_then(|d| d.pattern);
    let reasons: &[Reason] = match pattern {
        None => return,
        Some(Pattern::IphoneNeverRegisters | Pattern::AndroidNeverRegisters) => &[Reason::NeverRegistered],
        Some(Pattern::NoTokenOrApp) => &[Reason::NoToken, Reason::NoApp],
        Some(Pattern::CredentialsRefused) => &[Reason::CredentialsRefused],
        Some(Pattern::StaleTokens) => &[Reason::TokenGone, Reason::TokenRefused],
        Some(Pattern::InviteAfterRegisterFails) => &[Reason::DidNotRing],
        Some(Pattern::LateRegisters) => &[Reason::RegisteredTooLate],
        Some(Pattern::ProviderUnreachable) => &[Reason::ProviderUnreachable],
        Some(Pattern::ProviderBusy) => &[Reason::ProviderBusy],
    };
    let reason = wake.overview.reason;
    assert!(
        reason.is_some_and(|r| reasons.contains(&r)),
        "{reason:?}, not {reasons:?}: {wake:?}"
    );
}

/// The reason in a wake's row.
fn reason(steps: &[(&str, Value)]) -> Option<Reason> {
    let book = Book::new();
    for (n, (step, detail)) in steps.iter().enumerate() {
        book.line(1, "1001", i64::try_from(n).unwrap() * 100, step, detail);
    }
    book.journal().wake(CallId(id(1))).unwrap().unwrap().overview.reason
}

#[test]
fn row_has_the_reason_why_a_call_was_not_connected() {
    let refused = |class: &str, reason: &str| {
        let detail = json!({"device": IPHONE, "class": class, "reason": reason});
        ("push-refused", detail)
    };
    let ended = |sip: u32, cause: &str| ("leg-ended", json!({"device": IPHONE, "sip": sip, "cause": cause}));
    let (sent, taken) = (about("push-sent", IPHONE), about("push-accepted", IPHONE));
    let (rings, woke) = (about("leg-ringing", IPHONE), about("device-registered", IPHONE));
    let limited = about("push-limited", IPHONE);
    let late = |after: u64| ("late-register", json!({"device": IPHONE, "late-ms": after}));
    for (word, steps) in [
        (
            None,
            vec![held(), sent.clone(), taken.clone(), woke.clone(), over("connected")],
        ),
        (None, vec![held(), sent.clone()]),
        (
            Some(Reason::NeverRegistered),
            vec![held(), sent.clone(), taken.clone(), over("unreachable")],
        ),
        (
            Some(Reason::RegisteredTooLate),
            vec![held(), sent.clone(), taken.clone(), over("unreachable"), late(900)],
        ),
        (
            Some(Reason::RegisteredTooLate),
            vec![held(), sent.clone(), taken.clone(), over("abandoned"), late(900)],
        ),
        (
            Some(Reason::Busy),
            vec![held(), ended(486, "USER_BUSY"), over("declined")],
        ),
        (
            Some(Reason::Declined),
            vec![held(), rings.clone(), ended(603, "CALL_REJECTED"), over("declined")],
        ),
        (Some(Reason::NoAnswer), vec![held(), rings.clone(), over("timeout")]),
        (Some(Reason::HungUpRinging), vec![held(), rings, over("abandoned")]),
        (
            Some(Reason::HungUpWaiting),
            vec![held(), sent.clone(), taken, over("abandoned")],
        ),
        (Some(Reason::NoPhone), vec![held(), over("no-device")]),
        (
            Some(Reason::NoApp),
            vec![
                held(),
                sent.clone(),
                refused("misconfigured", "no app serves provider apns and app id x"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::CredentialsRefused),
            vec![
                held(),
                sent.clone(),
                refused("misconfigured", "InvalidProviderToken"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::ClockWrong),
            vec![
                held(),
                sent.clone(),
                refused("misconfigured", "ExpiredProviderToken"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::TokenGone),
            vec![
                held(),
                sent.clone(),
                refused("token-gone", "token gone (Unregistered)"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::TokenRefused),
            vec![
                held(),
                sent.clone(),
                refused("token-bad", "token refused (BadDeviceToken)"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::PushRefused),
            vec![
                held(),
                sent.clone(),
                refused("rejected", "refused by the provider: 413 PayloadTooLarge"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::ProviderUnreachable),
            vec![
                held(),
                sent.clone(),
                refused("exhausted", "cannot connect to h:443"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::ProviderUnreachable),
            vec![
                held(),
                sent.clone(),
                refused("no-answer", "no answer in time"),
                over("unreachable"),
            ],
        ),
        (
            Some(Reason::ProviderBusy),
            vec![
                held(),
                sent.clone(),
                refused("provider-busy", "503 ServiceUnavailable"),
                over("unreachable"),
            ],
        ),
        (Some(Reason::RateLimited), vec![held(), limited, over("unreachable")]),
        (Some(Reason::ConnectionLost), vec![held(), over("error")]),
        (
            Some(Reason::BridgeFailed),
            vec![
                held(),
                ("call-cut", json!({"cause": "DESTINATION_OUT_OF_ORDER"})),
                over("error"),
            ],
        ),
    ] {
        assert_eq!(reason(&steps), word, "{steps:?}");
    }
}

fn over(result: &str) -> (&'static str, Value) {
    ("call-over", json!({"result": result}))
}

fn held() -> (&'static str, Value) {
    ("call-held", json!({"caller": "1"}))
}

fn about(step: &'static str, device: &str) -> (&'static str, Value) {
    (step, json!({"device": device}))
}

#[test]
fn each_known_pattern_is_recognised() {
    let refused = |device: &str, class: &str, reason: &str| {
        (
            "push-refused",
            json!({"device": device, "class": class, "reason": reason}),
        )
    };
    let (sent, taken) = (about("push-sent", IPHONE), about("push-accepted", IPHONE));
    let (woke, invited) = (about("device-registered", IPHONE), about("leg-started", IPHONE));
    let cases = [
        (
            Pattern::IphoneNeverRegisters,
            vec![sent.clone(), taken.clone(), over("unreachable")],
        ),
        (
            Pattern::AndroidNeverRegisters,
            vec![
                about("push-sent", ANDROID),
                about("push-accepted", ANDROID),
                over("unreachable"),
            ],
        ),
        (
            Pattern::NoTokenOrApp,
            vec![
                (
                    "device-without-token",
                    json!({"device": "binding", "user-agent": "Acme/1"}),
                ),
                over("unreachable"),
            ],
        ),
        (
            Pattern::NoTokenOrApp,
            vec![
                sent.clone(),
                refused(IPHONE, "misconfigured", "no app serves provider apns and app id x"),
                over("unreachable"),
            ],
        ),
        (
            Pattern::CredentialsRefused,
            vec![
                sent.clone(),
                refused(IPHONE, "misconfigured", "InvalidProviderToken"),
                over("unreachable"),
            ],
        ),
        (
            Pattern::StaleTokens,
            vec![
                sent.clone(),
                refused(IPHONE, "token-gone", "token gone (Unregistered)"),
                over("unreachable"),
            ],
        ),
        (
            Pattern::StaleTokens,
            vec![
                (
                    "device-set-aside",
                    json!({"device": IPHONE, "reason": "BadDeviceToken at 1"}),
                ),
                over("unreachable"),
            ],
        ),
        (
            Pattern::InviteAfterRegisterFails,
            vec![
                sent.clone(),
                taken.clone(),
                woke.clone(),
                invited.clone(),
                (
                    "leg-ended",
                    json!({"device": IPHONE, "cause": "NORMAL_TEMPORARY_FAILURE", "sip": 503}),
                ),
                over("unreachable"),
            ],
        ),
        (
            Pattern::InviteAfterRegisterFails,
            vec![
                sent.clone(),
                taken.clone(),
                woke,
                invited,
                ("leg-silent", json!({"device": IPHONE, "ms": 5_000})),
                over("unreachable"),
            ],
        ),
        (
            Pattern::LateRegisters,
            vec![
                sent.clone(),
                taken.clone(),
                over("unreachable"),
                ("late-register", json!({"device": IPHONE, "late-ms": 3_100})),
            ],
        ),
        (Pattern::ProviderUnreachable, vec![sent.clone(), over("unreachable")]),
        (
            Pattern::ProviderUnreachable,
            vec![
                sent.clone(),
                refused(IPHONE, "exhausted", "connect: refused"),
                over("unreachable"),
            ],
        ),
    ];
    for (pattern, steps) in cases {
        let steps: Vec<_> = std::iter::once(held()).chain(steps).collect();
        let (found, says) = says(&steps);
        assert_eq!(found, Some(pattern), "{steps:?}: {says}");
        assert!(!says.is_empty() && !says.contains('\n'), "{says}");
    }
}

#[test]
fn outcomes_without_a_fault_have_no_pattern() {
    let (sent, taken) = (about("push-sent", IPHONE), about("push-accepted", IPHONE));
    let rings = about("leg-ringing", IPHONE);
    for (steps, words) in [
        (
            vec![held(), sent.clone(), taken.clone(), over("abandoned")],
            "hung up after 300 ms",
        ),
        (
            vec![held(), sent.clone(), taken.clone(), rings.clone(), over("abandoned")],
            "before anybody answered",
        ),
        (
            vec![
                held(),
                sent.clone(),
                rings.clone(),
                about("leg-answered", IPHONE),
                over("abandoned"),
            ],
            "a phone answered; the caller hung up while",
        ),
        (
            vec![held(), sent.clone(), taken.clone(), rings.clone(), over("timeout")],
            "nobody answered",
        ),
        (vec![held(), rings, over("declined")], "declined"),
        (vec![held(), over("no-device")], "no phone"),
        (vec![held(), sent.clone(), taken.clone()], ""),
        (
            vec![
                held(),
                about("leg-ringing", IPHONE),
                ("ring-time-over", json!({"cause": "NO_ANSWER"})),
                over("timeout"),
            ],
            "before the dial-string's own timeout",
        ),
        // Nothing went wrong, although some pushed phones never registered.
        (vec![held(), sent.clone(), taken.clone(), over("taken")], ""),
        (vec![held(), sent.clone(), taken.clone(), over("woken")], ""),
        (vec![held(), sent, taken, over("connected")], ""),
    ] {
        let (pattern, says) = says(&steps);
        assert_eq!(pattern, None, "{steps:?}: {says}");
        assert!(says.contains(words) && says.is_empty() == words.is_empty(), "{says}");
    }
}
