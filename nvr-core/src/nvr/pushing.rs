//! Pushes of the recorder's cameras to servers.

use super::Nvr;
use crate::error::Result;
use crate::ids::CameraId;
use crate::push::{PushStatus, PushWish, Pushes};

impl Nvr {
    /// The pushes that go on, and ending them.
    #[must_use]
    pub fn pushes(&self) -> &Pushes {
        &self.0.pushes
    }

    /// Pushes a camera's live stream to a server; it is watched for that, so an on-demand camera connects. `by` is who asks,
    /// for the event that tells of it.
    ///
    /// # Errors
    /// `NotFound` when there is no such camera, and those of [`Pushes::start`].
    pub async fn push(&self, camera: &CameraId, wish: PushWish, by: Option<String>) -> Result<PushStatus> {
        self.0.pushes.start(&self.camera(camera)?, wish, by).await
    }
}
