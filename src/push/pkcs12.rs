//! A certificate with its key as Keychain Access and openssl export them: PKCS #12 (RFC 7292), `.p12` or `.pfx`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::error::Error;
use p12_keystore::{Certificate, CertificateBag, Pkcs12Archive};
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
    /// Which key is meant?
    #[error("holds several private keys: export one certificate with its key")]
    SeveralKeys,
}

/// Whether a file has this form: a SEQUENCE whose first member is the INTEGER 3 (X.690; RFC 7292 section 4). A certificate
/// in DER begins with two SEQUENCEs.
pub fn is_pkcs12(bytes: &[u8]) -> bool {
    let members = match bytes {
        // Of indefinite length, as BouncyCastle writes it.
        [0x30, 0x80, members @ ..] => members,
        [0x30, length @ 0x81..=0x84, rest @ ..] => rest.get(usize::from(length & 0x7f)..).unwrap_or_default(),
        _ => return false,
    };
    members.starts_with(&[0x02, 0x01, 0x03])
}

/// The certificate of its private key, the others, and the key, as PEM.
pub(crate) fn to_pem(bytes: &[u8], password: &str) -> Result<String, Pkcs12Error> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        Error::MacError(_) => Pkcs12Error::Password,
        _ => Pkcs12Error::Unreadable,
    })?;
    let key = match archive.keys.as_slice() {
        [] => return Err(Pkcs12Error::Incomplete),
        [key] => key,
        _ => return Err(Pkcs12Error::SeveralKeys),
    };
    let id = key.local_key_id.as_ref().map(AsRef::as_ref);
    let is_its = |bag: &CertificateBag| id.is_some() && bag.local_key_id.as_deref() == id;
    let own = match archive.certs.as_slice() {
        [] => return Err(Pkcs12Error::Incomplete),
        [_] => 0,
        certs => certs.iter().position(is_its).ok_or(Pkcs12Error::Incomplete)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pkcs12_is_distinguished_from_a_certificate_in_der_and_from_text() {
        for (bytes, expected) in [
            (&[0x30, 0x82, 0x09, 0xd1, 0x02, 0x01, 0x03, 0x30][..], true),
            (&[0x30, 0x80, 0x02, 0x01, 0x03, 0x30], true),
            (&[0x30, 0x82, 0x05, 0x5b, 0x30, 0x82, 0x04, 0x43], false),
            (&[0x30, 0x84], false),
            (b"-----BEGIN CERTIFICATE-----", false),
            (b"", false),
        ] {
            assert_eq!(is_pkcs12(bytes), expected, "{bytes:x?}");
        }
    }
}
