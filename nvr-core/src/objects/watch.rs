//! Looks for objects in the pictures that motion detection hands over: a thread of its own, never waited for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::queue::Queue;
use super::select::{Sighted, select};
use super::status::{ObjectsState, ObjectsStatus};
use super::{Area, Object, RgbPicture};
use crate::clock::SharedClock;
use crate::config::{MotionConfig, ObjectsConfig};
use crate::error::Result;
use crate::event::{Cause, CauseKind};
use crate::gst::{ColourFrame, RgbMaker};
use crate::ids::CameraId;
use crate::priority::{IoClass, Priority, thread_cpu_ns};
use crate::time::Timestamp;

/// Recording and live pictures go first.
const PRIORITY: Priority = Priority {
    nice: 15,
    io: IoClass::Idle,
};
/// How often a model that could not be used is looked at: whether its file is another one now.
const AGAIN: Duration = Duration::from_secs(30);
/// Answers that wait to be told.
const ANSWERS: usize = 64;

/// A network that is ready.
pub(super) trait Network: Send {
    fn input_size(&self) -> (usize, usize);
    fn labels(&self) -> &[String];
    fn find(&self, picture: &RgbPicture<'_>) -> Result<Vec<Object>>;
}

pub(super) type Load = fn(&ObjectsConfig) -> Result<Box<dyn Network>>;

/// A picture in which something moves.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) camera: CameraId,
    pub(crate) at: Timestamp,
    pub(crate) colour: ColourFrame,
    pub(crate) moving: Vec<Area>,
    /// Zones and masks of its camera.
    pub(crate) motion: MotionConfig,
}

/// What a picture shows.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) camera: CameraId,
    pub(crate) at: Timestamp,
    pub(crate) sighted: Vec<Sighted>,
    pub(crate) motion: MotionConfig,
}

/// Hands pictures to the thread. Cheap to clone; the thread ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Objects(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.news.notify_all();
    }
}

#[derive(Debug)]
struct Shared {
    clock: SharedClock,
    load: Load,
    state: Mutex<State>,
    news: Condvar,
    found: mpsc::Sender<Found>,
}

#[derive(Debug, Default)]
struct State {
    config: Option<ObjectsConfig>,
    /// It is to be read, again or for the first time.
    to_load: bool,
    started: bool,
    ended: bool,
    waiting: Queue<Picture>,
    status: ObjectsStatus,
}

enum Next {
    End,
    Load(ObjectsConfig),
    Look(Box<Picture>, ObjectsConfig),
    Forget,
    /// Time to see whether the file is another one.
    Again(ObjectsConfig),
}

impl Objects {
    /// What is found comes out of the receiver.
    pub(crate) fn new(clock: SharedClock) -> (Self, mpsc::Receiver<Found>) {
        Self::with(clock, super::load)
    }

    pub(super) fn with(clock: SharedClock, load: Load) -> (Self, mpsc::Receiver<Found>) {
        let (found, receiver) = mpsc::channel(ANSWERS);
        let shared = Shared {
            clock,
            load,
            state: Mutex::default(),
            news: Condvar::new(),
            found,
        };
        (Self(Arc::new(Owner(Arc::new(shared)))), receiver)
    }

    /// Looks for objects as this says from now on, or not at all. The model is read by the thread: this returns at once.
    pub(crate) fn configure(&self, config: Option<&ObjectsConfig>) {
        let shared = &self.0.0;
        let mut state = shared.state();
        let config = config.filter(|c| c.enabled).cloned();
        if state.config == config {
            return;
        }
        let same_model = match (&state.config, &config) {
            (Some(old), Some(new)) => old.same_model(new) && state.status.state == ObjectsState::Ready,
            _ => false,
        };
        state.config.clone_from(&config);
        if !same_model {
            state.to_load = config.is_some();
            state.status.model = config.as_ref().map(|c| c.model.clone());
            (state.status.input, state.status.trouble) = (None, None);
            state.status.labels.clear();
            state.status.state = match config {
                Some(_) => ObjectsState::Loading,
                None => ObjectsState::Off,
            };
        } else if let Some(config) = &config
            && let Err(e) = known(config, &state.status.labels)
        {
            let now = shared.clock.now();
            state.fail(now, &e);
        }
        if config.is_some() && !std::mem::replace(&mut state.started, true) {
            let theirs = Arc::clone(shared);
            let spawned = std::thread::Builder::new()
                .name("nvr-objects".into())
                .spawn(move || theirs.work());
            if let Err(e) = spawned {
                state.started = false;
                let now = shared.clock.now();
                state.fail(now, &crate::Error::io("a thread that looks for objects", e));
            }
        }
        drop(state);
        shared.news.notify_all();
    }

    /// Whether pictures are of use now.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.0.state().status.state == ObjectsState::Ready
    }

    /// Hands over a picture. It is left out when there is no time for it.
    pub(crate) fn offer(&self, picture: Picture) {
        let shared = &self.0.0;
        let mut state = shared.state();
        if state.status.state != ObjectsState::Ready {
            return;
        }
        let left_out = state.waiting.push(picture.camera.clone(), picture);
        if let Some(camera) = left_out {
            state.status.cameras.entry(camera).or_default().pictures_dropped += 1;
        }
        drop(state);
        shared.news.notify_all();
    }

    pub(crate) fn status(&self) -> ObjectsStatus {
        self.0.0.state().status.clone()
    }
}

impl State {
    fn fail(&mut self, now: Timestamp, e: &crate::Error) {
        let hint = e.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let cause = Cause::new(
            CauseKind::ModelUnusable,
            format!("objects are not looked for: {e}{hint}"),
        );
        tracing::error!("{}", cause.message);
        self.status.state = ObjectsState::Failed;
        self.status.trouble = Some((now, cause));
        for camera in self.waiting.clear() {
            self.status.cameras.entry(camera).or_default().pictures_dropped += 1;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do.
    fn next(&self, has_network: bool) -> Next {
        let mut state = self.state();
        loop {
            let config = state.config.clone();
            match config {
                _ if state.ended => return Next::End,
                None if has_network => return Next::Forget,
                None => {}
                Some(config) => {
                    if std::mem::take(&mut state.to_load) {
                        return Next::Load(config);
                    }
                    if state.status.state == ObjectsState::Ready
                        && let Some((_, picture)) = state.waiting.pop()
                    {
                        return Next::Look(Box::new(picture), config);
                    }
                    if state.status.state == ObjectsState::Failed {
                        let (waited, time) = self
                            .news
                            .wait_timeout(state, AGAIN)
                            .unwrap_or_else(PoisonError::into_inner);
                        state = waited;
                        if time.timed_out() && !state.ended && !state.to_load {
                            return Next::Again(config);
                        }
                        continue;
                    }
                }
            }
            state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        PRIORITY.lower_this_thread();
        let mut network: Option<Box<dyn Network>> = None;
        let mut maker = RgbMaker::default();
        let mut tried = Vec::new();
        loop {
            match self.next(network.is_some()) {
                Next::End => return,
                Next::Forget => network = None,
                Next::Again(config) => {
                    let now = print_of(&config);
                    if now != tried && now.iter().all(Option::is_some) {
                        let mut state = self.state();
                        state.to_load |= state.config.as_ref() == Some(&config);
                    }
                }
                Next::Load(config) => {
                    // Two large ones may be more than there is memory for.
                    drop(network.take());
                    tried = print_of(&config);
                    network = self.read(&config);
                }
                Next::Look(picture, config) => {
                    let looked = network
                        .as_ref()
                        .is_some_and(|network| self.look(&**network, &mut maker, *picture, &config));
                    if !looked {
                        network = None;
                    }
                }
            }
        }
    }

    fn read(&self, config: &ObjectsConfig) -> Option<Box<dyn Network>> {
        let before = thread_cpu_ns();
        let read = catch_unwind(AssertUnwindSafe(|| (self.load)(config))).unwrap_or_else(|_| Err(panicked()));
        let read = read.and_then(|network| known(config, network.labels()).map(|()| network));
        let mut state = self.state();
        if state.config.as_ref().is_none_or(|now| !now.same_model(config)) {
            // Somebody wants another one meanwhile.
            return None;
        }
        match read {
            Ok(network) => {
                let seconds = (thread_cpu_ns() - before) as f64 / 1e9;
                tracing::info!(
                    model = %config.model.display(),
                    labels = network.labels().len(),
                    "objects are looked for where something moves (the model was read in {seconds:.1} s)"
                );
                state.status.state = ObjectsState::Ready;
                state.status.input = Some(network.input_size());
                state.status.labels = network.labels().to_vec();
                state.status.trouble = None;
                Some(network)
            }
            Err(e) => {
                state.fail(self.clock.now(), &e);
                None
            }
        }
    }

    /// False when the network is of no use any more.
    fn look(
        &self,
        network: &dyn Network,
        maker: &mut RgbMaker,
        picture: Picture,
        config: &ObjectsConfig,
    ) -> bool {
        let before = thread_cpu_ns();
        let Picture {
            camera,
            at,
            colour,
            moving,
            motion,
        } = picture;
        let found = catch_unwind(AssertUnwindSafe(|| {
            let rgb = maker.make(&colour, network.input_size())?;
            // The decoder has it back before the network takes its time.
            drop(colour);
            network.find(&RgbPicture {
                width: rgb.width,
                height: rgb.height,
                stride: rgb.stride,
                bytes: &rgb.bytes,
            })
        }))
        .unwrap_or_else(|_| Err(panicked()));
        let cpu_ns = thread_cpu_ns().saturating_sub(before);
        let mut damaged = 0;
        let sighted = match found {
            Ok(found) => select(found, &moving, config, &motion),
            // The camera's picture is to blame, not the network.
            Err(e) if e.kind() == crate::error::ErrorKind::Corrupt => {
                tracing::debug!(%camera, error = %e, "a picture is not looked at");
                damaged = 1;
                Vec::new()
            }
            Err(e) => {
                self.state().fail(self.clock.now(), &e);
                return false;
            }
        };
        let mut state = self.state();
        let figures = state.status.cameras.entry(camera.clone()).or_default();
        figures.pictures += 1 - damaged;
        figures.pictures_damaged += damaged;
        figures.cpu_ns += cpu_ns;
        figures.found += sighted.len() as u64;
        figures.at = Some(at);
        drop(state);
        if !sighted.is_empty() {
            // Nobody listens any more at the end of the recorder.
            let _ = self.found.blocking_send(Found {
                camera,
                at,
                sighted,
                motion,
            });
        }
        true
    }
}

fn panicked() -> crate::Error {
    crate::Error::new(crate::error::ErrorKind::Internal, "looking for objects panicked")
}

/// By these another file is told; none where there is no file.
fn print_of(config: &ObjectsConfig) -> Vec<Option<(u64, Option<SystemTime>)>> {
    let print = |file: &Path| {
        let about = std::fs::metadata(file).ok()?;
        Some((about.len(), about.modified().ok()))
    };
    let files = [Some(&config.model), config.labels.as_ref()];
    files.into_iter().flatten().map(|file| print(file)).collect()
}

/// Whether the network knows what is looked for.
pub(super) fn known(config: &ObjectsConfig, labels: &[String]) -> Result<()> {
    let unknown = config.classes.iter().find(|class| !labels.contains(class));
    let Some(class) = unknown.filter(|_| !labels.is_empty()) else {
        return Ok(());
    };
    let some: Vec<&str> = labels.iter().take(12).map(String::as_str).collect();
    let more = if labels.len() > some.len() { ", …" } else { "" };
    let message = format!("[objects] classes: the model knows no {class:?}");
    Err(
        crate::Error::new(crate::error::ErrorKind::InvalidArgument, message)
            .with_hint(format!("it knows {}{more}", some.join(", "))),
    )
}

#[cfg(test)]
mod tests;
