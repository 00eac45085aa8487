//! Pushing a camera's live stream, as it is, to a server that others watch: begun and ended by order, connected anew by
//! itself, and never in the way of the recording.
//!
//! A push is a viewer like any other: its queue is bounded, and a server that is too slow loses whole groups of pictures.
//! [`PushAddress`] says what may be pushed to (pure), `worker` does it, `kept` remembers those that outlive the recorder.

mod address;
mod kept;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use self::address::{PushAddress, PushProtocol};
use crate::camera::Camera;
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::events::EventBus;
use crate::ids::CameraId;
use crate::live::StreamKind;
use crate::store::Store;
use crate::time::Timestamp;

/// Pushes of one camera at once.
pub const MOST_OF_CAMERA: usize = 8;
/// Pushes at once.
pub const MOST: usize = 64;

/// What is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PushWish {
    /// Where to.
    pub address: PushAddress,
    /// Which stream.
    pub stream: StreamKind,
    /// Whether sound goes with it (as AAC).
    pub audio: bool,
    /// Whether it goes on after a restart of the recorder.
    pub keep: bool,
}

/// Where a push stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushState {
    /// The camera sends nothing now.
    Waiting,
    /// The server is being connected.
    Connecting,
    /// The server takes the stream.
    Live,
    /// It failed, and the next try is due in a while.
    Retrying,
}

impl PushState {
    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Retrying => "retrying",
        }
    }
}

/// A push and how it fares.
#[derive(Clone, PartialEq, Debug)]
pub struct PushStatus {
    /// Its number.
    pub id: u64,
    /// Whose stream.
    pub camera: CameraId,
    /// What was asked for; the address prints without keys and passwords.
    pub wish: PushWish,
    /// Where it stands.
    pub state: PushState,
    /// Since when.
    pub since: Timestamp,
    /// When it was asked for.
    pub started: Timestamp,
    /// Who asked for it, if that is known.
    pub by: Option<String>,
    /// Bytes that went out since the recorder started.
    pub sent_bytes: u64,
    /// Video frames left out because the server was too slow, those among them that waited when it was given up.
    pub frames_lost: u64,
    /// How often the server took the stream.
    pub connections: u64,
    /// How often it failed.
    pub failures: u64,
    /// When it failed last, and why.
    pub last_failure: Option<(Timestamp, Cause)>,
}

/// The pushes of a recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pushes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: SharedClock,
    store: Store,
    events: Arc<EventBus>,
    file: PathBuf,
    state: Mutex<State>,
    /// Held while the file is written, so that the newest state is what stays.
    saving: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    all: BTreeMap<u64, Entry>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    status: Arc<Mutex<PushStatus>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pushes {
    pub(crate) fn new(clock: SharedClock, store: Store, events: Arc<EventBus>, file: PathBuf) -> Self {
        Self(Arc::new(Inner {
            clock,
            store,
            events,
            file,
            state: Mutex::default(),
            saving: tokio::sync::Mutex::new(()),
        }))
    }

    /// All, by number.
    #[must_use]
    pub fn all(&self) -> Vec<PushStatus> {
        let state = lock(&self.0.state);
        state.all.values().map(|e| lock(&e.status).clone()).collect()
    }

    /// Those of a camera, by number.
    #[must_use]
    pub fn of(&self, camera: &CameraId) -> Vec<PushStatus> {
        self.all().into_iter().filter(|p| &p.camera == camera).collect()
    }

    /// Begins one. What becomes of it shows in its state.
    ///
    /// # Errors
    /// `Conflict` when the camera is pushed there already, `Busy` at the limit, `Unsupported` when a GStreamer element is
    /// missing, `Storage` when it is to be kept and that cannot be written (then it is not begun).
    pub async fn start(&self, camera: &Camera, wish: PushWish, by: Option<String>) -> Result<PushStatus> {
        let protocol = wish.address.protocol();
        crate::nvr::blocking(move || worker::require(protocol)).await?;
        let id = lock(&self.0.state).last_id + 1;
        let status = self.begin(camera, id, wish, by, self.0.clock.now())?;
        if status.wish.keep
            && let Err(e) = self.save().await
        {
            self.remove(status.id);
            return Err(e);
        }
        let kind = EventKind::PushStarted {
            push: status.id,
            address: status.wish.address.to_string(),
            by: status.by.clone(),
        };
        self.0.tell(&status.camera, kind).await;
        Ok(status)
    }

    fn begin(
        &self,
        camera: &Camera,
        id: u64,
        wish: PushWish,
        by: Option<String>,
        started: Timestamp,
    ) -> Result<PushStatus> {
        let name = camera.id();
        let mut state = lock(&self.0.state);
        if state.closed {
            return Err(Error::new(ErrorKind::Unavailable, "the recorder stops"));
        }
        let mut of_camera = 0;
        for entry in state.all.values() {
            let other = lock(&entry.status);
            if other.camera == name {
                of_camera += 1;
                if other.wish.address == wish.address {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("camera {name} is pushed to {} already", wish.address),
                    ));
                }
            }
        }
        if of_camera >= MOST_OF_CAMERA || state.all.len() >= MOST {
            return Err(Error::new(
                ErrorKind::Busy,
                format!("at most {MOST_OF_CAMERA} pushes of a camera and {MOST} of all go on at once"),
            ));
        }
        // Two that begin at once found the same number.
        let id = id.max(state.last_id + 1);
        let status = PushStatus {
            id,
            camera: name,
            wish,
            state: PushState::Waiting,
            since: started,
            started,
            by,
            sent_bytes: 0,
            frames_lost: 0,
            connections: 0,
            failures: 0,
            last_failure: None,
        };
        let cell = Arc::new(Mutex::new(status.clone()));
        let stop = CancellationToken::new();
        let worker = worker::Worker::new(camera.clone(), Arc::clone(&cell), Arc::clone(&self.0));
        let (me, token) = (Arc::downgrade(&self.0), stop.clone());
        let span = crate::about::camera(&camera.id());
        let work = async move {
            tokio::select! {
                () = token.cancelled() => return,
                () = worker.work() => {}
            }
            // The camera is gone, and so is what was asked of it.
            if let Some(inner) = me.upgrade() {
                let cause = Cause::new(CauseKind::ConfigChanged, "the camera was removed");
                Self(inner).forget(id, cause, None).await;
            }
        };
        let task = tokio::spawn(work.instrument(span));
        state.last_id = id;
        state.all.insert(
            id,
            Entry {
                status: cell,
                stop,
                task,
            },
        );
        Ok(status)
    }

    /// Ends one.
    ///
    /// # Errors
    /// `NotFound` when the camera has none of that number; `Storage` when it was kept and that cannot be taken back: it has
    /// ended, and would go on after a restart.
    pub async fn stop(&self, camera: &CameraId, id: u64, by: Option<String>) -> Result<()> {
        let known = self.of(camera).iter().any(|p| p.id == id);
        let cause = Cause::new(CauseKind::Requested, "ended by hand");
        if !known {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("camera {camera} has no push {id}"),
            ));
        }
        self.forget_checked(id, cause, by).await
    }

    /// Within the camera's span.
    async fn forget(&self, id: u64, cause: Cause, by: Option<String>) {
        if let Err(e) = self.forget_checked(id, cause, by).await {
            tracing::warn!(push = id, error = %e, "a push that ended is still kept");
        }
    }

    async fn forget_checked(&self, id: u64, cause: Cause, by: Option<String>) -> Result<()> {
        let Some(status) = self.remove(id) else {
            return Ok(());
        };
        let kind = EventKind::PushStopped {
            push: id,
            address: status.wish.address.to_string(),
            cause,
            by,
        };
        self.0.tell(&status.camera, kind).await;
        if status.wish.keep {
            self.save().await
        } else {
            Ok(())
        }
    }

    fn remove(&self, id: u64) -> Option<PushStatus> {
        let mut state = lock(&self.0.state);
        if state.closed {
            return None;
        }
        let entry = state.all.remove(&id)?;
        entry.stop.cancel();
        let status = lock(&entry.status).clone();
        Some(status)
    }

    /// Begins those that were kept. One whose camera is gone is forgotten.
    pub(crate) async fn restore(&self, cameras: &[Camera]) {
        let file = self.0.file.clone();
        let kept = match crate::nvr::blocking(move || kept::load(&file)).await {
            Ok(kept) => kept,
            Err(e) => {
                tracing::error!(error = %e, "the pushes that were kept cannot be read: none goes on");
                return;
            }
        };
        let by_id: HashMap<CameraId, &Camera> = cameras.iter().map(|c| (c.id(), c)).collect();
        for push in kept {
            let (id, name) = (push.id, push.camera.clone());
            let begun = match (by_id.get(&name), push.wish()) {
                (None, _) => Err(Error::new(ErrorKind::NotFound, "its camera is gone")),
                (_, Err(e)) => Err(e),
                (Some(camera), Ok(wish)) => self.begin(camera, id, wish, push.by, push.started),
            };
            if let Err(e) = begun {
                tracing::warn!(camera = %name, push = id, error = %e, "a push that was kept does not go on");
            }
        }
    }

    async fn save(&self) -> Result<()> {
        let _turn = self.0.saving.lock().await;
        let kept: Vec<kept::Kept> = self
            .all()
            .iter()
            .filter(|p| p.wish.keep)
            .map(kept::Kept::of)
            .collect();
        let file = self.0.file.clone();
        crate::nvr::blocking(move || kept::save(&file, &kept)).await
    }

    /// Ends all; those that are kept go on with the next start.
    pub(crate) async fn shutdown(&self) {
        let all = {
            let mut state = lock(&self.0.state);
            state.closed = true;
            std::mem::take(&mut state.all)
        };
        for entry in all.values() {
            entry.stop.cancel();
        }
        for entry in all.into_values() {
            let _ = entry.task.await;
        }
    }
}

impl Inner {
    /// Tells listeners and writes it into the index.
    async fn tell(&self, camera: &CameraId, kind: EventKind) {
        let event = Event::new(self.clock.now(), Some(camera.clone()), kind);
        self.events.publish(event.clone());
        if let Err(e) = self.store.add_event(event).await {
            tracing::warn!(error = %e, "an event of a push is not in the index");
        }
    }
}
