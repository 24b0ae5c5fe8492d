//! A certificate with its key as Keychain Access and openssl export them: PKCS #12 (RFC 7292), `.p12` or `.pfx`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::{Certificate, Pkcs12Archive, error::Error};
use thiserror::Error as ThisError;

/// Characters on a line of PEM (RFC 7468 section 2).
const LINE: usize = 64;

/// Why a file cannot be used. Never shows its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub(crate) enum Pkcs12Error {
    /// The checksum does not fit.
    #[error("the password is wrong (cert-password-file), or the file is damaged")]
    Password,
    /// It does not parse, or is encrypted in an unknown way.
    #[error("not a PKCS #12 file that fswake can read: export it again, or convert it to PEM with openssl")]
    Unreadable,
    /// A part is missing.
    #[error("holds no certificate with its private key: export both together")]
    Incomplete,
}

/// Whether a file may have this form: it begins with a SEQUENCE (X.690) of more than 127 bytes. No text does.
pub fn is_pkcs12(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

/// The certificate of its private key, the others, and the key, as PEM.
pub(crate) fn to_pem(bytes: &[u8], password: &str) -> Result<String, Pkcs12Error> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        Error::MacError(_) => Pkcs12Error::Password,
        _ => Pkcs12Error::Unreadable,
    })?;
    let key = archive.keys.first().ok_or(Pkcs12Error::Incomplete)?;
    let id = key.local_key_id.as_ref().map(AsRef::as_ref);
    let own = archive
        .certs
        .iter()
        .position(|bag| id.is_some() && bag.local_key_id.as_deref() == id);
    let own = match own {
        Some(own) => own,
        // Without ids that match, the certificate comes first.
        None if archive.certs.is_empty() => return Err(Pkcs12Error::Incomplete),
        None => 0,
    };
    let others = archive.certs.iter().enumerate().filter(|(at, _)| *at != own);
    let chain = [&archive.certs[own]].into_iter().chain(others.map(|(_, bag)| bag));
    let mut pem: String = chain.map(|bag| certificate(&bag.cert)).collect();
    pem.push_str(&block("PRIVATE KEY", key.key.as_der()));
    Ok(pem)
}

fn certificate(certificate: &Certificate) -> String {
    block("CERTIFICATE", certificate.as_der())
}

fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::with_capacity(text.len() + text.len() / LINE + 64);
    for line in text.as_bytes().chunks(LINE) {
        // Base64 is ASCII.
        lines.extend(line.iter().map(|byte| char::from(*byte)));
        lines.push('\n');
    }
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}
