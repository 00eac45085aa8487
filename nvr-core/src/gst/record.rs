//! What goes into which segment: begins, splits and ends files, holds video back for nobody.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::audio;
use super::gate::{Gate, GateNews};
use super::spec::RecordSpec;
use super::tap::AccessUnit;
use super::writer::{OnNews, Unit, Writer, WriterSpec};
use crate::error::Result;
use crate::event::{Cause, CauseKind};
use crate::ids::CameraId;
use crate::run::{RunClock, Splitter};
use crate::segment::SegmentStart;
use crate::time::{NS_PER_S, Timestamp};
use crate::track::{AudioTrack, Tracks};

/// How long the first frames wait for an audio track that was announced.
const AUDIO_WAIT_NS: i64 = 700_000_000;
/// The same when it is there and being converted, which a busy machine may take its time for.
const CONVERTER_WAIT_NS: i64 = 5_000_000_000;
/// What may wait for a slow disk; more is dropped, in whole groups of pictures.
const WAITING_MAX_BYTES: u64 = 64 << 20;
/// While no video comes for this long, audio is written without it: the last frames wait for it to pass them.
const HOLE_NS: i64 = 1_000_000_000;
/// How often drops are told while they go on.
const TELL_NS: i64 = 10_000_000_000;
/// For a file that is being completed while the next one is written already.
const RETIRE: Duration = Duration::from_secs(30);

/// What the recorder finds out besides what its writer tells.
#[derive(Debug)]
pub(crate) enum RecordNews {
    AudioTrouble(Cause),
    Dropped(u64, Cause),
    Failed(Cause),
}

pub(crate) struct Recorder {
    camera: CameraId,
    spec: RecordSpec,
    clock: Arc<RunClock>,
    on_writer: OnNews,
    on_news: Box<dyn Fn(RecordNews) + Send + Sync>,
    splitter: Splitter,
    writer: Option<Writer>,
    retired: Vec<JoinHandle<bool>>,
    video_caps: Option<gst::Caps>,
    audio_expected: bool,
    audio_came: bool,
    audio: Option<(gst::Caps, AudioTrack, Gate)>,
    held: Vec<AccessUnit>,
    held_since_ns: i64,
    split: bool,
    renew: bool,
    /// Frames are being dropped until the next keyframe that the disk has room for.
    dropping: bool,
    /// Frames dropped and not told yet.
    untold: u64,
    /// When drops were told last, by the steady clock.
    told_ns: i64,
    /// Steady time of the unit that is being taken.
    now_ns: i64,
    begun: bool,
    /// Presentation time up to which video, or audio without it, was fed.
    fed_until_ns: i64,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("camera", &self.camera)
            .finish_non_exhaustive()
    }
}

/// Whether a change from `a` to `b` needs a new file: another configuration, not another frame rate.
fn needs_new_file(a: &gst::CapsRef, b: &gst::CapsRef) -> bool {
    let essence = |c: &gst::CapsRef| {
        c.structure(0).map(|s| {
            (
                s.name().to_string(),
                s.get::<gst::Buffer>("codec_data")
                    .ok()
                    .and_then(|b| b.map_readable().ok().map(|m| m.to_vec())),
                s.get::<i32>("width").ok(),
                s.get::<i32>("height").ok(),
            )
        })
    };
    essence(a) != essence(b)
}

impl Recorder {
    pub(crate) fn new(
        camera: CameraId,
        spec: RecordSpec,
        clock: Arc<RunClock>,
        audio_expected: bool,
        on_writer: OnNews,
        on_news: Box<dyn Fn(RecordNews) + Send + Sync>,
    ) -> Self {
        Self {
            splitter: Splitter::new(spec.segment),
            camera,
            spec,
            clock,
            on_writer,
            on_news,
            writer: None,
            retired: Vec::new(),
            video_caps: None,
            audio_expected,
            audio_came: false,
            audio: None,
            held: Vec::new(),
            held_since_ns: 0,
            split: false,
            renew: false,
            dropping: false,
            untold: 0,
            told_ns: 0,
            now_ns: 0,
            begun: false,
            fed_until_ns: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn weak(&self) -> Option<glib::WeakRef<gst::Object>> {
        self.writer.as_ref().and_then(Writer::weak)
    }

    /// A new segment at the next keyframe.
    pub(crate) fn split(&mut self) {
        self.split = true;
    }

    /// The camera sent audio; what comes of it follows.
    pub(crate) fn audio_came(&mut self) {
        self.audio_came = true;
    }

    /// One packet of AAC, ready for the file.
    pub(crate) fn audio(&mut self, caps: &gst::Caps, unit: Unit) {
        if self.audio.as_ref().is_none_or(|(c, ..)| needs_new_file(c, caps)) {
            let track = audio::track_of(caps).unwrap_or(AudioTrack {
                codec: crate::track::AudioCodec::Aac,
                sample_rate: 48_000,
                channels: 1,
            });
            let silent = audio::silent_packet(caps);
            let samples = silent.map_or(1024, |(_, n)| n);
            let packet_ns = i64::from(samples) * NS_PER_S / i64::from(track.sample_rate.max(1));
            let silence = silent.map(|(bytes, _)| gst::Buffer::from_slice(bytes));
            self.audio = Some((caps.clone(), track, Gate::new(silence, packet_ns)));
            // A file that has begun cannot take up another track.
            self.renew = self.writer.is_some();
        }
        let pts_ns = unit.pts_ns;
        if let Some((_, _, gate)) = &mut self.audio {
            gate.push(unit);
        }
        let hole = pts_ns.saturating_sub(self.fed_until_ns) > HOLE_NS;
        if hole && !self.dropping && self.writer.as_ref().is_some_and(Writer::has_audio) {
            self.fed_until_ns = pts_ns;
            let due = self.due(pts_ns);
            if let Some(writer) = &mut self.writer
                && writer.feed_audio(&due).is_err()
            {
                tracing::debug!(camera = %self.camera, "the writer takes no more");
            }
        }
    }

    /// One video unit.
    pub(crate) fn video(&mut self, unit: &AccessUnit, steady_ns: i64) {
        self.now_ns = steady_ns;
        if self.begun {
            self.record(unit);
            return;
        }
        if self.held.is_empty() {
            if !unit.keyframe {
                return;
            }
            self.held_since_ns = steady_ns;
        }
        self.held.push(unit.clone());
        let waits = self.audio_expected && self.audio.is_none();
        let wait_ns = if self.audio_came {
            CONVERTER_WAIT_NS
        } else {
            AUDIO_WAIT_NS
        };
        if waits && steady_ns - self.held_since_ns < wait_ns {
            return;
        }
        if waits {
            (self.on_news)(RecordNews::AudioTrouble(Cause::new(
                CauseKind::NoFrames,
                "the camera announced audio and sends none; recording without until it comes",
            )));
        }
        self.release();
    }

    fn release(&mut self) {
        self.begun = true;
        for unit in std::mem::take(&mut self.held) {
            self.record(&unit);
        }
    }

    fn record(&mut self, unit: &AccessUnit) {
        let changed = self
            .video_caps
            .as_ref()
            .is_some_and(|c| needs_new_file(c, &unit.info.caps));
        let renew = unit.keyframe && (self.writer.is_none() || changed || self.renew);
        if !unit.keyframe && (changed || self.writer.is_none()) {
            self.skip();
            return;
        }
        if self.overloaded(unit.keyframe) {
            self.skip();
            return;
        }
        if std::mem::take(&mut self.dropping) {
            self.tell_dropped();
            // What follows the loss begins a file: it is told there, not stretched over.
            self.split = true;
        }
        let mut segment = None;
        if unit.keyframe {
            let split = self.splitter.on_keyframe(unit.utc) | std::mem::take(&mut self.split);
            if split || renew {
                self.splitter.restart(unit.utc);
            }
            if renew && !self.renew_writer(unit) {
                return;
            }
            if split || renew {
                segment = Some(self.start_of(unit));
            }
        }
        self.fed_until_ns = unit.pts_ns;
        let audio = self.due(unit.pts_ns);
        if let Some(writer) = &mut self.writer {
            let feed = Unit {
                buffer: unit.buffer.clone(),
                pts_ns: unit.pts_ns,
                dts_ns: unit.dts_ns,
                duration: unit.duration.and_then(|d| gst::ClockTime::try_from(d).ok()),
                keyframe: unit.keyframe,
            };
            // A failure is told by the writer's own pipeline, with its reason.
            if writer.feed(&feed, &audio, segment).is_err() {
                tracing::debug!(camera = %self.camera, "the writer takes no more");
            }
        }
    }

    /// What came in one go is over, and nothing will come for a while.
    pub(crate) fn pause(&mut self) {
        if let Some(writer) = &mut self.writer
            && writer.pause().is_err()
        {
            tracing::debug!(camera = %self.camera, "the writer takes no more");
        }
    }

    fn due(&mut self, video_ns: i64) -> Vec<Unit> {
        let Some((_, _, gate)) = &mut self.audio else {
            return Vec::new();
        };
        if !self.writer.as_ref().is_some_and(Writer::has_audio) {
            // Audio came after the file had begun: it waits for the next one.
            gate.begin(video_ns);
            return Vec::new();
        }
        let (units, news) = gate.due(video_ns);
        match news {
            Some(GateNews::Stalled) => (self.on_news)(RecordNews::AudioTrouble(Cause::new(
                CauseKind::NoFrames,
                "the camera's audio stopped; silence stands in for it",
            ))),
            Some(GateNews::Lost) => {
                self.audio = None;
                self.renew = true;
                (self.on_news)(RecordNews::AudioTrouble(Cause::new(
                    CauseKind::NoFrames,
                    "the camera's audio stopped; recording goes on without",
                )));
            }
            None => {}
        }
        units
    }

    fn start_of(&self, unit: &AccessUnit) -> SegmentStart {
        SegmentStart {
            camera: self.camera.clone(),
            run: self.clock.run(),
            sequence: self.clock.next_sequence(),
            anchor: self.clock.anchor(),
            start: unit.utc,
            camera_start: camera_time(&unit.buffer),
            container: self.spec.container,
            tracks: Tracks {
                video: unit.info.tracks.video.clone(),
                audio: self.audio.as_ref().map(|(_, track, _)| track.clone()),
            },
            masks: None,
            from_card: false,
        }
    }

    fn renew_writer(&mut self, unit: &AccessUnit) -> bool {
        self.retire(unit);
        self.renew = false;
        if let Some((_, _, gate)) = &mut self.audio {
            gate.begin(unit.pts_ns);
        }
        let spec = WriterSpec {
            container: self.spec.container,
            chunk: self.spec.chunk,
            files: self.spec.files.clone(),
            video_caps: unit.info.caps.clone(),
            audio_caps: self.audio.as_ref().map(|(c, ..)| c.clone()),
        };
        match Writer::new(&spec, &self.on_writer) {
            Ok(writer) => {
                self.writer = Some(writer);
                self.video_caps = Some(spec.video_caps);
                true
            }
            Err(e) => {
                (self.on_news)(RecordNews::Failed(Cause::new(CauseKind::Internal, e.to_string())));
                false
            }
        }
    }

    /// Lets the present writer complete its file on the side.
    fn retire(&mut self, next: &AccessUnit) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        writer.end(&[], Some((next.pts_ns, next.dts_ns)));
        self.retired.retain(|t| !t.is_finished());
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new()
            .name("nvr-retire".into())
            .spawn(move || span.in_scope(|| writer.wait(RETIRE)));
        match thread {
            Ok(t) => self.retired.push(t),
            Err(e) => tracing::error!(camera = %self.camera, error = %e, "no thread to complete a file"),
        }
    }

    /// What waits for the disk.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::waiting_bytes)
    }

    fn overloaded(&self, keyframe: bool) -> bool {
        let waiting = self.waiting_bytes();
        if self.dropping {
            !keyframe || waiting > WAITING_MAX_BYTES / 2
        } else {
            waiting > WAITING_MAX_BYTES
        }
    }

    fn skip(&mut self) {
        self.untold += 1;
        if !std::mem::replace(&mut self.dropping, true) {
            self.told_ns = self.now_ns;
            tracing::error!(camera = %self.camera, "video is dropped: the storage is too slow");
        } else if self.now_ns.saturating_sub(self.told_ns) >= TELL_NS {
            self.tell_dropped();
        }
    }

    fn tell_dropped(&mut self) {
        self.told_ns = self.now_ns;
        let count = std::mem::take(&mut self.untold);
        if count > 0 {
            (self.on_news)(RecordNews::Dropped(
                count,
                Cause::new(CauseKind::StorageError, "the storage did not keep up"),
            ));
        }
    }

    /// Completes the last file. Whether all went in order before the deadline; what did not is cut off.
    pub(crate) fn finish(mut self, deadline: Duration) -> bool {
        if !self.held.is_empty() {
            self.release();
        }
        self.tell_dropped();
        let rest = match (&mut self.audio, &self.writer) {
            (Some((_, _, gate)), Some(w)) if w.has_audio() => gate.rest(),
            _ => Vec::new(),
        };
        let Some(mut writer) = self.writer.take() else {
            return true;
        };
        writer.end(&rest, None);
        let retired = std::mem::take(&mut self.retired);
        let (done, result) = std::sync::mpsc::channel();
        // In a thread of its own: a write that hangs must not hang the caller.
        let span = tracing::Span::current();
        let spawned = std::thread::Builder::new()
            .name("nvr-finish".into())
            .spawn(move || {
                let _about = span.entered();
                let mut clean = writer.wait(deadline);
                for thread in retired {
                    clean &= thread.join().unwrap_or(false);
                }
                let _ = done.send(clean);
            });
        spawned.is_ok() && result.recv_timeout(deadline).unwrap_or(false)
    }
}

/// The camera's own UTC of a frame, from the reference time that RTCP sender reports give.
fn camera_time(buffer: &gst::BufferRef) -> Option<Timestamp> {
    const NTP_TO_UNIX_S: i64 = 2_208_988_800;
    buffer
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find(|m| {
            m.reference()
                .structure(0)
                .is_some_and(|s| s.name() == "timestamp/x-ntp")
        })
        .map(|m| {
            let ns = i64::try_from(m.timestamp().nseconds()).unwrap_or(i64::MAX);
            // NTP seconds since 1900 exceed i64 nanoseconds never before 2192.
            Timestamp::from_ns(ns.saturating_sub(NTP_TO_UNIX_S.saturating_mul(NS_PER_S)))
        })
}

/// For callers that want the error of a recording spec early.
///
/// # Errors
/// `InvalidArgument` when the lengths make no sense.
pub(crate) fn check(spec: &RecordSpec) -> Result<()> {
    use crate::error::{Error, ErrorKind};
    if spec.chunk < Duration::from_millis(20) || spec.chunk > Duration::from_secs(60) {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("a chunk of {:?} is not usable", spec.chunk),
        )
        .with_hint("use 0.1 s to 0.5 s"));
    }
    Ok(())
}
