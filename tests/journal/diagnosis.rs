//! What single wakes say.

use fswake::journal::{Pattern, Reason, Wake};

use super::*;

const IPHONE: &str = "apns:com.example.app:0badcafe";
const ANDROID: &str = "fcm:acme-1234:0badcafe";

/// What a call of these steps says, 100 ms each.
fn says(steps: &[(&str, Value)]) -> (Option<Pattern>, String) {
    let book = Book::new();
    for (n, (step, detail)) in steps.iter().enumerate() {
        book.line(1, "1001", i64::try_from(n).unwrap() * 100, step, detail);
    }
    let wake = book.journal().wake(CallId(id(1))).unwrap().unwrap();
    agree(&wake);
    wake.diagnosis.map_or((None, String::new()), |d| (d.pattern, d.says))
}

/// The same with a time for each, and calls of their own: what the last one says.
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

/// The word of a row is that of the sentence in its story.
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

/// The word of a wake's row.
fn reason(steps: &[(&str, Value)]) -> Option<Reason> {
    let book = Book::new();
    for (n, (step, detail)) in steps.iter().enumerate() {
        book.line(1, "1001", i64::try_from(n).unwrap() * 100, step, detail);
    }
    book.journal().wake(CallId(id(1))).unwrap().unwrap().overview.reason
}

#[test]
fn row_says_in_a_word_why_a_call_was_not_connected() {
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
fn each_known_pattern_is_named() {
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
fn ends_without_a_fault_name_no_pattern() {
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
            "within the dial-string's own time",
        ),
        // Nothing went wrong, although phones were pushed that never came.
        (vec![held(), sent.clone(), taken.clone(), over("taken")], ""),
        (vec![held(), sent.clone(), taken.clone(), over("woken")], ""),
        (vec![held(), sent, taken, over("connected")], ""),
    ] {
        let (pattern, says) = says(&steps);
        assert_eq!(pattern, None, "{steps:?}: {says}");
        assert!(says.contains(words) && says.is_empty() == words.is_empty(), "{says}");
    }
}

/// A busy phone answers the INVITE after its REGISTER with 486, without ringing.
#[test]
fn phone_that_is_busy_can_take_calls() {
    let busy = |sip: u16| ("leg-ended", json!({"device": IPHONE, "cause": "USER_BUSY", "sip": sip}));
    let woken = [
        held(),
        about("push-sent", IPHONE),
        about("push-accepted", IPHONE),
        about("device-registered", IPHONE),
        about("leg-started", IPHONE),
    ];
    let ends = |end: (&'static str, Value), result: &str| {
        let steps: Vec<_> = woken.iter().cloned().chain([end, over(result)]).collect();
        says(&steps)
    };
    let (pattern, words) = ends(busy(486), "abandoned");
    assert_eq!(pattern, None, "{words}");
    assert!(
        words.starts_with("the phone was busy (486); the caller hung up"),
        "{words}"
    );
    for sip in [486, 600] {
        assert_eq!(ends(busy(sip), "unreachable").0, None);
    }
    let declined = (
        "leg-ended",
        json!({"device": IPHONE, "cause": "CALL_REJECTED", "sip": 603}),
    );
    assert_eq!(ends(declined, "unreachable").0, None);
    let gone = (
        "leg-ended",
        json!({"device": IPHONE, "cause": "NORMAL_TEMPORARY_FAILURE", "sip": 503}),
    );
    assert_eq!(ends(gone, "unreachable").0, Some(Pattern::InviteAfterRegisterFails));
}

#[test]
fn busy_is_called_busy_and_a_decline_a_decline() {
    let ended =
        |device: &str, cause: &str, sip: u16| ("leg-ended", json!({"device": device, "cause": cause, "sip": sip}));
    for (ends, words) in [
        (vec![ended("binding", "USER_BUSY", 486)], "the phone was busy (486)"),
        (vec![ended("binding", "USER_BUSY", 600)], "the phone was busy (600)"),
        (vec![ended("binding", "USER_BUSY", 0)], "the phone was busy"),
        (
            vec![about("leg-ringing", "binding"), ended("binding", "CALL_REJECTED", 603)],
            "a phone rang and its user declined (603)",
        ),
        (
            vec![ended("binding", "CALL_REJECTED", 603)],
            "a phone declined without ringing (603): do not disturb, or the app refuses calls",
        ),
        (
            vec![
                ended(IPHONE, "USER_BUSY", 486),
                about("leg-ringing", "binding"),
                ended("binding", "CALL_REJECTED", 603),
            ],
            "a phone rang and its user declined (603)",
        ),
        (
            vec![ended(IPHONE, "NO_ANSWER", 480), ended("binding", "USER_BUSY", 486)],
            "the phone was busy (486)",
        ),
    ] {
        let steps: Vec<_> = std::iter::once(held()).chain(ends).chain([over("declined")]).collect();
        assert_eq!(says(&steps), (None, words.to_owned()), "{steps:?}");
    }
}

#[test]
fn phone_that_refreshes_by_its_own_timer_is_one_that_never_registers() {
    let late = |result: &str, at_ms: i64| {
        last_says(&[
            (1, 0, "call-held", json!({"caller": "1"})),
            (1, 1, "push-sent", json!({"device": IPHONE})),
            (1, 9, "push-accepted", json!({"device": IPHONE})),
            (1, 25_000, "call-over", json!({"result": result})),
            (
                1,
                at_ms,
                "late-register",
                json!({"device": IPHONE, "late-ms": at_ms - 25_000, "ms": at_ms - 1}),
            ),
        ])
    };
    let (pattern, says) = late("unreachable", 71_000);
    assert_eq!(pattern, Some(Pattern::IphoneNeverRegisters), "{says}");
    assert!(
        says.contains("a longer wait will not help") && !says.contains("max-wait"),
        "{says}"
    );
    let (pattern, says) = late("unreachable", 31_000);
    assert_eq!(pattern, Some(Pattern::LateRegisters), "{says}");
    assert!(says.contains("registered 6.0 s after the call was over"), "{says}");
    // A caller's patience is his own affair.
    let (pattern, says) = late("abandoned", 31_000);
    assert_eq!((pattern, says.contains("max-wait")), (None, false), "{says}");
}

#[test]
fn token_that_is_gone_is_not_called_one_of_the_other_environment() {
    let refused = |device: &str, class: &str, reason: &str| {
        let detail = json!({"device": device, "class": class, "reason": reason});
        says(&[
            held(),
            about("push-sent", device),
            ("push-refused", detail),
            over("unreachable"),
        ])
    };
    for (device, class, has, has_not) in [
        (IPHONE, "token-gone", "removed or reinstalled", "sandbox"),
        (
            IPHONE,
            "token-bad",
            "the other environment (sandbox, production)",
            "removed",
        ),
        (ANDROID, "token-bad", "another Firebase project", "sandbox"),
    ] {
        let (pattern, says) = refused(device, class, "x");
        assert_eq!(pattern, Some(Pattern::StaleTokens));
        assert!(says.contains(has) && !says.contains(has_not), "{says}");
    }
}

#[test]
fn phone_that_had_no_time_to_ring_is_not_one_whose_invite_failed() {
    let invited = |result: &'static str, ms_before_the_end: i64| {
        let at = |ms: i64, step: (&'static str, Value)| (1, ms, step.0, step.1);
        last_says(&[
            at(0, held()),
            at(1, about("push-sent", IPHONE)),
            at(20, about("push-accepted", IPHONE)),
            at(20_000 - ms_before_the_end, about("device-registered", IPHONE)),
            at(20_000 - ms_before_the_end, about("leg-started", IPHONE)),
            at(20_000, over(result)),
        ])
    };
    let (pattern, says) = invited("unreachable", 300);
    assert_eq!(pattern, Some(Pattern::LateRegisters), "{says}");
    assert!(
        says.contains("registered only 300 ms before the call ended, too late to ring"),
        "{says}"
    );
    let (pattern, says) = invited("abandoned", 300);
    assert_eq!(
        (pattern, says.as_str()),
        (
            None,
            "the caller hung up after 20.0 s, when the phone had just registered"
        )
    );
    for result in ["unreachable", "abandoned"] {
        let (pattern, says) = invited(result, 4_000);
        assert_eq!(pattern, Some(Pattern::InviteAfterRegisterFails), "{says}");
        assert!(
            says.contains("its INVITE was not answered;") && !says.contains("settle-delay"),
            "{says}"
        );
    }
}

#[test]
fn leg_that_could_not_be_sent_says_nothing_of_the_app() {
    let ends = |cause: &str, sip: u16| {
        let woken = [
            held(),
            about("push-sent", IPHONE),
            about("push-accepted", IPHONE),
            about("device-registered", IPHONE),
            about("leg-started", IPHONE),
            (
                "leg-ended",
                json!({"device": IPHONE, "cause": cause, "sip": sip, "ms": 8}),
            ),
            over("unreachable"),
        ];
        says(&woken).1
    };
    let unsent = ends("NO_ROUTE_DESTINATION", 0);
    assert!(
        unsent.contains("could not send it the INVITE") && !unsent.contains("settle-delay"),
        "{unsent}"
    );
    let gone = ends("NORMAL_TEMPORARY_FAILURE", 503);
    assert!(gone.contains("FreeSWITCH had lost the connection"), "{gone}");
    for codecs in [ends("INCOMPATIBLE_DESTINATION", 488), ends("NORMAL_UNSPECIFIED", 415)] {
        assert!(
            codecs.contains("none of the offered codecs") && !codecs.contains("settle-delay"),
            "{codecs}"
        );
    }
    let refused = ends("NORMAL_UNSPECIFIED", 500);
    assert!(
        refused.contains("settle-delay") && !refused.contains("FreeSWITCH"),
        "{refused}"
    );
}

#[test]
fn dropped_token_is_told_with_when_why_and_what_brings_it_back() {
    let gone = json!({"device": IPHONE, "class": "token-gone", "reason": "token gone (Unregistered)"});
    let at = 1_795_536_071_042;
    let first = [
        (1, at - 60_000, "call-held", json!({"caller": "1"})),
        (1, at - 59_999, "push-sent", json!({"device": IPHONE})),
        (1, at - 59_000, "push-refused", gone),
        (1, at - 58_000, "call-over", json!({"result": "unreachable"})),
    ];
    let bare = |agent: &str| {
        vec![
            (2, at, "call-held", json!({"caller": "1"})),
            (
                2,
                at,
                "device-without-token",
                json!({"device": "binding", "user-agent": agent}),
            ),
            (2, at, "call-over", json!({"result": "unreachable"})),
        ]
    };
    let after = |before: &[(u128, i64, &'static str, Value)], then: Vec<(u128, i64, &'static str, Value)>| {
        last_says(&before.iter().cloned().chain(then).collect::<Vec<_>>())
    };
    let (pattern, says) = after(&first, bare(""));
    assert_eq!(pattern, Some(Pattern::StaleTokens), "{says}");
    for words in [
        IPHONE,
        "2026-11-24 16:00:12.042 UTC",
        "Unregistered",
        "next REGISTER brings it back",
    ] {
        assert!(says.contains(words), "{words} in {says}");
    }
    assert!(!says.contains("()"), "{says}");
    // A desk phone beside it never had one.
    let (pattern, says) = after(&first, bare("Acme/1"));
    assert_eq!(pattern, Some(Pattern::NoTokenOrApp), "{says}");
    assert!(
        says.contains("a phone (Acme/1) registers without a push token"),
        "{says}"
    );
    // Forgotten for another reason: the log has it.
    let (pattern, says) = after(&[], bare(""));
    assert_eq!(pattern, Some(Pattern::StaleTokens), "{says}");
    assert!(
        says.contains("device forgotten") && says.contains("brings it back"),
        "{says}"
    );
    // Nobody is registered any more.
    let none = vec![
        (2, at, "call-held", json!({"caller": "1"})),
        (2, at, "call-over", json!({"result": "no-device"})),
    ];
    let (pattern, says) = after(&first, none.clone());
    assert_eq!(pattern, Some(Pattern::StaleTokens), "{says}");
    assert!(says.contains("the callee has no phone: the token of apns:"), "{says}");
    // It has come back since, and is gone for another reason.
    let back = (1, at - 30_000, "device-registered", json!({"device": IPHONE}));
    let before: Vec<_> = first.iter().cloned().chain([back]).collect();
    let (pattern, says) = after(&before, none);
    assert_eq!(pattern, None, "{says}");
}

#[test]
fn push_that_was_never_sent_is_not_counted() {
    let book = Book::new();
    let refused = |reason: &str| json!({"device": IPHONE, "class": "misconfigured", "reason": reason});
    for (call, reason) in [
        (1, "no app serves provider apns and app id com.example.app"),
        (2, "CertificateExpired: the certificate expired on 2026-11-23 UTC"),
        (3, "InvalidProviderToken"),
    ] {
        book.line(call, "1001", 0, "call-held", &json!({"caller": "1"}));
        book.line(call, "1001", 1, "push-sent", &json!({"device": IPHONE, "try": 1}));
        book.line(call, "1001", 2, "push-refused", &refused(reason));
        book.line(call, "1001", 3, "call-over", &json!({"result": "unreachable"}));
    }
    let journal = book.journal();
    for (call, pushes, words) in [
        (1, 0, "no push: nothing could be sent"),
        (2, 0, "no push: nothing could be sent"),
        (3, 1, "push written, try 1"),
    ] {
        let wake = journal.wake(CallId(id(call))).unwrap().unwrap();
        assert_eq!((wake.overview.pushes, wake.steps[1].words.as_str()), (pushes, words));
    }
}

#[test]
fn clock_that_is_wrong_is_not_called_a_credential() {
    for (reason, pattern, word) in [
        (
            "ExpiredProviderToken, but it was signed less than 20 minutes ago: check this machine's clock",
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
fn provider_that_answers_is_not_called_unreachable() {
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
        // Lines of versions that had one word for all of it.
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

/// The code says what it was, whatever the provider's text says.
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
