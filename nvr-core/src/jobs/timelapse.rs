//! Kind `timelapse`: many hours of a camera in a minute.

use std::path::Path;

use super::NewJob;
use super::made::{Recipe, job_of};
use crate::archive::Archive;
use crate::convert::{Composed, Watcher};
pub use crate::convert::{LapseSource, TimelapseParams};
use crate::error::Result;
use crate::ids::CameraId;
use crate::time::TimeRange;

/// Name of the kind.
pub const KIND: &str = "timelapse";

impl TimelapseParams {
    /// The job: somebody waits for it, and asked for twice it is done once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn job(&self) -> Result<NewJob> {
        self.check()?;
        Ok(job_of(KIND, self)?.camera(self.camera.clone()))
    }
}

impl Recipe for TimelapseParams {
    const KIND: &'static str = KIND;

    fn name(&self) -> Result<CameraId> {
        Ok(self.camera.clone())
    }

    fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn daily(&self) -> Option<&CameraId> {
        self.daily.as_ref()
    }

    fn range(&self) -> Result<TimeRange> {
        Ok(self.check()?.0)
    }

    fn job(&self) -> Result<NewJob> {
        Self::job(self)
    }

    fn make(&self, archive: &Archive, file: &Path, watcher: Watcher<'_>) -> Result<Composed> {
        archive.timelapse(self, file, watcher)
    }
}
