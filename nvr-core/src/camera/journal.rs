//! What happens to one camera, on its way to the index and to those who listen.
//!
//! Footage on disk never waits for the index: a row that cannot be written (disk full) is kept and tried
//! again; should the process end before, the start of the next one finds the file.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::events::EventBus;
use crate::files::Tree;
use crate::ids::{CameraId, RunId};
use crate::run::Anchor;
use crate::segment::{ClosedSegment, SegmentStart};
use crate::store::Store;
use crate::time::{TimeRange, Timestamp};

/// Closed segments that wait for the index; at 15 minutes each, weeks.
const MOST_PENDING: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Journal {
    camera: CameraId,
    store: Store,
    tree: Tree,
    events: Arc<EventBus>,
    pending: VecDeque<ClosedSegment>,
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
            gap: None,
        }
    }

    /// Publishes an event; those that a person looks up later are also kept.
    pub(crate) async fn event(&self, at: Timestamp, kind: EventKind) {
        let keep = !matches!(
            kind,
            EventKind::SegmentOpened { .. } | EventKind::SegmentClosed { .. }
        );
        let event = Event::new(at, Some(self.camera.clone()), kind);
        self.events.publish(event.clone());
        if keep {
            self.log(self.store.add_event(event).await, "event");
        }
    }

    fn log<T>(&self, result: crate::Result<T>, what: &str) -> Option<T> {
        result
            .inspect_err(|e| tracing::warn!(camera = %self.camera, error = %e, "index: {what} not written"))
            .ok()
    }

    pub(crate) async fn run_started(&self, run: RunId, anchor: Anchor, cause: Cause) {
        let row = self
            .store
            .begin_run(run, &self.camera, anchor, anchor.utc, &cause);
        self.log(row.await, "run");
        self.event(anchor.utc, EventKind::RunStarted { run, cause }).await;
    }

    pub(crate) async fn run_ended(&self, run: RunId, at: Timestamp, cause: Cause) {
        self.log(
            self.store.end_run(run, &self.camera, at, &cause).await,
            "end of run",
        );
    }

    /// The wall clock stepped while footage went on: the run ends where the old time ended. Time that was
    /// stepped over has no footage, and this is why.
    pub(crate) async fn clock_stepped(&self, old: RunId, until: Timestamp, new: Timestamp, cause: Cause) {
        self.run_ended(old, until, cause.clone()).await;
        if self.gap.is_none()
            && new > until
            && let Ok(range) = TimeRange::new(until, new)
        {
            self.log(self.store.insert_gap(&self.camera, range, &cause).await, "gap");
        }
    }

    pub(crate) async fn segment_opened(&mut self, start: SegmentStart, path: &Path) {
        self.close_gap(start.start).await;
        let at = start.start;
        self.log(self.store.open_segment(&start, path).await, "open segment");
        self.event(
            at,
            EventKind::SegmentOpened {
                path: path.display().to_string(),
            },
        )
        .await;
    }

    pub(crate) async fn segment_closed(&mut self, segment: ClosedSegment) {
        let kind = EventKind::SegmentClosed {
            path: segment.path.display().to_string(),
            size_bytes: segment.size_bytes,
            duration_ns: segment.duration_ns,
        };
        let at = segment.range().end();
        self.pending.push_back(segment);
        if self.pending.len() > MOST_PENDING {
            self.pending.pop_front();
        }
        self.flush().await;
        self.event(at, kind).await;
    }

    /// Tries the rows that could not be written before.
    pub(crate) async fn flush(&mut self) {
        while let Some(segment) = self.pending.front() {
            if let Err(e) = self.store.close_segment(&segment.path, segment).await {
                tracing::warn!(camera = %self.camera, waiting = self.pending.len(), error = %e,
                    "a closed segment is not in the index yet; its file is safe");
                break;
            }
            self.tree.indexed(&self.camera, &segment.path);
            self.pending.pop_front();
        }
    }

    /// Footage is missing from `at` on; a new cause within an outage begins a new gap.
    pub(crate) async fn open_gap(&mut self, at: Timestamp, cause: Cause) {
        if self.gap.as_ref().is_some_and(|(_, c)| c.kind == cause.kind) {
            return;
        }
        if let Some((since, _)) = self.gap {
            self.log(self.store.close_gap(&self.camera, at.max(since)).await, "gap");
        }
        self.log(self.store.open_gap(&self.camera, at, &cause).await, "gap");
        let first = self.gap.is_none();
        self.gap = Some((at, cause.clone()));
        if first && !is_expected(cause.kind) {
            self.event(at, EventKind::GapOpened { cause }).await;
        }
    }

    /// Footage is there again.
    pub(crate) async fn close_gap(&mut self, at: Timestamp) {
        let Some((since, cause)) = self.gap.take() else {
            return;
        };
        self.log(self.store.close_gap(&self.camera, at.max(since)).await, "gap");
        if !is_expected(cause.kind) {
            self.event(at, EventKind::GapClosed { since, cause }).await;
        }
    }
}

/// Gaps that nobody wants to hear of: nothing was to be recorded, or the camera was just being connected.
const fn is_expected(kind: CauseKind) -> bool {
    matches!(kind, CauseKind::NotScheduled | CauseKind::Startup)
}
