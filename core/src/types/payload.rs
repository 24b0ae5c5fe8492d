//! A notification's content, as its sender wrote it.

use std::fmt;

use serde_json::{Map, Value};

/// Longest accepted payload, in bytes. Providers accept less; an operator's own gateway may accept this much.
const LONGEST: usize = 16 * 1024;

/// A notification's content: a JSON object, as its sender wrote it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(Map<String, Value>);

/// Why a payload is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It does not parse. Only the position is named: the rest is the sender's text.
    #[error("the payload is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// It is an array, a string or a number.
    #[error("the payload is not a JSON object")]
    NotAnObject,
    /// It is too long for any provider.
    #[error("the payload is longer than {LONGEST} bytes")]
    TooLong,
}

impl Payload {
    /// Parses a payload. Blanks only are a payload without keys.
    ///
    /// # Errors
    /// If it is not a JSON object, or too long.
    ///
    /// # Examples
    /// ```
    /// use fswake_core::types::push::{Payload, PayloadError};
    ///
    /// let payload = Payload::parse(r#"{"title": "Voicemail", "badge": 2}"#)?;
    /// assert_eq!(payload.keys()["badge"], 2);
    /// // A message is private: a log shows its keys only.
    /// assert_eq!(format!("{payload:?}"), r#"{"badge", "title"}"#);
    /// assert_eq!(Payload::parse("[1]"), Err(PayloadError::NotAnObject));
    /// # Ok::<(), PayloadError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, PayloadError> {
        if text.len() > LONGEST {
            return Err(PayloadError::TooLong);
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(keys)) => Ok(Self(keys)),
            Ok(_) => Err(PayloadError::NotAnObject),
            Err(error) => Err(PayloadError::NotJson {
                line: error.line(),
                column: error.column(),
            }),
        }
    }

    /// Its keys and values.
    pub fn keys(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The JSON object, for providers that pass it on as it is.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

impl From<Map<String, Value>> for Payload {
    fn from(keys: Map<String, Value>) -> Self {
        Self(keys)
    }
}

/// A message is private: only its keys are shown.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
