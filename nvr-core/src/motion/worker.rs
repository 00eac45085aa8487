//! Looks for motion in a camera's pictures while that is wanted: a reader of its stream that is never waited for.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use super::eye::{Eye, Glance};
use super::pool::Pool;
use super::status::{LineCount, MotionStatus, StatusCell, ZoneScore};
use super::{Crossing, Detector, LIKELY, Look, Scene, Settings, SpanChange, SpanRules, Spans, Tracker};
use crate::about;
use crate::clock::SharedClock;
use crate::config::{CameraConfig, MotionConfig, MotionStream};
use crate::gst::{AccessUnit, Tap, TapReceiver};
use crate::ids::CameraId;
use crate::line::{Direction, Line};
use crate::live::{Kept, StreamKind, Viewing};
use crate::objects::{Objects, Picture};
use crate::store::Store;
use crate::strip::Strip;
use crate::time::{Timestamp, duration_ns};

/// How often configuration and schedule are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often scores go to the index.
const KEEP: Duration = Duration::from_secs(60);
/// Keyframes that wait at most: an old one tells nothing that the newest does not.
const KEYFRAMES: usize = 2;
/// Frames that wait where all are decoded.
const FRAMES: usize = 64;
/// A sub stream that shows nothing for so long is given up for a while, and the main stream looked at instead.
const SUB_PATIENCE: Duration = Duration::from_secs(20);
const SUB_AGAIN: Duration = Duration::from_secs(300);

/// What the worker has to tell.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Told {
    /// Motion began.
    Began {
        /// The first look that showed it.
        at: Timestamp,
        /// When it was seen best.
        best_at: Timestamp,
        /// Highest score so far.
        score: f32,
        /// The zone where most moved.
        zone: Option<String>,
    },
    /// It goes on, and is seen better than before.
    Better { at: Timestamp, score: f32 },
    /// It goes on; said again and again.
    GoesOn,
    /// It is over; this was the last look that showed it.
    Ended { at: Timestamp },
    /// Something crossed a line; how much moved then.
    Crossed { crossing: Crossing, score: f32 },
}

/// Who is told.
#[async_trait::async_trait]
pub(crate) trait Teller: Send + Sync + std::fmt::Debug {
    async fn tell(&self, camera: &CameraId, told: Told);
}

/// What all workers of a recorder share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) clock: SharedClock,
    pub(crate) store: Store,
    pub(crate) pool: Arc<Pool>,
    pub(crate) teller: Arc<dyn Teller>,
    /// Who looks at what moves.
    pub(crate) objects: Objects,
}

/// A camera's worker. Dropped, or told to, it ends.
#[derive(Debug)]
pub(crate) struct Motion {
    status: Arc<StatusCell>,
    stop: CancellationToken,
    ended: CancellationToken,
    _guard: DropGuard,
}

impl Motion {
    pub(crate) fn spawn(
        config: Arc<ArcSwap<CameraConfig>>,
        streams: [Arc<Viewing>; 2],
        shared: Shared,
    ) -> Arc<Self> {
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let status = Arc::new(StatusCell::default());
        let span = about::camera(&config.load().id);
        let worker = Worker {
            camera: config.load().id.clone(),
            spans: Spans::new(rules(&config.load().motion)),
            tracker: Tracker::new(config.load().motion.lines.clone()),
            tells: false,
            motion: config.load().motion.clone(),
            config,
            streams,
            status: Arc::clone(&status),
            eye: None,
            strip: Strip::default(),
            best: (Timestamp::from_ns(0), 0.0),
            saved_ns: shared.clock.steady_ns(),
            sub_given_up_ns: None,
            shared,
        };
        let (its_stop, over) = (stop.clone(), ended.clone().drop_guard());
        let work = async move {
            worker.work(its_stop).await;
            drop(over);
        };
        tokio::spawn(work.instrument(span));
        Arc::new(Self {
            status,
            _guard: stop.clone().drop_guard(),
            stop,
            ended,
        })
    }

    pub(crate) fn status(&self) -> MotionStatus {
        self.status.get()
    }

    /// Tells it to end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends it: what is open is closed, and scores are kept.
    pub(crate) async fn end(&self) {
        self.stop();
        self.ended.cancelled().await;
    }
}

fn rules(motion: &MotionConfig) -> SpanRules {
    SpanRules {
        min_duration_ns: duration_ns(motion.min_duration),
        cool_down_ns: duration_ns(motion.cool_down),
    }
}

fn settings(motion: &MotionConfig) -> Settings {
    Settings {
        sensitivity: motion.sensitivity,
        zones: motion.zones.clone(),
        masks: motion.masks.clone(),
        things: !motion.lines.is_empty(),
    }
}

struct Worker {
    camera: CameraId,
    config: Arc<ArcSwap<CameraConfig>>,
    /// What is in force here.
    motion: MotionConfig,
    /// Main and sub stream.
    streams: [Arc<Viewing>; 2],
    shared: Shared,
    status: Arc<StatusCell>,
    eye: Option<Box<Eye>>,
    spans: Spans,
    tracker: Tracker,
    /// Whether motion is told, or only lines that are crossed.
    tells: bool,
    strip: Strip,
    /// The best look of what may become a stretch.
    best: (Timestamp, f32),
    saved_ns: i64,
    sub_given_up_ns: Option<i64>,
}

/// A stream that is looked at.
struct Watched {
    kind: StreamKind,
    taps: watch::Receiver<Option<Tap>>,
    receiver: Option<TapReceiver>,
    keyframes_only: bool,
    /// Since when nothing was seen.
    blind_since_ns: i64,
    dropped: u64,
    _kept: Kept,
}

enum Step {
    Stop,
    Tick,
    Tap,
    Frames(Option<Vec<AccessUnit>>),
}

impl Worker {
    async fn work(mut self, stop: CancellationToken) {
        let clock = self.shared.clock.clone();
        self.count_lines();
        let mut watched: Option<Watched> = None;
        let mut tick = clock.tick(TICK);
        loop {
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => Step::Stop,
                () = &mut tick => Step::Tick,
                step = news(watched.as_mut()) => step,
            };
            match step {
                Step::Stop => break,
                Step::Tick => {
                    self.look_after(&mut watched).await;
                    tick = clock.tick(TICK);
                }
                Step::Tap => self.new_tap(watched.as_mut()),
                Step::Frames(None) => {
                    if let Some(w) = &mut watched {
                        w.receiver = None;
                        w.blind_since_ns = clock.steady_ns();
                    }
                }
                Step::Frames(Some(units)) => {
                    if let Some(w) = &mut watched {
                        self.see(w, units).await;
                    }
                }
            }
        }
        drop(watched);
        self.close().await;
        self.save().await;
    }

    /// Begins and ends looking by configuration and schedule.
    async fn look_after(&mut self, watched: &mut Option<Watched>) {
        let (config, now) = (self.config.load_full(), self.shared.clock.now());
        let steady = self.shared.clock.steady_ns();
        if config.motion != self.motion {
            self.motion = config.motion.clone();
            self.spans.set(rules(&self.motion));
            self.tracker.set(self.motion.lines.clone());
            self.count_lines();
            if let Some(eye) = &mut self.eye {
                eye.detector.set(settings(&self.motion));
            }
        }
        self.tells = config.motion_at(now);
        if !config.looks_at(now) {
            if watched.take().is_some() {
                self.close().await;
                self.eye = None;
                self.status.change(|s| {
                    s.active = false;
                    s.trouble = None;
                    (s.score, s.scene, s.place) = (0.0, None, None);
                    s.zones.clear();
                });
            }
        } else {
            self.choose(watched, &config, steady);
        }
        if let Some(change) = self.spans.pass(now) {
            self.told(change).await;
        } else if self.spans.is_open() {
            self.shared.teller.tell(&self.camera, Told::GoesOn).await;
        }
        if steady.saturating_sub(self.saved_ns) >= duration_ns(KEEP) {
            self.save().await;
        }
    }

    /// Looks at the stream that is meant, or the main one while the sub stream shows nothing.
    fn choose(&mut self, watched: &mut Option<Watched>, config: &CameraConfig, steady: i64) {
        let mut wanted = match self.motion.stream {
            MotionStream::Auto | MotionStream::Sub if config.sub.is_some() => StreamKind::Sub,
            _ => StreamKind::Main,
        };
        if let Some(w) = watched.as_ref()
            && w.kind == StreamKind::Sub
            && w.receiver.is_none()
            && steady.saturating_sub(w.blind_since_ns) > duration_ns(SUB_PATIENCE)
            && self.streams[0].tap().is_some()
        {
            tracing::warn!(camera = %self.camera, "the sub stream shows nothing: motion is looked for in the main stream");
            self.sub_given_up_ns = Some(steady);
        }
        match self.sub_given_up_ns {
            Some(since) if steady.saturating_sub(since) < duration_ns(SUB_AGAIN) => wanted = StreamKind::Main,
            Some(_) => self.sub_given_up_ns = None,
            None => {}
        }
        let lines_in_sub = !self.motion.lines.is_empty() && wanted == StreamKind::Sub;
        let keyframes_only = !self.motion.every_frame.unwrap_or(lines_in_sub);
        let same = watched
            .as_ref()
            .is_some_and(|w| w.kind == wanted && w.keyframes_only == keyframes_only);
        if !same {
            let stream = &self.streams[usize::from(wanted == StreamKind::Sub)];
            let mut taps = stream.taps();
            // One that is there counts as news.
            taps.mark_changed();
            *watched = Some(Watched {
                kind: wanted,
                taps,
                receiver: None,
                keyframes_only,
                blind_since_ns: steady,
                dropped: 0,
                _kept: stream.keep(),
            });
        }
        let trouble = watched.as_ref().is_some_and(|w| w.receiver.is_none()).then(|| {
            let stream = &self.streams[usize::from(wanted == StreamKind::Sub)];
            stream.trouble().unwrap_or_else(|| "no picture yet".to_owned())
        });
        self.status.change(|s| {
            s.active = true;
            s.stream = wanted;
            s.trouble = trouble;
        });
    }

    fn new_tap(&mut self, watched: Option<&mut Watched>) {
        let Some(w) = watched else { return };
        let tap = w.taps.borrow_and_update().clone();
        w.dropped = 0;
        w.receiver = tap.map(|tap| {
            if w.keyframes_only {
                tap.keyframes(KEYFRAMES)
            } else {
                tap.subscribe_patiently(None, FRAMES)
            }
        });
        if let Some(eye) = &mut self.eye {
            eye.begin();
        }
    }

    async fn see(&mut self, w: &mut Watched, units: Vec<AccessUnit>) {
        let mut eye = self
            .eye
            .take()
            .unwrap_or_else(|| Box::new(Eye::new(Detector::new(settings(&self.motion)))));
        let keyframes_only = w.keyframes_only;
        let colours = self.config.load().objects && self.shared.objects.is_ready();
        let work = move || {
            let looks = eye.see(units, keyframes_only, colours);
            (eye, looks)
        };
        // After a panic it begins anew.
        let Some(((eye, looks), cpu_ns)) = self.shared.pool.run(work).await else {
            return;
        };
        self.eye = Some(eye);
        let dropped = w.receiver.as_ref().map_or(0, TapReceiver::dropped);
        let (fresh, looks) = match looks {
            Ok(looks) => (dropped.saturating_sub(w.dropped), looks),
            Err(e) => {
                self.status.change(|s| s.trouble = Some(e.to_string()));
                (0, Vec::new())
            }
        };
        w.dropped = dropped;
        let looked = u64::try_from(looks.len()).unwrap_or(0);
        for Glance { at, look, colour } in looks {
            w.blind_since_ns = self.shared.clock.steady_ns();
            if let Some(colour) = colour {
                self.shared.objects.offer(Picture {
                    camera: self.camera.clone(),
                    at,
                    colour,
                    moving: look.moving.clone(),
                    motion: self.motion.clone(),
                });
            }
            self.looked(at, look).await;
        }
        let every_ns = self.spans.usual_ns();
        self.status.change(|s| {
            s.frames += looked;
            s.frames_dropped += fresh;
            s.cpu_ns += cpu_ns;
            s.every_ns = every_ns;
        });
    }

    async fn looked(&mut self, at: Timestamp, look: Look) {
        if look.scene != Scene::Learning {
            self.strip.add(at, look.score);
        }
        let zones = self.motion.zones.iter().zip(&look.zones);
        let zones: Vec<ZoneScore> = zones
            .map(|(zone, score)| ZoneScore {
                zone: zone.name.clone(),
                score: *score,
            })
            .collect();
        let best_zone = zones
            .iter()
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .filter(|z| z.score >= LIKELY)
            .map(|z| z.zone.clone());
        self.status.change(|s| {
            s.at = Some(at);
            s.score = look.score;
            s.zones = zones;
            s.scene = Some(look.scene);
            s.place = look.place;
            s.trouble = None;
        });
        if look.score >= LIKELY
            && (!self.spans.is_open() && at.since(self.best.0) > duration_ns(KEEP)
                || look.score > self.best.1)
        {
            self.best = (at, look.score);
        }
        self.follow(at, &look).await;
        // Without anybody to tell it goes on as if nothing moved, so that what was told before ends.
        let score = if self.tells { look.score } else { 0.0 };
        for change in self.spans.look(at, score) {
            match change {
                SpanChange::Began { at: from, peak } => {
                    let best_at = if self.best.0 >= from { self.best.0 } else { at };
                    self.status.change(|s| s.moving_since = Some(from));
                    let told = Told::Began {
                        at: from,
                        best_at,
                        score: peak,
                        zone: best_zone.clone(),
                    };
                    self.shared.teller.tell(&self.camera, told).await;
                }
                SpanChange::Grew { peak } => {
                    let told = Told::Better { at, score: peak };
                    self.shared.teller.tell(&self.camera, told).await;
                }
                ended @ SpanChange::Ended { .. } => self.told(ended).await,
            }
        }
    }

    /// Follows what moves over lines.
    async fn follow(&mut self, at: Timestamp, look: &Look) {
        if matches!(look.scene, Scene::Learning | Scene::Light) {
            return self.tracker.forget();
        }
        for crossing in self.tracker.look(at, &look.things) {
            self.status.change(|s| {
                let count = s.lines.iter_mut().find(|l| l.line == crossing.line);
                match (count, crossing.direction) {
                    (Some(l), Direction::LeftToRight) => l.left_to_right += 1,
                    (Some(l), Direction::RightToLeft) => l.right_to_left += 1,
                    (None, _) => {}
                }
            });
            let told = Told::Crossed {
                crossing,
                score: look.score,
            };
            self.shared.teller.tell(&self.camera, told).await;
        }
    }

    /// Has each line counted, those that are known from where they are.
    fn count_lines(&self) {
        self.status.change(|s| {
            let count = |line: &Line| {
                let known = s.lines.iter().find(|l| l.line == line.name).cloned();
                known.unwrap_or_else(|| LineCount {
                    line: line.name.clone(),
                    left_to_right: 0,
                    right_to_left: 0,
                })
            };
            s.lines = self.tracker.lines().iter().map(count).collect();
        });
    }

    async fn told(&mut self, change: SpanChange) {
        if let SpanChange::Ended { at } = change {
            self.best = (Timestamp::from_ns(0), 0.0);
            self.status.change(|s| s.moving_since = None);
            self.shared.teller.tell(&self.camera, Told::Ended { at }).await;
        }
    }

    /// Nobody looks any more.
    async fn close(&mut self) {
        if let Some(change) = self.spans.end() {
            self.told(change).await;
        }
    }

    async fn save(&mut self) {
        self.saved_ns = self.shared.clock.steady_ns();
        let hours = self.strip.take();
        if hours.is_empty() {
            return;
        }
        if let Err(e) = self.shared.store.put_motion(&self.camera, hours).await {
            tracing::warn!(camera = %self.camera, error = %e, "scores of motion are not in the index");
        }
    }
}

/// Another connection, or what came on the present one. Cancel-safe.
async fn news(watched: Option<&mut Watched>) -> Step {
    let Some(w) = watched else {
        return std::future::pending().await;
    };
    let taps = &mut w.taps;
    let changed = async {
        if taps.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let receiver = w.receiver.as_mut();
    let frames = async {
        match receiver {
            Some(receiver) => receiver.recv().await.map(|unit| vec![unit]),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        frames = frames => Step::Frames(frames),
        () = changed => Step::Tap,
    }
}
