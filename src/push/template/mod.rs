//! The one template engine: for payloads, and for gateways' URLs, headers and bodies.
//!
//! ```text
//! url (path segments and query values) --------------+
//! header --------------------------------------------+
//! body --+-- form (fields) --+                       |
//!        +-------------------+-- json (objects, ..) -+-- text (${name}, encoded for its place) --+-- name (what may be asked for)
//!                                                                                                \-- error
//! ```

mod body;
mod error;
mod form;
mod header;
mod json;
mod name;
mod text;
mod url;

pub use body::{BodyTemplate, JSON, is_media_type};
pub use error::TemplateError;
pub use header::HeaderTemplate;
pub(crate) use header::may_be_set;
pub(crate) use json::Json;
pub use name::{Name, Vocabulary};
pub(crate) use text::{Encoding, Text, UNRESERVED, Values};
pub use url::UrlTemplate;
