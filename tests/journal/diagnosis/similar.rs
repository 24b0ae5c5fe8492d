//! Causes that look alike must get different diagnoses.

use super::*;

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
fn busy_and_declined_are_distinguished() {
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
fn phone_that_refreshes_by_its_own_timer_counts_as_never_registered() {
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
    // A caller who gives up early is not diagnosed.
    let (pattern, says) = late("abandoned", 31_000);
    assert_eq!((pattern, says.contains("max-wait")), (None, false), "{says}");
}

#[test]
fn token_that_is_gone_is_not_reported_as_of_the_other_environment() {
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
fn phone_without_time_to_ring_is_not_reported_as_a_failed_invite() {
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
fn failed_send_of_an_invite_is_not_blamed_on_the_app() {
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
fn dropped_token_is_reported_with_time_reason_and_remedy() {
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
    // A desk phone of the same user never had a token.
    let (pattern, says) = after(&first, bare("Acme/1"));
    assert_eq!(pattern, Some(Pattern::NoTokenOrApp), "{says}");
    assert!(
        says.contains("a phone (Acme/1) registers without a push token"),
        "{says}"
    );
    // It was forgotten for another reason, which is in the log.
    let (pattern, says) = after(&[], bare(""));
    assert_eq!(pattern, Some(Pattern::StaleTokens), "{says}");
    assert!(
        says.contains("device forgotten") && says.contains("brings it back"),
        "{says}"
    );
    // No phone is registered any more.
    let none = vec![
        (2, at, "call-held", json!({"caller": "1"})),
        (2, at, "call-over", json!({"result": "no-device"})),
    ];
    let (pattern, says) = after(&first, none.clone());
    assert_eq!(pattern, Some(Pattern::StaleTokens), "{says}");
    assert!(says.contains("the callee has no phone: the token of apns:"), "{says}");
    // The phone has registered since, and its token is gone for another reason.
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
