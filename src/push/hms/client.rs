//! An app at Huawei: its id, and the secret for which Huawei gives an access token (RFC 6749 section 4.4).
//!
//! Source: Huawei, HMS Core, "OAuth 2.0-based Authentication", client credentials mode.

use std::path::Path;

use reqwest::Url;

use crate::files;
use crate::push::app::App;
use crate::push::clock::Now;
use crate::push::oauth::access::Account;
use crate::push::setup::SetupError;
use crate::types::Secret;

/// Where tokens are asked for.
pub(super) const TOKEN_URL: &str = "https://oauth-login.cloud.huawei.com/oauth2/v3/token";

/// An app's id and secret.
#[derive(PartialEq, Eq)]
pub(crate) struct ClientCredentials {
    id: String,
    secret: Secret,
    url: Url,
}

impl ClientCredentials {
    /// Reads the secret.
    pub(super) fn read(app: &App, id: &str, file: &Path, token_url: Option<&str>) -> Result<Self, SetupError> {
        let secret = SetupError::read(app, file, files::line)?;
        let url = Url::parse(token_url.unwrap_or(TOKEN_URL)).ok();
        let url = url.filter(|url| url.scheme() == "https");
        Ok(Self {
            id: id.to_owned(),
            secret: Secret::new(secret.text),
            url: url.ok_or_else(|| {
                SetupError::app(app, "token-url must be an https URL: the app's secret travels to it")
            })?,
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Account for ClientCredentials {
    fn name(&self) -> &str {
        &self.id
    }

    fn url(&self) -> &Url {
        &self.url
    }

    fn form(&self, _now: Now) -> Result<String, String> {
        let plain = |text: &str| {
            let all = percent_encoding::NON_ALPHANUMERIC;
            percent_encoding::utf8_percent_encode(text, all).to_string()
        };
        Ok(format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            plain(&self.id),
            plain(self.secret.expose())
        ))
    }
}
