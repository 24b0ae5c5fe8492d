//! What is wrong with a configuration: file, key, value, and what is allowed.

use std::fmt;
use std::path::Path;

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

    /// What the TOML reader found wrong in `text`.
    pub fn toml(self, text: &str, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or_default();
        let message = error.message();
        let line = format!("line {}", text[..span.start].matches('\n').count() + 1);
        if let Some(names) = message.strip_prefix("unknown field ") {
            let names: Vec<_> = names.split('`').skip(3).step_by(2).collect();
            let key = key_at(text, span.end);
            let meant = meant(key.rsplit('.').next().unwrap_or_default(), &names);
            let meant = meant.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
            let allowed = format!("unknown key; {meant}allowed here: {}", names.join(", "));
            return self.plain(&key, "", allowed);
        }
        match message.rsplit_once(", expected ") {
            Some((what, expected)) if what.starts_with("invalid ") => {
                let value = text[span.clone()].lines().next().unwrap_or_default();
                self.plain(&key_at(text, span.start), value, in_words(expected))
            }
            _ => self.plain(&line, "", message.replace('\n', ", ")),
        }
    }

    /// A mistake in any other words.
    pub fn plain(self, key: &str, value: impl Into<String>, allowed: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            key: key.to_owned(),
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}

/// What serde expects, for people.
fn in_words(expected: &str) -> String {
    match expected {
        "u16" => format!("a number from 0 to {}", u16::MAX),
        "u32" => format!("a number from 0 to {}", u32::MAX),
        "a boolean" => "true or false".into(),
        "a string" => "a text in quotes".into(),
        "a duration" => r#"no unit: write it as a duration in quotes, such as "25s""#.into(),
        "a sequence" => "a list in brackets".into(),
        other if other.starts_with("struct") || other == "a map" => "a table".into(),
        other => other.into(),
    }
}

/// The key with its section (`wake.max-wait`, `app[2].name`) on the line where `offset` is.
fn key_at(text: &str, offset: usize) -> String {
    let (mut section, mut key) = (String::new(), "");
    let mut seen = Vec::new();
    let end = text[offset..].find('\n').map_or(text.len(), |more| offset + more);
    for line in text[..end].lines().map(str::trim) {
        if let Some(list) = line.strip_prefix("[[").and_then(|l| l.split("]]").next()) {
            seen.push(list);
            section = format!("{list}[{}]", seen.iter().filter(|s| **s == list).count());
            key = "";
        } else if let Some(table) = line.strip_prefix('[').and_then(|l| l.split(']').next())
            && !line.contains([',', '"'])
        {
            table.clone_into(&mut section);
            key = "";
        } else if let Some((name, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            key = name.trim();
        }
    }
    match (section.as_str(), key) {
        ("", key) => key.into(),
        (section, "") => section.into(),
        (section, key) => format!("{section}.{key}"),
    }
}

/// Which of the names somebody meant who wrote another: one with a few letters more, less or different, or with `_` for
/// `-`.
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
