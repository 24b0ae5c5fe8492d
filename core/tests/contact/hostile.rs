//! Hostile and accidental input, and properties that hold for every string.

use fswake_core::contact::{ContactError, MAX_CONTACT, ParamNames, Uri, WriteError, parse};
use proptest::prelude::*;

use crate::{dial, hint, read, tokens};

/// All characters that a dial-string may contain.
fn is_allowed(dial: &str) -> bool {
    let target = dial.strip_prefix("sofia/internal/").unwrap();
    let plain = |s: &str| {
        s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._*+%:@;=".contains(&b))
    };
    let mut parts = target.split('[');
    let before = parts.next().unwrap_or_default();
    let pairs = parts.all(|part| {
        let Some((inside, after)) = part.split_once(']') else {
            return false;
        };
        !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b":.-".contains(&b)) && plain(after)
    });
    plain(before) && pairs && !dial.contains(":_:")
}

#[test]
fn harmless_brackets_and_equals_signs_in_values_stay() {
    for (given, written) in [
        ("alias=[::1]~5060~1", "alias=[::1]%7E5060%7E1"),
        ("alias=[2001:db8::1]", "alias=[2001:db8::1]"),
        ("x=a=b", "x=a=b"),
        ("x=[a]=[b]", "x=[a]=[b]"),
        // Brackets that FreeSWITCH could take for a variable, a list or the end of something are escaped.
        ("x=[leg_timeout=1]", "x=%5Bleg_timeout=1%5D"),
        ("x=[a,b]", "x=%5Ba%2Cb%5D"),
        ("x=[[::1]]", "x=%5B[::1]%5D"),
        ("x=[", "x=%5B"),
        ("x=]", "x=%5D"),
        ("x=[]", "x=%5B%5D"),
        ("x=[::1", "x=%5B::1"),
        ("x=][::1][", "x=%5D[::1]%5B"),
        ("x=[:_:]", "x=%5B%3A_%3A%5D"),
        ("x=%5B::1%5D", "x=%5B::1%5D"),
        ("x=a%3Db", "x=a%3Db"),
        ("[x]=y", "%5Bx%5D=y"),
    ] {
        let text = dial(&read(&format!("<sip:a@h;{given}>")).unwrap());
        assert_eq!(text, format!("sofia/internal/sip:a@h;{written}"), "{given}");
        assert!(is_allowed(&text), "{text}");
    }
    let user = dial(&read("<sip:[::1]=a@h>").unwrap());
    assert_eq!(user, "sofia/internal/sip:%5B%3A%3A1%5D%3Da@h");
}

#[test]
fn token_that_an_escaped_bracket_cut_short_is_an_error() {
    // FreeSWITCH delivers `pn-prid=abc%3Edef` with a bare `>`.
    for text in [
        "<sip:a@h;pn-provider=fcm;pn-prid=abc>def>",
        "<sip:a@h;pn-provider=fcm;pn-prid=abc>def;x=1>",
        "<sip:a@h;pn-provider=fcm;pn-prid=abc>;x=1>",
        "<sip:a@h;pn-provider=fcm;pn-prid=abc> x",
        "<sip:a@h>;x=\"unclosed",
    ] {
        assert_eq!(read(text).unwrap_err(), ContactError::Unbalanced, "{text}");
    }
}

#[test]
fn control_characters_never_reach_a_dial_string() {
    for text in [
        "<sip:a\r\nb@h>",
        "<sip:a%0D%0Ab@h>",
        "<sip:a%00@h>",
        "<sip:a@h;x=%0a>",
        "<sip:a@h;x\u{7f}>",
        "<sip:a@h;fs_path=sip:a%0D%0AX-Evil@192.0.2.1>",
        "<sip:a@h;fs_path=sip%3Aa%0D%0AX-Evil%3A1%40192.0.2.1>",
        "<sip:a@h;fs_path=sip%3Aa%250D%250A%40192.0.2.1>",
    ] {
        let uri = read(text).unwrap().uri;
        assert_eq!(uri.dial_target("internal", None), Err(WriteError::Control), "{text}");
    }
}

#[test]
fn route_must_be_sip_uris() {
    for path in [
        "x",
        "sip%3A",
        "sip:",
        "<sip:h",
        "<sip:h>x",
        "<sip:h>,sip:h",
        "sip%3A%FF%40h%FF",
        "",
    ] {
        let uri = Uri::parse(&format!("sip:a@h;fs_path={path}")).unwrap();
        assert_eq!(uri.dial_target("internal", None), Err(WriteError::Route), "{path}");
    }
}

#[test]
fn nested_and_second_routes_are_left_out() {
    let contact = read("<sip:a@h;fs_path=sip:b@192.0.2.1;x;fs_path=sip:c@192.0.2.2;fs_path=sip:d@192.0.2.3>").unwrap();
    assert_eq!(dial(&contact), "sofia/internal/sip:a@h;fs_path=sip%3Ab%40192.0.2.1%3Bx");
    let contact = read("<sip:a@h;fs_path=sip%3Ab%40192.0.2.1;fs_path=sip%3Ac%40192.0.2.2>").unwrap();
    assert_eq!(dial(&contact), "sofia/internal/sip:a@h;fs_path=sip%3Ab%40192.0.2.1");
}

#[test]
fn escapes_are_upper_case_and_names_are_not_decoded() {
    let contact = read("<sip:%2c%61@h;fs%5fpath=sip%3aevil;v=%61%3b;ü=ü>").unwrap();
    assert_eq!(
        dial(&contact),
        "sofia/internal/sip:%2Ca@h;fs%5Fpath=sip%3Aevil;v=a%3B;%C3%BC=%C3%BC"
    );
}

#[test]
fn enterprise_originate_separator_never_appears() {
    for text in [
        "<sip:a@h;x=a:_:b>",
        "<sip:a@h;x=:%5F:>",
        "<sip:a@h;x=a%3A_:b>",
        "<sip:_@h>",
        "<sip:_:x@h>",
        "<sip:a@h;x=:_;_:=_>",
    ] {
        let contact = read(text).unwrap();
        assert!(is_allowed(&dial(&contact)), "{text}");
    }
    assert_eq!(read("<sip:_:5060>").unwrap_err(), ContactError::BadHost);
}

#[test]
fn invalid_profile_name_is_refused() {
    let uri = Uri::parse("sip:a@h").unwrap();
    assert!(uri.dial_target("my_profile-1.x", None).is_ok());
    for profile in ["", "gateway", "Gateway", "a/b", "a b", "a,b", "{a}", "a\n"] {
        assert_eq!(uri.dial_target(profile, None), Err(WriteError::Profile), "{profile}");
    }
}

#[test]
fn text_over_the_limit_is_refused() {
    let text = format!("<sip:a@h;x={}>", "y".repeat(MAX_CONTACT));
    assert_eq!(read(&text).unwrap_err(), ContactError::TooLong(text.len()));
}

#[test]
fn debug_and_warnings_show_no_token() {
    for text in [
        "<sip:a@h;pn-provider=fcm;pn-prid=s3cret>",
        "<sip:a@h;pn-provider=fcm;pn-prid=s3cret%zz>",
        "<sip:a@h;pn-provider=apns;pn-prid=s3cret:x>",
        "<sip:a@h;pn-provider=fcm;pn-prid=s3cret;pn-prid=s3cret2;fs_path=sip:h;pn-prid=s3cret>",
    ] {
        let contact = read(text).unwrap();
        let warnings: String = contact.warnings.iter().map(ToString::to_string).collect();
        assert!(!format!("{contact:?}{warnings}").contains("s3cret"), "{contact:?}");
    }
}

/// Strings that are nearly Contacts: the parser's delimiters, in any order.
fn near_contact() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<sip:".to_owned()),
        Just(">".to_owned()),
        Just("sip:".to_owned()),
        Just("\"".to_owned()),
        Just(";".to_owned()),
        Just("=".to_owned()),
        Just("@".to_owned()),
        Just("%".to_owned()),
        Just(":".to_owned()),
        Just(";fs_path=".to_owned()),
        Just(";fs_nat=yes".to_owned()),
        Just("sip%3A".to_owned()),
        Just("%3Csip:".to_owned()),
        Just("pn-prid".to_owned()),
        Just("pn-provider=apns".to_owned()),
        Just("&".to_owned()),
        Just(",".to_owned()),
        Just("[::1]".to_owned()),
        Just("h".to_owned()),
        Just("_".to_owned()),
        Just("%5F".to_owned()),
        Just(";transport=tcp".to_owned()),
        "[a-z0-9.]{1,8}",
        "\\PC{0,4}",
        ".{0,3}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A Contact with arbitrary text in its user part and parameters.
fn with_odd_parts() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        Just("192.0.2.1:5060"),
        Just("[2001:db8::1]:5060"),
        Just("Phone.example")
    ];
    let text = prop_oneof!["[ -~]{0,12}", "\\PC{0,8}", "[a-zA-Z0-9:_%]{0,12}", ".{0,6}"];
    let param = (text.clone(), prop::option::of(text.clone()))
        .prop_map(|(name, value)| format!(";{name}{}", value.map(|v| format!("={v}")).unwrap_or_default()));
    let path = prop::option::of((text.clone(), prop::bool::ANY)).prop_map(|path| match path {
        None => String::new(),
        Some((user, false)) => format!(";fs_path=sip:{user}@198.51.100.1:1;x"),
        Some((user, true)) => format!(";fs_path=<sip:{user}@198.51.100.1:1;lr>"),
    });
    (text, host, prop::collection::vec(param, 0..6), path)
        .prop_map(|(user, host, params, path)| format!("\"\" <sip:{user}@{host}{}{path}>", params.concat()))
}

fn check_any(text: &str) -> Result<(), TestCaseError> {
    for hint in [None, Some(hint())] {
        let Ok(contact) = parse(text, &ParamNames::default(), "", hint.as_ref()) else {
            continue;
        };
        for strip in [None, Some(&ParamNames::default())] {
            let Ok(dial) = contact.uri.dial_target("internal", strip) else {
                continue;
            };
            prop_assert!(is_allowed(&dial), "{dial}");
            let again = Uri::parse(dial.strip_prefix("sofia/internal/").unwrap()).unwrap();
            prop_assert_eq!(again.target(), contact.uri.target());
            prop_assert!(again.same_target(&contact.uri));
            prop_assert_eq!(again.dial_target("internal", strip), Ok(dial));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_string_is_parsed_without_panic_and_written_in_the_allowed_alphabet(text in ".{0,200}") {
        check_any(&text)?;
    }

    #[test]
    fn near_contacts_are_written_in_the_allowed_alphabet_and_parsed_back(text in near_contact()) {
        check_any(&text)?;
    }

    #[test]
    fn odd_parts_are_written_in_the_allowed_alphabet_and_parsed_back(text in with_odd_parts()) {
        check_any(&text)?;
    }

    #[test]
    fn truncated_contact_never_gives_part_of_a_token(
        token in "[A-Za-z0-9_:-]{1,80}", more in "(;[a-z]{1,4}(=[a-z]{1,9})?){0,3}", nat in prop::bool::ANY,
        order in 0_usize..3, keep in 0.0_f64..1.0,
    ) {
        let prid = format!(";pn-prid={token}");
        let parts = [prid.as_str(), ";pn-provider=fcm", ";pn-param=p"];
        let params: String = (0..3).map(|n| parts[(n + order) % 3]).collect();
        let path = if nat { format!(";fs_nat=yes;fs_path=sip:u@198.51.100.1:5060{params}{more}") } else { String::new() };
        let whole = format!("\"\" <sip:u@192.0.2.1:5060{params}{more}{path}>");
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let cut = &whole[..(whole.len() as f64 * keep) as usize];
        for hint in [None, Some(hint())] {
            if let Ok(contact) = parse(cut, &ParamNames::default(), "", hint.as_ref()) {
                prop_assert!(contact.cut);
                let given = tokens(&contact).0;
                prop_assert!(given.is_none() || given == Some(token.as_str()), "{given:?}");
                prop_assert!(contact.uri.dial_target("internal", None).is_ok());
            }
        }
    }
}
