//! What encoding footage again brought, and what could be.

use super::Archive;
use crate::error::Result;
use crate::ids::CameraId;
use crate::jobs::NewJob;
use crate::store::{Store, TranscodeTotals};
use crate::time::TimeRange;

impl Archive {
    /// What encoding footage again brought, by camera, also of what is gone since.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn transcode_totals(&self) -> Result<Vec<TranscodeTotals>> {
        self.read(Store::transcode_totals).await
    }

    /// The jobs that encode a camera's footage of a range again, one for each segment wholly inside it; to be entered
    /// in the queue.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn transcode_jobs(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<NewJob>> {
        let camera = camera.clone();
        let privacy = self.privacy().of(&camera);
        self.read(move |store| crate::transcode::on_demand(store, camera, range, privacy.as_deref()))
            .await
    }
}
