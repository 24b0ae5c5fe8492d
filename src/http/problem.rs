//! Errors as programs read them: problem details (RFC 9457).

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::control::NoAnswer;
use crate::journal::JournalError;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemDetails {
    status: StatusCode,
    detail: String,
    /// Members beyond those of the standard (section 3.2).
    more: Map<String, Value>,
    retry_after: Option<u32>,
}

impl ProblemDetails {
    /// With a status, and a sentence for the client's author.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            more: Map::new(),
            retry_after: None,
        }
    }

    /// The same with further members.
    pub(super) fn with(mut self, more: Map<String, Value>) -> Self {
        self.more = more;
        self
    }

    /// The same, and when to try again, in seconds.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A value that is not allowed.
    pub fn wrong(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Something that does not exist.
    pub fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Reading the store ended without an answer: a fault of fswake's own.
    pub(super) fn failed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "reading failed")
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        let mut body = self.more;
        body.insert("type".into(), json!("about:blank"));
        body.insert("title".into(), json!(self.status.canonical_reason().unwrap_or("Error")));
        body.insert("status".into(), json!(self.status.as_u16()));
        body.insert("detail".into(), json!(self.detail));
        let mut response = (self.status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<NoAnswer> for ProblemDetails {
    fn from(error: NoAnswer) -> Self {
        let status = match error {
            NoAnswer::UnderWay => StatusCode::GATEWAY_TIMEOUT,
            NoAnswer::Busy | NoAnswer::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<JournalError> for ProblemDetails {
    /// Without the file's name: clients do not need it, and the log has it.
    fn from(error: JournalError) -> Self {
        tracing::warn!(%error, "a request could not read the store");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read")
    }
}

impl From<rusqlite::Error> for ProblemDetails {
    fn from(error: rusqlite::Error) -> Self {
        tracing::warn!(%error, "a request could not read the store");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read")
    }
}

impl From<QueryRejection> for ProblemDetails {
    fn from(error: QueryRejection) -> Self {
        Self::wrong(error.body_text())
    }
}

impl From<PathRejection> for ProblemDetails {
    fn from(error: PathRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}

impl From<JsonRejection> for ProblemDetails {
    fn from(error: JsonRejection) -> Self {
        Self::new(error.status(), error.body_text())
    }
}

/// No such path.
pub(super) async fn no_such_thing() -> ProblemDetails {
    ProblemDetails::missing("no such path; /v1/openapi.json lists all")
}

/// A known path, with an unsupported method.
pub(super) async fn wrong_method() -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method not allowed; /v1/openapi.json lists all",
    )
}
