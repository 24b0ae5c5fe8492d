//! The one template engine: for payloads, and for gateways' URLs and bodies.
//!
//! ```text
//! body --+-- url  (path segments and query values) --+
//!        +-- json (objects, lists) ------------------+-- text (${name}, encoded for its place) --+-- name (what may be asked for)
//!                                                                                                \-- error
//! ```

mod body;
mod error;
mod json;
mod name;
mod text;
mod url;

pub use body::{BodyTemplate, JSON, is_media_type};
pub use error::TemplateError;
pub(crate) use json::Json;
pub use name::{Name, Vocabulary};
pub(crate) use text::{Encoding, Text, Values};
pub use url::UrlTemplate;
