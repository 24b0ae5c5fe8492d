//! Errors of a configuration: file, key, value, and what is allowed.

use std::fmt;
use std::path::Path;

use super::document::{Mistake, MistakeKind, Type, Unreadable};
use crate::words;

/// One mistake, shown as `file: key: value: what is allowed` on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or `environment`.
    pub file: String,
    /// The key with its section, `line 3` where there is none, or empty when it is about the file.
    pub key: String,
    /// The value as written; empty when it is missing.
    pub value: String,
    /// What is allowed, or why it cannot be used.
    pub allowed: String,
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        for part in [&self.key, &self.value, &self.allowed] {
            if !part.is_empty() {
                write!(f, ": {}", crate::types::Printable(part))?;
            }
        }
        Ok(())
    }
}

/// The file that is being checked, for its errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct In<'a> {
    pub file: &'a str,
}

impl In<'_> {
    /// A value that is not allowed.
    pub fn wrong(self, key: &str, value: impl fmt::Debug, allowed: impl Into<String>) -> ConfigError {
        self.plain(key, format!("{value:?}"), allowed)
    }

    /// A value that is missing.
    pub fn missing(self, key: &str, needed: impl Into<String>) -> ConfigError {
        self.plain(key, "missing", needed)
    }

    /// A file that cannot be read.
    pub fn unreadable(self, key: &str, path: &Path, error: &std::io::Error) -> ConfigError {
        self.plain(
            key,
            path.display().to_string(),
            format!("cannot be read: {}", words::of_io(error)),
        )
    }

    /// Why `text` cannot be read.
    pub fn document(self, text: &str, why: &Unreadable) -> ConfigError {
        match why {
            Unreadable::Syntax(error) => {
                let start = error.span().unwrap_or_default().start;
                let line = format!("line {}", text[..start].matches('\n').count() + 1);
                self.plain(&line, "", error.message().replace('\n', ", "))
            }
            Unreadable::Mistake(mistake) => self.mistake(text, mistake),
        }
    }

    fn mistake(self, text: &str, mistake: &Mistake) -> ConfigError {
        let key = mistake.key();
        match &mistake.kind {
            MistakeKind::UnknownKey(names) => {
                let meant = meant(key.rsplit('.').next().unwrap_or_default(), names);
                let meant = meant.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
                let allowed = format!("unknown key; {meant}allowed here: {}", names.join(", "));
                self.plain(&key, "", allowed)
            }
            MistakeKind::Type(wanted) => {
                let value = text[mistake.span.clone()].lines().next().unwrap_or_default();
                self.plain(&key, value, in_words(*wanted))
            }
            MistakeKind::Other(message) => self.plain(&key, "", message.as_str()),
        }
    }

    /// A mistake in other words than those above.
    pub fn plain(self, key: &str, value: impl Into<String>, allowed: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            key: key.to_owned(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}

/// What a value should be, for people.
fn in_words(wanted: Type) -> String {
    match wanted {
        Type::Number(u64::MAX) => "a whole number".into(),
        Type::Number(most) => format!("a number from 0 to {most}"),
        Type::Boolean => "true or false".into(),
        Type::Text => "a text in quotes".into(),
        Type::Duration => r#"no unit: write it as a duration in quotes, such as "25s""#.into(),
        Type::List => "a list in brackets".into(),
        Type::Table => "a table".into(),
    }
}

/// The name that was probably meant by an unknown one: it differs in a few letters, or has `-` for `_`.
fn meant<'a>(written: &str, names: &[&'a str]) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('_', "-");
    let nearest = names.iter().map(|name| (distance(&written, name), *name)).min()?;
    let (distance, name) = nearest;
    (distance <= 1 + written.len() / 5).then_some(name)
}

/// How many letters have to be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_meant_and_a_strange_one_none() {
        let names = ["max-wait", "push-retry", "mode", "push-delay"];
        for (written, expected) in [
            ("max_wait", Some("max-wait")),
            ("maxwait", Some("max-wait")),
            ("max-wiat", Some("max-wait")),
            ("push-retrys", Some("push-retry")),
            ("made", Some("mode")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(meant(written, &names), expected, "{written}");
        }
        assert_eq!(meant("x", &[]), None);
    }
}
