//! How long a client certificate is still good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::pem::Pem;

use crate::files;
use crate::types::Printable;

/// One certificate of a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when it is valid.
    pub from: SystemTime,
    /// Until when.
    pub until: SystemTime,
}

/// The certificates of a PEM file, in their order (RFC 5280 section 4.1.2); what is no certificate is passed over.
pub fn certificates(pem: &[u8]) -> Vec<Certificate> {
    let time = |seconds: i64| u64::try_from(seconds).map_or(UNIX_EPOCH, |s| UNIX_EPOCH + Duration::from_secs(s));
    let text = files::pem_of(pem).unwrap_or_default();
    let blocks: Vec<Pem> = Pem::iter_from_buffer(text.as_bytes()).flatten().collect();
    let certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
    certificates
        .filter_map(|block| {
            let found = block.parse_x509().ok()?;
            Some(Certificate {
                subject: Printable(&found.subject().to_string()).to_string(),
                issuer: Printable(&found.issuer().to_string()).to_string(),
                from: time(found.validity().not_before.timestamp()),
                until: time(found.validity().not_after.timestamp()),
            })
        })
        .collect()
}

/// Until when the first certificate of a PEM file is valid (RFC 5280 section 4.1.2.5). `None`: there is none that can be read.
pub(super) fn ends(pem: &[u8]) -> Option<SystemTime> {
    let block = Pem::iter_from_buffer(pem)
        .flatten()
        .find(|block| block.label == "CERTIFICATE")?;
    let seconds = block.parse_x509().ok()?.validity().not_after.timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use fswake_test_support::tls::Authority;

    use super::*;

    #[test]
    fn end_of_a_certificate_is_read_from_its_pem_beside_its_key() {
        let (certificate, key) = Authority::default().issue("client");
        let end = ends(format!("{key}\n{certificate}").as_bytes()).expect("an end");
        // Certificates of the stand-ins are good for two thousand years.
        assert!(end > SystemTime::now() + Duration::from_secs(1000 * 365 * 86_400));
        assert_eq!(ends(key.as_bytes()), None);
        assert_eq!(
            ends(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None
        );
    }
}
