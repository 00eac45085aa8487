//! Bytes, hours and the disk.

use super::Archive;
use crate::error::Result;
use crate::files::{Root, RootOptions};
use crate::ids::CameraId;
use crate::store::CameraTotals;
use crate::time::Timestamp;

/// Figures of one camera's footage.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CameraStats {
    /// Camera.
    pub camera: CameraId,
    /// Segments.
    pub segments: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// Length of footage, nanoseconds.
    pub duration_ns: i64,
    /// Start of the oldest segment.
    pub oldest: Option<Timestamp>,
    /// End of the newest segment.
    pub newest: Option<Timestamp>,
}

/// Figures of the whole archive.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ArchiveStats {
    /// By camera, removed ones included.
    pub cameras: Vec<CameraStats>,
    /// Size of the file system in bytes.
    pub disk_total_bytes: u64,
    /// What of it is available to the recorder.
    pub disk_available_bytes: u64,
}

impl Archive {
    /// Bytes, hours and the disk.
    ///
    /// # Errors
    /// `Storage` when the file system cannot be asked.
    pub async fn stats(&self) -> Result<ArchiveStats> {
        let root = Root::new(&self.0.root, RootOptions::default(), self.0.clock.clone());
        let archive = self.clone();
        self.read(move |store| {
            let usage = root.usage()?;
            let mut cameras: Vec<CameraStats> = store.totals()?.into_iter().map(CameraStats::from).collect();
            // The index knows the length of a segment once it is closed; what grows belongs to the answer.
            for row in store.open_segments()? {
                let Ok(Some(growing)) = archive.footage_of(&row) else {
                    continue;
                };
                if let Some(stats) = cameras.iter_mut().find(|s| s.camera == row.camera) {
                    stats.size_bytes += growing.size_bytes.saturating_sub(row.size_bytes);
                    stats.duration_ns += (growing.duration_ns - row.duration_ns).max(0);
                    stats.newest = stats.newest.max(Some(growing.range().end()));
                }
            }
            Ok(ArchiveStats {
                cameras,
                disk_total_bytes: usage.total_bytes,
                disk_available_bytes: usage.available_bytes,
            })
        })
        .await
    }
}

impl From<CameraTotals> for CameraStats {
    fn from(t: CameraTotals) -> Self {
        Self {
            camera: t.camera,
            segments: t.segments,
            size_bytes: t.size_bytes,
            duration_ns: t.duration_ns,
            oldest: t.oldest,
            newest: t.newest,
        }
    }
}
