//! Client certificates in PKCS #12 files, as openssl writes them: today's form, and the older one of Keychain Access.

use std::path::{Path, PathBuf};
use std::process::Command;

use fswake::push::app::{App, Credentials};
use fswake::push::{Pushers, certificate_chain};
use fswake_test_support::apns::Apns;
use fswake_test_support::skipped;

use super::apns_auth::certificate_app;
use super::support::{apns_call, pushers};

const PASSWORD: &str = "sesame 1";

/// Writes the client's certificate and key as PKCS #12, with these options too. `None`: there is no openssl.
fn export(apns: &Apns, name: &str, options: &[&str]) -> Option<PathBuf> {
    let (certificate, key) = apns.client_files();
    let file = apns.file(name);
    let made = Command::new("openssl")
        .args(["pkcs12", "-export", "-passout", &format!("pass:{PASSWORD}")])
        .arg("-in")
        .arg(certificate)
        .arg("-inkey")
        .arg(key)
        .arg("-out")
        .arg(&file)
        .args(options)
        .output();
    let Ok(made) = made else {
        skipped::note("needs openssl");
        return None;
    };
    if !made.status.success() && options.contains(&"-legacy") {
        skipped::note("needs openssl's provider of old ciphers");
        return None;
    }
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(file)
}

fn app_with(apns: &Apns, file: &Path, password: Option<&str>) -> App {
    let password_file = password.map(|password| {
        let file = apns.file("password");
        std::fs::write(&file, password).unwrap();
        file
    });
    App {
        credentials: Credentials::ApnsCertificate {
            cert_file: file.to_owned(),
            key_file: file.to_owned(),
            password_file,
        },
        ..certificate_app(apns)
    }
}

#[tokio::test]
async fn certificate_of_every_usual_encryption_is_used() {
    let apns = Apns::start_with_certificates().await;
    let cas = apns.ca_file();
    let forms: [&[&str]; 4] = [
        &[],
        // Keychain Access: RC2 with 40 bits for the certificate, Triple DES for the key, SHA-1.
        &["-legacy"],
        &["-certpbe", "NONE", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
        &["-certfile", cas.to_str().unwrap()],
    ];
    for (n, form) in forms.into_iter().enumerate() {
        let Some(file) = export(&apns, &format!("{n}.p12"), form) else {
            return;
        };
        let app = app_with(&apns, &file, Some(PASSWORD));
        let (_, chain) = certificate_chain(&app).unwrap();
        assert!(chain[0].subject.contains("client"), "{chain:?}");
        let outcome = pushers(app).push(&apns_call()).await;
        assert!(outcome.is_ok(), "{form:?}: {outcome:?}");
        assert_eq!(apns.next_push().await.request.header("authorization"), "");
    }
}

#[tokio::test]
async fn unusable_files_are_refused_with_the_reason_and_without_their_password() {
    let apns = Apns::start_with_certificates().await;
    let Some(good) = export(&apns, "good.p12", &[]) else {
        return;
    };
    let Some(no_key) = export(&apns, "no-key.p12", &["-nokeys"]) else {
        return;
    };
    let bytes = std::fs::read(&good).unwrap();
    let cut = apns.file("cut.p12");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    for (file, password, expected) in [
        (&good, Some("another"), "the password is wrong"),
        (&good, None, "the password is wrong"),
        (&no_key, Some(PASSWORD), "holds no certificate with its private key"),
        (&cut, Some(PASSWORD), "not a PKCS #12 file that fswake can read"),
    ] {
        let refused = Pushers::new(vec![app_with(&apns, file, password)])
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(expected) && refused.contains(&file.display().to_string()),
            "{refused}"
        );
        assert!(!refused.contains(PASSWORD), "{refused}");
    }
}

#[tokio::test]
async fn damaged_file_never_causes_a_panic() {
    let apns = Apns::start_with_certificates().await;
    let Some(good) = export(&apns, "good.p12", &["-iter", "1", "-maciter"]) else {
        return;
    };
    let bytes = std::fs::read(&good).unwrap();
    let damaged = apns.file("damaged.p12");
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        for content in [&changed[..], &bytes[..at]] {
            std::fs::write(&damaged, content).unwrap();
            // What the checksum does not cover may be harmless.
            let outcome = Pushers::new(vec![app_with(&apns, &damaged, Some(PASSWORD))]);
            refused += usize::from(outcome.is_err());
        }
    }
    assert!(refused > bytes.len() / 2, "{refused} of {}", bytes.len());
}
