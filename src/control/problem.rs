//! Answers that are refusals: problem details (RFC 9457).

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal. Its type is `about:blank`, so the title is the status' own (section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// What is wrong, and what would be right.
    pub(super) detail: String,
}

#[derive(Serialize)]
struct Members<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(super) fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail } = self;
        let title = status.canonical_reason().unwrap_or("");
        let members = Members { r#type: "about:blank", title, status: status.as_u16(), detail: &detail };
        let body = serde_json::to_string(&members).unwrap_or_default() + "\n";
        (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
