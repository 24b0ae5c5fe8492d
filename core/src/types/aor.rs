//! Who is called and who registers, and text from the network on a log line.

use std::fmt;
use std::sync::Arc;

/// The callee of the doctor's own probe calls: nobody has this name (RFC 2606).
pub const NOBODY: &str = "doctor@fswake.invalid";

/// An address of record: who is called, and who registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aor {
    /// The user part, compared exactly (RFC 3261 section 19.1.4).
    pub user: Arc<str>,
    /// The domain, compared without case.
    pub domain: Arc<str>,
}

impl Aor {
    /// An AOR as given; it is not normalised here.
    pub fn new(user: impl Into<Arc<str>>, domain: impl Into<Arc<str>>) -> Self {
        Self {
            user: user.into(),
            domain: domain.into(),
        }
    }

    /// Whether it is [`NOBODY`]: probe calls are not counted.
    pub fn is_nobody(&self) -> bool {
        NOBODY.split_once('@') == Some((&self.user, &self.domain))
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", Printable(&self.user), Printable(&self.domain))
    }
}

/// Text from the network as it may appear on a log line: controls and line breaks are escaped.
#[derive(Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_text_cannot_break_a_log_line() {
        assert_eq!(Aor::new("a\nb\u{202e}", "c").to_string(), "a\\u{a}b\\u{202e}@c");
    }
}
