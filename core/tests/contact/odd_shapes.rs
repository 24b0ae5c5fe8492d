//! Borderline Contacts: broken values, FreeSWITCH's own forms, injection.

use fswake_core::contact::{ContactError, ContactWarning as W, Refusal};
use fswake_core::types::{Provider, TokenFault};

use crate::shapes::{apns, expect};
use crate::{HEX, dial, read, tokens};

#[test]
fn s30_odd_token_lists() {
    let both = "ABCDE12345.app.voip&remote";
    let want = |call, remote| Some((Provider::Apns, "app", call, remote));
    expect(
        &apns(":remote&:voip", both),
        None,
        &[W::EmptyEntry, W::EmptyEntry, W::NoToken("pn-prid")],
    );
    expect(
        &apns("&b1ab1a:remote", both),
        want(None, Some("b1ab1a")),
        &[W::EmptyEntry, W::ServicesDiffer],
    );
    let name = "pn-prid";
    let fault = TokenFault::NotApples;
    expect(
        &apns("&blablabla:remote", both),
        None,
        &[W::EmptyEntry, W::NotAToken { name, fault }],
    );
    expect(
        &apns("RemoteToken:remote-aPushKitToken:voip", both),
        None,
        &[W::NotAToken { name, fault }],
    );
    expect(
        &apns("aRemoteToken:CrashTest&aPushKitToken-butnotwellformated", both),
        None,
        &[W::UnknownLabel],
    );
    // Labels are compared without case.
    expect(&apns("aa:VoIP&bb:Remote", both), want(Some("aa"), Some("bb")), &[]);
}

#[test]
fn s31_odd_apps() {
    let tokens = "aa:voip&bb:remote";
    let want = |app| Some((Provider::Apns, app, Some("aa"), Some("bb")));
    expect(
        &apns(tokens, "aProjectID_aBundleID_remote&voip"),
        want("aProjectID_aBundleID_remote"),
        &[W::ServicesDiffer],
    );
    let bad = "aBadFormattedProjectID-aBundleID-remote-voip";
    expect(&apns(tokens, bad), want(bad), &[]);
    expect(&apns(tokens, "ABCDE12345.a.b.voip&remote"), want("a.b"), &[]);
    expect(
        &apns("aa", "ABCDE12345.a.b.remote"),
        Some((Provider::Apns, "a.b", None, Some("aa"))),
        &[],
    );
}

#[test]
fn s32_encoded_copy_is_never_read() {
    let text = "\"user\" <sip:u@h:5060;pn-provider=fcm;pn-prid=first;fs_nat=yes;\
                fs_path=sip%3Au%40192.0.2.1%3A5060%3Bpn-provider%3Dfcm%3Bpn-prid%3Dsecond>";
    expect(text, Some((Provider::Fcm, "", Some("first"), None)), &[]);
    let only_copy = "\"user\" <sip:u@h:5060;fs_nat=yes;fs_path=sip:u@192.0.2.1:5060;pn-provider=fcm;pn-prid=second>";
    expect(only_copy, None, &[]);
    assert!(dial(&read(only_copy).unwrap()).ends_with(";fs_path=sip%3Au%40192.0.2.1%3A5060"));
}

#[test]
fn s33_received_and_cut_path() {
    let text =
        "\"\" <sip:u@h:5060;pn-provider=fcm;pn-prid=t;received=192.0.2.1:5060;fs_nat=yes;fs_path=sip:u@192.0.2.1";
    let contact = read(text).unwrap();
    assert!(contact.cut);
    assert_eq!(tokens(&contact), (Some("t"), None));
    assert_eq!(contact.warnings, [W::Cut, W::RouteLost]);
    assert_eq!(
        dial(&contact),
        "sofia/internal/sip:u@h:5060;received=192.0.2.1:5060;fs_nat=yes"
    );
}

#[test]
fn s34_missing_user() {
    let contact = read("\"\" <sip:(null)@192.0.2.1:5060>").unwrap();
    assert_eq!(contact.uri.user(), None);
    assert_eq!(dial(&contact), "sofia/internal/sip:192.0.2.1:5060");
    assert_eq!(read("<sip:192.0.2.1>").unwrap().uri.user(), None);
}

#[test]
fn s35_ipv6_and_sips() {
    let contact = read("<sip:u@[2001:DB8::1]:5060;pn-provider=fcm;pn-prid=t>").unwrap();
    assert_eq!(tokens(&contact), (Some("t"), None));
    assert_eq!(dial(&contact), "sofia/internal/sip:u@[2001:db8::1]:5060");
    assert_eq!(read("<sip:u@[fe80::1%25eth0]:5060>").unwrap_err(), ContactError::ZoneId);
    assert_eq!(read("<sip:u@[fe80::1%eth0]>").unwrap_err(), ContactError::ZoneId);
    for bad in [
        "<sip:u@2001:db8::1>",
        "<sip:u@[2001:db8::1>",
        "<sip:u@[h]>",
        "<sip:u@[::1]x>",
        "<sip:u@>",
    ] {
        assert_eq!(read(bad).unwrap_err(), ContactError::BadHost, "{bad}");
    }
    for bad in [
        "<sip:u@h:>",
        "<sip:u@h:0>",
        "<sip:u@h:65536>",
        "<sip:u@h:+1>",
        "<sip:u@h:5060x>",
    ] {
        assert_eq!(read(bad).unwrap_err(), ContactError::BadPort, "{bad}");
    }
}

#[test]
fn s36_names_in_any_case() {
    let text = format!("<SIP:a@h;PN-PROVIDER=APNS;Pn-Prid={HEX};pN-pArAm=ABCDE12345.a.voip>");
    expect(&text, Some((Provider::Apns, "a", Some(HEX), None)), &[]);
    assert_eq!(dial(&read(&text).unwrap()), "sofia/internal/sip:a@h");
}

#[test]
fn s37_anything_but_one_contact_is_an_error() {
    for two in [
        "<sip:a@h>, <sip:b@h>",
        "<sip:a@h>;expires=1,<sip:b@h>",
        "\"a\" <sip:a@h;x=1> , \"b\" <sip:b@h>",
        "sip:a@h, sip:b@h",
        "sip:a@h;x=1,<sip:b@h>",
        "*, <sip:b@h>",
    ] {
        assert_eq!(read(two).unwrap_err(), ContactError::MultipleContacts, "{two}");
    }
    assert_eq!(read("*").unwrap_err(), ContactError::Wildcard);
    assert_eq!(read("").unwrap_err(), ContactError::Empty);
    assert_eq!(read(" \t").unwrap_err(), ContactError::Empty);
    for none in ["<tel:+49123>", "tel:+49123", "<>", "\"x\" <http://h>", "h", "\"x\""] {
        assert_eq!(read(none).unwrap_err(), ContactError::NotSip, "{none}");
    }
}

#[test]
fn s38_display_name_is_never_read() {
    expect("\"x;pn-provider=fcm;pn-prid=evil\" <sip:a@h>", None, &[]);
    expect(
        "\"x\\\" <sip:evil@evil;pn-provider=fcm;pn-prid=evil>\" <sip:a@h>",
        None,
        &[],
    );
    expect("x;pn-provider=fcm;pn-prid=evil <sip:a@h>", None, &[]);
    assert_eq!(read("\"x <sip:a@h>").unwrap_err(), ContactError::Unbalanced);
    assert_eq!(read("a \"b\" \" <sip:a@h>").unwrap_err(), ContactError::Unbalanced);
}

#[test]
fn s39_hostile_user_part_is_escaped() {
    for user in ["a,sofia%2Fgateway%2Fgw%2F123", "a,sofia/gateway/gw/123"] {
        assert_eq!(
            dial(&read(&format!("<sip:{user}@h>")).unwrap()),
            "sofia/internal/sip:a%2Csofia%2Fgateway%2Fgw%2F123@h"
        );
    }
    assert_eq!(
        dial(&read("<sip:[a={b}]|c^d$e\\f'g`h;fs_path=i@h>").unwrap_or_else(|_| read("<sip:x@h>").unwrap())),
        "sofia/internal/sip:x@h",
        "what FreeSWITCH reads as a route cannot be part of the user"
    );
    assert_eq!(
        dial(&read("<sip:[a={b}]|c^d$e\\f'g`h?i&j:_:k@h>").unwrap()),
        "sofia/internal/sip:%5Ba%3D%7Bb%7D%5D%7Cc%5Ed%24e%5Cf%27g%60h%3Fi%26j%3A_%3Ak@h"
    );
    // With an `@` that the phone had escaped.
    assert_eq!(
        dial(&read("<sip:alice@example.com@192.0.2.1:5060>").unwrap()),
        "sofia/internal/sip:alice%40example.com@192.0.2.1:5060"
    );
    assert_eq!(
        dial(&read("<sip:1000;phone-context=x@h>").unwrap()),
        "sofia/internal/sip:1000%3Bphone-context%3Dx@h"
    );
}

#[test]
fn s40_unfit_tokens_are_refused() {
    let text = |prid: &str| format!("<sip:a@h;pn-provider=fcm;pn-prid{prid}>");
    expect(&text("="), None, &[W::NoToken("pn-prid")]);
    expect(&text(""), None, &[W::NoToken("pn-prid")]);
    for length in [300, 1000, 4096] {
        let token = "x".repeat(length);
        expect(
            &text(&format!("={token}")),
            Some((Provider::Fcm, "", Some(&token), None)),
            &[],
        );
    }
    let refused = |why| [W::Refused { name: "pn-prid", why }];
    expect(
        &text(&format!("={}", "x".repeat(4097))),
        None,
        &refused(Refusal::TooLong),
    );
    for bad in [
        "=a\u{0}b", "=a\tb", "=a b", "=a%20b", "=a%00", "=a%0d%0a", "=\u{e9}", "=%FF", "=%7f", "=a\nb",
    ] {
        expect(&text(bad), None, &refused(Refusal::BadCharacter));
    }
    for bad in ["=a%zz", "=a%", "=a%4", "=%%41"] {
        expect(&text(bad), None, &refused(Refusal::BadEscape));
    }
    expect(&text("=a;pn-prid=b"), None, &[W::Contradictory("pn-prid")]);
    expect(&text("=a;PN-PRID"), None, &[W::Contradictory("pn-prid")]);
    expect(
        &text("=a;pn-prid=a"),
        Some((Provider::Fcm, "", Some("a"), None)),
        &[W::Repeated("pn-prid")],
    );
    expect("<sip:a@h;pn-prid=a>", None, &[W::NoProvider]);
    expect(
        "<sip:a@h;pn-provider=fcm;pn-provider=apns;pn-prid=a>",
        None,
        &[W::Contradictory("pn-provider")],
    );
}
