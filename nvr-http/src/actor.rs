//! Who changes something, for the events that tell of it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::auth::Viewer;

/// Name of who asks, if it is a user.
#[derive(Debug)]
pub(crate) struct By(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let viewer = parts.extensions.get::<Viewer>();
        Ok(Self(
            viewer.and_then(|v| v.user.as_ref()).map(ToString::to_string),
        ))
    }
}
