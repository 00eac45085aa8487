//! The encoded frames of a run for others: a bounded memory of the past and bounded live readers.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::lean::{Demand, Wanting};
use crate::media::mux::VideoEntry;
use crate::time::{Timestamp, duration_ns};
use crate::track::Tracks;

/// The memory of the past never holds more than this, however long the groups of pictures are.
const KEEP_MAX_BYTES: usize = 64 << 20;
/// The same where only the present group is kept, for those who begin to watch: 30 s at 4 Mbit/s.
const GROUP_MAX_BYTES: usize = 16 << 20;

/// Which track a unit belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum UnitTrack {
    /// Video.
    Video,
    /// Audio.
    Audio,
}

/// What the units of one track have in common.
#[derive(Debug)]
pub(crate) struct StreamInfo {
    pub caps: gst::Caps,
    pub codec_data: Option<gst::Buffer>,
    pub tracks: Tracks,
}

impl StreamInfo {
    pub(crate) fn new(caps: gst::Caps, tracks: Tracks) -> Arc<Self> {
        let codec_data = caps
            .structure(0)
            .and_then(|s| s.get::<gst::Buffer>("codec_data").ok());
        Arc::new(Self {
            caps,
            codec_data,
            tracks,
        })
    }
}

/// One encoded frame (or audio packet), shared and not copied.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    pub(crate) buffer: gst::Buffer,
    pub(crate) info: Arc<StreamInfo>,
    pub(crate) track: UnitTrack,
    pub(crate) keyframe: bool,
    pub(crate) pts_ns: i64,
    pub(crate) dts_ns: i64,
    pub(crate) duration: Option<Duration>,
    pub(crate) utc: Timestamp,
}

/// A unit's bytes, mapped for reading while this lives.
#[derive(Debug)]
pub struct UnitData<'a>(Option<gst::BufferMap<'a, gst::buffer::Readable>>);

impl Deref for UnitData<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |m| m.as_slice())
    }
}

impl AccessUnit {
    /// Track.
    #[must_use]
    pub fn track(&self) -> UnitTrack {
        self.track
    }

    /// Whether decoding can begin here; true for audio.
    #[must_use]
    pub fn keyframe(&self) -> bool {
        self.keyframe
    }

    /// Presentation time, nanoseconds of the run's running time.
    #[must_use]
    pub fn pts_ns(&self) -> i64 {
        self.pts_ns
    }

    /// Decoding time, nanoseconds of the run's running time; may be negative.
    #[must_use]
    pub fn dts_ns(&self) -> i64 {
        self.dts_ns
    }

    /// Duration, if the stream says.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Presentation in UTC.
    #[must_use]
    pub fn utc(&self) -> Timestamp {
        self.utc
    }

    /// The bytes: video with length prefixes (as `avcC`/`hvcC` describes), audio one packet. Empty in the
    /// unlikely case that the memory cannot be mapped.
    #[must_use]
    pub fn data(&self) -> UnitData<'_> {
        UnitData(self.buffer.map_readable().ok())
    }

    /// Size of the bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.buffer.size()
    }

    /// The decoder configuration record: `avcC`, `hvcC`, or AAC's `AudioSpecificConfig`.
    #[must_use]
    pub fn codec_data(&self) -> Option<UnitData<'_>> {
        let buffer = self.info.codec_data.as_ref()?;
        Some(UnitData(buffer.map_readable().ok()))
    }

    /// The tracks of the stream as they were when the unit passed.
    #[must_use]
    pub fn tracks(&self) -> &Tracks {
        &self.info.tracks
    }

    /// What the header of a file says of the video; `None` for audio, and without parameter sets.
    pub(crate) fn video_entry(&self) -> Option<VideoEntry> {
        super::writer::video_entry(&self.info.caps).ok()
    }

    /// Whether both units have the very same stream parameters.
    #[must_use]
    pub fn same_stream(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.info, &other.info) || self.info.caps == other.info.caps
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) struct TapCore {
    keep_ns: AtomicI64,
    state: Mutex<State>,
    demand: Arc<Demand>,
}

#[derive(Debug, Default)]
struct State {
    keyframe: Option<AccessUnit>,
    units: VecDeque<AccessUnit>,
    bytes: usize,
    /// The newest of audio.
    audio: Option<AccessUnit>,
    readers: Vec<Weak<Reader>>,
    closed: bool,
}

impl TapCore {
    pub(crate) fn new(keep: Duration) -> Arc<Self> {
        Arc::new(Self {
            keep_ns: AtomicI64::new(duration_ns(keep)),
            state: Mutex::default(),
            demand: Arc::default(),
        })
    }

    pub(crate) fn demand(&self) -> Arc<Demand> {
        self.demand.clone()
    }

    /// Never blocks for longer than the bookkeeping takes.
    pub(crate) fn push(&self, unit: &AccessUnit) {
        let mut s = lock(&self.state);
        let video_key = unit.track == UnitTrack::Video && unit.keyframe;
        if video_key {
            s.keyframe = Some(unit.clone());
        }
        if unit.track == UnitTrack::Audio {
            s.audio = Some(unit.clone());
        }
        if video_key || !s.units.is_empty() {
            s.bytes += unit.buffer.size();
            s.units.push_back(unit.clone());
            let keep_ns = self.keep_ns.load(Ordering::Relaxed);
            let most = if keep_ns > 0 {
                KEEP_MAX_BYTES
            } else {
                GROUP_MAX_BYTES
            };
            s.evict(keep_ns, most, unit.pts_ns);
        }
        s.readers.retain(|r| {
            r.upgrade().is_some_and(|r| {
                r.push(unit);
                true
            })
        });
    }

    pub(crate) fn close(&self) {
        let mut s = lock(&self.state);
        s.closed = true;
        for reader in s.readers.drain(..) {
            if let Some(r) = reader.upgrade() {
                r.close();
            }
        }
    }
}

impl State {
    /// Forgets whole groups of pictures: those that are not needed to go back `keep_ns`, and what is too much.
    fn evict(&mut self, keep_ns: i64, most_bytes: usize, now_ns: i64) {
        loop {
            let second = self
                .units
                .iter()
                .enumerate()
                .skip(1)
                .find(|(_, u)| u.track == UnitTrack::Video && u.keyframe)
                .map(|(i, u)| (i, u.pts_ns));
            let too_much = self.bytes > most_bytes;
            let cut = match second {
                Some((i, pts)) if too_much || now_ns.saturating_sub(pts) >= keep_ns => i,
                None if too_much => self.units.len(),
                _ => return,
            };
            for unit in self.units.drain(..cut) {
                self.bytes -= unit.buffer.size();
            }
        }
    }

    fn recent(&self, back: Duration) -> Vec<AccessUnit> {
        let Some(last) = self.units.back() else {
            return self.keyframe.iter().cloned().collect();
        };
        let from = last.pts_ns.saturating_sub(duration_ns(back));
        let mut start = 0;
        for (i, u) in self.units.iter().enumerate() {
            if u.track == UnitTrack::Video && u.keyframe && u.pts_ns <= from {
                start = i;
            }
        }
        self.units.iter().skip(start).cloned().collect()
    }
}

/// Access to the encoded frames of a run. Cheap to clone; does not keep the run alive.
#[derive(Debug, Clone)]
pub struct Tap(pub(crate) Arc<TapCore>);

impl Tap {
    /// How much of the past is remembered from now on.
    pub(crate) fn set_keep(&self, keep: Duration) {
        self.0.keep_ns.store(duration_ns(keep), Ordering::Relaxed);
    }

    /// The newest keyframe.
    #[must_use]
    pub fn keyframe(&self) -> Option<AccessUnit> {
        lock(&self.0.state).keyframe.clone()
    }

    /// What is remembered of the last `back`, starting at the keyframe at or before that (or the oldest one
    /// there is); oldest first.
    #[must_use]
    pub fn recent(&self, back: Duration) -> Vec<AccessUnit> {
        lock(&self.0.state).recent(back)
    }

    /// Live units from the next keyframe on. At most `capacity` wait unread; a slower reader loses whole
    /// groups of pictures, which are counted.
    #[must_use]
    pub fn subscribe(&self, capacity: usize) -> TapReceiver {
        self.reader(capacity, None, Some(self.0.demand.want()))
    }

    /// The same, but beginning with what [`recent`](Self::recent) gives, without a seam: with zero, at the
    /// keyframe of the present group of pictures. Without such a group in memory (it was too large) it begins
    /// at the next keyframe. The past does not count towards the capacity.
    #[must_use]
    pub fn subscribe_from(&self, back: Duration, capacity: usize) -> TapReceiver {
        self.reader(capacity, Some(back), Some(self.0.demand.want()))
    }

    /// Like these two for one who is in no hurry: while nobody else is, units come in batches.
    pub(crate) fn subscribe_patiently(&self, back: Option<Duration>, capacity: usize) -> TapReceiver {
        self.reader(capacity, back, None)
    }

    /// Keyframes as they come, in no hurry. At most `capacity` wait; of more the oldest are dropped.
    pub(crate) fn keyframes(&self, capacity: usize) -> TapReceiver {
        self.add(capacity, None, None, true)
    }

    /// Whether audio passed.
    pub(crate) fn has_audio(&self) -> bool {
        lock(&self.0.state).audio.is_some()
    }

    /// The newest audio packet.
    pub(crate) fn audio(&self) -> Option<AccessUnit> {
        lock(&self.0.state).audio.clone()
    }

    fn reader(&self, capacity: usize, back: Option<Duration>, wanting: Option<Wanting>) -> TapReceiver {
        self.add(capacity, back, wanting, false)
    }

    fn add(
        &self,
        capacity: usize,
        back: Option<Duration>,
        wanting: Option<Wanting>,
        keyframes_only: bool,
    ) -> TapReceiver {
        let mut s = lock(&self.0.state);
        // Without a ring the keyframe alone cannot be continued: the frames between are gone.
        let past = match back {
            Some(back) if !s.units.is_empty() => s.recent(back),
            _ => Vec::new(),
        };
        let reader = Arc::new(Reader {
            capacity: capacity.max(1) + past.len(),
            queue: Mutex::new(Queue {
                waiting: past.is_empty(),
                units: past.into_iter().map(|unit| (0, unit)).collect(),
                dropped: 0,
                told: 0,
                closed: s.closed,
            }),
            notify: Notify::new(),
            wake: Condvar::new(),
            keyframes_only,
            _wanting: wanting,
        });
        if !s.closed {
            s.readers.push(Arc::downgrade(&reader));
        }
        TapReceiver(reader)
    }
}

#[derive(Debug)]
struct Reader {
    capacity: usize,
    queue: Mutex<Queue>,
    notify: Notify,
    wake: Condvar,
    /// Nothing else is taken, and the newest are kept.
    keyframes_only: bool,
    /// Frames come as soon as they can while there is one.
    _wanting: Option<Wanting>,
}

#[derive(Debug)]
struct Queue {
    /// Each with the number of video frames that are missing before it.
    units: VecDeque<(u64, AccessUnit)>,
    /// For a keyframe, before anything else is taken.
    waiting: bool,
    dropped: u64,
    /// How many of these the queue tells of.
    told: u64,
    closed: bool,
}

impl Reader {
    fn push(&self, unit: &AccessUnit) {
        let mut q = lock(&self.queue);
        let video = unit.track == UnitTrack::Video;
        if self.keyframes_only {
            if video && unit.keyframe {
                if q.units.len() >= self.capacity {
                    q.units.pop_front();
                    q.dropped += 1;
                }
                q.units.push_back((0, unit.clone()));
                drop(q);
                self.notify.notify_one();
                self.wake.notify_one();
            }
            return;
        }
        let full = q.units.len() >= self.capacity;
        if q.waiting && video && unit.keyframe && !full {
            q.waiting = false;
        } else if full && !q.waiting {
            q.waiting = true;
        }
        if q.waiting {
            // Before the first keyframe nothing was promised, hence nothing is missing.
            if video && (full || q.dropped > 0) {
                q.dropped += 1;
            }
            return;
        }
        let missing = q.dropped - q.told;
        q.told = q.dropped;
        q.units.push_back((missing, unit.clone()));
        drop(q);
        self.notify.notify_one();
        self.wake.notify_one();
    }

    fn close(&self) {
        lock(&self.queue).closed = true;
        self.notify.notify_one();
        self.wake.notify_all();
    }

    /// `Some(None)` at the end.
    fn pop(&self) -> Option<Option<(u64, AccessUnit)>> {
        let mut q = lock(&self.queue);
        match q.units.pop_front() {
            Some(u) => Some(Some(u)),
            None if q.closed => Some(None),
            None => None,
        }
    }
}

/// Reads live units; ends when the run does.
#[derive(Debug)]
pub struct TapReceiver(Arc<Reader>);

impl TapReceiver {
    /// The next unit; `None` when the run is over. Cancel-safe.
    pub async fn recv(&mut self) -> Option<AccessUnit> {
        self.recv_counted().await.map(|(_, unit)| unit)
    }

    /// The same, with the number of video frames lost right before it; it is a keyframe where there are any.
    /// Cancel-safe.
    pub async fn recv_counted(&mut self) -> Option<(u64, AccessUnit)> {
        loop {
            if let Some(unit) = self.0.pop() {
                return unit;
            }
            self.0.notify.notified().await;
        }
    }

    /// The same for a thread without a runtime.
    pub fn blocking_recv(&mut self) -> Option<AccessUnit> {
        let mut q = lock(&self.0.queue);
        loop {
            if let Some((_, u)) = q.units.pop_front() {
                return Some(u);
            }
            if q.closed {
                return None;
            }
            q = self.0.wake.wait(q).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Video frames that this reader lost by being slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.0.queue).dropped
    }

    /// Video frames that a reader who goes now never got: those that wait, and those left out that it was not told of.
    pub(crate) fn left(&self) -> u64 {
        let q = lock(&self.0.queue);
        let waiting = q.units.iter().map(|(missing, unit)| {
            let frames = u64::from(unit.track == UnitTrack::Video);
            missing + frames
        });
        waiting.sum::<u64>() + (q.dropped - q.told)
    }

    pub(crate) fn closer(&self) -> impl Fn() + Send + Sync + use<> {
        let reader = self.0.clone();
        move || reader.close()
    }
}
