//! The recorder: it wires the rooms together.

mod alerting;
mod backups;
mod booking_steps;
mod bookings;
mod broker;
mod calendars;
mod cameras;
mod daily;
mod filling;
mod housekeeping;
mod idle;
mod incoming;
mod jobs;
mod keeping;
mod liveness;
mod motion;
mod objects;
mod onvif;
mod opening;
mod pushing;
mod question;
mod reload;
mod restreaming;
mod settings;
mod shutdown;
mod stills;
mod storage_watch;
#[cfg(test)]
mod tests;
mod tier;
mod transcoding;

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::idle::Idle;
pub use self::incoming::MqttEventCounts;
use self::opening::Opened;
pub use self::settings::{ConfigOrder, ConfigOutcome};
pub use self::shutdown::ShutdownReport;
use crate::accounts::Accounts;
use crate::alerts::Alerts;
use crate::archive::Archive;
use crate::bookings::Bookings;
use crate::camera::{Camera, Command, Context};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, JobsConfig};
use crate::detections::Detections;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind, Event};
use crate::events::{EventBus, EventStream};
use crate::files::Tree;
use crate::fill::Filling;
use crate::health::{self, Health};
use crate::ids::CameraId;
use crate::jobs::{JobKind, Jobs};
use crate::moving::Moving;
use crate::mqtt::Mqtt;
use crate::objects::Objects;
use crate::push::Pushes;
use crate::restream::Restream;
use crate::retention::{Keeper, Policy};
use crate::time::Timestamp;
use crate::transcode::Transcoding;
use crate::upload::{Targets, Uploads};

/// Prepares a recorder.
#[derive(Debug)]
pub struct NvrBuilder {
    config: Config,
    clock: SharedClock,
    kinds: Vec<Arc<dyn JobKind>>,
}

impl NvrBuilder {
    /// Another clock than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Another kind of job, of the embedder's own. One of the name of a built-in kind takes its place.
    #[must_use]
    pub fn job_kind(mut self, kind: Arc<dyn JobKind>) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Opens recordings root and index, mends what a crash left, and starts the cameras. Returns as soon as
    /// they are starting; [`Camera::state`] tells how each one fares.
    ///
    /// # Errors
    /// `Storage` when the root is missing, not ours or not writable; `Conflict` when another recorder uses it, or the index is
    /// that of another tree; `Corrupt` when the index cannot be used; `Unsupported` when GStreamer is missing parts, and outside
    /// a tokio runtime with timers and I/O; `Config` when two cameras have one id.
    pub async fn start(self) -> Result<Nvr> {
        tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(
                ErrorKind::Unsupported,
                "a recorder runs within a tokio runtime, and here is none",
            )
            .with_hint("`#[tokio::main]`, or `block_on` of a multi-threaded runtime with `enable_all`")
            .with_source(e)
        })?;
        runtime_suffices()?;
        reload::refuse_doubles(&self.config)?;
        // It is large, and so would be whatever awaits it.
        Box::pin(Nvr::start(self.config, self.clock, self.kinds)).await
    }
}

/// A running recorder. Cheap to clone; it runs until [`shutdown`](Self::shutdown), or until the last clone is dropped.
///
/// What can be asked of recorded footage (timeline, segments, exports, playlists, pictures) is in
/// [`Archive`], to which this dereferences: `nvr.timeline(…)`.
#[derive(Clone, Debug)]
pub struct Nvr(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    archive: Archive,
    alerts: Alerts,
    /// The connection to the broker, one after the other as the configuration changes.
    mqtt: watch::Sender<Option<Mqtt>>,
    mqtt_events: incoming::Counts,
    accounts: Accounts,
    jobs: Jobs,
    uploads: Uploads,
    transcoding: Transcoding,
    filling: Filling,
    moving: Moving,
    pushes: Pushes,
    bookings: Bookings,
    restream: Option<Restream>,
    detections: Detections,
    motion: crate::motion::Shared,
    taking: stills::Taking,
    /// What reads and writes the disk by itself, for the end to wait for.
    workers: TaskTracker,
    objects: Objects,
    /// Cancelled when all that was seen is told.
    objects_told: CancellationToken,
    jobs_config: Arc<ArcSwap<JobsConfig>>,
    context: Context,
    tree: Tree,
    config: RwLock<Arc<Config>>,
    cameras: RwLock<HashMap<CameraId, Camera>>,
    /// Held while cameras are added, removed or configured, so that two such calls do not interleave.
    changes: AsyncMutex<()>,
    /// Held while the configuration file is read or written and put in force; taken before `changes`.
    settings: AsyncMutex<()>,
    storage_fault: Mutex<Option<(Timestamp, Cause)>>,
    /// The recordings root does not answer, since when: recording goes on, and waits.
    storage_hangs: Mutex<Option<(Timestamp, Cause)>>,
    /// The second root cannot be used, since when and why.
    tier_fault: Mutex<Option<(Timestamp, Cause)>>,
    keeper: Arc<Keeper>,
    /// The disk is nearly full, since when and how.
    space_low: Mutex<Option<(Timestamp, Cause)>>,
    /// Events that the index could not take yet.
    unsaved: Mutex<VecDeque<Event>>,
    started: Timestamp,
    /// Ends the tasks of the recorder.
    stop: CancellationToken,
    ended: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Also without a shutdown no task stays behind.
        self.stop.cancel();
        let deadline = self.config().recorder.shutdown_deadline;
        let cameras = self.cameras.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (_, camera) in cameras.drain() {
            // Told so: somebody may hold a handle of it, and nobody keeps room on the disk any more.
            camera.sub.stop();
            let (reply, _) = oneshot::channel();
            let _ = camera.send(Command::Shutdown {
                cause: Cause::new(CauseKind::Shutdown, "the recorder was dropped"),
                deadline,
                reply,
            });
        }
    }
}

impl Deref for Nvr {
    type Target = Archive;
    fn deref(&self) -> &Archive {
        &self.0.archive
    }
}

impl Nvr {
    /// Prepares a recorder for a configuration.
    #[must_use]
    pub fn builder(config: Config) -> NvrBuilder {
        NvrBuilder {
            config,
            clock: SystemClock::shared(),
            kinds: Vec::new(),
        }
    }

    async fn start(config: Config, clock: SharedClock, kinds: Vec<Arc<dyn JobKind>>) -> Result<Self> {
        let opened = {
            let (config, clock) = (config.clone(), clock.clone());
            blocking(move || opening::open(&config, &clock)).await?
        };
        let Opened {
            store,
            tree,
            recovered,
            incomplete,
            tier_fault,
        } = opened;
        let events = Arc::new(EventBus::new(clock.clone()));
        let (storage_tx, storage_rx) = mpsc::unbounded_channel();
        let context = Context {
            clock: clock.clone(),
            store: store.clone(),
            tree: tree.clone(),
            events: events.clone(),
            // None at all would be a recorder that never starts a camera.
            turns: permits(config.recorder.max_starting.max(1)),
            sub_turns: permits(config.recorder.max_starting.max(1)),
            reactor: crate::gst::Reactor::new(),
            manual: permits(config.recorder.max_manual),
            storage: storage_tx,
        };
        let targets = Arc::new(Targets::new(&config.uploads, clock.clone()));
        let archive = Archive::of_recorder(
            &config,
            store.clone(),
            tree.clone(),
            clock.clone(),
            Arc::clone(&targets),
        );
        let uploads = Uploads::new(
            store.clone(),
            tree.clone(),
            clock.clone(),
            events.clone(),
            targets,
        );
        let me = Arc::new(OnceLock::new());
        let jobs_config = Arc::new(ArcSwap::from_pointee(config.jobs.clone()));
        let transcoding = transcoding::new(&context, &config.transcode, archive.privacy().clone());
        let mut kinds = kinds;
        kinds.push(Arc::new(transcoding.clone()));
        let filling = filling::new(&context, &config, &jobs_config, Arc::clone(&me));
        kinds.push(Arc::new(filling.clone()));
        let moving = Moving::new(store.clone(), tree.clone(), clock.clone(), config.tier.clone());
        if config.tier.is_some() {
            kinds.push(Arc::new(moving.clone()));
        }
        let jobs = jobs::start(&context, &archive, &jobs_config, kinds, &uploads, Arc::clone(&me)).await?;
        let detections = Detections::new(
            store.clone(),
            events.clone(),
            clock.clone(),
            config.detections.clone(),
        );
        let bookings = Bookings::new(store.clone(), clock.clone(), Some(events.clone()));
        let pushes = Pushes::new(clock.clone(), store.clone(), events, config.recorder.pushes());
        let accounts = Accounts::new(config.recorder.accounts(), clock.clone());
        let restream = restreaming::start(&config, clock.clone(), accounts.clone(), Arc::clone(&me)).await?;
        let mqtt = broker::connect(&config, &clock);
        let alerts = alerting::start(&context, &config.alerts, mqtt.clone(), Arc::clone(&me)).await?;
        let (looking, found) = Objects::new(clock.clone());
        looking.configure(config.objects.as_ref());
        let nvr = Self(Arc::new(Inner {
            archive,
            alerts,
            mqtt: watch::Sender::new(mqtt),
            mqtt_events: incoming::Counts::default(),
            pushes,
            bookings,
            restream,
            detections,
            motion: motion::shared(&context, looking.clone(), Arc::clone(&me)),
            objects: looking,
            objects_told: CancellationToken::new(),
            taking: stills::Taking::new(tree.clone()),
            workers: TaskTracker::new(),
            accounts,
            jobs,
            uploads,
            jobs_config,
            transcoding,
            filling,
            moving,
            context,
            keeper: Arc::new(Keeper::new(store, tree.clone())),
            tree,
            cameras: RwLock::default(),
            changes: AsyncMutex::new(()),
            settings: AsyncMutex::new(()),
            storage_fault: Mutex::new(None),
            storage_hangs: Mutex::new(None),
            tier_fault: Mutex::new(None),
            space_low: Mutex::new(None),
            unsaved: Mutex::default(),
            started: clock.now(),
            stop: CancellationToken::new(),
            ended: AtomicBool::new(false),
            config: RwLock::new(Arc::new(config.clone())),
        }));
        let _ = me.set(Arc::downgrade(&nvr.0));
        let workers = nvr.0.workers.clone();
        // Before anything happens.
        tokio::spawn(alerting::work(
            Arc::downgrade(&nvr.0),
            nvr.events(),
            nvr.0.stop.clone(),
        ));
        tokio::spawn(broker::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        tokio::spawn(incoming::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        for event in recovered {
            nvr.0.publish(event).await;
        }
        if let Some(cause) = tier_fault {
            nvr.0.tell_tier(Some(cause)).await;
        }
        workers.spawn(tier::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        tokio::spawn(storage_watch::watch(
            Arc::downgrade(&nvr.0),
            storage_rx,
            nvr.0.stop.clone(),
        ));
        nvr.0.uploads.start(nvr.jobs(), nvr.0.stop.clone()).await?;
        tokio::spawn(housekeeping::end_forgotten(
            Arc::downgrade(&nvr.0),
            nvr.0.stop.clone(),
        ));
        workers.spawn(housekeeping::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        if incomplete {
            let (recorder, stop) = (Arc::downgrade(&nvr.0), nvr.0.stop.clone());
            workers.spawn(housekeeping::adopt_rest(recorder, stop));
        }
        let teller = objects::Teller::new(nvr.0.detections.clone(), clock);
        tokio::spawn(teller.work(found, nvr.0.stop.clone(), nvr.0.objects_told.clone()));
        workers.spawn(transcoding::plan(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        workers.spawn(filling::plan(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        workers.spawn(backups::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        workers.spawn(keeping::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        for camera in config.cameras {
            if let Err(e) = nvr.begin(camera).await {
                // Those that were started end in order, and the root is free again.
                nvr.shutdown(config.recorder.shutdown_deadline).await;
                return Err(e);
            }
        }
        workers.spawn(stills::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        workers.spawn(daily::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        // Once the cameras are there: what lasts now goes on with them.
        tokio::spawn(bookings::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        tokio::spawn(calendars::work(Arc::downgrade(&nvr.0), nvr.0.stop.clone()));
        nvr.0.pushes.restore(&nvr.cameras()).await;
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

    /// Who may ask this recorder over the network.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// What is seen, and was.
    #[must_use]
    pub fn detections(&self) -> &Detections {
        &self.0.detections
    }

    /// When this recorder started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// What happens from now on. After a [`shutdown`](Self::shutdown) nothing more comes; it ends when the last clone of this
    /// is dropped, so a listener that holds one waits for ever: let it end with the program's own signal.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.0.context.events.subscribe()
    }

    /// Whether all is well, and if not, why.
    #[must_use]
    pub fn health(&self) -> Health {
        let of = |place: &Mutex<Option<(Timestamp, Cause)>>| {
            place.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        let calendars = self.0.bookings.calendars().into_iter().filter_map(|c| c.trouble);
        let objects = self.0.objects.status().trouble;
        let troubles = [of(&self.0.space_low), of(&self.0.tier_fault), objects];
        health::assess(
            &self.0.cameras(),
            of(&self.0.storage_fault).or_else(|| of(&self.0.storage_hangs)),
            troubles
                .into_iter()
                .flatten()
                .chain(calendars)
                .chain(self.0.alerts.troubles()),
            self.clock().now(),
        )
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
        self.archive.set_policy(Policy::of(&config));
        self.archive.privacy().set(config.privacy());
        *guard = Arc::new(config);
    }
}

/// Whether the runtime has timers and I/O. That cannot be asked, only tried: without them tokio panics, later on in every
/// task of the recorder, where nobody would hear of it.
fn runtime_suffices() -> Result<()> {
    let without = |what: &str, enable: &str| {
        Error::new(
            ErrorKind::Unsupported,
            format!("the tokio runtime that the recorder is to run in has no {what}"),
        )
        .with_hint(format!("build it with `enable_all`, or `{enable}`"))
    };
    std::panic::catch_unwind(|| drop(tokio::time::sleep(std::time::Duration::ZERO)))
        .map_err(|_| without("timers", "enable_time"))?;
    std::panic::catch_unwind(|| drop(tokio::net::UnixDatagram::pair()))
        .map_err(|_| without("I/O", "enable_io"))
}

/// `usize::MAX`, for as many as there are, is more than a semaphore takes.
fn permits(n: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)))
}

fn held<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
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
