//! What single wakes say.

use fswake::journal::Pattern;

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
    wake.diagnosis.map_or((None, String::new()), |d| (d.pattern, d.says))
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
                refused(
                    IPHONE,
                    "misconfigured",
                    "not configured: no app serves provider apns and app id x",
                ),
                over("unreachable"),
            ],
        ),
        (
            Pattern::CredentialsRefused,
            vec![
                sent.clone(),
                refused(IPHONE, "misconfigured", "not configured: InvalidProviderToken"),
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
            vec![sent.clone(), taken.clone(), woke, invited, over("unreachable")],
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
                refused(IPHONE, "exhausted", "not delivered in time: connect: refused"),
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
    assert_eq!(ends(busy(486), "unreachable").0, None);
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
            vec![ended("binding", "CALL_REJECTED", 603)],
            "a phone rang and its user declined (603)",
        ),
        (
            vec![ended(IPHONE, "USER_BUSY", 486), ended("binding", "CALL_REJECTED", 603)],
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
