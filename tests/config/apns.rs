//! Apps at Apple: a second key, PKCS #12, and headers by purpose.

use fswake::push::app::{ApnsPriority, CollapseId, NextKey};
use fswake::types::push::PushPurpose;

use super::*;

const KEY: &str =
    "[[app]]\nname = 'a'\nprovider = 'apns'\nkey-file = 'k'\nkey-id = 'ABCDE12345'\nteam-id = 'ABCDE12345'\n";

fn app(text: &str) -> (Place, App) {
    let place = Place::with(text);
    for file in ["k", "k2", "k.p12", "password"] {
        place.write(file, "secret");
    }
    let app = place.load().apps.remove(0);
    (place, app)
}

#[test]
fn second_key_is_read() {
    let (place, app) = app(&format!("{KEY}next-key-file = 'k2'\nnext-key-id = 'FGHIJ67890'"));
    let Credentials::ApnsToken { next, .. } = &app.credentials else {
        panic!("{app:?}")
    };
    let expected = NextKey {
        key_file: place.path("k2"),
        key_id: "FGHIJ67890".into(),
    };
    assert_eq!(*next, Some(expected));
    // A change of either file sets the app up again.
    assert_eq!(app.credentials.files(), [place.path("k"), place.path("k2")]);
}

#[test]
fn certificate_with_its_key_in_one_file_is_read() {
    let (place, app) =
        app("[[app]]\nname = 'a'\nprovider = 'apns'\ncert-file = 'k.p12'\ncert-password-file = 'password'");
    let expected = Credentials::ApnsCertificate {
        cert_file: place.path("k.p12"),
        key_file: place.path("k.p12"),
        password_file: Some(place.path("password")),
    };
    assert_eq!(app.credentials, expected);
}

#[test]
fn headers_are_read_by_purpose_and_others_keep_their_defaults() {
    let rules = app(&format!(
        "{KEY}apns-collapse-id = {{ missed-call = 'missed ${{callee}}', voicemail = '' }}\n\
         apns-expiration = {{ missed-call = '3d', cancel = '0s' }}\napns-priority = {{ voicemail = 5, notification = 1 }}"
    ))
    .1
    .apns;
    let id = |text, purpose| (purpose, CollapseId::parse(text, purpose).unwrap());
    let expected = ApnsRules {
        collapse_ids: vec![
            id("${call-id}", PushPurpose::Call),
            id("missed ${callee}", PushPurpose::MissedCall),
            id("", PushPurpose::Voicemail),
        ],
        expirations: vec![
            (PushPurpose::Cancel, Duration::ZERO),
            (PushPurpose::MissedCall, Duration::from_secs(3 * 86_400)),
        ],
        priorities: vec![
            (PushPurpose::Notification, ApnsPriority::Passive),
            (PushPurpose::Voicemail, ApnsPriority::Considerate),
        ],
    };
    assert_eq!(rules, expected);
}
