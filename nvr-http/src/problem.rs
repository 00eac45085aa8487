//! Errors as `application/problem+json` (RFC 9457), with one table from kind to status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::config::{FieldError, FieldErrors};
use nvr_core::{Error, ErrorKind};

/// When to ask again where it is too much just now.
const RETRY_AFTER_S: &str = "5";

/// Media type of errors.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// The body of every error.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// The error's kind, stable (`"not_found"`).
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for people.
    pub detail: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The fields that are wrong, where a configuration is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with a field.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// The field (`cameras.front.source`); empty for a mistake of syntax in the file.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<FieldError> for FieldProblem {
    fn from(e: FieldError) -> Self {
        Self {
            path: e.path,
            message: e.message,
            hint: e.hint,
        }
    }
}

/// The status that goes with a kind of error.
#[must_use]
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidArgument | ErrorKind::Config => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        // The camera's refusal, not ours: 401 would make a browser ask its user for a password.
        ErrorKind::Unauthorized => StatusCode::BAD_GATEWAY,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Storage => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error on its way out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One of the library.
    Core(Error),
    /// A request that HTTP itself has a status for.
    Http(StatusCode, &'static str, String),
    /// Too many tries: to wait so long.
    Later(std::time::Duration),
}

pub(crate) type Answer<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Core(e)
    }
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Core(Error::new(ErrorKind::InvalidArgument, message))
    }

    /// What it says, for people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Core(e) => e.to_string(),
            Self::Http(_, _, detail) => detail.clone(),
            Self::Later(wait) => format!("too many tries: wait {} s", wait.as_secs() + 1),
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::Core(Error::new(ErrorKind::NotFound, message))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Core(error) => error,
            Self::Http(status, kind, detail) => return problem(status, kind, detail, None),
            Self::Later(wait) => return later(wait),
        };
        let fields = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<FieldErrors>());
        if let Some(FieldErrors(fields)) = fields {
            return refused(fields);
        }
        let status = status_of(error.kind());
        if status.is_server_error() {
            tracing::warn!(error = ?error, "request failed");
        }
        let mut answer = problem(
            status,
            error.kind().as_str(),
            error.to_string(),
            error.hint().map(str::to_owned),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        answer
    }
}

/// An answer that tells to wait, in whole seconds.
fn later(wait: std::time::Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut response = problem(
        StatusCode::TOO_MANY_REQUESTS,
        "busy",
        format!("too many tries: wait {seconds} s"),
        None,
    );
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    response
}

/// A change of the configuration with mistakes in it.
fn refused(fields: &[FieldError]) -> Response {
    let s = if fields.len() == 1 { "" } else { "s" };
    let detail = format!("{} mistake{s} in the configuration", fields.len());
    let mut body = body(StatusCode::UNPROCESSABLE_ENTITY, "config", detail, None);
    body.errors = fields.iter().cloned().map(FieldProblem::from).collect();
    answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

pub(crate) fn problem(status: StatusCode, kind: &str, detail: String, hint: Option<String>) -> Response {
    answer(status, &body(status, kind, detail, hint))
}

fn body(status: StatusCode, kind: &str, detail: String, hint: Option<String>) -> Problem {
    Problem {
        kind: kind.to_owned(),
        title: status.canonical_reason().unwrap_or("error").to_owned(),
        status: status.as_u16(),
        detail,
        hint,
        errors: Vec::new(),
    }
}

fn answer(status: StatusCode, body: &Problem) -> Response {
    let json = serde_json::to_vec(body).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], json).into_response()
}
