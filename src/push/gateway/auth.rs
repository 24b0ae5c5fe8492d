//! How a profile authenticates. The secret file is read once; its content appears in the header and nowhere else.

use std::path::Path;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};

use crate::push::app::{App, HttpAuth};
use crate::push::gateway::digest::Digest;
use crate::push::setup::SetupError;
use crate::types::Secret;

/// A profile's authentication with its secret, ready to be sent.
pub(crate) enum Auth {
    None,
    Header(HeaderName, HeaderValue),
    Basic(String, Secret),
    Digest(Digest),
}

impl Auth {
    pub(crate) fn new(app: &App, auth: &HttpAuth) -> Result<Self, SetupError> {
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
        })
    }

    /// Adds what the server wants to a request.
    pub(crate) fn sign(&self, request: RequestBuilder, method: &str, url: &Url) -> RequestBuilder {
        match self {
            Self::None => request,
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

/// Whether an operator may set this header: not those of the connection or the body.
fn may_be_set(name: &HeaderName) -> bool {
    const OURS: [&str; 8] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
    ];
    !OURS.contains(&name.as_str())
}

fn header(app: &App, file: &Path, value: &str) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SetupError::file(app, file, "holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}
