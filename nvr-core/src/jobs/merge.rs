//! Kind `merge`: several cameras in one file, by the wall clock. A job of no single camera, so only those who may see all may ask for it.

use std::path::Path;

use super::NewJob;
use super::made::{Recipe, job_of};
use crate::archive::Archive;
pub use crate::convert::MergeParams;
use crate::convert::{Composed, Watcher};
use crate::error::Result;
use crate::ids::CameraId;
use crate::time::TimeRange;

/// Name of the kind.
pub const KIND: &str = "merge";

impl MergeParams {
    /// The job: somebody waits for it, and asked for twice it is done once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn job(&self) -> Result<NewJob> {
        self.check()?;
        job_of(KIND, self)
    }
}

impl Recipe for MergeParams {
    const KIND: &'static str = KIND;

    fn name(&self) -> Result<CameraId> {
        CameraId::new(KIND)
    }

    fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn range(&self) -> Result<TimeRange> {
        self.check()
    }

    fn job(&self) -> Result<NewJob> {
        Self::job(self)
    }

    fn make(&self, archive: &Archive, file: &Path, watcher: Watcher<'_>) -> Result<Composed> {
        archive.merge(self, file, watcher)
    }
}
