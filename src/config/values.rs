//! Single values: what every section checks in the same way.

use std::time::Duration;

use super::error::{ConfigError, In};
use super::text;
use crate::engine::policy::OnUnregister;

pub(super) type CheckResult<T> = Result<T, ConfigError>;

/// A duration within limits.
pub(super) fn duration(
    at: In<'_>,
    key: &str,
    written: Option<&str>,
    default: Duration,
    min: &str,
    max: &str,
) -> CheckResult<Duration> {
    let Some(written) = written else {
        return Ok(default);
    };
    let within = |d: &Duration| text::duration(min) <= Some(*d) && Some(*d) <= text::duration(max);
    text::duration(written).filter(within).ok_or_else(|| {
        let allowed = format!(r#"a duration from {min} to {max}, as in "500ms", "30s", "5m", "2h" or "60d""#);
        at.wrong(key, written, allowed)
    })
}

/// A list of at least one.
pub(super) fn list<T: std::str::FromStr>(
    at: In<'_>,
    key: &str,
    written: &[String],
    allowed: &str,
) -> CheckResult<Vec<T>> {
    if written.is_empty() {
        return Err(at.wrong(key, written, allowed));
    }
    let parse = |text: &String| text.parse().map_err(|_| at.wrong(key, text, allowed));
    written.iter().map(parse).collect()
}

/// What an un-REGISTER means, as configured.
pub(super) fn on_unregister(at: In<'_>, key: &str, written: Option<&str>) -> CheckResult<Option<OnUnregister>> {
    match written {
        None => Ok(None),
        Some("forget") => Ok(Some(OnUnregister::Forget)),
        Some("keep") => Ok(Some(OnUnregister::Keep)),
        Some(other) => Err(at.wrong(key, other, r#""forget" or "keep""#)),
    }
}

/// Whether a text is one printable word: not empty, no blanks, no control characters.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether a character may be in a name ([`is_name`]).
pub(super) fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Whether a text is a name that is safe in a log line, a FreeSWITCH command and a URL, and not longer than this.
pub(super) fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(is_of_a_name)
}

/// Whether a text is an https URL.
pub(super) fn is_https(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| url.scheme() == "https")
}
