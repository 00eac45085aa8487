//! The recorder: it wires the rooms together.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, Snapshot, SnapshotRequest};
use crate::camera::{self, Camera, Command, Context};
use crate::check;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{CameraConfig, Config, ConfigDiff, SyncMode};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::events::{EventBus, EventStream};
use crate::files::{self, Create, Recovered, Root, RootOptions, SyncPolicy, Tree};
use crate::health::{self, Health};
use crate::ids::CameraId;
use crate::store::{OpenMode, SegmentState, Store};
use crate::time::{TimeRange, Timestamp};

#[cfg(test)]
mod tests;

/// How often a disk at fault is looked at, and one that seems well is made sure of.
const STORAGE_LOOK: Duration = Duration::from_secs(2);
/// Events of the recorder (not of its cameras) that wait for the index at most.
const MOST_UNSAVED: usize = 1000;
/// How long closing the index may take beyond the deadline of a stop.
const INDEX_CLOSE: Duration = Duration::from_secs(3);
/// How often old events are cleared from the index.
const EVENTS_PRUNE: Duration = Duration::from_hours(1);

/// Prepares a recorder.
#[derive(Debug)]
pub struct NvrBuilder {
    config: Config,
    clock: SharedClock,
}

impl NvrBuilder {
    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Opens recordings root and index, mends what a crash left, and starts the cameras. Returns as soon as
    /// they are starting; [`Camera::state`] tells how each one fares.
    ///
    /// # Errors
    /// `Storage` when the root is missing, not ours, in use by another recorder or not writable; `Corrupt`
    /// when the index cannot be used; `Unsupported` when GStreamer is missing parts.
    pub async fn start(self) -> Result<Nvr> {
        Nvr::start(self.config, self.clock).await
    }
}

/// A running recorder. Cheap to clone; it runs until [`shutdown`](Self::shutdown).
///
/// What can be asked of recorded footage (timeline, segments, exports, playlists, pictures) is in
/// [`Archive`], to which this dereferences: `nvr.timeline(…)`.
#[derive(Clone, Debug)]
pub struct Nvr(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    archive: Archive,
    context: Context,
    tree: Tree,
    config: RwLock<Arc<Config>>,
    cameras: RwLock<HashMap<CameraId, Camera>>,
    /// Held while cameras are added, removed or configured, so that two such calls do not interleave.
    changes: AsyncMutex<()>,
    storage_fault: Mutex<Option<(Timestamp, Cause)>>,
    /// Events that the index could not take yet.
    unsaved: Mutex<VecDeque<Event>>,
    started: Timestamp,
    /// Ends the tasks of the recorder.
    stop: CancellationToken,
    ended: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Also without a shutdown no task stays behind: the cameras end when their handles are gone.
        self.stop.cancel();
    }
}

impl Deref for Nvr {
    type Target = Archive;
    fn deref(&self) -> &Archive {
        &self.0.archive
    }
}

/// What a stop brought to an end in order, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ShutdownReport {
    /// Cameras whose last segment was closed and indexed.
    pub clean: Vec<CameraId>,
    /// Cameras that were cut: their last segment is mended at the next start.
    pub cut: Vec<CameraId>,
}

impl Nvr {
    /// Prepares a recorder for a configuration.
    #[must_use]
    pub fn builder(config: Config) -> NvrBuilder {
        NvrBuilder {
            config,
            clock: SystemClock::shared(),
        }
    }

    async fn start(config: Config, clock: SharedClock) -> Result<Self> {
        let opened = {
            let (config, clock) = (config.clone(), clock.clone());
            blocking(move || open(&config, &clock)).await?
        };
        let Opened {
            store,
            tree,
            recovered,
        } = opened;
        let events = Arc::new(EventBus::new(clock.clone()));
        let (storage_tx, storage_rx) = mpsc::unbounded_channel();
        let context = Context {
            clock: clock.clone(),
            store: store.clone(),
            tree: tree.clone(),
            events: events.clone(),
            // None at all would be a recorder that never starts a camera.
            turns: Arc::new(Semaphore::new(config.recorder.max_starting.max(1))),
            reactor: crate::gst::Reactor::new(),
            manual: Arc::new(Semaphore::new(config.recorder.max_manual)),
            storage: storage_tx,
        };
        let archive = Archive::of_recorder(&config, store.clone(), tree.clone(), clock.clone());
        let nvr = Self(Arc::new(Inner {
            archive,
            context,
            tree,
            cameras: RwLock::default(),
            changes: AsyncMutex::new(()),
            storage_fault: Mutex::new(None),
            unsaved: Mutex::default(),
            started: clock.now(),
            stop: CancellationToken::new(),
            ended: AtomicBool::new(false),
            config: RwLock::new(Arc::new(config.clone())),
        }));
        for event in recovered {
            nvr.0.publish(event).await;
        }
        tokio::spawn(watch_storage(
            Arc::downgrade(&nvr.0),
            storage_rx,
            nvr.0.stop.clone(),
        ));
        tokio::spawn(housekeeping(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        for camera in config.cameras {
            if let Err(e) = nvr.begin(camera).await {
                // Those that were started end in order, and the root is free again.
                nvr.shutdown(config.recorder.shutdown_deadline).await;
                return Err(e);
            }
        }
        Ok(nvr)
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.config()
    }

    /// The clock that everything here goes by.
    #[must_use]
    pub fn clock(&self) -> SharedClock {
        self.0.context.clock.clone()
    }

    /// When this recorder started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// All cameras, by id.
    #[must_use]
    pub fn cameras(&self) -> Vec<Camera> {
        self.0.cameras()
    }

    /// One camera.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub fn camera(&self, id: &CameraId) -> Result<Camera> {
        let cameras = self.0.cameras.read().unwrap_or_else(PoisonError::into_inner);
        cameras.get(id).cloned().ok_or_else(|| no_camera(id))
    }

    /// Adds a camera and starts it, until the recorder ends (the configuration file is not written).
    ///
    /// # Errors
    /// `AlreadyExists` when the id is taken.
    pub async fn add_camera(&self, config: CameraConfig) -> Result<Camera> {
        let _one_at_a_time = self.0.changes.lock().await;
        let camera = self.begin(config.clone()).await?;
        self.0.change_config(|c| c.cameras.push(config));
        Ok(camera)
    }

    /// Stops a camera and forgets it; its footage stays.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn remove_camera(&self, id: &CameraId) -> Result<()> {
        let _one_at_a_time = self.0.changes.lock().await;
        self.camera(id)?;
        self.0.change_config(|c| c.cameras.retain(|k| &k.id != id));
        self.end(id, CauseKind::ConfigChanged, "the camera was removed")
            .await
    }

    /// Puts a new configuration in force; only cameras that changed are touched.
    ///
    /// # Errors
    /// An error of the index. What was changed before it stays changed and the rest as it was: the same call
    /// again does what is left.
    pub async fn reload(&self, new: Config) -> Result<ConfigDiff> {
        let _one_at_a_time = self.0.changes.lock().await;
        let old = self.config();
        let diff = ConfigDiff::between(&old, &new);
        for id in &diff.removed {
            self.0.change_config(|c| c.cameras.retain(|k| &k.id != id));
            self.end(id, CauseKind::ConfigChanged, "the camera was removed")
                .await?;
        }
        for camera in &new.cameras {
            if diff.added.contains(&camera.id) {
                self.begin(camera.clone()).await?;
                self.0.change_config(|c| c.cameras.push(camera.clone()));
            } else if diff.changed.contains(&camera.id) {
                let handle = self.camera(&camera.id)?;
                self.0
                    .context
                    .store
                    .upsert_camera(&camera.id, Some(&camera.name), self.clock().now())
                    .await?;
                handle.config.store(Arc::new(camera.clone()));
                handle.send(Command::Configure(Box::new(camera.clone())))?;
                self.0.change_config(|c| {
                    if let Some(old) = c.cameras.iter_mut().find(|k| k.id == camera.id) {
                        old.clone_from(camera);
                    }
                });
            }
        }
        let mut in_force = new;
        // What needs a restart stays as it is, and so it is shown.
        in_force.recorder = old.recorder.clone();
        in_force.recording.sync = old.recording.sync;
        in_force.http = old.http.clone();
        in_force.log = old.log.clone();
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        let changed = [&diff.added, &diff.removed, &diff.changed]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let event = Event::new(self.clock().now(), None, EventKind::ConfigReloaded { changed });
        self.0.publish(event).await;
        Ok(diff)
    }

    async fn begin(&self, config: CameraConfig) -> Result<Camera> {
        let id = config.id.clone();
        if self.0.stop.is_cancelled() {
            return Err(Error::new(ErrorKind::Unavailable, "the recorder has stopped"));
        }
        if self.camera(&id).is_ok() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("camera {id} exists already"),
            ));
        }
        self.0
            .context
            .store
            .upsert_camera(&id, Some(&config.name), self.clock().now())
            .await?;
        let (commands, status) = camera::spawn(config.clone(), self.0.context.clone());
        let camera = Camera {
            config: Arc::new(arc_swap::ArcSwap::from_pointee(config)),
            commands,
            status,
        };
        let mut cameras = self.0.cameras.write().unwrap_or_else(PoisonError::into_inner);
        cameras.insert(id, camera.clone());
        Ok(camera)
    }

    async fn end(&self, id: &CameraId, kind: CauseKind, words: &str) -> Result<()> {
        let camera = {
            let mut cameras = self.0.cameras.write().unwrap_or_else(PoisonError::into_inner);
            cameras.remove(id).ok_or_else(|| no_camera(id))?
        };
        let (reply, ended) = oneshot::channel();
        let deadline = self.config().recorder.shutdown_deadline;
        // One that is gone already has nothing to end.
        let _ = camera.send(Command::Shutdown {
            cause: Cause::new(kind, words),
            deadline,
            reply,
        });
        let _ = tokio::time::timeout(deadline + Duration::from_secs(1), ended).await;
        self.0
            .context
            .store
            .mark_camera_removed(id, self.clock().now())
            .await
    }

    /// A picture: of a recorded moment, or without one of now, from the stream while there is one.
    ///
    /// # Errors
    /// As [`Archive::snapshot`].
    pub async fn picture(&self, request: SnapshotRequest) -> Result<Snapshot> {
        let unit = match request.at {
            None => self
                .camera(&request.camera)
                .ok()
                .and_then(|camera| camera.latest_keyframe()),
            Some(_) => None,
        };
        let Some(unit) = unit else {
            return self.snapshot(request).await;
        };
        blocking(move || {
            let jpeg = crate::gst::snapshot::jpeg_of(&unit, request.width)?;
            Ok(Snapshot {
                jpeg: jpeg.into(),
                at: unit.utc(),
            })
        })
        .await
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.0.context.events.subscribe()
    }

    /// Whether all is well, and if not, why.
    #[must_use]
    pub fn health(&self) -> Health {
        let fault = self
            .0
            .storage_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        health::assess(&self.0.cameras(), fault, self.clock().now())
    }

    /// Closes and indexes every open segment and ends. Cameras that do not make it by the deadline are cut;
    /// their last segment is mended at the next start. Called again it does nothing.
    ///
    /// The recordings root stays locked until the last clone of this and of its [`Archive`] is dropped.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        if self.0.ended.swap(true, Ordering::SeqCst) {
            return report;
        }
        self.0.stop.cancel();
        let mut waiting = Vec::new();
        for camera in self.cameras() {
            let (reply, ended) = oneshot::channel();
            let cause = Cause::new(CauseKind::Shutdown, "the recorder stopped");
            match camera.send(Command::Shutdown {
                cause,
                deadline,
                reply,
            }) {
                Ok(()) => waiting.push((camera.id(), ended)),
                Err(_) => report.cut.push(camera.id()),
            }
        }
        let cut_off = self
            .clock()
            .steady_ns()
            .saturating_add(crate::time::duration_ns(deadline));
        for (id, ended) in waiting {
            let left = u64::try_from(cut_off - self.clock().steady_ns()).unwrap_or(0);
            match tokio::time::timeout(Duration::from_nanos(left), ended).await {
                Ok(Ok(true)) => report.clean.push(id),
                _ => report.cut.push(id),
            }
        }
        self.0
            .cameras
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        // Committed is what was answered; a disk that hangs must not hold up the end.
        let closed = tokio::time::timeout(INDEX_CLOSE, self.0.context.store.shutdown()).await;
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!(error = %e, "the index was not closed in order"),
            Err(_) => tracing::error!("the index was not closed in time"),
        }
        report
    }
}

impl Inner {
    fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_config(&self, change: impl FnOnce(&mut Config)) {
        let mut guard = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let mut config = Config::clone(&guard);
        change(&mut config);
        *guard = Arc::new(config);
    }

    fn cameras(&self) -> Vec<Camera> {
        let cameras = self.cameras.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Camera> = cameras.values().cloned().collect();
        all.sort_by_key(Camera::id);
        all
    }

    async fn publish(&self, event: Event) {
        self.context.events.publish(event.clone());
        self.lock_unsaved().push_back(event);
        self.save_events().await;
    }

    fn lock_unsaved(&self) -> std::sync::MutexGuard<'_, VecDeque<Event>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes events to the index that it could not take before: that the disk was full is told there, too.
    async fn save_events(&self) {
        let waiting = std::mem::take(&mut *self.lock_unsaved());
        let mut waiting = waiting.into_iter();
        while let Some(event) = waiting.next() {
            let Err(e) = self.context.store.add_event(event.clone()).await else {
                continue;
            };
            if e.kind() != ErrorKind::Storage {
                tracing::warn!(error = %e, "an event is not in the index");
                continue;
            }
            let mut unsaved = self.lock_unsaved();
            for event in waiting.rev().chain(std::iter::once(event)) {
                unsaved.push_front(event);
            }
            unsaved.truncate(MOST_UNSAVED);
            return;
        }
    }
}

fn no_camera(id: &CameraId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no camera {id}"))
}

/// Runs something that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|e| Error::new(ErrorKind::Internal, "a task of the recorder failed").with_source(e))?
}

struct Opened {
    store: Store,
    tree: Tree,
    recovered: Vec<Event>,
}

fn open(config: &Config, clock: &SharedClock) -> Result<Opened> {
    crate::gst::init()?;
    let recorder = &config.recorder;
    // An index that is there knows which tree it belongs to. One that is not there is made only after the
    // root has proved itself: by default it lies inside.
    let known = if recorder.database.exists() {
        Some(Store::open(&recorder.database, OpenMode::ReadWrite)?)
    } else {
        None
    };
    let expected = match &known {
        Some(store) => store.tree_id()?.map(|id| id.parse()).transpose()?,
        None => None,
    };
    let create = if recorder.adopt_root {
        Create::Adopt
    } else {
        Create::IfEmpty
    };
    let options = RootOptions {
        create,
        expected,
        exclusive: true,
    };
    let root = Root::open(&recorder.root, options, clock.clone())?;
    let tree_id = root.attach()?;
    let store = match known {
        Some(store) => store,
        None => Store::open(&recorder.database, OpenMode::ReadWrite)?,
    };
    if expected.is_none() {
        store.set_tree_id_blocking(&tree_id.to_string())?;
    }
    let policy = match config.recording.sync {
        SyncMode::Close => SyncPolicy::Close,
        SyncMode::Every(every) => SyncPolicy::Every(every),
    };
    let tree = Tree::new(root, policy)?;
    let found = check::reconcile(&store, &tree)?;
    note_crash(&store)?;
    let recovered = tell_reconciled(found, clock);
    Ok(Opened {
        store,
        tree,
        recovered,
    })
}

/// What was found at the start, for the log and as events.
fn tell_reconciled(found: check::ReconcileReport, clock: &SharedClock) -> Vec<Event> {
    for path in &found.lost {
        tracing::error!(path = %path.display(), "a segment that was being recorded is gone or holds nothing");
    }
    for (path, why) in &found.failed {
        tracing::error!(path = %path.display(), "a segment could not be looked at: {why}");
    }
    if found.adopted > 0 {
        tracing::warn!(
            segments = found.adopted,
            "footage that the index did not know was entered"
        );
    }
    let now = clock.now();
    let event = |m: check::MendedSegment| {
        let kind = EventKind::SegmentRecovered {
            path: m.path.display().to_string(),
            cut_bytes: m.cut_bytes,
        };
        Event::new(now, Some(m.camera), kind)
    };
    found.mended.into_iter().map(event).collect()
}

/// What the last life of the recorder did not write down because it was killed: the ends of its runs, and
/// that footage is missing since.
fn note_crash(store: &Store) -> Result<()> {
    let cause = Cause::new(CauseKind::Crash, "the recorder did not stop in order");
    let totals = store.totals()?;
    // Runs that reach to the end of time: those without an end, however many there were.
    let open = TimeRange::new(Timestamp::MAX.add_ns(-1), Timestamp::MAX)?;
    for camera in store.cameras()? {
        let newest = totals
            .iter()
            .find(|t| t.camera == camera.id)
            .and_then(|t| t.newest);
        for run in store.runs(&camera.id, open)? {
            if run.ended.is_none() {
                let end = newest.map_or(run.started_at, |newest| newest.max(run.started_at));
                store.end_run_blocking(run.run, &camera.id, end, &cause)?;
            }
        }
        if let Some(newest) = newest {
            // Does nothing where a gap is open already: then the stop was noted.
            store.open_gap_blocking(&camera.id, newest, &cause)?;
        }
    }
    Ok(())
}

async fn watch_storage(
    recorder: std::sync::Weak<Inner>,
    mut reports: mpsc::UnboundedReceiver<Cause>,
    stop: CancellationToken,
) {
    loop {
        let Some(clock) = recorder.upgrade().map(|r| r.context.clock.clone()) else {
            return;
        };
        let reported = tokio::select! {
            () = stop.cancelled() => return,
            report = reports.recv() => match report {
                Some(cause) => Some(cause),
                None => return,
            },
            () = clock.sleep(STORAGE_LOOK) => None,
        };
        let Some(recorder) = recorder.upgrade() else {
            return;
        };
        let tree = recorder.tree.clone();
        let at_fault = recorder
            .storage_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        let found = match reported {
            // One file that cannot be written is that camera's affair if others can.
            Some(cause) if cause.kind == CauseKind::StorageError && !at_fault => {
                blocking(move || tree.healthy()).await.err().map(|_| cause)
            }
            Some(cause) => Some(cause),
            // A disk at fault has to prove itself by a write; one that works is only looked at.
            None => blocking(move || {
                if at_fault {
                    tree.healthy()
                } else {
                    tree.root().attach().map(drop)
                }
            })
            .await
            .err()
            .map(|e| {
                files::cause_of(&e).unwrap_or_else(|| Cause::new(CauseKind::StorageError, e.to_string()))
            }),
        };
        recorder.storage(found).await;
        recorder.mend_abandoned().await;
        recorder.save_events().await;
    }
}

impl Inner {
    /// Files that a storage fault left behind are mended once the disk is back.
    async fn mend_abandoned(&self) {
        if !self.tree.has_abandoned()
            || self
                .storage_fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
        {
            return;
        }
        let tree = self.tree.clone();
        let Ok(mended) = tokio::task::spawn_blocking(move || tree.recover_abandoned()).await else {
            return;
        };
        for (camera, path, recovered) in mended {
            let segment = match recovered {
                Some(Recovered::Closed { segment, cut_bytes }) => Some((segment, cut_bytes)),
                Some(Recovered::Empty { .. }) | None => None,
            };
            // The camera's own journal knows what it has not written of this segment yet.
            let handle = {
                let cameras = self.cameras.read().unwrap_or_else(PoisonError::into_inner);
                cameras.get(&camera).cloned()
            };
            match (handle, segment) {
                (Some(handle), segment) => {
                    let _ = handle.send(Command::Mended { path, segment });
                }
                (None, Some((segment, _))) => {
                    if let Err(e) = self.context.store.close_segment(&path, &segment).await {
                        tracing::warn!(error = %e, path = %path.display(), "a mended segment is not in the index");
                    }
                }
                (None, None) => self.forget_empty(path).await,
            }
        }
    }

    /// A file without footage has no place in the index; an open row would be looked for at each start.
    async fn forget_empty(&self, path: std::path::PathBuf) {
        let store = self.context.store.clone();
        let forgotten = blocking(move || match store.segment_by_path(&path)? {
            Some(row) if row.state == SegmentState::Open => store.delete_segment_blocking(row.id).map(drop),
            _ => Ok(()),
        });
        if let Err(e) = forgotten.await {
            tracing::warn!(error = %e, "the row of an empty file is still in the index");
        }
    }

    /// The disk is well (`None`) or not: tell all, once.
    async fn storage(&self, found: Option<Cause>) {
        let now = self.context.clock.now();
        let before = {
            let mut fault = self.storage_fault.lock().unwrap_or_else(PoisonError::into_inner);
            let before = fault.clone();
            *fault = found
                .clone()
                .map(|cause| (before.as_ref().map_or(now, |(since, _)| *since), cause));
            before
        };
        match (before, found) {
            (None, Some(cause)) => {
                tracing::error!(
                    cause = cause.kind.as_str(),
                    "recording stopped: {}",
                    cause.message
                );
                for camera in self.cameras() {
                    let _ = camera.send(Command::StorageFault(cause.clone()));
                }
                self.publish(Event::new(now, None, EventKind::StorageFault { cause }))
                    .await;
            }
            (Some((since, _)), None) => {
                tracing::warn!(since = %since, "the disk can be written again; recording goes on");
                for camera in self.cameras() {
                    let _ = camera.send(Command::StorageBack);
                }
                self.publish(Event::new(now, None, EventKind::StorageRecovered))
                    .await;
            }
            _ => {}
        }
    }
}

async fn housekeeping(recorder: std::sync::Weak<Inner>, stop: CancellationToken) {
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let keep = inner.config().recorder.events_keep;
        let before = inner.context.clock.now() - keep;
        if let Err(e) = inner.context.store.prune_events(before).await {
            tracing::warn!(error = %e, "old events were not cleared");
        }
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(EVENTS_PRUNE) => {}
        }
    }
}
