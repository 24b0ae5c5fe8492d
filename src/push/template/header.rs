//! A header of the operator's own: its name is fixed, `${name}` may stand in its value.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::push::template::error::TemplateError;
use crate::push::template::name::{Name, Vocabulary};
use crate::push::template::text::{Encoding, Text, Values};

/// A checked header.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderTemplate {
    name: HeaderName,
    value: Text,
}

impl HeaderTemplate {
    /// Parses and checks a header.
    pub fn parse(name: &str, value: &str) -> Result<Self, TemplateError> {
        let shape = |problem: &str| Err(TemplateError::Shape(problem.to_owned()));
        let name = match HeaderName::from_bytes(name.as_bytes()) {
            Ok(AUTHORIZATION) => return shape("cannot be set here: use auth-type, which takes the secret from a file"),
            Ok(name) if may_be_set(&name) => name,
            _ => return shape("is not a header that can be set"),
        };
        if HeaderValue::from_str(value).is_err() {
            return shape("holds characters that no header can carry");
        }
        Ok(Self {
            name,
            value: Text::parse(value, Vocabulary::Gateway)?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        self.value.names()
    }

    /// The header with its values. Line breaks in them become blanks.
    pub(crate) fn fill(&self, values: &impl Values) -> (HeaderName, Option<HeaderValue>) {
        let mut value = String::new();
        self.value.fill(values, Encoding::Line, &mut value);
        (self.name.clone(), HeaderValue::from_bytes(value.trim().as_bytes()).ok())
    }
}

impl fmt::Debug for HeaderTemplate {
    /// Its value may hold an operator's key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderTemplate({}: ..)", self.name)
    }
}

/// Whether an operator may set this header: not those of the connection or the body.
pub(crate) fn may_be_set(name: &HeaderName) -> bool {
    const OURS: [&str; 12] = [
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "expect",
    ];
    !OURS.contains(&name.as_str())
}
