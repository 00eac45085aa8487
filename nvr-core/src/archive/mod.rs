//! Asking: what is recorded, and giving it out. Works beside a running recorder, in its process or not.
//!
//! The growing segment belongs to the answers. Inside the recorder's process its index is in memory;
//! another process reads it off the file.

mod clips;
mod picture;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::clips::{ExportRequest, VodRequest};
pub use self::picture::{Snapshot, SnapshotRequest};
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Root, RootOptions, Tree};
use crate::ids::{CameraId, RunId, SegmentId};
use crate::media::FragmentIndex;
use crate::nvr::blocking;
use crate::segment::Container;
use crate::store::{
    CameraRow, CameraTotals, EventQuery, EventRow, GapRow, OpenMode, Order, Page, SegmentQuery, SegmentRow,
    SegmentState, Store, TimelineRows,
};
use crate::time::{NS_PER_S, TimeRange, Timestamp};
use crate::timeline::{self, Day, Growing, Material, Timeline};

/// Recorded footage and its index, for reading.
#[derive(Clone, Debug)]
pub struct Archive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    root: PathBuf,
    clock: SharedClock,
    time_zone: String,
    /// In the recorder's process: who knows the growing segments.
    tree: Option<Tree>,
    /// Indices of closed segments that were just used: a player asks for the same ones again and again.
    indices: Mutex<HashMap<SegmentId, Arc<FragmentIndex>>>,
}

/// A segment file with its index: closed or growing.
#[derive(Clone, Debug)]
pub(crate) struct Footage {
    pub(crate) id: SegmentId,
    /// Of two runs that claim the same time, the one with the higher number was recorded later.
    pub(crate) run_order: i64,
    pub(crate) path: PathBuf,
    absolute: PathBuf,
    pub(crate) start: Timestamp,
    pub(crate) duration_ns: i64,
    pub(crate) index: Arc<FragmentIndex>,
    pub(crate) growing: bool,
    pub(crate) hash: Option<[u8; 32]>,
    pub(crate) size_bytes: u64,
}

impl Footage {
    pub(crate) fn open(&self) -> Result<File> {
        File::open(&self.absolute).map_err(|e| Error::io(self.path.display(), e))
    }

    pub(crate) fn range(&self) -> TimeRange {
        let end = self.start.add_ns(self.duration_ns.max(0));
        TimeRange::new(self.start, end).unwrap_or(TimeRange::ALL)
    }
}

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

/// Events that come with a timeline; more are asked for as events.
const MOST_EVENTS: u32 = 1000;
/// So far the readable part of a growing segment may be behind: chunk, jitter buffer and a busy machine.
const TAIL_NS: i64 = 5 * NS_PER_S;
/// Longest index cache; each entry is some kilobytes.
const CACHED_INDICES: usize = 256;

impl Archive {
    /// Opens the footage of a configuration for reading, whether or not a recorder is running on it.
    ///
    /// # Errors
    /// `NotFound` when nothing was recorded there yet, `Corrupt` or `Unsupported` when the index cannot be
    /// used.
    pub async fn open(config: &Config) -> Result<Self> {
        let (database, config) = (config.recorder.database.clone(), config.clone());
        let store = blocking(move || Store::open(database, OpenMode::ReadOnly)).await?;
        Ok(Self::new(&config, store, None, SystemClock::shared()))
    }

    pub(crate) fn of_recorder(config: &Config, store: Store, tree: Tree, clock: SharedClock) -> Self {
        Self::new(config, store, Some(tree), clock)
    }

    fn new(config: &Config, store: Store, tree: Option<Tree>, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            store,
            root: config.recorder.root.clone(),
            clock,
            time_zone: config.recorder.time_zone.clone(),
            tree,
            indices: Mutex::default(),
        }))
    }

    /// The clock that "now" is taken from.
    #[must_use]
    pub fn clock(&self) -> SharedClock {
        self.0.clock.clone()
    }

    /// The time zone of days, as configured.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.0.time_zone
    }

    /// The index itself.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Every camera that was ever recorded, with removed ones.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn recorded_cameras(&self) -> Result<Vec<CameraRow>> {
        self.read(Store::cameras).await
    }

    async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.0.store.clone();
        blocking(move || f(&store)).await
    }

    /// Ranges, gaps with their causes, events and totals of one camera.
    ///
    /// # Errors
    /// `NotFound` when the index knows no such camera.
    pub async fn timeline(&self, camera: &CameraId, range: TimeRange) -> Result<Timeline> {
        let mut all = self.timelines(std::slice::from_ref(camera), range, 0).await?;
        all.pop()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "no timeline"))
    }

    /// Timelines of several cameras over one range; what is shorter than `resolution_ns` is folded.
    ///
    /// # Errors
    /// `NotFound` when the index knows one of them not.
    pub async fn timelines(
        &self,
        cameras: &[CameraId],
        range: TimeRange,
        resolution_ns: i64,
    ) -> Result<Vec<Timeline>> {
        let (archive, cameras) = (self.clone(), cameras.to_vec());
        blocking(move || {
            cameras
                .iter()
                .map(|c| archive.timeline_blocking(c, range, resolution_ns))
                .collect()
        })
        .await
    }

    /// [`timelines`](Self::timelines) of one camera, in the caller's thread.
    ///
    /// # Errors
    /// As there.
    pub fn timeline_blocking(
        &self,
        camera: &CameraId,
        range: TimeRange,
        resolution_ns: i64,
    ) -> Result<Timeline> {
        let rows = self.0.store.timeline_rows(camera, range, MOST_EVENTS)?;
        let TimelineRows {
            totals,
            mut segments,
            gaps,
            events,
        } = rows.ok_or_else(|| no_camera(camera))?;
        let growing = self.measure(&mut segments);
        let events = events.into_iter().map(|row| row.event).collect();
        let now = self.0.clock.now();
        Ok(timeline::build(Material {
            camera: camera.clone(),
            range,
            now: growing.as_ref().map_or(now, |g| known_until(g, &gaps, now)),
            first: totals.oldest.or_else(|| growing.as_ref().map(|g| g.start)),
            segments: &segments,
            growing: growing.as_ref(),
            gaps: &gaps,
            events,
            resolution_ns,
        }))
    }

    /// Recorded seconds by day of a time zone (the configured one if `None`).
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown time zone.
    pub async fn days(
        &self,
        camera: &CameraId,
        time_zone: Option<&str>,
        range: TimeRange,
    ) -> Result<Vec<Day>> {
        let zone = time_zone.unwrap_or(&self.0.time_zone).to_owned();
        let (archive, camera) = (self.clone(), camera.clone());
        blocking(move || {
            let zone = jiff::tz::TimeZone::get(&zone).map_err(|e| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("time zone {zone:?} is not known"),
                )
                .with_hint("write UTC or an IANA name such as Europe/Berlin")
                .with_source(e)
            })?;
            archive.known(&camera)?;
            let mut query = SegmentQuery::new([camera.clone()], range);
            query.states = vec![SegmentState::Open, SegmentState::Closed, SegmentState::Recovered];
            let mut segments = archive.0.store.all_segments(&query)?;
            let growing = archive.measure(&mut segments);
            Ok(timeline::days(&zone, &segments, growing.as_ref(), range))
        })
        .await
    }

    /// Segments, a page at a time.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn segments(&self, query: SegmentQuery) -> Result<Page<SegmentRow>> {
        self.read(move |store| store.segments(&query)).await
    }

    /// One segment.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn segment(&self, id: SegmentId) -> Result<SegmentRow> {
        self.read(move |store| {
            store
                .segment(id)?
                .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no segment {id}")))
        })
        .await
    }

    /// The file of a segment, opened for reading. A growing one ends behind its last whole fragment for now.
    ///
    /// # Errors
    /// `NotFound` when the file is gone.
    pub async fn open_segment(&self, id: SegmentId) -> Result<(SegmentRow, File, u64)> {
        let row = self.segment(id).await?;
        let archive = self.clone();
        blocking(move || {
            let file =
                File::open(archive.absolute(&row.path)).map_err(|e| Error::io(row.path.display(), e))?;
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
            Ok((row, file, len))
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

    /// Events, newest first unless asked otherwise.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn events_of(&self, query: EventQuery) -> Result<Page<EventRow>> {
        self.read(move |store| store.events(&query)).await
    }

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

    /// Makes sure that the index knows a camera.
    fn known(&self, camera: &CameraId) -> Result<()> {
        match self.0.store.totals_of(camera)? {
            Some(_) => Ok(()),
            None => Err(no_camera(camera)),
        }
    }

    /// Enters in open rows what can be read of them now, and gives the segment that is being written. At a
    /// split there are two open rows for a moment.
    fn measure(&self, rows: &mut [SegmentRow]) -> Option<Growing> {
        for row in rows.iter_mut().filter(|r| r.state == SegmentState::Open) {
            match self.growing_index(&row.path) {
                Ok(Some(index)) if row.container == Container::Fmp4 => {
                    row.duration_ns = index.duration_ns();
                    row.size_bytes = index.tail_offset();
                }
                // Closed since the rows were read?
                _ => {
                    if let Ok(Some(now)) = self.0.store.segment(row.id) {
                        *row = now;
                    }
                }
            }
        }
        let row = rows
            .iter()
            .rev()
            .find(|r| r.state == SegmentState::Open && r.container == Container::Fmp4)?;
        Some(Growing {
            run: row.run,
            start: row.start,
            end: row.end(),
            size_bytes: row.size_bytes,
            codec: row.tracks.video.codec,
        })
    }

    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.0.root.join(path)
    }

    /// Index of a growing fMP4 by its path: from memory, else from its file.
    fn growing_index(&self, path: &Path) -> Result<Option<Arc<FragmentIndex>>> {
        if let Some(tree) = &self.0.tree {
            return Ok(tree
                .growing()
                .iter()
                .find(|g| g.path() == path)
                .map(|g| Arc::new(g.index())));
        }
        let file = File::open(self.absolute(path)).map_err(|e| Error::io(path.display(), e))?;
        let scan = crate::media::scan(&mut std::io::BufReader::new(file))?;
        Ok(Some(Arc::new(scan.index)))
    }

    /// All footage of a camera that overlaps a range, in order of start, growing included; fMP4 only.
    pub(crate) fn footage(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<Footage>> {
        let mut query = SegmentQuery::new([camera.clone()], range);
        query.states = vec![SegmentState::Open, SegmentState::Closed, SegmentState::Recovered];
        let mut out: Vec<(RunId, Footage)> = Vec::new();
        loop {
            let page = self.0.store.segments(&query)?;
            for row in page.items.iter().filter(|r| r.container == Container::Fmp4) {
                if let Some(footage) = self.footage_of(row)?
                    && footage.range().intersect(&range).is_some()
                {
                    out.push((row.run, footage));
                }
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => break,
            }
        }
        // A run is as old as its first segment here; rows are numbered as they were recorded.
        let mut first: HashMap<RunId, i64> = HashMap::new();
        for (run, footage) in &out {
            let order = first.entry(*run).or_insert(footage.run_order);
            *order = (*order).min(footage.run_order);
        }
        let mut out: Vec<Footage> = out
            .into_iter()
            .map(|(run, mut f)| {
                f.run_order = first.get(&run).copied().unwrap_or(f.run_order);
                f
            })
            .collect();
        out.sort_by_key(|f| f.start);
        Ok(out)
    }

    /// `None` for a growing segment of which nothing can be read yet, or ever.
    fn footage_of(&self, row: &SegmentRow) -> Result<Option<Footage>> {
        if row.state != SegmentState::Open {
            return Ok(Some(self.footage_with(row, self.index_of(row.id)?)));
        }
        match self.growing_index(&row.path) {
            Ok(Some(index)) => return Ok(Some(self.footage_with(row, index))),
            Ok(None) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // It may have been closed since the row was read.
        match self.0.store.segment(row.id)? {
            Some(now) if SegmentState::PLAYABLE.contains(&now.state) => {
                let index = self.index_of(now.id)?;
                Ok(Some(self.footage_with(&now, index)))
            }
            _ => Ok(None),
        }
    }

    fn footage_with(&self, row: &SegmentRow, index: Arc<FragmentIndex>) -> Footage {
        let growing = row.state == SegmentState::Open;
        Footage {
            id: row.id,
            run_order: row.id.0,
            absolute: self.absolute(&row.path),
            path: row.path.clone(),
            start: row.start,
            duration_ns: if growing {
                index.duration_ns()
            } else {
                row.duration_ns
            },
            size_bytes: if growing {
                index.tail_offset()
            } else {
                row.size_bytes
            },
            hash: row.hash,
            growing,
            index,
        }
    }

    fn index_of(&self, id: SegmentId) -> Result<Arc<FragmentIndex>> {
        let cached = self
            .0
            .indices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        if let Some(index) = cached {
            return Ok(index);
        }
        let blob = self.0.store.fragments(id)?.ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, format!("segment {id} has no fragment index"))
                .with_hint("run `nvr check --repair`")
        })?;
        let index = Arc::new(FragmentIndex::from_blob(&blob)?);
        let mut cache = self.0.indices.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED_INDICES {
            cache.clear();
        }
        cache.insert(id, index.clone());
        Ok(index)
    }

    /// The segment in which a moment lies, or the newest one.
    pub(crate) fn footage_at(&self, camera: &CameraId, at: Option<Timestamp>) -> Result<Footage> {
        let around = match at {
            Some(t) => TimeRange::new(t, t.add_ns(1))?,
            None => return self.newest_footage(camera),
        };
        // After a step back of the clock two segments can hold the moment: the later run is the one meant.
        let mut found = self.footage(camera, around)?;
        match found.pop() {
            Some(footage) => Ok(footage),
            None => Err(self.nothing_at(camera, at)),
        }
    }

    /// The newest segment of which something can be read: the one that grows may be empty yet.
    fn newest_footage(&self, camera: &CameraId) -> Result<Footage> {
        let mut query = SegmentQuery::new([camera.clone()], TimeRange::ALL);
        query.states = vec![SegmentState::Open, SegmentState::Closed, SegmentState::Recovered];
        (query.order, query.limit) = (Order::Desc, 4);
        for row in self.0.store.segments(&query)?.items {
            if row.container == Container::Fmp4
                && let Some(footage) = self.footage_of(&row)?
                && footage.duration_ns > 0
            {
                return Ok(footage);
            }
        }
        Err(self.nothing_at(camera, None))
    }

    /// As [`nothing_at`](Self::nothing_at), for a range.
    pub(crate) fn nothing_in(&self, camera: &CameraId, range: TimeRange) -> Error {
        let error = Error::new(
            ErrorKind::NotFound,
            format!(
                "camera {camera}: nothing is recorded from {} to {}",
                range.start(),
                range.end()
            ),
        );
        match self.nothing_at(camera, Some(range.start())).hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    pub(crate) fn nothing_at(&self, camera: &CameraId, at: Option<Timestamp>) -> Error {
        let Some(at) = at else {
            return Error::new(
                ErrorKind::NotFound,
                format!("camera {camera}: nothing is recorded"),
            );
        };
        let error = Error::new(
            ErrorKind::NotFound,
            format!("camera {camera}: nothing is recorded at {at}"),
        );
        let Ok(near) = self.0.store.nearest(camera, at) else {
            return error;
        };
        match (near.before.map(|r| r.end()), near.after.map(|r| r.start)) {
            (Some(b), Some(a)) => {
                error.with_hint(format!("the nearest footage ends at {b} and begins at {a}"))
            }
            (Some(b), None) => error.with_hint(format!("the nearest footage ends at {b}")),
            (None, Some(a)) => error.with_hint(format!("the nearest footage begins at {a}")),
            (None, None) => error,
        }
    }
}

/// The present as far as it is known: what the growing segment does not hold yet is not missing, unless a gap
/// says so.
fn known_until(growing: &Growing, gaps: &[GapRow], now: Timestamp) -> Timestamp {
    let over = gaps
        .iter()
        .any(|gap| gap.start >= growing.start && gap.end.is_none_or(|end| end > growing.end));
    if over || now.since(growing.end) > TAIL_NS {
        now
    } else {
        growing.end.min(now)
    }
}

fn no_camera(camera: &CameraId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no camera {camera}"))
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
