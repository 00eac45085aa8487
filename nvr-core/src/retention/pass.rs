//! What a pass of deletions brought.

use super::plan::Deletion;
use crate::event::DeletionReason;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Footage that was deleted, or would be.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Deleted {
    /// Camera.
    pub camera: CameraId,
    /// Number of segments.
    pub segments: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Begin of the oldest.
    pub from: Timestamp,
    /// End of the newest.
    pub until: Timestamp,
    /// Why.
    pub reason: DeletionReason,
}

/// What was deleted since the recorder started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedSoFar {
    /// Camera.
    pub camera: CameraId,
    /// Why.
    pub reason: DeletionReason,
    /// Number of segments.
    pub segments: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

/// What a pass brought.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Pass {
    /// What was deleted, by camera and reason.
    pub deleted: Vec<Deleted>,
    /// There is more to do.
    pub more: bool,
    /// So many bytes are missing to the free space that is wanted, and nothing is left to delete.
    pub short_bytes: u64,
    /// What could not be deleted, with the reason.
    pub failed: Vec<String>,
}

impl Pass {
    /// Number of segments that were deleted.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.deleted.iter().map(|d| d.segments).sum()
    }

    /// Their bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.deleted.iter().map(|d| d.size_bytes).sum()
    }

    pub(super) fn count(&mut self, d: &Deletion) {
        let s = &d.segment;
        let found = self
            .deleted
            .iter_mut()
            .find(|sum| sum.camera == d.camera && sum.reason == d.reason);
        match found {
            Some(sum) => {
                sum.segments += 1;
                sum.size_bytes += s.size_bytes;
                sum.from = sum.from.min(s.start);
                sum.until = sum.until.max(s.end);
            }
            None => self.deleted.push(Deleted {
                camera: d.camera.clone(),
                segments: 1,
                size_bytes: s.size_bytes,
                from: s.start,
                until: s.end,
                reason: d.reason,
            }),
        }
    }

    /// Together with what was done below the other root.
    pub(super) fn beside(mut self, other: Self) -> Self {
        let (more, short_bytes) = (self.more || other.more, self.short_bytes.max(other.short_bytes));
        self.add(other);
        self.more = more;
        self.short_bytes = short_bytes;
        self
    }

    /// Adds what a later pass brought.
    pub(crate) fn add(&mut self, later: Self) {
        for d in later.deleted {
            let found = self
                .deleted
                .iter_mut()
                .find(|sum| sum.camera == d.camera && sum.reason == d.reason);
            match found {
                Some(sum) => {
                    sum.segments += d.segments;
                    sum.size_bytes += d.size_bytes;
                    sum.from = sum.from.min(d.from);
                    sum.until = sum.until.max(d.until);
                }
                None => self.deleted.push(d),
            }
        }
        self.failed.extend(later.failed);
        self.more = later.more;
        self.short_bytes = later.short_bytes;
    }
}
