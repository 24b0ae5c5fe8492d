//! The one template engine: for payloads, and for gateways' URLs and bodies.
//!
//! ```text
//! json (objects, lists) -- text (${name}, encoded for its place) --+-- name (what may be asked for)
//!                                                                  \-- error
//! ```

mod error;
mod json;
mod name;
mod text;

pub use error::TemplateError;
pub(crate) use json::Json;
pub use name::{Name, Vocabulary};
pub(crate) use text::{Place, Text, Values};
