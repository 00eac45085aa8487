//! The times of the packets of one rtspsrc, and how long its reading thread may rest between them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use crate::gst::lean::Demand;
use crate::rtsp::{Timeline, TrackKind};
use crate::time::{NS_PER_S, Timestamp};

/// Threads of all cameras wake together, so often.
const TICK_NS: i64 = 250_000_000;
/// A packet this near to the present is the last one for now: the time line follows the least delay.
const CAUGHT_UP_NS: i64 = 50_000_000;
/// So long after its first packet a stream is read at once: its time line is fitted to their arrival.
const SETTLE_NS: i64 = 2 * NS_PER_S;
/// The kernel is not to keep more than this. Its buffer grows with what is read in one go, but not at once.
const MOST_BYTES: i64 = 128 << 10;

/// What the sessions of one rtspsrc have in common.
#[derive(Debug)]
pub(super) struct Pace {
    clock: gst::Clock,
    /// `None`: frames are wanted at once, always.
    demand: Option<Arc<Demand>>,
    lines: Mutex<Lines>,
    rest: Mutex<Rest>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    video: Option<Timeline>,
    audio: Option<Timeline>,
    begun_ns: i64,
    /// Bytes since the time beside it.
    bytes: i64,
    bytes_since_ns: i64,
}

#[derive(Debug, Default)]
struct Rest {
    flushing: bool,
    woken: bool,
}

/// When a packet is presented.
#[derive(Debug)]
pub(super) struct At {
    /// By the clock that pipelines have.
    pub pts_ns: i64,
    /// By the camera's clock, if it tells.
    pub ntp: Option<Timestamp>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pace {
    pub(super) fn new(demand: Option<Arc<Demand>>) -> Arc<Self> {
        let pace = Arc::new(Self {
            clock: gst::SystemClock::obtain(),
            demand,
            lines: Mutex::default(),
            rest: Mutex::default(),
            wake: Condvar::new(),
        });
        if let Some(demand) = &pace.demand {
            let weak = Arc::downgrade(&pace);
            demand.on_first(Some(Box::new(move || {
                if let Some(pace) = weak.upgrade() {
                    lock(&pace.rest).woken = true;
                    pace.wake.notify_all();
                }
            })));
        }
        pace
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.clock.time().nseconds()).unwrap_or(i64::MAX)
    }

    /// A track begins, or begins anew in another clock.
    pub(super) fn begin(&self, track: TrackKind, clock_rate: u32) {
        let now_ns = self.now_ns();
        let mut lines = lock(&self.lines);
        let line = Some(Timeline::new(clock_rate));
        match track {
            TrackKind::Video => lines.video = line,
            TrackKind::Audio => lines.audio = line,
        }
        lines.begun_ns = now_ns;
        lines.bytes = 0;
        lines.bytes_since_ns = now_ns;
    }

    /// The time of a packet that came just now.
    pub(super) fn time(&self, track: TrackKind, timestamp: u32) -> At {
        let now_ns = self.now_ns();
        let mut lines = lock(&self.lines);
        let Lines { video, audio, .. } = &mut *lines;
        let (line, follows) = match track {
            TrackKind::Video => (video, None),
            TrackKind::Audio => (audio, video.as_ref()),
        };
        let Some(line) = line else {
            return At {
                pts_ns: now_ns,
                ntp: None,
            };
        };
        At {
            pts_ns: line.pts(timestamp, now_ns, follows),
            ntp: line.ntp(timestamp),
        }
    }

    /// Takes up a packet of RTCP.
    pub(super) fn report(&self, track: TrackKind, data: &[u8]) {
        let mut lines = lock(&self.lines);
        let line = match track {
            TrackKind::Video => &mut lines.video,
            TrackKind::Audio => &mut lines.audio,
        };
        if let Some(line) = line {
            line.rtcp(data);
        }
    }

    /// How long nothing needs to be read after a packet of so many bytes, the last one of a frame or not.
    pub(super) fn pause(&self, track: TrackKind, marker: bool, size: usize, at: &At) -> Option<Duration> {
        let demand = self.demand.as_ref()?;
        let mut lines = lock(&self.lines);
        lines.bytes += i64::try_from(size).unwrap_or(0);
        if track != TrackKind::Video || !marker || demand.is_there() {
            return None;
        }
        let now_ns = self.now_ns();
        if now_ns.saturating_sub(lines.begun_ns) < SETTLE_NS {
            return None;
        }
        // What is older has others behind it.
        if now_ns.saturating_sub(at.pts_ns) > CAUGHT_UP_NS {
            return None;
        }
        let passed = now_ns.saturating_sub(lines.bytes_since_ns);
        let fills = MOST_BYTES.saturating_mul(passed) / lines.bytes.max(1);
        if passed > SETTLE_NS {
            lines.bytes /= 2;
            lines.bytes_since_ns = now_ns - passed / 2;
        }
        let ns = (TICK_NS - now_ns.rem_euclid(TICK_NS)).min(fills);
        u64::try_from(ns).ok().map(Duration::from_nanos)
    }

    /// Sleeps so long, unless somebody comes who wants frames at once, or the stream is to end.
    pub(super) fn sleep(&self, time: Duration) {
        let mut rest = lock(&self.rest);
        rest.woken = false;
        let wanted = || self.demand.as_ref().is_none_or(|d| d.is_there());
        if !wanted() {
            let _ = self
                .wake
                .wait_timeout_while(rest, time, |r| !r.flushing && !r.woken);
        }
    }

    /// The stream is to end: nobody sleeps any more.
    pub(super) fn flush(&self, flushing: bool) {
        lock(&self.rest).flushing = flushing;
        self.wake.notify_all();
    }
}
