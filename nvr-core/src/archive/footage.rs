//! Segment files with their indices, closed or growing, and what to say where there are none.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::UNIX_EPOCH;

use super::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, RunId, SegmentId};
use crate::media::FragmentIndex;
use crate::media::clip::ReadAt;
use crate::segment::{Container, Tier};
use crate::store::{Order, SegmentQuery, SegmentRow, SegmentState};
use crate::time::{TimeRange, Timestamp};
use crate::track::VideoCodec;
use crate::upload::RemoteFile;

/// Longest index cache; each entry is some kilobytes.
const CACHED_INDICES: usize = 256;

/// A segment file with its index: closed or growing.
#[derive(Clone, Debug)]
pub(crate) struct Footage {
    pub(crate) id: SegmentId,
    /// Of two runs that claim the same time, the one with the higher number was recorded later.
    pub(crate) run_order: i64,
    pub(crate) path: PathBuf,
    archive: Archive,
    remote: bool,
    tier: Tier,
    pub(crate) start: Timestamp,
    pub(crate) duration_ns: i64,
    pub(crate) index: Arc<FragmentIndex>,
    pub(crate) growing: bool,
    pub(crate) hash: Option<[u8; 32]>,
    pub(crate) size_bytes: u64,
    pub(crate) codec: VideoCodec,
}

/// What there is of a range.
#[derive(Debug)]
pub(crate) struct Found {
    /// What can be read.
    pub(crate) footage: Vec<Footage>,
    /// What lies in plain containers, which are files to be taken as they are, and in nothing else; cut to the range.
    pub(crate) plain: Vec<TimeRange>,
}

impl Found {
    /// Runs may overlap by some frames where one follows the other.
    fn new(footage: Vec<Footage>, mut plain: Vec<TimeRange>) -> Self {
        for readable in footage.iter().map(Footage::range) {
            plain = plain
                .into_iter()
                .flat_map(|p| {
                    let before = (p.start(), p.end().min(readable.start()));
                    let after = (p.start().max(readable.end()), p.end());
                    [before, after]
                })
                .filter(|(from, to)| from < to)
                .filter_map(|(from, to)| TimeRange::new(from, to).ok())
                .collect();
        }
        Self { footage, plain }
    }
}

/// One that grows reaches no one knows how far: its length is known when it is closed.
fn plain_range(row: &SegmentRow) -> TimeRange {
    let end = match row.state {
        SegmentState::Open => Timestamp::MAX,
        _ => row.end(),
    };
    TimeRange::new(row.start, end).unwrap_or(TimeRange::ALL)
}

/// Why footage in plain containers is neither played nor exported.
pub(crate) fn plain_refused(camera: &CameraId, plain: &[TimeRange]) -> Error {
    const SHOWN: usize = 3;
    let mut list: Vec<String> = plain
        .iter()
        .take(SHOWN)
        .map(|r| {
            if r.end() == Timestamp::MAX {
                format!("{} until now", r.start())
            } else {
                format!("{} to {}", r.start(), r.end())
            }
        })
        .collect();
    if plain.len() > SHOWN {
        list.push(format!("{} others", plain.len() - SHOWN));
    }
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "camera {camera}: in plain files (container mp4 or matroska), which are neither exported nor played: {}",
            list.join(", ")
        ),
    )
    .with_hint("take these segments as they are (`nvr segments` names the files), or ask for a range without them")
}

/// A file and the index that belongs to it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<dyn ReadAt>,
    pub(crate) index: Arc<FragmentIndex>,
    pub(crate) size_bytes: u64,
    /// It is another version than the index told.
    pub(crate) exchanged: bool,
    /// Codec of its video.
    pub(crate) codec: VideoCodec,
}

impl Footage {
    /// The file, here or where a copy is, with the index that belongs to it: its own, where it was exchanged for another
    /// version since the row was read (the row follows a moment later).
    pub(crate) fn open(&self) -> Result<Opened> {
        let failed = |e| Error::io(self.path.display(), e);
        let mut opened = Opened {
            file: Arc::new(Vec::new()),
            index: Arc::clone(&self.index),
            size_bytes: self.size_bytes,
            exchanged: false,
            codec: self.codec,
        };
        let inner = &self.archive.0;
        let remote = || RemoteFile::open(&inner.store, &inner.targets, self.id);
        if self.remote {
            opened.file = Arc::new(remote()?);
            return Ok(opened);
        }
        let file = match self.archive.open_file(self.tier, &self.path) {
            Ok(file) => file,
            Err(gone) => {
                // It may have gone since the row was read, and be remote now; or the second root is away, and a copy not.
                if (gone.kind() == ErrorKind::NotFound || self.tier == Tier::Second)
                    && let Ok(file) = remote()
                {
                    opened.file = Arc::new(file);
                    return Ok(opened);
                }
                return Err(gone);
            }
        };
        opened.size_bytes = file.metadata().map_err(failed)?.len();
        if !self.growing
            && opened.size_bytes != self.size_bytes
            && let Some(info) = crate::media::read_closed(&mut &file)?
        {
            if let Some(track) = info.init.video() {
                opened.codec = track.codec().unwrap_or(self.codec);
            }
            opened.index = Arc::new(info.index);
            opened.exchanged = true;
        }
        opened.file = Arc::new(file);
        Ok(opened)
    }

    pub(crate) fn range(&self) -> TimeRange {
        let end = self.start.add_ns(self.duration_ns.max(0));
        TimeRange::new(self.start, end).unwrap_or(TimeRange::ALL)
    }
}

impl Archive {
    /// Index of a growing fMP4 by its path: from memory, else from its file.
    pub(super) fn growing_index(&self, path: &Path) -> Result<Option<Arc<FragmentIndex>>> {
        if let Some(tree) = &self.0.tree {
            return Ok(tree
                .growing()
                .iter()
                .find(|g| g.path() == path)
                .map(|g| Arc::new(g.index())));
        }
        let file = crate::files::open_below(&self.0.root, path)?;
        let scan = crate::media::scan(&mut std::io::BufReader::new(file))?;
        Ok(Some(Arc::new(scan.index)))
    }

    /// Bytes of a growing file of a plain container, and until when it was written: now, as far as its recorder
    /// knows, for others when its file changed last. `None` when it does not grow any more.
    pub(super) fn growing_plain(&self, path: &Path) -> Option<(u64, Timestamp)> {
        let now = self.0.clock.now();
        if let Some(tree) = &self.0.tree {
            let growing = tree.growing();
            let found = growing.iter().find(|g| g.path() == path)?;
            return Some((found.size_bytes(), now));
        }
        let file = std::fs::metadata(self.absolute(path)).ok()?;
        let changed = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let changed = Timestamp::from_ns(i64::try_from(changed.as_nanos()).ok()?);
        Some((file.len(), changed.min(now)))
    }

    /// All footage of a camera that overlaps a range, in order of start, growing included.
    pub(crate) fn footage(&self, camera: &CameraId, range: TimeRange) -> Result<Found> {
        let mut query = SegmentQuery::new([camera.clone()], range);
        query.states = SegmentState::FOOTAGE.to_vec();
        let mut out: Vec<(RunId, Footage)> = Vec::new();
        let mut plain = Vec::new();
        loop {
            let page = self.0.store.segments(&query)?;
            for row in &page.items {
                if row.container != Container::Fmp4 {
                    plain.extend(plain_range(row).intersect(&range));
                } else if let Some(footage) = self.footage_of(row)?
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
        Ok(Found::new(out, plain))
    }

    /// `None` for a growing segment of which nothing can be read yet, or ever.
    pub(super) fn footage_of(&self, row: &SegmentRow) -> Result<Option<Footage>> {
        if row.state != SegmentState::Open {
            return Ok(Some(
                self.footage_with(row, self.index_of(row.id, row.size_bytes)?),
            ));
        }
        match self.growing_index(&row.path) {
            Ok(Some(index)) => return Ok(Some(self.footage_with(row, index))),
            Ok(None) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        // It may have been closed since the row was read.
        match self.0.store.segment(row.id)? {
            Some(now) if now.state != SegmentState::Open && SegmentState::FOOTAGE.contains(&now.state) => {
                let index = self.index_of(now.id, now.size_bytes)?;
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
            archive: self.clone(),
            remote: row.state == SegmentState::Remote,
            tier: row.tier,
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
            codec: row.tracks.video.codec,
            growing,
            index,
        }
    }

    fn index_of(&self, id: SegmentId, size_bytes: u64) -> Result<Arc<FragmentIndex>> {
        // The size tells versions of a segment apart.
        let key = (id, size_bytes);
        let cached = self
            .0
            .indices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
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
        cache.insert(key, index.clone());
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
        match found.footage.pop() {
            Some(footage) => Ok(footage),
            None if !found.plain.is_empty() => Err(plain_refused(camera, &found.plain)),
            None => Err(self.nothing_at(camera, at)),
        }
    }

    /// The newest segment of which something can be read: the one that grows may be empty yet.
    fn newest_footage(&self, camera: &CameraId) -> Result<Footage> {
        let mut query = SegmentQuery::new([camera.clone()], TimeRange::ALL);
        query.states = SegmentState::FOOTAGE.to_vec();
        (query.order, query.limit) = (Order::Desc, 4);
        for row in self.0.store.segments(&query)?.items {
            if row.container != Container::Fmp4 {
                return Err(plain_refused(camera, &[plain_range(&row)]));
            }
            if let Some(footage) = self.footage_of(&row)?
                && footage.duration_ns > 0
            {
                return Ok(footage);
            }
        }
        Err(self.nothing_at(camera, None))
    }

    /// As [`nothing_at`](Self::nothing_at), for a range.
    pub(crate) fn nothing_in(&self, camera: &CameraId, range: TimeRange) -> Error {
        if let Err(e) = self.known(camera) {
            return e;
        }
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
        if let Err(e) = self.known(camera) {
            return e;
        }
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
