//! Why a template is refused.

use crate::push::template::name::Vocabulary;

/// Why a template is refused. The text follows the template's own name, says what is allowed, and repeats no more than
/// a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `${` without its `}`, and where.
    #[error("has `${{` without `}}`{}", place(.0))]
    Unclosed(String),
    /// `${name}` with a name that is not known there.
    #[error("has the unknown ${{{name}}}{}; known are: {}", place(at), known(*vocabulary))]
    UnknownName {
        /// The name.
        name: String,
        /// Where, as a JSON pointer (RFC 6901); may be empty.
        at: String,
        /// The names that are known there.
        vocabulary: Vocabulary,
    },
    /// It does not parse.
    #[error("is not JSON{0}")]
    NotJson(String),
    /// It is a string, a number, or a list where only an object will do.
    #[error("must be a JSON object")]
    NotAnObject,
    /// A `${` in a key: what a caller says must not choose the app's keys.
    #[error("must have fixed JSON keys: ${{..}} may stand in values only{}", place(.0))]
    InKey(String),
    /// A key that Google refuses in a data message.
    #[error("has the key {0}, which FCM reserves (from, message_type, google*, gcm*)")]
    ReservedKey(String),
    /// A rule of URLs or bodies.
    #[error("{0}")]
    Shape(String),
}

impl TemplateError {
    /// Adds the place in the template.
    pub(crate) fn found_at(self, place: &str) -> Self {
        match self {
            Self::Unclosed(_) => Self::Unclosed(place.to_owned()),
            Self::UnknownName { name, vocabulary, .. } => Self::UnknownName {
                name,
                at: place.to_owned(),
                vocabulary,
            },
            other => other,
        }
    }
}

fn place(at: &str) -> String {
    if at.is_empty() {
        String::new()
    } else {
        format!(" at {at}")
    }
}

fn known(vocabulary: Vocabulary) -> String {
    vocabulary.names().collect::<Vec<_>>().join(", ")
}
