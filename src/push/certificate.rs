//! How long a client certificate is still good.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use x509_parser::oid_registry::OID_USERID;
use x509_parser::pem::Pem;
use x509_parser::x509::X509Name;

use crate::clock::{day, from_unix};
use crate::files;
use crate::push::app::{App, Credentials};
use crate::push::pkcs12;
use crate::push::setup::SetupError;
use crate::types::{Printable, Secret};

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
    /// The bundle id that Apple made it for: its subject's UID (RFC 4519 section 2.39), without what stands for a
    /// service.
    pub bundle: Option<String>,
}

/// The certificates of a PEM file, in their order (RFC 5280 section 4.1.2); what is no certificate is passed over.
pub fn certificates(pem: &[u8]) -> Vec<Certificate> {
    let time = |seconds| from_unix(seconds).unwrap_or(UNIX_EPOCH);
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
                bundle: bundle(found.subject()),
            })
        })
        .collect()
}

/// The file of an app's client certificate, and the certificates in it, its own first. `None`: it has none, or the file
/// cannot be read, which [`crate::push::Pushers::new`] reports.
pub fn certificate_chain(app: &App) -> Option<(&Path, Vec<Certificate>)> {
    let Credentials::ApnsCertificate {
        cert_file,
        password_file,
        ..
    } = &app.credentials
    else {
        return None;
    };
    let (pem, _) = read(app, cert_file, password_file.as_deref()).ok()?;
    Some((cert_file, certificates(pem.as_bytes())))
}

/// A client certificate, its chain and its private key as PEM.
pub(crate) fn pem_with_key(
    app: &App,
    cert_file: &Path,
    key_file: &Path,
    password_file: Option<&Path>,
) -> Result<String, SetupError> {
    let (mut pem, has_key) = read(app, cert_file, password_file)?;
    if !has_key && key_file != cert_file {
        pem.push('\n');
        pem.push_str(&SetupError::read(app, key_file, files::pem)?);
    }
    Ok(pem)
}

/// A certificate's file as PEM, and whether the key is surely in it: PKCS #12 has both.
fn read(app: &App, file: &Path, password_file: Option<&Path>) -> Result<(String, bool), SetupError> {
    let bytes = SetupError::read(app, file, |file| Ok(files::read(file)?))?;
    let unusable = |problem: &dyn std::fmt::Display| SetupError::file(app, file, &problem.to_string());
    if !pkcs12::is_pkcs12(&bytes) {
        let pem = files::pem_of(&bytes).map_err(|error| unusable(&error))?;
        return Ok((pem, false));
    }
    let password = password_file
        .map(|file| SetupError::secret_line(app, file))
        .transpose()?;
    let pem = pkcs12::to_pem(&bytes, password.as_ref().map_or("", Secret::expose));
    Ok((pem.map_err(|error| unusable(&error))?, true))
}

/// Why an app's certificate wakes no phone, although its file is good: it has expired, is not valid yet, or is for
/// another bundle id. `None` also if it cannot be read, which [`crate::push::Pushers::new`] reports.
pub fn unfit(app: &App, now: SystemTime) -> Option<SetupError> {
    let (file, chain) = certificate_chain(app)?;
    let first = chain.first()?;
    let problem = if first.until <= now {
        format!(
            "the certificate expired on {} UTC: this app's phones are not woken; replace the certificate",
            day(first.until)
        )
    } else if first.from > now {
        format!(
            "the certificate is not valid before {} UTC: no phone is woken until then. Is this machine's clock right?",
            day(first.from)
        )
    } else {
        other_bundle(app, first)?
    };
    Some(SetupError::file(app, file, &problem))
}

/// The error if a certificate is for another bundle id than the app's.
pub fn other_bundle(app: &App, certificate: &Certificate) -> Option<String> {
    let bundle = certificate.bundle.as_deref()?;
    let of_topic = app.topic.as_deref().map(without_service);
    let ids = app.app_ids.iter().map(String::as_str);
    // A configured topic overrides the phones' app ids.
    let all: Vec<&str> = of_topic.map_or_else(|| ids.collect(), |topic| vec![topic]);
    let is_it = |id: &&&str| **id == bundle || id.split_once('.').is_some_and(|(_team, rest)| rest == bundle);
    let other = all.iter().find(|id| !is_it(id))?;
    Some(format!(
        "the certificate is for {bundle}, the app for {}: Apple refuses its pushes",
        Printable(other)
    ))
}

/// A topic or UID without what Apple writes behind the bundle id for a service.
fn without_service(topic: &str) -> &str {
    let services = [".voip", ".complication"];
    services
        .iter()
        .find_map(|service| topic.strip_suffix(service))
        .unwrap_or(topic)
}

fn bundle(subject: &X509Name<'_>) -> Option<String> {
    let uid = subject.iter_by_oid(&OID_USERID).next()?.as_str().ok()?;
    Some(Printable(without_service(uid)).to_string())
}

/// Until when the first certificate of a PEM file is valid (RFC 5280 section 4.1.2.5). `None`: there is none that can
/// be read.
pub(crate) fn ends(pem: &[u8]) -> Option<SystemTime> {
    let block = Pem::iter_from_buffer(pem)
        .flatten()
        .find(|block| block.label == "CERTIFICATE")?;
    let seconds = block.parse_x509().ok()?.validity().not_after.timestamp();
    from_unix(seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fswake_test_support::tls::Authority;

    use super::*;

    #[test]
    fn end_of_a_certificate_is_read_from_its_pem_beside_its_key() {
        let (certificate, key) = Authority::default().issue("client");
        let end = ends(format!("{key}\n{certificate}").as_bytes()).expect("an end");
        // Certificates of the stand-ins are valid for two thousand years.
        assert!(end > SystemTime::now() + Duration::from_secs(1000 * 365 * 86_400));
        assert_eq!(ends(key.as_bytes()), None);
        assert_eq!(
            ends(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None
        );
    }
}
