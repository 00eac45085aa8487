//! Detections of a running recorder: whoever sees something tells it here. They go to the index, to those who listen, and
//! the footage around them is marked as that of an event.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod rate;

use arc_swap::ArcSwap;

use crate::clock::SharedClock;
use crate::config::DetectionsConfig;
use crate::detection::{Detection, DetectionId, DetectionKind, NewDetection, check_data};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind};
use crate::events::EventBus;
use crate::ids::CameraId;
use crate::nvr::blocking;
use crate::store::{DetectionQuery, Ended, Page, Store};
use crate::time::{Timestamp, duration_ns};

/// So far into the future a detection may begin or end: clocks of other machines differ.
const AHEAD: Duration = Duration::from_secs(60);

/// So long they stay in any case.
const LEAST_KEPT: Duration = Duration::from_secs(86_400);

/// The detections of a recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Detections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    events: Arc<EventBus>,
    clock: SharedClock,
    config: ArcSwap<DetectionsConfig>,
    rate: Mutex<rate::Rate>,
    /// Those that somebody else ends.
    held: Mutex<HashSet<DetectionId>>,
}

impl Detections {
    pub(crate) fn new(
        store: Store,
        events: Arc<EventBus>,
        clock: SharedClock,
        config: DetectionsConfig,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            events,
            clock,
            config: ArcSwap::from_pointee(config),
            rate: Mutex::default(),
            held: Mutex::default(),
        }))
    }

    pub(crate) fn configure(&self, config: DetectionsConfig) {
        self.0.config.store(Arc::new(config));
    }

    /// Something is seen from now on, or was: with `to` it is over at once. The footage of its camera around it is marked
    /// as that of an event, also what is being recorded and what will be while it goes on.
    ///
    /// # Errors
    /// `InvalidArgument` for what [`NewDetection::check`] refuses, and for times in the future; `Storage` when the index
    /// cannot be written.
    pub async fn begin(&self, new: NewDetection) -> Result<DetectionId> {
        Ok(self.enter(new).await?.id)
    }

    /// As [`begin`](Self::begin), with the whole of what was entered.
    ///
    /// # Errors
    /// As there.
    pub async fn enter(&self, mut new: NewDetection) -> Result<Detection> {
        new.check()?;
        self.not_ahead("from", new.from)?;
        new.to.map_or(Ok(()), |to| self.not_ahead("to", to))?;
        let config = self.0.config.load();
        new.pre.get_or_insert(config.pre);
        new.post.get_or_insert(config.post);
        let detection = self.0.store.begin_detection(new).await?;
        self.tell(&detection, false);
        if detection.to.is_some() {
            self.tell(&detection, true);
        }
        Ok(detection)
    }

    /// As [`enter`](Self::enter), of [`External`](DetectionKind::External) ones, of which there may be 300 a minute of each
    /// camera.
    ///
    /// # Errors
    /// As there, and `Busy` when there are more.
    pub async fn enter_external(&self, new: NewDetection) -> Result<Detection> {
        self.enter_limited(NewDetection {
            kind: DetectionKind::External,
            ..new
        })
        .await
    }

    /// As [`enter_external`](Self::enter_external), of any kind.
    pub(crate) async fn enter_limited(&self, new: NewDetection) -> Result<Detection> {
        if !self.allows(&new.camera) {
            let message = format!(
                "camera {}: more than {} detections in a minute",
                new.camera,
                rate::MOST
            );
            return Err(Error::new(ErrorKind::Busy, message)
                .with_hint("tell of one thing once, and when it is over, instead of again and again"));
        }
        self.enter(new).await
    }

    /// As [`end`](Self::end), of external ones of a camera only.
    ///
    /// # Errors
    /// As there, and `Conflict` for those of another kind, which end by themselves.
    pub async fn end_external(
        &self,
        camera: &CameraId,
        id: DetectionId,
        at: Option<Timestamp>,
    ) -> Result<Detection> {
        let detection = self.get(id).await?;
        if detection.camera != *camera {
            return Err(absent(id));
        }
        if detection.kind != DetectionKind::External {
            let message = format!("detection {id} is not from outside: it ends by itself");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.end(id, at.unwrap_or_else(|| self.0.clock.now())).await
    }

    /// It still is seen. With a higher score than before, this is the moment of its picture.
    ///
    /// # Errors
    /// `NotFound` without such a detection, `Conflict` when it is over, `InvalidArgument` for a score outside 0 to 1,
    /// `Storage` when the index cannot be written.
    pub async fn update(&self, id: DetectionId, at: Timestamp, score: f32) -> Result<Detection> {
        self.update_with(id, at, score, None).await
    }

    /// As [`update`](Self::update); with a higher score than before, `data` (a text in JSON) takes the place of what was
    /// known.
    ///
    /// # Errors
    /// As there.
    pub async fn update_with(
        &self,
        id: DetectionId,
        at: Timestamp,
        score: f32,
        data: Option<String>,
    ) -> Result<Detection> {
        if !(0.0..=1.0).contains(&score) {
            let message = format!("score: {score} is not within 0 and 1");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.not_ahead("at", at)?;
        check_data(data.as_deref())?;
        done(id, self.0.store.update_detection(id, at, score, data).await?)
    }

    /// It is over.
    ///
    /// # Errors
    /// `NotFound` without such a detection, `Conflict` when it is over, `Storage` when the index cannot be written.
    pub async fn end(&self, id: DetectionId, at: Timestamp) -> Result<Detection> {
        self.not_ahead("to", at)?;
        let detection = done(id, self.0.store.end_detection(id, at).await?)?;
        self.tell(&detection, true);
        Ok(detection)
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` without such a detection, or an error of the index.
    pub async fn get(&self, id: DetectionId) -> Result<Detection> {
        let store = self.0.store.clone();
        blocking(move || store.detection(id)?.ok_or_else(|| absent(id))).await
    }

    /// Those that overlap a range, newest begin first, a page at a time.
    ///
    /// # Errors
    /// An error of the index.
    pub async fn list(&self, query: DetectionQuery) -> Result<Page<Detection>> {
        let store = self.0.store.clone();
        blocking(move || store.detections(&query)).await
    }

    /// Forgets one. Footage stays as it is marked.
    ///
    /// # Errors
    /// `NotFound` without such a detection, `Storage` when the index cannot be written.
    pub async fn delete(&self, id: DetectionId) -> Result<()> {
        if self.0.store.delete_detection(id).await? {
            Ok(())
        } else {
            Err(absent(id))
        }
    }

    /// Ends external ones that nobody ended for too long.
    pub(crate) async fn end_forgotten(&self) -> Result<()> {
        let longest = duration_ns(self.0.config.load().longest);
        let (store, now) = (self.0.store.clone(), self.0.clock.now());
        for detection in blocking(move || store.open_detections()).await? {
            let until = detection.from.add_ns(longest);
            let held = self.held().contains(&detection.id);
            if detection.kind == DetectionKind::External && !held && until <= now {
                match self.end(detection.id, until).await {
                    Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {
                        return Err(e);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whoever holds one ends it: it is not ended as one that was forgotten.
    pub(crate) fn hold(&self, id: DetectionId) {
        self.held().insert(id);
    }

    /// Nobody holds it any more.
    pub(crate) fn release(&self, id: DetectionId) {
        self.held().remove(&id);
    }

    fn held(&self) -> MutexGuard<'_, HashSet<DetectionId>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets old ones.
    pub(crate) async fn prune(&self) -> Result<()> {
        let keep = self.0.config.load().keep;
        let before = self.0.clock.now() - keep.unwrap_or(LEAST_KEPT);
        self.0.store.prune_detections(before, keep.is_none()).await?;
        Ok(())
    }

    fn allows(&self, camera: &CameraId) -> bool {
        let steady = self.0.clock.steady_ns();
        let mut rate = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.allows(camera, steady)
    }

    fn not_ahead(&self, name: &str, at: Timestamp) -> Result<()> {
        if at <= self.0.clock.now() + AHEAD {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{name}: {at} is in the future"),
        )
        .with_hint("leave times out for now, or set the clock of the machine that sends them"))
    }

    fn tell(&self, detection: &Detection, ended: bool) {
        let camera = Some(detection.camera.clone());
        let at = detection.to.filter(|_| ended).unwrap_or(detection.from);
        let detection = Box::new(detection.clone());
        let kind = if ended {
            EventKind::DetectionEnded { detection }
        } else {
            EventKind::DetectionStarted { detection }
        };
        self.0.events.publish(Event::new(at, camera, kind));
    }
}

fn absent(id: DetectionId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no detection {id}"))
}

fn done(id: DetectionId, outcome: Ended) -> Result<Detection> {
    match outcome {
        Ended::Done(detection) => Ok(*detection),
        Ended::Over => Err(Error::new(
            ErrorKind::Conflict,
            format!("detection {id} is over already"),
        )),
        Ended::Absent => Err(absent(id)),
    }
}
