//! `captured.txt` has every accepted REGISTER of two recorded sessions, one a line: network-ip, network-port, status,
//! and the contact in FreeSWITCH's own bytes. `sofia_contact.txt` has the dial-string that FreeSWITCH itself makes of
//! one of them.

use fswake_core::contact::{Contact, NetworkHint, ParamNames, parse};
use percent_encoding::percent_decode_str;

use crate::{HEX, dial, tokens};

fn captured() -> Vec<Contact> {
    let read = |line: &str| {
        let mut fields = line.splitn(4, ' ');
        let mut field = || fields.next().unwrap();
        let hint = NetworkHint::from_event(field(), field(), field()).unwrap();
        let contact = percent_decode_str(field()).decode_utf8().unwrap();
        parse(&contact, &ParamNames::default(), "", Some(&hint)).unwrap()
    };
    include_str!("captured.txt").lines().map(read).collect()
}

/// The kind of a token. Three kinds were recorded.
fn kind(token: Option<&str>) -> &'static str {
    let google = format!("dGhpc2lzYXRlc3Q:APA91b{}", "Ab-_".repeat(36));
    match token {
        None => "",
        Some(HEX) => "apple",
        Some(token) if token == google => "google",
        Some(token) if token == format!("{google}{}", "Xy_-".repeat(60)) => "long",
        Some(_) => "another",
    }
}

#[test]
fn recorded_registrations_give_their_tokens_and_dial_strings() {
    let shown: Vec<_> = captured()
        .iter()
        .map(|contact| {
            let (call, remote) = tokens(contact);
            let dial = dial(contact).replace("sofia/internal/sip:", "");
            (kind(call), kind(remote), contact.cut, dial)
        })
        .collect();
    let nat = ";fs_nat=yes;fs_path=sip%3A";
    let want = [
        ("apple", "", false, "1001@127.0.0.1:55301;transport=udp".to_owned()),
        ("google", "", false, "1002@127.0.0.1:48362".to_owned()),
        ("apple", "apple", false, "1003@127.0.0.1:39246".to_owned()),
        ("apple", "apple", false, "1004@127.0.0.1:41506;ob".to_owned()),
        ("", "", false, "1005@127.0.0.1:37360".to_owned()),
        ("", "", true, "1006@127.0.0.1:48061".to_owned()),
        (
            "google",
            "",
            false,
            format!("1001@192.168.1.77:44045;transport=udp{nat}1001%40127.0.0.1%3A44045%3Btransport%3Dudp"),
        ),
        (
            "apple",
            "apple",
            false,
            format!("1002@192.168.1.77:46000;transport=udp{nat}1002%40127.0.0.1%3A46000%3Btransport%3Dudp"),
        ),
        (
            "long",
            "",
            true,
            format!("1003@192.168.1.77:42007;transport=udp{nat}1003%40127.0.0.1%3A42007%3Btransport%3Dudp"),
        ),
        (
            "apple",
            "",
            false,
            format!("1010@192.168.1.78:60414;transport=tcp{nat}1010%40127.0.0.1%3A60414%3Btransport%3Dtcp"),
        ),
    ];
    assert_eq!(shown, want);
}

#[test]
fn unstripped_dial_string_is_freeswitchs_own() {
    let own = include_str!("sofia_contact.txt").trim_end();
    let dialled = captured()
        .iter()
        .any(|contact| contact.uri.dial_target("internal", None).as_deref() == Ok(own));
    assert!(dialled);
}
