//! A client of OAuth 2.0: its id, and the secret for which a token server gives an access token (RFC 6749 section 4.4).
//! Id and secret are in the form, as Huawei and Honor document it (RFC 6749 section 2.3.1 allows it).

use std::path::Path;

use reqwest::Url;

use crate::push::app::App;
use crate::push::clock::Now;
use crate::push::oauth::access::{Account, SharedTokens};
use crate::push::setup::SetupError;
use crate::types::Secret;

/// A client's tokens, which apps of one client share.
pub(crate) type ClientTokens = SharedTokens<ClientCredentials>;

/// A client's id and secret, and its token server.
#[derive(PartialEq, Eq)]
pub(crate) struct ClientCredentials {
    id: String,
    secret: Secret,
    url: Url,
}

impl ClientCredentials {
    /// Reads the secret.
    pub(crate) fn read(app: &App, id: &str, file: &Path, token_url: &str) -> Result<Self, SetupError> {
        let url = Url::parse(token_url).ok();
        let url = url.filter(|url| url.scheme() == "https");
        Ok(Self {
            id: id.to_owned(),
            secret: SetupError::secret_line(app, file)?,
            url: url.ok_or_else(|| {
                SetupError::app(app, "token-url must be an https URL: the client's secret travels to it")
            })?,
        })
    }

    pub(crate) fn id(&self) -> &str {
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
