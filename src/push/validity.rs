//! How long a client certificate is still good.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::{error, warn};
use x509_parser::pem::Pem;

/// From here on an operator is told, at every start.
const WARN_BELOW_DAYS: u64 = 60;

/// Until when the first certificate of a PEM file is valid (RFC 5280 section 4.1.2.5). `None`: there is none that can be read.
fn ends(pem: &[u8]) -> Option<SystemTime> {
    let block = Pem::iter_from_buffer(pem)
        .flatten()
        .find(|block| block.label == "CERTIFICATE")?;
    let seconds = block.parse_x509().ok()?.validity().not_after.timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Says in the log when an app's certificate ends soon, or has ended.
pub(super) fn check(app: &str, file: &Path, pem: &[u8], now: SystemTime) {
    let file = file.display();
    match ends(pem).map(|end| end.duration_since(now)) {
        Some(Err(_)) => error!(app, %file, "the certificate has expired: its pushes will be refused"),
        Some(Ok(left)) if left.as_secs() / 86_400 < WARN_BELOW_DAYS => {
            warn!(app, %file, days = left.as_secs() / 86_400, "the certificate ends soon");
        }
        Some(Ok(_)) | None => {}
    }
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
