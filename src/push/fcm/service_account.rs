//! Google's service account: the file, and the signed JWT for which Google gives an access token.
//!
//! The grant is one signed JWT and one POST (RFC 7523 section 2.1; Google, "Using OAuth 2.0 for server to server
//! applications"). docs/ARCHITECTURE.md says why no crate is used for it.

use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::clock::unix;
use crate::files;
use crate::push::app::App;
use crate::push::clock::Now;
use crate::push::oauth::access::Account;
use crate::push::setup::SetupError;
use crate::types::Secret;

/// The only scope that sending needs.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The service account file, as Google writes it.
#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    #[serde(default)]
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// A service account.
#[derive(PartialEq, Eq)]
pub(crate) struct ServiceAccount {
    project: String,
    email: String,
    key_id: Option<String>,
    key: Secret,
    token_uri: Url,
}

/// RFC 7523 section 3.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccount {
    /// Reads a service account file and checks that its key signs.
    pub(crate) fn read(app: &App, file: &Path, now: Now) -> Result<Self, SetupError> {
        let text = SetupError::read(app, file, files::text)?;
        let problem = |what: &str| SetupError::file(app, file, what);
        // The parser's message can quote the file; its line and column cannot.
        let raw: AccountFile = serde_json::from_str(&text).map_err(|e| {
            problem(&format!(
                "not a service account key (project_id, private_key, client_email, token_uri): line {}",
                e.line()
            ))
        })?;
        let token_uri = Url::parse(&raw.token_uri).ok().filter(|u| u.scheme() == "https");
        let is_project = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
        if !is_project(&raw.project_id) {
            return Err(problem("project_id is letters, digits and hyphens"));
        }
        let account = Self {
            project: raw.project_id,
            email: raw.client_email,
            key_id: raw.private_key_id,
            key: Secret::new(files::with_line_ends(&raw.private_key)),
            token_uri: token_uri.ok_or_else(|| problem("token_uri is not an https URL"))?,
        };
        account
            .assertion(now)
            .map_err(|_| problem("private_key is not an RSA key (PEM, PKCS #8)"))?;
        Ok(account)
    }

    /// The Firebase project that it belongs to.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    fn assertion(&self, now: Now) -> Result<String, String> {
        let iat = unix(now.wall);
        let claims = Claims {
            iss: &self.email,
            scope: SCOPE,
            aud: self.token_uri.as_str(),
            iat,
            // The longest that Google allows.
            exp: iat + 3600,
        };
        let header = Header {
            kid: self.key_id.clone(),
            ..Header::new(Algorithm::RS256)
        };
        let key = EncodingKey::from_rsa_pem(self.key.expose().as_bytes());
        key.and_then(|key| jsonwebtoken::encode(&header, &claims, &key))
            .map_err(|_| "the service account's key does not sign".to_owned())
    }
}

impl Account for ServiceAccount {
    fn name(&self) -> &str {
        &self.project
    }

    fn url(&self) -> &Url {
        &self.token_uri
    }

    fn form(&self, now: Now) -> Result<String, String> {
        let assertion = self.assertion(now)?;
        // Both values are URL-safe but for the grant's colons.
        Ok(format!(
            "grant_type={}&assertion={assertion}",
            GRANT.replace(':', "%3A")
        ))
    }
}
