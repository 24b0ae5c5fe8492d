//! Which texts from the network are safe in a command.

use std::fmt;

/// A text that is safe anywhere in a command: letters, digits, `-`, `_`, `.` and `+`, at most 128 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a>(&'a str);

impl<'a> Word<'a> {
    /// The text, if it is such a word.
    pub fn new(text: &'a str) -> Option<Self> {
        is_made_of(text, 128, b"-_.+").then_some(Self(text))
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A text that is safe as an argument of an API command by itself, but not in a dial-string or a list of variables:
/// names of users, domains and contexts have more marks than a [`Word`]. At most 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a>(&'a str);

impl<'a> Argument<'a> {
    /// The text, if it can be one.
    pub fn new(text: &'a str) -> Option<Self> {
        is_made_of(text, 255, b"-_.+@*#~!&=:[]").then_some(Self(text))
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Argument<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether a variable's value may stand in a command as it is.
pub(in crate::esl) fn is_plain(value: &str) -> bool {
    is_made_of(value, 2048, b"-_.+:;=,@")
}

/// Whether a text has letters, digits and these marks only, and is not too long: for texts inside quotes of their own.
pub(super) fn is_made_of(text: &str, longest: usize, marks: &[u8]) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || marks.contains(&b);
    !text.is_empty() && text.len() <= longest && text.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_to_freeswitch_is_a_word() {
        for text in ["1001", "internal", "a-b_c.d", "+4930"] {
            assert_eq!(Word::new(text).map(Word::as_str), Some(text));
            assert_eq!(Argument::new(text).map(Argument::as_str), Some(text));
        }
        for text in ["*97", "fswake@static", "[::1]"] {
            assert!(Word::new(text).is_none() && Argument::new(text).is_some(), "{text}");
        }
        for text in ["", "a b", "a\n", "${x}", "a,b", "a;b", "a'b", "a|b", "{a", "a\\", "é"] {
            assert!(Word::new(text).is_none() && Argument::new(text).is_none(), "{text}");
        }
        assert!(Word::new(&"a".repeat(129)).is_none() && Argument::new(&"a".repeat(256)).is_none());
    }
}
