//! The interface described for programs.

use axum::http::header;
use axum::response::IntoResponse;

/// The OpenAPI document; `tests/http` checks it against the routes and their answers.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// The document itself.
pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
