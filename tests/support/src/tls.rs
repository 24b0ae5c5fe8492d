//! Keys and certificates, generated for every run.

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs};

/// A key that signs JWTs.
pub struct SigningKey {
    /// The private key: PEM, PKCS #8, as in Apple's .p8 and Google's service account files.
    pub pem: String,
    /// The public key as verifiers need it: the point (EC) or PKCS #1 (RSA).
    pub public: Vec<u8>,
}

impl From<KeyPair> for SigningKey {
    fn from(pair: KeyPair) -> Self {
        Self {
            pem: pair.serialize_pem(),
            public: pair.public_key_raw().to_vec(),
        }
    }
}

/// A new P-256 key.
pub fn signing_key() -> SigningKey {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .expect("a P-256 key")
        .into()
}

/// A new RSA key of 2048 bits.
pub fn rsa_key() -> SigningKey {
    KeyPair::generate_for(&PKCS_RSA_SHA256).expect("an RSA key").into()
}

/// A certificate authority for this run.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "authority of this run";
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }
}

/// The CA of FreeSWITCH's own certificates.
pub static OF_FREESWITCH: LazyLock<Authority> = LazyLock::new(Authority::default);

impl Authority {
    /// TLS for clients that trust this CA.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("own CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("TLS versions");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// The CA certificate as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, and its key, both as PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        self.issue_with(name, |_| {})
    }

    /// The same, with an expiry time.
    pub fn issue_until(&self, name: &str, end: SystemTime) -> (String, String) {
        self.issue_with(name, |params| params.not_after = end.into())
    }

    /// The same, with a bundle id as in a certificate from Apple.
    pub fn issue_for_bundle(&self, bundle: &str) -> (String, String) {
        let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        self.issue_with("voip", |params| params.distinguished_name.push(uid, bundle))
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        (cert.pem(), key.serialize_pem())
    }

    /// TLS with HTTP/2 for `localhost`. With `clients`, clients must have a certificate from this CA.
    pub fn server(&self, clients: bool) -> Arc<ServerConfig> {
        let (cert, key) = self.issue("localhost");
        let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("own PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("own PEM");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS versions");
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).expect("own CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![cert], key).expect("own certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}
