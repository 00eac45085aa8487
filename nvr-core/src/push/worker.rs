//! One push: waits for the camera, connects to the server, hands frames on, and begins again when it fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Inner, PushProtocol, PushState, PushStatus, lock};
use crate::camera::Camera;
use crate::camera::backoff::{Backoff, GOOD_AFTER};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind, EventKind};
use crate::gst::{AccessUnit, LiveSound, PushStream, PushTarget, UnitTrack};
use crate::live::{Live, Start, Viewer, start_of};
use crate::time::duration_ns;

/// Frames and packets that wait for a slow server before groups of pictures are left out: about 6 s.
const CAPACITY: usize = 400;
/// Bytes on their way to the server with which no more are handed on.
const BACKLOG_BYTES: u64 = 2 << 20;
/// With a server that takes nothing for so long no more are handed on either: what a connection holds when it is given up
/// is nowhere counted.
const STALLS: Duration = Duration::from_secs(2);
/// A server that takes nothing for so long hangs.
const HANGS: Duration = Duration::from_secs(10);
/// How long connecting may take before the server is given up.
const CONNECT: Duration = Duration::from_secs(15);
/// How often is looked whether there is room.
const LOOK: Duration = Duration::from_millis(50);
/// How often figures are taken.
const FIGURES: Duration = Duration::from_millis(500);

/// Whether all is there that a protocol needs.
pub(super) fn require(protocol: PushProtocol) -> Result<()> {
    crate::gst::require_push(protocol == PushProtocol::Srt)
}

pub(super) struct Worker {
    camera: Camera,
    status: Arc<Mutex<PushStatus>>,
    around: Arc<Inner>,
    /// Whether `PushDown` was told last, so that a dead server is told of once.
    down: bool,
    /// Whether frames wait because the server is too slow.
    waited: bool,
}

/// Why a connection is over.
enum End {
    /// The camera was removed, or the recorder stops.
    Gone,
    /// The stream is another one now: it is begun again at once.
    Changed,
    Failed(Cause),
}

impl Worker {
    pub(super) fn new(camera: Camera, status: Arc<Mutex<PushStatus>>, around: Arc<Inner>) -> Self {
        Self {
            camera,
            status,
            around,
            down: false,
            waited: false,
        }
    }

    /// Goes on until the camera is gone.
    pub(super) async fn work(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = self.around.clock.steady_ns();
            match self.once().await {
                End::Gone => return,
                End::Changed => {}
                End::Failed(cause) => {
                    if self.around.clock.steady_ns().saturating_sub(began) > duration_ns(GOOD_AFTER) {
                        backoff.reset();
                    }
                    let wait = backoff.next(cause.kind, rand::random());
                    self.fail(cause).await;
                    self.around.clock.sleep(wait).await;
                }
            }
        }
    }

    async fn fail(&mut self, cause: Cause) {
        let status = {
            let mut status = lock(&self.status);
            status.failures += 1;
            status.last_failure = Some((self.around.clock.now(), cause.clone()));
            status.clone()
        };
        self.set(PushState::Retrying);
        tracing::debug!(camera = %status.camera, push = status.id, "push failed: {}", cause.message);
        if !self.down {
            self.down = true;
            let address = status.wish.address.to_string();
            tracing::warn!(camera = %status.camera, push = status.id, address, "a push is down: {}", cause.message);
            let kind = EventKind::PushDown {
                push: status.id,
                address,
                cause,
            };
            self.around.tell(&status.camera, kind).await;
        }
    }

    fn set(&self, state: PushState) {
        let mut status = lock(&self.status);
        if status.state != state {
            status.state = state;
            status.since = self.around.clock.now();
        }
    }

    /// One connection.
    async fn once(&mut self) -> End {
        let wish = lock(&self.status).wish.clone();
        if lock(&self.status).state != PushState::Retrying {
            self.set(PushState::Waiting);
        }
        let viewer = self.camera.watch(wish.stream, CAPACITY);
        let Some(start) = start_of(viewer, wish.audio, &*self.around.clock).await else {
            return End::Gone;
        };
        let Some(first) = start.held.first().cloned() else {
            return End::Changed;
        };
        self.set(PushState::Connecting);
        let mut sound = start
            .audio
            .as_ref()
            .filter(|a| a.becomes_aac())
            .map(|_| LiveSound::aac());
        let (address, audio) = (wish.address.clone(), start.audio.clone());
        let made = crate::nvr::blocking(move || {
            /// What is shorter is found in words that are no secret.
            const SHORTEST: usize = 4;
            let (scrub, blot) = (address.clone(), address.clone());
            let target = PushTarget {
                address: address.whole().expose(),
                srt: address.protocol() == PushProtocol::Srt,
                scrub: Arc::new(move |text| scrub.scrub(text)),
                blot: Arc::new(move |text| blot.blot(text, SHORTEST)),
            };
            PushStream::start(&target, &first, audio.as_ref())
        });
        let mut stream = match made.await {
            Ok(stream) => stream,
            Err(e) => return End::Failed(cause_of(&e)),
        };
        let before = lock(&self.status).sent_bytes;
        let Start { mut viewer, held, .. } = start;
        let end = self
            .pump(&mut viewer, &held, &mut stream, sound.as_mut(), before)
            .await;
        let mut status = lock(&self.status);
        status.sent_bytes = before + stream.sent_bytes();
        // What waited for room is not sent any more: the next connection begins with the present.
        if self.waited {
            status.frames_lost += viewer.left();
        }
        drop(status);
        end
    }

    async fn pump(
        &mut self,
        viewer: &mut Viewer,
        held: &[AccessUnit],
        stream: &mut PushStream,
        mut sound: Option<&mut LiveSound>,
        before: u64,
    ) -> End {
        let clock = self.around.clock.clone();
        self.waited = false;
        for unit in held {
            if let Err(end) = hand_on(stream, sound.as_deref_mut(), unit) {
                return end;
            }
        }
        let mut watch = Watch::new(clock.steady_ns());
        loop {
            // One that waits for room takes no more, and the viewer's queue counts what is lost.
            let room = stream.backlog_bytes() < BACKLOG_BYTES && !watch.stalls(clock.steady_ns());
            self.waited = !room;
            let live = tokio::select! {
                biased;
                cause = stream.failed() => return End::Failed(cause),
                () = clock.sleep(if room { FIGURES } else { LOOK }) => None,
                live = viewer.next(), if room => Some(live),
            };
            match live {
                None => {}
                Some(None) => return End::Gone,
                Some(Some(Live::Begin)) => stream.begin(),
                Some(Some(Live::Lost(frames))) => lock(&self.status).frames_lost += frames,
                Some(Some(Live::Frame(unit))) => {
                    if !stream.fits(&unit) {
                        return End::Changed;
                    }
                    if let Err(end) = hand_on(stream, sound.as_deref_mut(), &unit) {
                        return end;
                    }
                }
            }
            let now = clock.steady_ns();
            if let Some(cause) = watch.look(stream, now) {
                return End::Failed(cause);
            }
            if watch.is_time(now) {
                lock(&self.status).sent_bytes = before + stream.sent_bytes();
            }
            if stream.is_up() && lock(&self.status).state != PushState::Live {
                self.up().await;
            }
        }
    }

    async fn up(&mut self) {
        self.set(PushState::Live);
        self.down = false;
        let (id, camera, address) = {
            let mut status = lock(&self.status);
            status.connections += 1;
            (status.id, status.camera.clone(), status.wish.address.to_string())
        };
        tracing::info!(%camera, push = id, address, "a push is live");
        self.around
            .tell(&camera, EventKind::PushLive { push: id, address })
            .await;
    }
}

/// Whether a server still takes something.
struct Watch {
    began_ns: i64,
    sent: u64,
    moved_ns: i64,
    figures_ns: i64,
}

impl Watch {
    fn new(now: i64) -> Self {
        Self {
            began_ns: now,
            sent: 0,
            moved_ns: now,
            figures_ns: now,
        }
    }

    fn look(&mut self, stream: &PushStream, now: i64) -> Option<Cause> {
        if !stream.is_up() {
            self.moved_ns = now;
            let late = now.saturating_sub(self.began_ns) > duration_ns(CONNECT);
            return late.then(|| Cause::new(CauseKind::Unreachable, "the server does not answer"));
        }
        let sent = stream.sent_bytes();
        if sent != self.sent || stream.backlog_bytes() == 0 {
            self.sent = sent;
            self.moved_ns = now;
        }
        let hangs = now.saturating_sub(self.moved_ns) > duration_ns(HANGS);
        hangs.then(|| Cause::new(CauseKind::Unreachable, "the server takes nothing any more"))
    }

    fn stalls(&self, now: i64) -> bool {
        now.saturating_sub(self.moved_ns) > duration_ns(STALLS)
    }

    fn is_time(&mut self, now: i64) -> bool {
        let due = now.saturating_sub(self.figures_ns) >= duration_ns(FIGURES);
        if due {
            self.figures_ns = now;
        }
        due
    }
}

fn hand_on(stream: &mut PushStream, sound: Option<&mut LiveSound>, unit: &AccessUnit) -> Result<(), End> {
    let pushed = match (unit.track(), sound) {
        (UnitTrack::Audio, Some(sound)) => sound.push(unit).iter().try_for_each(|u| stream.push(u)),
        _ => stream.push(unit),
    };
    // Why, the pipeline tells a moment later.
    pushed.map_err(|e| End::Failed(cause_of(&e)))
}

fn cause_of(e: &Error) -> Cause {
    let kind = match e.kind() {
        ErrorKind::Unsupported => CauseKind::Unsupported,
        ErrorKind::Internal => CauseKind::Internal,
        _ => CauseKind::Unreachable,
    };
    let words = e
        .hint()
        .map_or_else(|| e.to_string(), |hint| format!("{e}; {hint}"));
    Cause::new(kind, words)
}
