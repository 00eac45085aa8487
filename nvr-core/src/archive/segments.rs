//! Segments, their files, and events.

use std::sync::Arc;

use super::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, JobId, SegmentId};
use crate::media::clip::ReadAt;
use crate::nvr::blocking;
use crate::segment::Tier;
use crate::store::{EventQuery, EventRow, JobQuery, JobRow, Page, SegmentQuery, SegmentRow, SegmentState};
use crate::time::TimeRange;
use crate::upload::RemoteFile;

impl Archive {
    /// Segments, a page at a time. A growing one has the length and size of what can be read of it now.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn segments(&self, query: SegmentQuery) -> Result<Page<SegmentRow>> {
        let archive = self.clone();
        blocking(move || {
            let mut page = archive.0.store.segments(&query)?;
            archive.measure(&mut page.items);
            Ok(page)
        })
        .await
    }

    /// One segment.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn segment(&self, id: SegmentId) -> Result<SegmentRow> {
        let archive = self.clone();
        blocking(move || {
            let row = archive.0.store.segment(id)?;
            let mut row =
                [row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no segment {id}")))?];
            archive.measure(&mut row);
            let [row] = row;
            Ok(row)
        })
        .await
    }

    /// The file of a segment, opened for reading; its copy at an upload target, if it is not here. A growing one ends
    /// behind its last whole fragment for now. Reads block; those of a copy must not be made in async code.
    ///
    /// # Errors
    /// `NotFound` when the file is gone.
    pub async fn open_segment(&self, id: SegmentId) -> Result<(SegmentRow, Arc<dyn ReadAt>, u64)> {
        let row = self.segment(id).await?;
        let archive = self.clone();
        blocking(move || {
            let remote = |row: SegmentRow| {
                let file = RemoteFile::open(&archive.0.store, &archive.0.targets, id)?;
                let len = file.size().map_err(|e| Error::io(row.path.display(), e))?;
                Ok((row, Arc::new(file) as Arc<dyn ReadAt>, len))
            };
            if row.state == SegmentState::Remote {
                return remote(row);
            }
            let file = match archive.open_file(row.tier, &row.path) {
                Ok(file) => file,
                // The second root may be away, and a copy not.
                Err(e) => {
                    return if row.tier == Tier::Second {
                        remote(row).or(Err(e))
                    } else {
                        Err(e)
                    };
                }
            };
            let growing = match row.state {
                SegmentState::Open => archive.growing_index(&row.path)?,
                _ => None,
            };
            let len = match growing {
                Some(index) => index.tail_offset(),
                None => file
                    .metadata()
                    .map_err(|e| Error::io(row.path.display(), e))?
                    .len(),
            };
            Ok((row, Arc::new(file) as Arc<dyn ReadAt>, len))
        })
        .await
    }

    /// Protects a segment from deletion, or no longer.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id, `Conflict` when opened for reading only.
    pub async fn set_protected(&self, id: SegmentId, protected: bool) -> Result<SegmentRow> {
        self.0.store.set_protected(id, protected).await?;
        self.segment(id).await
    }

    /// Protects all footage of a camera in a range from deletion, or no longer: whole segments, the growing one
    /// included, which counts as reaching to the end of time. Returns how many.
    ///
    /// # Errors
    /// `InvalidArgument` when the range is empty, `NotFound` when the index knows no such camera, `Conflict` when opened
    /// for reading only.
    pub async fn protect_range(&self, camera: &CameraId, range: TimeRange, protected: bool) -> Result<u64> {
        range.not_empty()?;
        self.known_later(camera).await?;
        self.0.store.protect_range(camera, range, protected).await
    }

    /// Marks all footage of a camera in a range as that of an event, which has an age of its own, or no longer.
    /// Returns how many segments that are.
    ///
    /// # Errors
    /// As [`protect_range`](Self::protect_range).
    pub async fn mark_event(&self, camera: &CameraId, range: TimeRange, event: bool) -> Result<u64> {
        range.not_empty()?;
        self.known_later(camera).await?;
        self.0.store.mark_event(camera, range, event).await
    }

    pub(crate) async fn known_later(&self, camera: &CameraId) -> Result<()> {
        let (archive, camera) = (self.clone(), camera.clone());
        blocking(move || archive.known(&camera)).await
    }

    /// Jobs in the queue, newest first unless asked otherwise, as the index knows them: how far those are that run now
    /// is written every few seconds.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn jobs_of(&self, query: JobQuery) -> Result<Page<JobRow>> {
        self.read(move |store| store.jobs(&query)).await
    }

    /// One job in the queue.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn job(&self, id: JobId) -> Result<JobRow> {
        self.read(move |store| store.job(id)).await
    }

    /// Events, newest first unless asked otherwise.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn events_of(&self, query: EventQuery) -> Result<Page<EventRow>> {
        self.read(move |store| store.events(&query)).await
    }
}
