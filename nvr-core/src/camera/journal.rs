//! What happens to one camera, on its way to the index and to those who listen.
//!
//! Nothing here waits: the camera's task hands over what happened, and a task beside it writes it down. Footage
//! on disk never waits for the index: what cannot be written to it (disk full) is kept and tried again in order;
//! should the process end before, the start of the next one finds the files.
//!
//! Events come in the order in which things happened, each when what happened before it is in the index: who
//! hears that a segment was closed finds it there. An index that stalls does not hold them back for long.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::error::ErrorKind;
use crate::event::{CameraPhase, Cause, CauseKind, Event, EventKind};
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
/// How long events wait for an index that stalls.
const LATE: Duration = Duration::from_millis(500);

/// Something for the index, or for those who listen.
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
    Tell(Event),
}

/// The camera's side.
#[derive(Debug)]
pub(crate) struct Journal {
    camera: CameraId,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    gap: Option<(Timestamp, Cause)>,
    /// What the index has of the present outage: one that lasts is tried every half minute, for the same reason.
    outage: Vec<(CameraPhase, CauseKind)>,
}

#[derive(Debug)]
struct Queue {
    pending: Mutex<Pending>,
    wake: Notify,
    events: Arc<EventBus>,
}

#[derive(Debug, Default)]
struct Pending {
    /// In the order in which it happened.
    notes: VecDeque<Note>,
    /// One of them is being written.
    writing: bool,
    /// The index does not keep up: events pass it by.
    stalled: bool,
    closed: bool,
    lost: u64,
}

/// What the index has not got yet, and never will.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) waiting: u64,
    pub(crate) lost: u64,
}

impl Queue {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, note: Note) {
        let mut p = self.pending();
        match note {
            Note::Tell(event) if p.stalled => self.events.publish(event),
            note => p.notes.push_back(note),
        }
        if p.notes.len() > MOST_PENDING {
            // Segments last: their files can be found again, but only by a check.
            let least = p.notes.iter().position(|n| !matches!(n, Note::Closed(_)));
            let note = p.notes.remove(least.unwrap_or(0));
            if !matches!(note, Some(Note::Tell(_))) {
                p.lost += 1;
            }
        }
        drop(p);
        self.wake.notify_one();
    }

    /// The index does not keep up: what waits behind it to be told is told now.
    fn pass_by(&self) {
        let mut p = self.pending();
        p.stalled = true;
        p.notes.retain(|note| match note {
            Note::Tell(event) => {
                self.events.publish(event.clone());
                false
            }
            _ => true,
        });
    }
}

/// The side of the index.
struct Writer {
    camera: CameraId,
    store: Store,
    tree: Tree,
    queue: Arc<Queue>,
    behind: bool,
}

impl Writer {
    async fn work(mut self) {
        loop {
            let next = {
                let mut p = self.queue.pending();
                let note = p.notes.pop_front();
                p.writing = note.is_some();
                match note {
                    None if p.closed => return,
                    note => note,
                }
            };
            let Some(note) = next else {
                self.queue.wake.notified().await;
                continue;
            };
            if let Note::Tell(event) = note {
                self.queue.events.publish(event);
            } else if !self.written(note).await {
                if self.queue.pending().closed {
                    return;
                }
                // With the next thing that happens, or the next look of the camera.
                self.queue.wake.notified().await;
            }
        }
    }

    /// Whether it is done with; else it is the first again.
    async fn written(&mut self, note: Note) -> bool {
        let result = {
            let write = self.write(note.clone());
            tokio::pin!(write);
            match tokio::time::timeout(LATE, &mut write).await {
                Ok(result) => result,
                Err(_) => {
                    self.queue.pass_by();
                    write.await
                }
            }
        };
        match result {
            Ok(()) => {
                self.behind = false;
                self.queue.pending().stalled = false;
            }
            Err(e) if can_wait(&e) => {
                let waiting = {
                    let mut p = self.queue.pending();
                    p.notes.push_front(note);
                    p.writing = false;
                    p.notes.len()
                };
                self.queue.pass_by();
                if !std::mem::replace(&mut self.behind, true) {
                    tracing::warn!(camera = %self.camera, waiting, error = %e,
                        "the index cannot be written now; files are safe, and it is tried again");
                }
                return false;
            }
            Err(e) => tracing::error!(camera = %self.camera, error = %e, "not written to the index"),
        }
        if let Note::Closed(segment) = note {
            self.tree.indexed(&self.camera, &segment.path);
        }
        true
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
            Note::Tell(_) => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.pending().closed = true;
        self.queue.wake.notify_one();
    }
}

impl Journal {
    pub(crate) fn new(camera: CameraId, store: Store, tree: Tree, events: Arc<EventBus>) -> Self {
        let queue = Arc::new(Queue {
            pending: Mutex::default(),
            wake: Notify::new(),
            events,
        });
        let span = crate::about::camera(&camera);
        let writer = Writer {
            camera: camera.clone(),
            store,
            tree,
            queue: queue.clone(),
            behind: false,
        };
        Self {
            camera,
            queue,
            writer: Some(tokio::spawn(writer.work().instrument(span))),
            gap: None,
            outage: Vec::new(),
        }
    }

    /// Publishes an event; those that a person looks up later are also kept.
    pub(crate) fn event(&self, at: Timestamp, kind: EventKind) {
        let keep = !matches!(
            kind,
            EventKind::SegmentOpened { .. } | EventKind::SegmentClosed { .. }
        );
        self.tell(at, kind, keep);
    }

    /// Publishes a change of state. Of an outage each state is kept once for each cause, however often it is tried.
    pub(crate) fn state(&mut self, at: Timestamp, from: CameraPhase, to: CameraPhase, cause: Cause) {
        let what = (to, cause.kind);
        let keep = !self.outage.contains(&what);
        match to {
            CameraPhase::Recording | CameraPhase::Standby | CameraPhase::Stopped => self.outage.clear(),
            _ if keep => self.outage.push(what),
            _ => {}
        }
        self.tell(at, EventKind::CameraState { from, to, cause }, keep);
    }

    fn tell(&self, at: Timestamp, kind: EventKind, keep: bool) {
        let event = Event::new(at, Some(self.camera.clone()), kind);
        self.note(Note::Tell(event.clone()));
        if keep {
            self.note(Note::Event(event));
        }
    }

    fn note(&self, note: Note) {
        self.queue.push(note);
    }

    /// Has tried again what could not be written before.
    pub(crate) fn retry(&self) {
        if !self.queue.pending().notes.is_empty() {
            self.queue.wake.notify_one();
        }
    }

    pub(crate) fn backlog(&self) -> Backlog {
        let p = self.queue.pending();
        let told = p.notes.iter().filter(|n| matches!(n, Note::Tell(_))).count();
        Backlog {
            waiting: (p.notes.len() - told) as u64 + u64::from(p.writing),
            lost: p.lost,
        }
    }

    /// Writes what is left. Whether everything is in the index then; takes as long as the index does.
    pub(crate) async fn close(&mut self) -> bool {
        self.queue.pending().closed = true;
        self.queue.wake.notify_one();
        let ended = match self.writer.take() {
            Some(writer) => writer.await.is_ok(),
            None => true,
        };
        let p = self.queue.pending();
        ended && p.notes.is_empty() && p.lost == 0
    }

    pub(crate) fn run_started(&self, run: RunId, anchor: Anchor, cause: Cause) {
        self.note(Note::RunStarted(run, anchor, cause.clone()));
        self.event(anchor.utc, EventKind::RunStarted { run, cause });
    }

    pub(crate) fn run_ended(&self, run: RunId, at: Timestamp, cause: Cause) {
        self.note(Note::RunEnded(run, at, cause));
    }

    /// The wall clock stepped while footage went on: the run ends where the old time ended. Time that was
    /// stepped over has no footage, and this is why.
    pub(crate) fn clock_stepped(&mut self, old: RunId, until: Timestamp, new: Timestamp, cause: Cause) {
        self.run_ended(old, until, cause.clone());
        if self.gap.is_none()
            && new > until
            && let Ok(range) = TimeRange::new(until, new)
        {
            self.note(Note::Gap(range, cause));
        }
    }

    pub(crate) fn segment_opened(&mut self, start: SegmentStart, path: &Path) {
        self.close_gap(start.start);
        let at = start.start;
        self.note(Note::Opened(Box::new(start), path.to_owned()));
        let path = path.display().to_string();
        self.event(at, EventKind::SegmentOpened { path });
    }

    pub(crate) fn segment_closed(&self, segment: ClosedSegment) {
        let kind = EventKind::SegmentClosed {
            path: segment.path.display().to_string(),
            size_bytes: segment.size_bytes,
            duration_ns: segment.duration_ns,
        };
        let at = segment.range().end();
        self.note(Note::Closed(Box::new(segment)));
        self.event(at, kind);
    }

    /// A segment that a fault of the storage had cut off is complete now.
    pub(crate) fn segment_mended(&self, at: Timestamp, segment: ClosedSegment, cut_bytes: u64) {
        let path = segment.path.display().to_string();
        self.note(Note::Closed(Box::new(segment)));
        self.event(at, EventKind::SegmentRecovered { path, cut_bytes });
    }

    /// Nothing is left of a segment that a fault of the storage had cut off.
    pub(crate) fn segment_lost(&self, path: PathBuf) {
        tracing::error!(camera = %self.camera, path = %path.display(), "nothing is left of a segment that the storage failed");
        self.note(Note::Lost(path));
    }

    /// Footage is missing from `at` on; a new cause within an outage begins a new gap.
    pub(crate) fn open_gap(&mut self, at: Timestamp, cause: Cause) {
        let before = self.gap.take();
        if let Some((since, old)) = &before {
            if old.kind == cause.kind {
                self.gap = before;
                return;
            }
            self.note(Note::GapClosed(at.max(*since)));
        }
        self.note(Note::GapOpened(at, cause.clone()));
        let told = before.is_some_and(|(_, old)| !is_expected(old.kind));
        self.gap = Some((at, cause.clone()));
        if !told && !is_expected(cause.kind) {
            self.event(at, EventKind::GapOpened { cause });
        }
    }

    /// Footage is there again.
    pub(crate) fn close_gap(&mut self, at: Timestamp) {
        let Some((since, cause)) = self.gap.take() else {
            return;
        };
        self.note(Note::GapClosed(at.max(since)));
        if !is_expected(cause.kind) {
            self.event(at, EventKind::GapClosed { since, cause });
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
    matches!(
        kind,
        CauseKind::NotScheduled | CauseKind::NoMotion | CauseKind::Startup
    )
}
