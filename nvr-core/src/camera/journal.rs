//! What happens to one camera, on its way to the index and to those who listen.
//!
//! Footage on disk never waits for the index: what cannot be written to it (disk full) is kept and tried
//! again in order; should the process end before, the start of the next one finds the files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::ErrorKind;
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::events::EventBus;
use crate::files::Tree;
use crate::ids::{CameraId, RunId};
use crate::nvr::blocking;
use crate::run::Anchor;
use crate::segment::{ClosedSegment, SegmentStart};
use crate::store::{SegmentState, Store};
use crate::time::{TimeRange, Timestamp};

/// What waits for the index at most: segments of weeks.
const MOST_PENDING: usize = 10_000;

/// Something for the index.
#[derive(Debug, Clone)]
enum Note {
    RunStarted(RunId, Anchor, Cause),
    RunEnded(RunId, Timestamp, Cause),
    Opened(Box<SegmentStart>, PathBuf),
    Closed(Box<ClosedSegment>),
    Lost(PathBuf),
    GapOpened(Timestamp, Cause),
    GapClosed(Timestamp),
    Gap(TimeRange, Cause),
    Event(Event),
}

#[derive(Debug)]
pub(crate) struct Journal {
    camera: CameraId,
    store: Store,
    tree: Tree,
    events: Arc<EventBus>,
    /// In the order in which it happened.
    pending: VecDeque<Note>,
    behind: bool,
    gap: Option<(Timestamp, Cause)>,
}

impl Journal {
    pub(crate) fn new(camera: CameraId, store: Store, tree: Tree, events: Arc<EventBus>) -> Self {
        Self {
            camera,
            store,
            tree,
            events,
            pending: VecDeque::new(),
            behind: false,
            gap: None,
        }
    }

    /// Publishes an event; those that a person looks up later are also kept.
    pub(crate) async fn event(&mut self, at: Timestamp, kind: EventKind) {
        let keep = !matches!(
            kind,
            EventKind::SegmentOpened { .. } | EventKind::SegmentClosed { .. }
        );
        let event = Event::new(at, Some(self.camera.clone()), kind);
        self.events.publish(event.clone());
        if keep {
            self.note(Note::Event(event)).await;
        }
    }

    async fn note(&mut self, note: Note) {
        self.pending.push_back(note);
        if self.pending.len() > MOST_PENDING {
            let least = self.pending.iter().position(|n| !matches!(n, Note::Closed(_)));
            self.pending.remove(least.unwrap_or(0));
        }
        self.flush().await;
    }

    /// Tries what could not be written before, in order.
    pub(crate) async fn flush(&mut self) {
        while let Some(note) = self.pending.front().cloned() {
            match self.write(note).await {
                Ok(()) => self.behind = false,
                Err(e) if can_wait(&e) => {
                    if !std::mem::replace(&mut self.behind, true) {
                        tracing::warn!(camera = %self.camera, waiting = self.pending.len(), error = %e,
                            "the index cannot be written now; files are safe, and it is tried again");
                    }
                    break;
                }
                Err(e) => tracing::error!(camera = %self.camera, error = %e, "not written to the index"),
            }
            if let Some(Note::Closed(segment)) = self.pending.pop_front() {
                self.tree.indexed(&self.camera, &segment.path);
            }
        }
    }

    async fn write(&self, note: Note) -> crate::Result<()> {
        let (store, camera) = (&self.store, &self.camera);
        match note {
            Note::RunStarted(run, anchor, cause) => store
                .begin_run(run, camera, anchor, anchor.utc, &cause)
                .await
                .map(drop),
            Note::RunEnded(run, at, cause) => store.end_run(run, camera, at, &cause).await.map(drop),
            Note::Opened(start, path) => store.open_segment(&start, &path).await.map(drop),
            Note::Closed(segment) => store.close_segment(&segment.path, &segment).await.map(drop),
            Note::Lost(path) => {
                let read = store.clone();
                let row = blocking(move || read.segment_by_path(&path)).await?;
                match row {
                    Some(row) => store.set_segment_state(row.id, SegmentState::Missing).await,
                    None => Ok(()),
                }
            }
            Note::GapOpened(at, cause) => store.open_gap(camera, at, &cause).await.map(drop),
            Note::GapClosed(at) => store.close_gap(camera, at).await.map(drop),
            Note::Gap(range, cause) => store.insert_gap(camera, range, &cause).await,
            Note::Event(event) => store.add_event(event).await.map(drop),
        }
    }

    pub(crate) async fn run_started(&mut self, run: RunId, anchor: Anchor, cause: Cause) {
        self.note(Note::RunStarted(run, anchor, cause.clone())).await;
        self.event(anchor.utc, EventKind::RunStarted { run, cause }).await;
    }

    pub(crate) async fn run_ended(&mut self, run: RunId, at: Timestamp, cause: Cause) {
        self.note(Note::RunEnded(run, at, cause)).await;
    }

    /// The wall clock stepped while footage went on: the run ends where the old time ended. Time that was
    /// stepped over has no footage, and this is why.
    pub(crate) async fn clock_stepped(&mut self, old: RunId, until: Timestamp, new: Timestamp, cause: Cause) {
        self.run_ended(old, until, cause.clone()).await;
        if self.gap.is_none()
            && new > until
            && let Ok(range) = TimeRange::new(until, new)
        {
            self.note(Note::Gap(range, cause)).await;
        }
    }

    pub(crate) async fn segment_opened(&mut self, start: SegmentStart, path: &Path) {
        self.close_gap(start.start).await;
        let at = start.start;
        self.note(Note::Opened(Box::new(start), path.to_owned())).await;
        let path = path.display().to_string();
        self.event(at, EventKind::SegmentOpened { path }).await;
    }

    pub(crate) async fn segment_closed(&mut self, segment: ClosedSegment) {
        let kind = EventKind::SegmentClosed {
            path: segment.path.display().to_string(),
            size_bytes: segment.size_bytes,
            duration_ns: segment.duration_ns,
        };
        let at = segment.range().end();
        self.note(Note::Closed(Box::new(segment))).await;
        self.event(at, kind).await;
    }

    /// A segment that a fault of the storage had cut off is complete now.
    pub(crate) async fn segment_mended(&mut self, at: Timestamp, segment: ClosedSegment, cut_bytes: u64) {
        let path = segment.path.display().to_string();
        self.note(Note::Closed(Box::new(segment))).await;
        self.event(at, EventKind::SegmentRecovered { path, cut_bytes })
            .await;
    }

    /// Nothing is left of a segment that a fault of the storage had cut off.
    pub(crate) async fn segment_lost(&mut self, path: PathBuf) {
        tracing::error!(camera = %self.camera, path = %path.display(), "nothing is left of a segment that the storage failed");
        self.note(Note::Lost(path)).await;
    }

    /// Footage is missing from `at` on; a new cause within an outage begins a new gap.
    pub(crate) async fn open_gap(&mut self, at: Timestamp, cause: Cause) {
        let before = self.gap.take();
        if let Some((since, old)) = &before {
            if old.kind == cause.kind {
                self.gap = before;
                return;
            }
            self.note(Note::GapClosed(at.max(*since))).await;
        }
        self.note(Note::GapOpened(at, cause.clone())).await;
        let told = before.is_some_and(|(_, old)| !is_expected(old.kind));
        self.gap = Some((at, cause.clone()));
        if !told && !is_expected(cause.kind) {
            self.event(at, EventKind::GapOpened { cause }).await;
        }
    }

    /// Whether everything is in the index.
    pub(crate) fn is_written(&self) -> bool {
        self.pending.is_empty()
    }

    /// Footage is there again.
    pub(crate) async fn close_gap(&mut self, at: Timestamp) {
        let Some((since, cause)) = self.gap.take() else {
            return;
        };
        self.note(Note::GapClosed(at.max(since))).await;
        if !is_expected(cause.kind) {
            self.event(at, EventKind::GapClosed { since, cause }).await;
        }
    }
}

/// Whether the index may take it later.
fn can_wait(e: &crate::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::Storage | ErrorKind::Busy | ErrorKind::Unavailable
    )
}

/// Gaps that nobody wants to hear of: nothing was to be recorded, or the camera was just being connected.
const fn is_expected(kind: CauseKind) -> bool {
    matches!(kind, CauseKind::NotScheduled | CauseKind::Startup)
}
