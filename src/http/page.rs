//! The status page: one file without outside resources.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use uuid::Uuid;

use super::Site;

/// The page; `{nonce}` is replaced at its style and script.
const PAGE: &str = include_str!("page.html");

/// The page, which uses the JSON interface like any other program. It contains no data by itself, so it needs no token.
///
/// A browser runs only the script and style that carry this answer's nonce.
pub(super) async fn show(State(_): State<Arc<Site>>) -> impl IntoResponse {
    let nonce = Uuid::new_v4().simple().to_string();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    let headers: [(HeaderName, String); 2] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".into()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, PAGE.replace("{nonce}", &nonce))
}
