//! How fswake authenticates to push services: a signed token for each of them (VAPID, RFC 8292).

use std::time::{Duration, SystemTime};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::HeaderValue;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use crate::clock::unix;
use crate::files;

/// How long a token is valid; RFC 8292 section 2 allows a day, so clocks may be hours apart.
const VALID: Duration = Duration::from_secs(12 * 3600);
/// A token is renewed at this age.
const RENEW_AT: Duration = Duration::from_secs(6 * 3600);
const PROBLEM: &str =
    "not a VAPID key (P-256, not encrypted: PEM, or the private key of `web-push generate-vapid-keys` on one line)";

/// An app's VAPID key.
pub(crate) struct VapidKey {
    key: EncodingKey,
    /// In base64 for URLs, as subscriptions are made with it (`applicationServerKey`).
    pub public: String,
    subject: String,
}

/// A token for one push service.
#[derive(Clone)]
pub(crate) struct SignedFor {
    pub header: HeaderValue,
    at: SystemTime,
}

/// RFC 8292 section 2.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: i64,
    sub: &'a str,
}

impl VapidKey {
    /// Reads a key in any form in which tools write it.
    ///
    /// # Errors
    /// What is wrong with it; never the key.
    pub(crate) fn read(text: &str, subject: &str) -> Result<Self, String> {
        let pair = pair(text).ok_or(PROBLEM)?;
        let document = pair.to_pkcs8v1().map_err(|_| PROBLEM)?;
        Ok(Self {
            key: EncodingKey::from_ec_der(document.as_ref()),
            public: URL_SAFE_NO_PAD.encode(pair.public_key()),
            subject: subject.to_owned(),
        })
    }

    /// The `Authorization` for a push service, by the origin of its URLs.
    ///
    /// # Errors
    /// When the key does not sign.
    pub(crate) fn sign(&self, origin: &str, now: SystemTime) -> Result<SignedFor, String> {
        let claims = Claims {
            aud: origin,
            exp: unix(now + VALID),
            sub: &self.subject,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key);
        let token = token.map_err(|_| "the VAPID key does not sign".to_owned())?;
        let mut header = HeaderValue::from_str(&format!("vapid t={token}, k={}", self.public))
            .map_err(|_| "the VAPID token cannot be sent as a header".to_owned())?;
        header.set_sensitive(true);
        Ok(SignedFor { header, at: now })
    }
}

impl SignedFor {
    /// Whether it may still be used. A clock that was set back makes its end too late for RFC 8292's day.
    pub(crate) fn is_good(&self, now: SystemTime) -> bool {
        now.duration_since(self.at).is_ok_and(|age| age < RENEW_AT)
    }
}

fn pair(text: &str) -> Option<EcdsaKeyPair> {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    if text.contains("-----BEGIN") {
        let pem = files::with_line_ends(text);
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        return EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der()).ok();
    }
    let raw = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('=')).ok()?;
    let private = PrivateKey::from_private_key(&ECDH_P256, &raw).ok()?;
    let public = private.compute_public_key().ok()?;
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &raw, public.as_ref()).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;

    /// RFC 8291 appendix A, where the private key is known too.
    const RAW: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const PUBLIC: &str = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

    fn parts(header: &str) -> (Value, Value, bool) {
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes(key));
        let is_good = key.verify(signed.as_bytes(), &bytes(signature)).is_ok();
        let json = |text: &str| serde_json::from_slice(&bytes(text)).unwrap();
        (json(head), json(claims), is_good)
    }

    /// RFC 8292 section 2.4: its own header is verified, and ours has its form.
    #[test]
    fn header_has_the_form_of_the_example_of_rfc_8292() {
        let example = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";
        let (head, claims, is_good) = parts(example);
        assert!(is_good);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_453_523_768) - VALID;
        let key = VapidKey::read(RAW, "mailto:push@example.com").unwrap();
        let ours = key.sign("https://push.example.net", now).unwrap();
        assert!(ours.header.is_sensitive());
        assert_eq!(parts(ours.header.to_str().unwrap()), (head, claims, true));
        assert_eq!(json!({"typ": "JWT", "alg": "ES256"}), parts(example).0);
    }

    #[test]
    fn key_is_read_in_every_form_in_which_tools_write_it() {
        let pair = pair(RAW).unwrap();
        let document = pair.to_pkcs8v1().unwrap();
        let pem = |name: &str, der: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {name}-----\n{text}\n-----END {name}-----\n")
        };
        let pkcs8 = pem("PRIVATE KEY", document.as_ref());
        let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        // As `openssl ecparam -genkey` writes it.
        let openssl = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
            pem("EC PRIVATE KEY", sec1.as_ref())
        );
        for written in [
            RAW.to_owned(),
            format!("{RAW}=\n"),
            pkcs8.clone(),
            pkcs8.replace('\n', "\\n"),
            openssl,
        ] {
            assert_eq!(
                VapidKey::read(&written, "mailto:a@b").map(|key| key.public),
                Ok(PUBLIC.into())
            );
        }
        for other in ["", "x", "-----BEGIN", &RAW[1..], &pem("PRIVATE KEY", b"0"), PUBLIC] {
            assert_eq!(
                VapidKey::read(other, "mailto:a@b").err().as_deref(),
                Some(PROBLEM),
                "{other}"
            );
        }
    }

    #[test]
    fn token_is_renewed_in_time_and_when_the_clock_was_set_back() {
        let key = VapidKey::read(RAW, "mailto:a@b").unwrap();
        let now = SystemTime::now();
        let signed = key.sign("https://push.example", now).unwrap();
        assert!(signed.is_good(now) && signed.is_good(now + RENEW_AT - Duration::from_secs(1)));
        assert!(!signed.is_good(now + RENEW_AT) && !signed.is_good(now - Duration::from_secs(1)));
    }
}
