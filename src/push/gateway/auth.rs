//! How a profile authenticates. The secret file is read once; its content appears in the header or field that it is for,
//! in the request for an access token, and nowhere else.

use std::path::Path;

use percent_encoding::utf8_percent_encode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};

use crate::push::app::{App, HttpAuth};
use crate::push::clock::Clock;
use crate::push::gateway::digest::Digest;
use crate::push::oauth::access::{AccessToken, AccessTokens, NoToken, SharedTokens};
use crate::push::oauth::client::{ClientCredentials, ClientTokens};
use crate::push::setup::SetupError;
use crate::push::template::{UNRESERVED, may_be_set};
use crate::push::transport::tls::Tls;
use crate::types::Secret;

/// How often a 401's challenge is answered in one push: once for the first request ever, once more for a nonce that the
/// server no longer knows.
const CHALLENGES: u32 = 2;
/// How often one push asks for a new access token because the gateway refused the last.
const NEW_TOKENS: u32 = 1;

/// A profile's authentication with its secret, ready to be sent.
pub(crate) enum Auth {
    None,
    Header(HeaderName, HeaderValue),
    Basic(String, Secret),
    Digest(Digest),
    /// The field as a form has it.
    Field(Secret),
    /// `Bearer`, with an access token of this client.
    AccessToken(ClientTokens),
}

impl Auth {
    /// Reads the secret. `clients` are those of other profiles and apps: one client has one access token.
    pub(crate) fn new(app: &App, auth: &HttpAuth, clients: &[ClientTokens], clock: &Clock) -> Result<Self, SetupError> {
        Ok(match auth {
            HttpAuth::None => Self::None,
            HttpAuth::Bearer(file) => {
                let value = header(
                    app,
                    file,
                    &format!("Bearer {}", SetupError::secret_line(app, file)?.expose()),
                )?;
                Self::Header(AUTHORIZATION, value)
            }
            HttpAuth::Basic(file) => {
                let (user, password) = SetupError::user_and_password(app, file)?;
                Self::Basic(user, password)
            }
            HttpAuth::Digest(file) => {
                let (user, password) = SetupError::user_and_password(app, file)?;
                Self::Digest(Digest::new(user, password))
            }
            HttpAuth::Header(file) => {
                let line = SetupError::secret_line(app, file)?;
                let problem = "must hold one line, Name: value";
                let (name, value) = line
                    .expose()
                    .split_once(':')
                    .ok_or_else(|| SetupError::file(app, file, problem))?;
                let name = HeaderName::from_bytes(name.trim().as_bytes())
                    .ok()
                    .filter(may_be_set)
                    .ok_or_else(|| SetupError::file(app, file, "names a header that cannot be set"))?;
                Self::Header(name, header(app, file, value.trim())?)
            }
            HttpAuth::Field(file) => {
                let line = SetupError::secret_line(app, file)?;
                let field = line.expose().split_once('=').filter(|(name, _)| !name.is_empty());
                let (name, value) =
                    field.ok_or_else(|| SetupError::file(app, file, "must hold one line, name=value"))?;
                let encoded = |text| utf8_percent_encode(text, UNRESERVED);
                Self::Field(Secret::new(format!("{}={}", encoded(name), encoded(value))))
            }
            HttpAuth::OAuth {
                client_id,
                secret_file,
                token_url,
            } => {
                // The token server's certificate is verified, whatever holds for the gateway.
                let tls = Tls::for_any_http(app)?;
                let client = ClientCredentials::read(app, client_id, secret_file, token_url)?;
                let tokens = AccessTokens::new(app, client, &tls, clock.clone())?;
                Self::AccessToken(SharedTokens::new(&tls, tokens, clients))
            }
        })
    }

    /// Whether it sets this header.
    pub(crate) fn sets(&self, name: &HeaderName) -> bool {
        matches!(self, Self::Header(own, _) if own == name)
    }

    /// Whose access tokens it needs.
    pub(crate) fn client(&self) -> Option<&ClientTokens> {
        match self {
            Self::AccessToken(client) => Some(client),
            _ => None,
        }
    }

    /// The access token for the next request, if it needs one.
    pub(crate) async fn token(&self) -> Result<Option<AccessToken>, NoToken> {
        match self.client() {
            Some(client) => Ok(Some(client.tokens.current().await?)),
            None => Ok(None),
        }
    }

    /// How often the same push may be sent once more because the gateway did not accept how it was authenticated.
    pub(crate) fn repeats(&self) -> u32 {
        match self {
            Self::Digest(_) => CHALLENGES,
            Self::AccessToken(_) => NEW_TOKENS,
            _ => 0,
        }
    }

    /// The body, with the field that it adds.
    pub(crate) fn body(&self, body: &str) -> String {
        match self {
            Self::Field(field) if body.is_empty() => field.expose().to_owned(),
            Self::Field(field) => format!("{body}&{}", field.expose()),
            _ => body.to_owned(),
        }
    }

    /// Adds the headers that the server wants to a request.
    pub(crate) fn sign(
        &self,
        request: RequestBuilder,
        method: &str,
        url: &Url,
        token: Option<&AccessToken>,
    ) -> RequestBuilder {
        match self {
            Self::None | Self::Field(_) => request,
            Self::AccessToken(_) => match token {
                Some(token) => request.header(AUTHORIZATION, token.header.clone()),
                None => request,
            },
            Self::Header(name, value) => request.header(name, value),
            Self::Basic(user, password) => request.basic_auth(user, Some(password.expose())),
            Self::Digest(digest) => {
                let mut uri = url.path().to_owned();
                if let Some(query) = url.query() {
                    uri.push('?');
                    uri.push_str(query);
                }
                match digest.authorization(method, &uri) {
                    Some(value) => request.header(AUTHORIZATION, value),
                    None => request,
                }
            }
        }
    }

    /// After a 401: whether the reply has a challenge that the same request can answer.
    pub(crate) fn learn(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Digest(digest) => digest.learn(headers),
            _ => false,
        }
    }
}

fn header(app: &App, file: &Path, value: &str) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SetupError::file(app, file, "holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}
