//! Which rows of push_tokens become which devices.

use fswake::import::tokens::{Row, TokenPlan, plan};
use fswake::types::{Aor, Device, Provider, PushToken};

const NOW: i64 = 1_790_000_000;
const IPHONE: &str = "6f1d0c5e8a7b4932b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8";

/// Makes a good row unusable.
type Spoil<'a> = &'a dyn Fn(&mut Row);

fn row(id: i64, user: &str, kind: &str, token: &str) -> Row {
    Row {
        id,
        token: token.into(),
        user: user.into(),
        realm: "pbx.example".into(),
        app_id: "com.example.phone".into(),
        kind: kind.into(),
        platform: "Android".into(),
        last_update: 1_700_000_000 + id,
    }
}

/// The call and message token of each device, by user.
fn tokens(devices: &[Device]) -> Vec<(String, Option<&str>, Option<&str>)> {
    let exposed = |token: Option<&PushToken>| token.map(|t| t.expose().to_owned());
    let mut all: Vec<_> = devices
        .iter()
        .map(|d| (d.aor.user.to_string(), d.push.tokens.call(), d.push.tokens.remote()))
        .collect();
    all.sort_by_key(|(user, call, message)| (user.clone(), exposed(*call), exposed(*message)));
    all.into_iter()
        .map(|(user, call, message)| (user, call.map(PushToken::expose), message.map(PushToken::expose)))
        .collect()
}

/// Ids of the refused rows, with the reasons.
fn refused(plan: &TokenPlan) -> Vec<(i64, String)> {
    plan.refused.iter().map(|r| (r.id, r.why.to_string())).collect()
}

#[test]
fn call_and_message_token_of_one_user_and_app_are_one_device() {
    let mut rows = vec![row(7, "101", "voip", IPHONE), row(8, "101", "im", "C0FFEE")];
    rows[0].platform = "iOS".into();
    rows[1].platform = "ios".into();
    let plan = plan(rows, NOW);
    let [device] = plan.devices.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(device.aor, Aor::new("101", "pbx.example"));
    assert_eq!(
        (&device.push.provider, &*device.push.app),
        (&Provider::Apns, "com.example.phone")
    );
    assert_eq!(
        tokens(&plan.devices),
        [("101".into(), Some(IPHONE), Some("c0ffee"))],
        "not in the form of Apple's tokens, as from a REGISTER"
    );
    assert_eq!((device.first_seen, device.last_seen), (NOW, 1_700_000_008));
    assert_eq!(
        (plan.merged, plan.mended, plan.refused.len(), plan.apart.len()),
        (0, 0, 0, 0)
    );
}

#[test]
fn platforms_are_interpreted_as_in_a_register() {
    for (platform, token, provider) in [
        ("iOS", "aa", "apns"),
        ("apple", "aa", "apns"),
        ("Android", "t", "fcm"),
        ("FCM", "t", "fcm"),
        ("", IPHONE, "apns"),
        ("", "t", "unknown"),
        ("Harmony", "t", "harmony"),
    ] {
        let mut one = row(1, "101", "voip", token);
        one.platform = platform.into();
        let plan = plan(vec![one], NOW);
        assert_eq!(plan.devices[0].push.provider.name(), provider, "{platform}");
    }
}

#[test]
fn several_phones_of_one_user_stay_distinct_until_they_register() {
    let rows = vec![
        row(1, "101", "voip", "call-a"),
        row(3, "101", "voip", "call-b"),
        row(6, "101", "im", "message-a"),
        row(8, "101", "im", "message-b"),
    ];
    let plan = plan(rows, NOW);
    let alone = |call, message| ("101".to_owned(), call, message);
    assert_eq!(
        tokens(&plan.devices),
        [
            alone(None, Some("message-a")),
            alone(None, Some("message-b")),
            alone(Some("call-a"), None),
            alone(Some("call-b"), None),
        ]
    );
    assert_eq!(
        plan.apart.into_iter().collect::<Vec<_>>(),
        [Aor::new("101", "pbx.example")]
    );
}

#[test]
fn rows_of_one_register_are_one_phone() {
    let rows = vec![
        row(1, "101", "voip", "call-a"),
        row(2, "101", "im", "message-a"),
        row(3, "101", "voip", "call-b"),
        row(4, "101", "im", "message-b"),
        // It was written alone, later.
        row(9, "101", "im", "message-c"),
        // A duplicate row does not show when the token was first used.
        row(10, "101", "voip", "call-a"),
    ];
    let plan = plan(rows, NOW);
    let one = |call, message| ("101".to_owned(), call, Some(message));
    assert_eq!(
        tokens(&plan.devices),
        [
            one(None, "message-c"),
            one(Some("call-a"), "message-a"),
            one(Some("call-b"), "message-b")
        ]
    );
    assert!(plan.apart.is_empty());
}

#[test]
fn most_common_platform_name_is_reported() {
    let mut rows: Vec<_> = (1..=5).map(|n| row(n, "101", "voip", &format!("a{n}"))).collect();
    for (row, platform) in rows.iter_mut().zip(["ios", "iOS", "ios", "Android", ""]) {
        row.platform = platform.into();
    }
    let told: Vec<_> = plan(rows, NOW).platforms.into_iter().collect();
    assert_eq!(
        told,
        [
            (Provider::Apns, "ios".to_owned()),
            (Provider::Fcm, "Android".to_owned())
        ]
    );
}

#[test]
fn token_that_serves_both_purposes_is_one_device_among_others() {
    // Google has one token per app, which apps send as both.
    let rows = vec![
        row(1, "101", "voip", "a"),
        row(2, "101", "im", "a"),
        row(3, "101", "voip", "b"),
        row(4, "101", "im", "b"),
        row(5, "101", "voip", "c"),
        row(6, "101", "im", "d"),
    ];
    let plan = plan(rows, NOW);
    let one = |call, message| ("101".to_owned(), Some(call), Some(message));
    assert_eq!(tokens(&plan.devices), [one("a", "a"), one("b", "b"), one("c", "d")]);
    assert!(plan.apart.is_empty());
}

#[test]
fn duplicates_are_merged_and_the_newest_counts() {
    let mut rows = vec![
        row(1, "101", "voip", IPHONE),
        row(2, "101", "voip", IPHONE),
        row(3, "101", "voip", IPHONE),
    ];
    rows[1].last_update = NOW - 5;
    let plan = plan(rows, NOW);
    assert_eq!((plan.devices.len(), plan.merged, plan.refused.len()), (1, 2, 0));
    assert_eq!(plan.devices[0].last_seen, NOW - 5);
}

#[test]
fn token_that_moved_to_another_user_belongs_only_to_the_newest_row() {
    let rows = vec![
        row(1, "101", "voip", "t"),
        row(2, "102", "voip", "t"),
        row(3, "101", "im", "t"),
    ];
    let plan = plan(rows, NOW);
    // The message row of 101 is the newest one of this token.
    assert_eq!(tokens(&plan.devices), [("101".into(), Some("t"), Some("t"))]);
    let moved = "the token now belongs to 101@pbx.example, whose row is newer";
    assert_eq!(refused(&plan), [(2, moved.into())]);
}

#[test]
fn apples_tokens_are_compared_without_case_and_a_placeholder_does_not_affect_the_other() {
    let upper = IPHONE.to_ascii_uppercase();
    let mut rows = vec![
        row(1, "101", "voip", IPHONE),
        row(2, "102", "voip", &upper),
        row(3, "102", "im", "C0FFEE"),
        row(4, "103", "voip", "(null)"),
        row(5, "103", "im", "C0FFEE01"),
        row(6, "104", "voip", "<null>"),
        row(7, "104", "im", "{length = 32, bytes = 0x5e6f ... 90a1 }"),
    ];
    for row in &mut rows {
        row.platform = "iOS".into();
    }
    let plan = plan(rows, NOW);
    assert_eq!(
        tokens(&plan.devices),
        [
            ("102".into(), Some(IPHONE), Some("c0ffee")),
            ("103".into(), None, Some("c0ffee01")),
        ]
    );
    let refused: Vec<_> = refused(&plan).into_iter().map(|(id, _)| id).collect();
    assert_eq!(refused, [1, 4, 6, 7]);
}

#[test]
fn same_token_of_another_app_is_another_device() {
    let mut rows = vec![row(1, "101", "voip", "t"), row(2, "102", "voip", "t")];
    rows[1].app_id = "com.example.white-label".into();
    assert_eq!(plan(rows, NOW).devices.len(), 2);
}

#[test]
fn unusable_rows_are_reported_by_user_without_the_token() {
    let long = "x".repeat(255);
    let unfit = "the token cannot be used: it has a space, a control character or a non-ASCII byte";
    let cut = "is 255 characters long, as much as mod_apn's column holds: it may have been cut";
    let cases: [(Spoil<'_>, String); 15] = [
        (&|r| r.token = long.clone(), format!("the token {cut}")),
        (&|r| r.app_id = long.clone(), format!("the app id {cut}")),
        (&|r| r.user = long.clone(), format!("the user {cut}")),
        (&|r| r.token = "two words".into(), unfit.into()),
        (&|r| r.token = "line\r\nbreak".into(), unfit.into()),
        (&|r| r.token = "t\u{fc}r".into(), unfit.into()),
        (
            &|r| r.token = "50%".into(),
            "the token cannot be used: a % is not followed by two hexadecimal digits".into(),
        ),
        (&|r| r.token = String::new(), "the token is empty".into()),
        (&|r| r.token = ">;expires=60".into(), "the token is empty".into()),
        (
            &|r| r.token = "(NULL)".into(),
            "not a token: the app sent a placeholder such as (null) instead of a token".into(),
        ),
        (
            &|r| r.platform = "iOS".into(),
            "not a token: Apple's tokens are hexadecimal digits, two for each byte".into(),
        ),
        (&|r| r.user = String::new(), "the user is empty".into()),
        (&|r| r.realm = String::new(), "the realm is empty".into()),
        (
            &|r| r.realm = "a b".into(),
            "the realm cannot be used: it has a space, a control character or a non-ASCII byte".into(),
        ),
        (
            &|r| r.kind = "sms\n".into(),
            "type \"sms\\\\u{a}\": fswake pushes for calls (voip) and for messages (im)".into(),
        ),
    ];
    for (n, (spoil, why)) in cases.into_iter().enumerate() {
        let mut bad = row(7, "101", "voip", "a-secret-token");
        spoil(&mut bad);
        let token = bad.token.clone();
        let plan = plan(vec![bad, row(8, "102", "voip", "good")], NOW);
        assert_eq!(refused(&plan), [(7, why)], "case {n}");
        assert_eq!(plan.devices.len(), 1, "case {n}: the good row is copied");
        let shown = format!("{} {:?}", plan.refused[0], plan.refused[0]);
        assert!(shown.contains(&PushToken::new(token.as_str()).fingerprint()), "{shown}");
        assert!(token.len() < 3 || !shown.contains(&token), "{shown}");
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
}

#[test]
fn bracket_that_mod_apn_left_on_the_last_parameter_is_removed() {
    let mut rows = vec![row(1, "101", "voip", "token>"), row(2, "101", "im", "message")];
    rows[1].platform = "Android>".into();
    rows[1].app_id = "com.example.phone>,<sip:other".into();
    let plan = plan(rows, NOW);
    assert_eq!(tokens(&plan.devices), [("101".into(), Some("token"), Some("message"))]);
    assert_eq!(plan.mended, 2);
}

#[test]
fn escapes_are_decoded_as_in_a_register() {
    let plan = plan(vec![row(1, "101", "voip", "abc%3Adef")], NOW);
    assert_eq!(tokens(&plan.devices), [("101".into(), Some("abc:def"), None)]);
}

#[test]
fn time_in_the_future_becomes_now() {
    let mut row = row(1, "101", "voip", "t");
    row.last_update = NOW + 86_400;
    assert_eq!(plan(vec![row], NOW).devices[0].last_seen, NOW);
}
