//! What puts a recording into files, fed by hand and without ever blocking the caller: by our own muxer where
//! files are fragmented, by splitmuxsink where they are plain.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::event::Cause;
use crate::segment::{ClosedSegment, Container, SegmentFiles, SegmentStart};
use chunks::ChunkWriter;
use splitmux::SplitmuxWriter;

mod chunks;
mod cuts;
mod disguise;
mod splitmux;
mod times;

pub(in crate::gst) use chunks::{audio_entry, video_entry};
pub(crate) use disguise::OFFSET;
pub(crate) use splitmux::any_pad;

/// Length of a frame of which nothing is known.
const ONE_FRAME_NS: i64 = 40_000_000;

/// What a writer tells; from threads of its own, without locks of the writer held.
#[derive(Debug)]
pub(crate) enum WriterNews {
    Opened(Box<SegmentStart>, std::path::PathBuf),
    Closed(Box<ClosedSegment>),
    Failed(Cause),
}

pub(crate) type OnNews = Arc<dyn Fn(WriterNews) + Send + Sync>;

#[derive(Debug)]
pub(crate) struct WriterSpec {
    pub container: Container,
    pub chunk: Duration,
    pub files: Arc<dyn SegmentFiles>,
    pub video_caps: gst::Caps,
    pub audio_caps: Option<gst::Caps>,
}

/// A unit on its way into a file; times are running times.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub buffer: gst::Buffer,
    pub pts_ns: i64,
    pub dts_ns: i64,
    pub duration: Option<gst::ClockTime>,
    pub keyframe: bool,
}

/// It takes no more; why was told.
#[derive(Debug)]
pub(crate) struct Ended;

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the caller and the threads of a writer have in common.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes that were fed and are not in a file.
    waiting_bytes: Arc<AtomicU64>,
    starts: Mutex<VecDeque<SegmentStart>>,
    fault: Mutex<Option<Cause>>,
    done: Mutex<Option<bool>>,
    wake: Condvar,
    /// Nothing more is to be written: the file stays as after a crash.
    cut: AtomicBool,
}

impl Shared {
    fn set_done(&self, ok: bool) {
        lock(&self.done).get_or_insert(ok);
        self.wake.notify_all();
    }

    fn fail(&self, cause: Cause, news: &OnNews) {
        let cause = lock(&self.fault).take().unwrap_or(cause);
        let mut done = lock(&self.done);
        if done.is_none() {
            *done = Some(false);
            drop(done);
            news(WriterNews::Failed(cause));
        }
        self.wake.notify_all();
    }

    /// Waits for the last file to be complete. Whether all went in order.
    fn wait(&self, timeout: Duration) -> bool {
        let (done, _) = self
            .wake
            .wait_timeout_while(lock(&self.done), timeout, |d| d.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        *done == Some(true)
    }

    fn add_waiting(&self, bytes: usize) {
        self.waiting_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Less by `bytes`, and never below zero.
fn subtract_waiting(waiting: &AtomicU64, bytes: u64) {
    let _ = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |w| {
        Some(w.saturating_sub(bytes))
    });
}

/// When the last frame of a file ends, where no frame follows that says it.
#[derive(Debug, Default)]
struct Latest(Option<(i64, i64, i64)>);

impl Latest {
    fn remember(&mut self, unit: &Unit) {
        self.0 = Some(if let Some((pts, dts, _)) = self.0 {
            (pts.max(unit.pts_ns), unit.dts_ns, unit.dts_ns - dts)
        } else {
            let duration = unit.duration.map_or(0, gst::ClockTime::nseconds);
            (unit.pts_ns, unit.dts_ns, i64::try_from(duration).unwrap_or(0))
        });
    }

    /// Presentation and decoding time of the frame that would come next.
    fn next(&self) -> (i64, i64) {
        let Some((pts, dts, delta)) = self.0 else {
            return (0, 0);
        };
        // A single frame that does not say how long it is.
        let delta = if delta > 0 { delta } else { ONE_FRAME_NS };
        (pts.saturating_add(delta), dts.saturating_add(delta))
    }
}

/// Writes the segments of one stream whose parameters do not change.
#[derive(Debug)]
pub(crate) enum Writer {
    Chunks(ChunkWriter),
    Splitmux(SplitmuxWriter),
}

impl Writer {
    /// A writer; its first file is created when its first unit comes.
    pub(crate) fn new(spec: &WriterSpec, news: &OnNews) -> Result<Self> {
        Ok(match spec.container {
            Container::Fmp4 => Self::Chunks(ChunkWriter::new(spec, news)?),
            Container::Mp4 | Container::Matroska => Self::Splitmux(SplitmuxWriter::new(spec, news)?),
        })
    }

    pub(crate) fn has_audio(&self) -> bool {
        match self {
            Self::Chunks(w) => w.has_audio(),
            Self::Splitmux(w) => w.has_audio(),
        }
    }

    fn shared(&self) -> &Shared {
        match self {
            Self::Chunks(w) => w.shared(),
            Self::Splitmux(w) => w.shared(),
        }
    }

    /// Bytes that were fed and are not in a file.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.shared().waiting_bytes.load(Ordering::Relaxed)
    }

    /// Feeds one video unit and the audio that is due. `segment` is given when the unit begins a segment, which
    /// the first one always does.
    pub(crate) fn feed(
        &mut self,
        unit: &Unit,
        audio: &[Unit],
        segment: Option<SegmentStart>,
    ) -> Result<(), Ended> {
        match self {
            Self::Chunks(w) => w.feed(unit, audio, segment),
            Self::Splitmux(w) => w.feed(unit, audio, segment),
        }
    }

    /// Nothing will come for a while.
    pub(crate) fn pause(&mut self) -> Result<(), Ended> {
        match self {
            Self::Chunks(w) => w.pause(),
            Self::Splitmux(_) => Ok(()),
        }
    }

    /// Feeds audio while no video comes.
    pub(crate) fn feed_audio(&mut self, audio: &[Unit]) -> Result<(), Ended> {
        match self {
            Self::Chunks(w) => w.feed_audio(audio),
            Self::Splitmux(w) => w.feed_audio(audio),
        }
    }

    /// Feeds what is left of the audio and ends the stream; completion comes with [`wait`](Self::wait).
    ///
    /// `next` are the times of the frame that would have come; without it they are guessed.
    pub(crate) fn end(&mut self, audio: &[Unit], next: Option<(i64, i64)>) {
        match self {
            Self::Chunks(w) => w.end(audio, next),
            Self::Splitmux(w) => w.end(audio),
        }
    }

    /// Waits for the last file to be complete, then takes all down. Whether it went in order.
    pub(crate) fn wait(self, timeout: Duration) -> bool {
        self.shared().wait(timeout)
    }

    /// The pipeline, where there is one.
    #[cfg(test)]
    pub(crate) fn weak(&self) -> Option<glib::WeakRef<gst::Object>> {
        match self {
            Self::Chunks(_) => None,
            Self::Splitmux(w) => Some(w.weak()),
        }
    }
}
