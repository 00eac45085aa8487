//! The handlers, one file per subject.

pub(crate) mod alerts;
pub(crate) mod backup;
pub(crate) mod bookings;
pub(crate) mod cameras;
pub(crate) mod config;
pub(crate) mod detections;
pub(crate) mod discovery;
pub(crate) mod fill;
pub(crate) mod footage;
pub(crate) mod jobs;
pub(crate) mod live;
pub(crate) mod log_level;
pub(crate) mod machine;
pub(crate) mod media;
pub(crate) mod motion;
pub(crate) mod objects;
#[cfg(feature = "oidc")]
pub(crate) mod oidc;
pub(crate) mod ptz;
pub(crate) mod pushes;
pub(crate) mod restream;
pub(crate) mod session;
pub(crate) mod shares;
pub(crate) mod stills;
pub(crate) mod storage;
pub(crate) mod system;
pub(crate) mod transcoding;
pub(crate) mod uploads;
pub(crate) mod users;

use axum::Json;
use axum::extract::FromRequest;
use axum::extract::Request;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;

use crate::problem::Failure;

/// A JSON body whose mistakes are answered as a problem.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        Json::<T>::from_request(request, state)
            .await
            .map(|Json(value)| Self(value))
            .map_err(|e: JsonRejection| match e.status() {
                status @ StatusCode::PAYLOAD_TOO_LARGE => {
                    Failure::Http(status, "too_large", "the body is larger than allowed".into())
                }
                status @ StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                    Failure::Http(status, "unsupported_media_type", e.body_text())
                }
                _ => Failure::invalid(e.body_text()),
            })
    }
}

/// The same where there need not be one.
#[derive(Debug)]
pub(crate) struct MaybeBody<T>(pub(crate) Option<T>);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for MaybeBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        // Nothing at all, as `curl -X POST` sends it, has no type either.
        if axum::body::HttpBody::is_end_stream(request.body()) {
            return Ok(Self(None));
        }
        Body::from_request(request, state)
            .await
            .map(|Body(value)| Self(Some(value)))
    }
}
