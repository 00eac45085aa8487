//! Who asks. A layer around the routes that knows puts it into the request's extensions.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Name of who asks, for events; put into the extensions of a request.
#[derive(Clone, Debug)]
pub struct Actor(pub Arc<str>);

/// The actor of a request, if it is known.
#[derive(Debug)]
pub(crate) struct By(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Actor>().map(|a| a.0.to_string())))
    }
}
