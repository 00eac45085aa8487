//! Segments that grow now, for those who look at footage before it is in the index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::CameraId;
use crate::media::{Fragment, FragmentIndex};
use crate::segment::SegmentStart;
use crate::time::{TimeRange, Timestamp};

/// A segment that grows, or has just been finished and is not in the index yet.
///
/// It only tells of bytes that were written, so they can be read from the file at once.
#[derive(Debug)]
pub struct GrowingSegment {
    start: SegmentStart,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    index: FragmentIndex,
    size_bytes: u64,
    finished: bool,
}

impl GrowingSegment {
    pub(super) fn new(start: SegmentStart, path: PathBuf) -> Self {
        Self {
            start,
            path,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was begun with.
    #[must_use]
    pub fn start(&self) -> &SegmentStart {
        &self.start
    }

    /// Path relative to the recordings root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A copy of the fragments that are whole on disk; none for plain containers.
    #[must_use]
    pub fn index(&self) -> FragmentIndex {
        self.state().index.clone()
    }

    /// Bytes in the file.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.state().size_bytes
    }

    /// Nanoseconds from the first video frame's start to the end of the last whole fragment.
    #[must_use]
    pub fn duration_ns(&self) -> i64 {
        self.state()
            .index
            .fragments
            .last()
            .map_or(0, Fragment::end_ns)
            .max(0)
    }

    /// The stretch of UTC that can be read.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        let end: Timestamp = self.start.start.add_ns(self.duration_ns());
        TimeRange::new(self.start.start, end).unwrap_or(TimeRange::ALL)
    }

    /// Whether the file is complete and only its row in the index is missing.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state().finished
    }

    /// Takes over what `index` has more than before.
    pub(super) fn publish(&self, index: &FragmentIndex, size_bytes: u64) {
        let mut state = self.state();
        let known = state.index.fragments.len();
        if let Some(new) = index.fragments.get(known..) {
            state.index.fragments.extend_from_slice(new);
        }
        state.index.header_len = index.header_len;
        state.index.timescale = index.timescale;
        state.index.media_start = index.media_start;
        state.size_bytes = size_bytes;
    }

    pub(super) fn set_size(&self, size_bytes: u64) {
        self.state().size_bytes = size_bytes;
    }

    fn finish(&self) {
        self.state().finished = true;
    }
}

/// All of a tree, by camera and path.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<BTreeMap<CameraId, Vec<Arc<GrowingSegment>>>>);

impl Registry {
    fn map(&self) -> MutexGuard<'_, BTreeMap<CameraId, Vec<Arc<GrowingSegment>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, segment: &Arc<GrowingSegment>) {
        let mut map = self.map();
        map.entry(segment.start.camera.clone())
            .or_default()
            .push(Arc::clone(segment));
    }

    /// It stays until it is indexed, or until the camera's next one is finished: so nobody who looks
    /// between the two misses it, and a caller that never says so costs no memory.
    pub(super) fn finish(&self, segment: &GrowingSegment) {
        if let Some(list) = self.map().get_mut(&segment.start.camera) {
            list.retain(|s| !s.is_finished());
        }
        segment.finish();
    }

    pub(super) fn remove(&self, camera: &CameraId, path: &Path) {
        let mut map = self.map();
        if let Some(list) = map.get_mut(camera) {
            list.retain(|s| s.path != path);
            if list.is_empty() {
                map.remove(camera);
            }
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<GrowingSegment>> {
        self.map().values().flatten().cloned().collect()
    }

    pub(super) fn of(&self, camera: &CameraId) -> Vec<Arc<GrowingSegment>> {
        self.map().get(camera).cloned().unwrap_or_default()
    }
}
