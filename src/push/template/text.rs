//! Text with `${name}` in it: parsed once, filled for every push, each value encoded for its position.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::push::template::error::TemplateError;
use crate::push::template::name::{Name, Vocabulary};

/// The values of the names for one push.
pub(crate) trait Values {
    /// The value as text.
    fn text(&self, name: Name) -> Cow<'_, str>;
    /// The value as JSON: objects and numbers as such, everything else as a string.
    fn json(&self, name: Name) -> serde_json::Value;
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Name(Name),
}

/// The name that is written there.
pub(crate) fn named(written: &str, vocabulary: Vocabulary) -> Result<Name, TemplateError> {
    vocabulary.find(written).ok_or_else(|| TemplateError::UnknownName {
        name: written.to_owned(),
        at: String::new(),
        vocabulary,
    })
}

pub(crate) fn unclosed() -> TemplateError {
    TemplateError::Unclosed(String::new())
}

/// A parsed text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<Piece>);

impl Text {
    pub(crate) fn parse(text: &str, vocabulary: Vocabulary) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(unclosed)?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(Piece::Name(named(name, vocabulary)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// A text without names.
    pub(crate) fn of(text: &str) -> Self {
        Self(Vec::from_iter(
            (!text.is_empty()).then(|| Piece::Literal(text.to_owned())),
        ))
    }

    /// The same with a name after it.
    pub(crate) fn with_name(mut self, name: Name) -> Self {
        self.0.push(Piece::Name(name));
        self
    }

    /// Appends the text with its values. A value is never searched for names.
    pub(crate) fn fill(&self, values: &impl Values, place: Encoding, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Name(name) => place.encode(&values.text(*name), out),
            }
        }
    }

    /// The length of what stands around the names, in bytes.
    pub(crate) fn literal_len(&self) -> usize {
        let literal = |piece: &Piece| match piece {
            Piece::Literal(text) => text.len(),
            Piece::Name(_) => 0,
        };
        self.0.iter().map(literal).sum()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Name(name) => Some(*name),
        })
    }
}

/// How a value is encoded, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A path segment, a query's or a form's value: everything but RFC 3986's unreserved characters is encoded.
    Uri,
    /// As it is: the text of a JSON string, which a JSON writer writes, or a header's value, which is checked afterwards.
    Plain,
    /// Text or a quoted attribute of XML or HTML.
    Markup,
    /// Any other text, kept on one line.
    Line,
}

/// RFC 3986 section 2.3.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Encoding {
    pub(crate) fn encode(self, value: &str, out: &mut String) {
        match self {
            Self::Uri => out.extend(utf8_percent_encode(value, UNRESERVED)),
            Self::Plain => out.push_str(value),
            Self::Markup => value.chars().for_each(|c| match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                // XML allows no control characters, escaped or not.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
                c => out.push(c),
            }),
            Self::Line => value.chars().for_each(|c| {
                let breaks = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
                out.push(if breaks { ' ' } else { c });
            }),
        }
    }
}
