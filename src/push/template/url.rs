//! The operator's URL: scheme, host and the keys of the query are fixed; `${name}` may stand in path segments and query
//! values.

use std::fmt;

use reqwest::Url;

use crate::push::template::error::TemplateError;
use crate::push::template::name::{Name, Vocabulary};
use crate::push::template::text::{Encoding, Text, Values};
use crate::types::push::OwnRefusal;

/// A checked URL template.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    /// `https://host:port`, normalised.
    origin: String,
    encrypted: bool,
    loopback: bool,
    segments: Vec<Text>,
    query: Option<Vec<Pair>>,
}

/// One `key=value`; the key has nothing to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    key: String,
    value: Option<Text>,
}

fn text(written: &str) -> Result<Text, TemplateError> {
    Text::parse(written, Vocabulary::Gateway)
}

fn shape<T>(problem: &str) -> Result<T, TemplateError> {
    Err(TemplateError::Shape(problem.to_owned()))
}

impl UrlTemplate {
    /// Parses and checks a template.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        if template.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\' || c == '#') {
            return shape("must have no blanks, no backslash and no #: write %20, %5C, %23");
        }
        let Some((scheme, rest)) = template.split_once("://") else {
            return shape("must begin with https:// or http://");
        };
        if !matches!(scheme, "https" | "http") {
            return shape("must begin with https:// or http://");
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains("${") {
            return shape("must have a fixed host: ${..} may stand in its path and in values of its query");
        }
        if authority.contains('@') {
            return shape(r#"must have no user and password: use auth-type = "basic" and auth-file"#);
        }
        let base = Url::parse(&format!("{scheme}://{authority}/")).ok();
        let Some(base) = base.filter(|url| url.host_str().is_some() && url.path() == "/") else {
            return shape("must have a host, as in https://push.example.org/wake");
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let segments: Vec<_> = path.split('/').skip(1).map(text).collect::<Result<_, _>>()?;
        if path.split('/').any(is_dots) {
            return shape("must have no . and .. in its path");
        }
        Ok(Self {
            origin: base.origin().ascii_serialization(),
            encrypted: scheme == "https",
            loopback: is_loopback(&base),
            segments,
            query: query.map(pairs).transpose()?,
        })
    }

    /// `https://host:port`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is https.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether it stays on this machine.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        let in_query = self.query.iter().flatten().filter_map(|pair| pair.value.as_ref());
        self.segments.iter().chain(in_query).flat_map(Text::names)
    }

    pub(crate) fn fill(&self, values: &impl Values) -> Result<Url, OwnRefusal> {
        let mut url = self.origin.clone();
        for segment in &self.segments {
            url.push('/');
            let start = url.len();
            segment.fill(values, Encoding::Uri, &mut url);
            if is_dots(&url[start..]) {
                // No encoding keeps it from meaning another path (URL Standard, "double-dot URL path segment").
                return Err(OwnRefusal::DotSegment);
            }
        }
        if let Some(query) = &self.query {
            url.push('?');
            fill_pairs(query, values, &mut url);
        }
        Url::parse(&url).map_err(|_| OwnRefusal::NoUrl)
    }
}

impl fmt::Debug for UrlTemplate {
    /// Path and query may hold an operator's key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UrlTemplate({}/..)", self.origin)
    }
}

/// Parses a query.
fn pairs(written: &str) -> Result<Vec<Pair>, TemplateError> {
    let pair = |written: &str| {
        let (key, value) = match written.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (written, None),
        };
        if key.contains("${") {
            return shape("must have fixed keys: ${..} may stand in values, key=${..}, only");
        }
        Ok(Pair {
            key: key.to_owned(),
            value: value.map(text).transpose()?,
        })
    };
    written.split('&').map(pair).collect()
}

fn fill_pairs(pairs: &[Pair], values: &impl Values, out: &mut String) {
    for (n, pair) in pairs.iter().enumerate() {
        if n > 0 {
            out.push('&');
        }
        out.push_str(&pair.key);
        if let Some(value) = &pair.value {
            out.push('=');
            value.fill(values, Encoding::Uri, out);
        }
    }
}

fn is_dots(segment: &str) -> bool {
    segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
