//! How a profile says who it is. The file is read once; what it holds never leaves but in the header.

use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};

use super::digest::Digest;
use crate::files;
use crate::push::app::App;
use crate::push::setup::SetupError;
use crate::types::Secret;

/// How a profile says who it is, with the file that holds the secret: one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HttpAuth {
    /// It does not.
    #[default]
    None,
    /// `Authorization: Bearer <line>`; mod_apn calls it `jwt`.
    Bearer(PathBuf),
    /// RFC 7617; the line is `user:password`.
    Basic(PathBuf),
    /// RFC 7616; the line is `user:password`.
    Digest(PathBuf),
    /// A header of the operator's own; the line is `Name: value`.
    Header(PathBuf),
}

impl HttpAuth {
    /// The word for it in JSON and on the status page.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer(_) => "bearer",
            Self::Basic(_) => "basic",
            Self::Digest(_) => "digest",
            Self::Header(_) => "header",
        }
    }

    /// The file that holds the secret.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::None => None,
            Self::Bearer(file) | Self::Basic(file) | Self::Digest(file) | Self::Header(file) => Some(file),
        }
    }
}

/// The same, ready to be sent.
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
                let value = header(app, file, &format!("Bearer {}", line(app, file)?.expose()))?;
                Self::Header(AUTHORIZATION, value)
            }
            HttpAuth::Basic(file) => {
                let (user, password) = user(app, file)?;
                Self::Basic(user, password)
            }
            HttpAuth::Digest(file) => {
                let (user, password) = user(app, file)?;
                Self::Digest(Digest::new(user, password))
            }
            HttpAuth::Header(file) => {
                let line = line(app, file)?;
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

    /// After a 401: whether it told something with which the same request may pass.
    pub(crate) fn learn(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Digest(digest) => digest.learn(headers),
            _ => false,
        }
    }
}

/// Not what belongs to the connection or to the body.
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

fn line(app: &App, file: &Path) -> Result<Secret, SetupError> {
    Ok(Secret::new(SetupError::read(app, file, files::line)?.text))
}

fn user(app: &App, file: &Path) -> Result<(String, Secret), SetupError> {
    match line(app, file)?.expose().split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((user.to_owned(), Secret::new(password))),
        _ => Err(SetupError::file(app, file, "must hold one line, user:password")),
    }
}

fn header(app: &App, file: &Path, value: &str) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| SetupError::file(app, file, "holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}
