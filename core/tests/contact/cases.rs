//! Contacts from the field that were once parsed wrongly. Each stands for a kind of mistake.

use fswake_core::contact::{AppIds, Contact, ContactWarning as W, ParamNames, ParamSet, WebPushNames, parse};
use fswake_core::types::{Provider, TokenFault};

use crate::shapes::{apns, expect};
use crate::{FCM, HEX, HEX2, tokens};

const PHONE: &str = "com.example.phone";

/// Parses a Contact with these apps configured.
fn configured(contact: &str, apps: &[(Provider, &str)]) -> Contact {
    let names = ParamNames {
        web_push: WebPushNames::default(),
        sets: vec![ParamSet::mod_apn()],
        apps: AppIds(apps.iter().map(|(p, id)| (p.clone(), (*id).to_owned())).collect()),
    };
    parse(contact, &names, "", None).unwrap()
}

fn app(contact: &Contact) -> (&str, &str) {
    let push = contact.push.as_ref().unwrap();
    (push.provider.name(), &push.app)
}

fn mod_apn(call: &str, message: &str, platform: &str) -> String {
    format!("<sip:a@h;app-id={PHONE};pn-voip-tok={call};pn-im-tok={message}{platform}>")
}

#[test]
fn apples_tokens_in_either_case_are_one() {
    let upper = HEX.to_ascii_uppercase();
    for token in [HEX, &upper] {
        let param = "TEAMID1234.com.example.phone.voip";
        expect(&apns(token, param), Some((Provider::Apns, PHONE, Some(HEX), None)), &[]);
        let both = format!("{token}:voip&{HEX2}:remote");
        let param = "TEAMID1234.com.example.phone.remote&voip";
        expect(
            &apns(&both, param),
            Some((Provider::Apns, PHONE, Some(HEX), Some(HEX2))),
            &[],
        );
        expect(
            &mod_apn(token, token, ";pn-platform=iOS"),
            Some((Provider::Apns, PHONE, Some(HEX), Some(HEX))),
            &[],
        );
        expect(
            &format!("<sip:a@h;app-id={PHONE}.voip.prod;pn-type=apple;pn-tok={token}>"),
            Some((Provider::Apns, PHONE, Some(HEX), None)),
            &[],
        );
    }
    // Google's tokens are case-sensitive.
    let token = |token: &str| {
        let contact = crate::read(&format!("<sip:a@h;pn-provider=fcm;pn-prid={token}>")).unwrap();
        tokens(&contact).0.map(str::to_owned)
    };
    assert_eq!(token("aB:cD").as_deref(), Some("aB:cD"));
}

#[test]
fn placeholder_token_does_not_affect_the_other_token() {
    let fault = TokenFault::Placeholder;
    for word in [
        "(null)",
        "null",
        "nil",
        "undefined",
        "none",
        "empty",
        "%3Cnull%3E",
        // FreeSWITCH's event has the phone's escapes decoded.
        "<null>",
        "Optional(%22x%22)",
        "Optional(\"x\")",
        "{length=32,bytes=0x5e6f..}",
    ] {
        let name = "(call token)";
        expect(
            &mod_apn(word, HEX, ";pn-platform=iOS"),
            Some((Provider::Apns, PHONE, None, Some(HEX))),
            &[W::NoVoipToken { name, fault }],
        );
        let name = "(message token)";
        expect(
            &mod_apn(HEX, word, ";pn-platform=iOS"),
            Some((Provider::Apns, PHONE, Some(HEX), None)),
            &[W::NoMessageToken { name, fault }],
        );
        // A Google token serves both purposes, so nothing is missing.
        expect(
            &mod_apn(word, FCM, ";pn-platform=Android"),
            Some((Provider::Fcm, PHONE, None, Some(FCM))),
            &[],
        );
        let name = "pn-prid";
        let param = "TEAMID1234.com.example.phone.remote&voip";
        expect(
            &apns(&format!("{HEX}:remote&{word}:voip"), param),
            Some((Provider::Apns, PHONE, None, Some(HEX))),
            &[W::NoVoipToken { name, fault }],
        );
    }
    let warning = crate::read(&mod_apn("(null)", HEX, ";pn-platform=iOS"))
        .unwrap()
        .warnings[0]
        .to_string();
    assert!(warning.starts_with("no VoIP token"), "{warning}");
}

#[test]
fn odd_list_entry_does_not_affect_the_other() {
    let (name, param) = ("pn-prid", "TEAMID1234.com.example.phone.remote&voip");
    for (odd, fault) in [
        (
            "{length = 32, bytes = 0x5e6f7081 ... 90a1b2c3 }",
            TokenFault::Placeholder,
        ),
        ("{length%20=%2032,%20bytes%20=%200x5e6f..}", TokenFault::Placeholder),
        ("32 bytes", TokenFault::NotApples),
        ("<5e6f7081 90a1b2c3>", TokenFault::NotApples),
        ("../../x", TokenFault::NotApples),
    ] {
        expect(
            &apns(&format!("{odd}:voip&{HEX}:remote"), param),
            Some((Provider::Apns, PHONE, None, Some(HEX))),
            &[W::NoVoipToken { name, fault }],
        );
        expect(
            &apns(&format!("{HEX}:voip&{odd}:remote"), param),
            Some((Provider::Apns, PHONE, Some(HEX), None)),
            &[W::NoMessageToken { name, fault }],
        );
    }
}

#[test]
fn brackets_that_a_phone_escaped_do_not_end_the_contact() {
    for (contact, call) in [
        (mod_apn("<null>", "<null>", ";pn-platform=iOS;ob"), None),
        (mod_apn(HEX, "<null>", ";pn-platform=iOS;ob"), Some(HEX)),
        (
            mod_apn(HEX, "<null>", ";ob;fs_path=<sip:192.0.2.1;lr>,<sip:192.0.2.2;lr>"),
            Some(HEX),
        ),
        (
            format!(
                "\"\" <sip:a@h;app-id={PHONE};pn-voip-tok={HEX};pn-im-tok=<null>;ob>;+sip.instance=\"<urn:uuid:0>\""
            ),
            Some(HEX),
        ),
    ] {
        let read = crate::read(&contact).unwrap();
        assert_eq!((tokens(&read).0, read.cut), (call, false), "{contact}");
        let dialled = crate::dial(&read);
        assert!(dialled.starts_with("sofia/internal/sip:a@h;ob"), "{dialled}");
    }
    // A `>` in a value that is not a placeholder is taken for the end.
    let half = crate::read("<sip:a@h;x=a<b>;expires=60").unwrap();
    assert_eq!(crate::dial(&half), "sofia/internal/sip:a@h;x=a%3Cb");
}

#[test]
fn contact_with_only_placeholder_tokens_has_no_token_and_one_warning() {
    let (name, fault) = ("pn-prid", TokenFault::Placeholder);
    for provider in ["fcm", "acme", "apns"] {
        expect(
            &format!("<sip:a@h;pn-provider={provider};pn-param=acme-1;pn-prid=null>"),
            None,
            &[W::NotAToken { name, fault }],
        );
    }
    expect(
        &mod_apn("(null)", "(null)", ";pn-platform=iOS"),
        None,
        &[W::NotAToken {
            name: "(call token)",
            fault,
        }],
    );
}

#[test]
fn token_that_the_provider_cannot_have_issued_is_refused_with_one_warning() {
    let name = "pn-prid";
    for (text, fault) in [
        ("{length=32,bytes=0x5e6f..}", TokenFault::Placeholder),
        ("Optional(\"5e6f\")", TokenFault::Placeholder),
        ("../../x", TokenFault::NotApples),
        ("5e6f7", TokenFault::NotApples),
        (FCM.split_once(':').unwrap().0, TokenFault::NotApples),
    ] {
        for param in [
            "TEAMID1234.com.example.phone.voip",
            "com.example.phone",
            "T.com.example.phone.voip&remote",
        ] {
            expect(&apns(text, param), None, &[W::NotAToken { name, fault }]);
        }
    }
    let fault = TokenFault::NotGoogles;
    expect(
        "<sip:a@h;pn-provider=fcm;pn-prid=../../x>",
        None,
        &[W::NotAToken { name, fault }],
    );
}

#[test]
fn apple_token_is_recognised_by_its_digits_at_any_length() {
    for length in [64, 160, 200] {
        let token = "5e".repeat(length / 2);
        expect(
            &mod_apn(&token, &token, ""),
            Some((Provider::Apns, PHONE, Some(&token), Some(&token))),
            &[],
        );
    }
}

#[test]
fn configured_app_ids_tell_team_and_bundle_apart() {
    let ids = [(Provider::Apns, PHONE)];
    for param in [
        "TEAMID1234.com.example.phone.voip",
        "ABCD1234.com.example.phone.remote&voip",
        "ABCD1234.com.example.phone.voip&remote",
        "acme.com.example.phone.voip",
        "com.example.phone.voip",
        "com.example.phone",
    ] {
        let contact = configured(&apns(&format!("{HEX}:voip"), param), &ids);
        assert_eq!(app(&contact), ("apns", PHONE), "{param}");
    }
    // With no app configured, a prefix that cannot start a bundle id is taken for a team id.
    let contact = crate::read(&apns(HEX, "ABCD1234.com.example.phone.voip")).unwrap();
    assert_eq!(app(&contact), ("apns", PHONE));
    let named = |id: &str| format!("<sip:a@h;app-id={id};pn-voip-tok={HEX};pn-platform=iOS>");
    for id in [PHONE, "com.example.phone.voip", "ABCD1234.com.example.phone"] {
        assert_eq!(app(&configured(&named(id), &ids)), ("apns", PHONE), "{id}");
    }
}

#[test]
fn configured_app_ids_resolve_an_ambiguous_old_app_id() {
    let text = format!("<sip:a@h;app-id=org.example.dev;pn-type=apple;pn-tok={HEX}>");
    assert_eq!(app(&configured(&text, &[])), ("apns.dev", "org.example"));
    let whole = configured(&text, &[(Provider::Apns, "org.example.dev")]);
    assert_eq!(app(&whole), ("apns", "org.example.dev"));
    assert_eq!(
        tokens(&whole),
        (Some(HEX), None),
        "nothing shows that the token is not for calls"
    );
    let both = [
        (Provider::Apns, "org.example.dev"),
        (Provider::ApnsSandbox, "org.example"),
    ];
    assert_eq!(app(&configured(&text, &both)), ("apns.dev", "org.example"));
}

#[test]
fn configured_app_ids_give_the_provider_where_no_platform_does() {
    let text = mod_apn(FCM, FCM, "");
    let android = configured(&text, &[(Provider::Fcm, PHONE)]);
    assert_eq!((app(&android), android.warnings.len()), (("fcm", PHONE), 0));
    let either = configured(&text, &[(Provider::Fcm, PHONE), (Provider::Apns, PHONE)]);
    assert_eq!(
        (app(&either), &*either.warnings),
        (("unknown", PHONE), &[W::UnknownPlatform][..])
    );
    let short = mod_apn("5e6f", "5e6f", "");
    let apple = configured(&short, &[(Provider::Apns, PHONE)]);
    assert_eq!((app(&apple), tokens(&apple).0), (("apns", PHONE), Some("5e6f")));
}
