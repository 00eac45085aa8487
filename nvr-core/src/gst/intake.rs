//! Where a run's frames arrive: counts, times and tells them, then hands them to the tap and the recorder.
//!
//! Lock order: `video` or `audio`, then `recorder`; `stats`, `tracks`, `events` and `ending` come last and are held for no call.
//! Nothing here waits: what a source's thread brings is taken at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use gst::prelude::*;
use tokio::sync::mpsc::UnboundedSender;

use super::audio;
use super::guard::guarded;
use super::lean::Demand;
use super::record::{RecordNews, Recorder};
use super::retime::Retimer;
use super::sources;
use super::spec::{RunEvent, RunSpec, RunStats};
use super::tap::{AccessUnit, StreamInfo, Tap, TapCore, UnitTrack};
use super::writer::{OnNews, WriterNews};
use crate::event::{Cause, CauseKind};
use crate::ids::RunId;
use crate::run::{Anchor, ClockCheck, RunClock};
use crate::source::Ingest;
use crate::time::{NS_PER_S, Timestamp};
use crate::track::{AudioTrack, Tracks, VideoCodec, VideoTrack};

mod ending;
mod sound;

use ending::Ending;
use sound::AudioIn;

type TimeSegment = gst::FormattedSegment<gst::ClockTime>;

#[derive(Debug)]
pub(crate) struct Intake {
    me: Weak<Self>,
    spec: RunSpec,
    /// `None` once `Ended` was told.
    events: Mutex<Option<UnboundedSender<RunEvent>>>,
    pipeline: Option<glib::WeakRef<gst::Pipeline>>,
    tap: Arc<TapCore>,
    pads: Mutex<Vec<gst::Pad>>,
    has_audio: AtomicBool,
    run_clock: OnceLock<Arc<RunClock>>,
    video: Mutex<VideoIn>,
    audio: Mutex<AudioIn>,
    recorder: Mutex<Option<Recorder>>,
    tracks: Mutex<(Option<VideoTrack>, Option<AudioTrack>)>,
    stats: Mutex<RunStats>,
    ending: Mutex<Ending>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct VideoIn {
    segment: TimeSegment,
    caps: Option<gst::Caps>,
    info: Option<Arc<StreamInfo>>,
    retimer: Retimer,
    checked_steady_ns: i64,
    tap_dropped: u64,
    /// The files are being closed: what still comes is of no run.
    over: bool,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn running(segment: &TimeSegment, t: Option<gst::ClockTime>) -> Option<i64> {
    match segment.to_running_time_full(t?)? {
        gst::Signed::Positive(t) => i64::try_from(t.nseconds()).ok(),
        gst::Signed::Negative(t) => i64::try_from(t.nseconds()).ok().map(|t| -t),
    }
}

fn video_track(caps: &gst::CapsRef) -> VideoTrack {
    let s = caps.structure(0);
    let side = |name: &str| {
        s.and_then(|s| s.get::<i32>(name).ok())
            .and_then(|v| u32::try_from(v).ok())
            .unwrap_or(0)
    };
    VideoTrack {
        codec: if s.is_some_and(|s| s.name() == "video/x-h265") {
            VideoCodec::H265
        } else {
            VideoCodec::H264
        },
        width: side("width"),
        height: side("height"),
        frame_rate: s
            .and_then(|s| s.get::<gst::Fraction>("framerate").ok())
            .filter(|f| f.numer() > 0)
            .map(|f| f64::from(f.numer()) / f64::from(f.denom())),
    }
}

impl Intake {
    pub(crate) fn new(
        spec: RunSpec,
        events: UnboundedSender<RunEvent>,
        pipeline: Option<glib::WeakRef<gst::Pipeline>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            tap: TapCore::new(spec.keep),
            spec,
            events: Mutex::new(Some(events)),
            pipeline,
            pads: Mutex::default(),
            has_audio: AtomicBool::new(false),
            run_clock: OnceLock::new(),
            video: Mutex::default(),
            audio: Mutex::default(),
            recorder: Mutex::default(),
            tracks: Mutex::default(),
            stats: Mutex::default(),
            ending: Mutex::default(),
            ended: Condvar::new(),
        })
    }

    pub(crate) fn tap(&self) -> Tap {
        Tap(self.tap.clone())
    }

    /// Who wants frames as they come.
    pub(crate) fn demand(&self) -> Arc<Demand> {
        self.tap.demand()
    }

    /// The source takes this way.
    pub(crate) fn ingest(&self, ingest: Ingest, reason: Option<&str>) {
        self.tell(RunEvent::Ingest {
            ingest,
            reason: reason.map(str::to_owned),
        });
    }

    pub(crate) fn stats(&self) -> RunStats {
        *lock(&self.stats)
    }

    #[cfg(test)]
    pub(crate) fn weak_writers(&self) -> Vec<glib::WeakRef<gst::Object>> {
        lock(&self.recorder)
            .as_ref()
            .and_then(Recorder::weak)
            .into_iter()
            .collect()
    }

    pub(crate) fn expect_audio(&self, has_audio: bool) {
        self.has_audio
            .store(has_audio && self.spec.audio, Ordering::SeqCst);
    }

    pub(crate) fn split(&self) {
        if let Some(r) = lock(&self.recorder).as_mut() {
            r.split();
        }
    }

    fn tell(&self, event: RunEvent) {
        let mut events = lock(&self.events);
        let last = matches!(event, RunEvent::Ended(_));
        if let Some(sender) = &*events {
            // Nobody listening is nobody's fault.
            let _ = sender.send(event);
        }
        if last {
            *events = None;
        }
    }

    /// Links the ghost pads of a source.
    pub(crate) fn connect(&self, bin: &gst::Bin, has_audio: bool) -> Result<(), String> {
        self.expect_audio(has_audio);
        let mut pads = vec![self.sink_pad("video", Self::on_video, Self::on_video_event)];
        if has_audio && self.spec.audio {
            pads.push(self.sink_pad("audio", Self::on_audio, Self::on_audio_event));
        } else if has_audio {
            // Nobody wants it; but a source whose pad is not linked would stop.
            pads.push(self.sink_pad("audio", |_, _, _| {}, |_, _| {}));
        }
        for pad in &pads {
            let name = pad.name();
            let src = bin
                .static_pad(&name)
                .ok_or_else(|| format!("the source has no pad {name}"))?;
            pad.set_active(true).map_err(|e| e.to_string())?;
            src.link(pad)
                .map_err(|e| format!("cannot link the source's {name}: {e}"))?;
        }
        *lock(&self.pads) = pads;
        Ok(())
    }

    fn sink_pad(
        &self,
        name: &'static str,
        on_buffer: fn(&Self, &gst::Pad, gst::Buffer),
        on_event: fn(&Self, &gst::Event),
    ) -> gst::Pad {
        let (chain, list, event) = (self.me.clone(), self.me.clone(), self.me.clone());
        super::writer::any_pad(gst::PadDirection::Sink, name)
            .chain_function(move |pad, _, buffer| {
                let Some(me) = chain.upgrade() else {
                    return Err(gst::FlowError::Flushing);
                };
                let panicked = |text: &str| me.end(Cause::new(CauseKind::Internal, format!("panic: {text}")));
                guarded(name, Err(gst::FlowError::Error), panicked, || {
                    on_buffer(&me, pad, buffer);
                    Ok(gst::FlowSuccess::Ok)
                })
            })
            .chain_list_function(move |pad, _, buffers| {
                let Some(me) = list.upgrade() else {
                    return Err(gst::FlowError::Flushing);
                };
                let panicked = |text: &str| me.end(Cause::new(CauseKind::Internal, format!("panic: {text}")));
                guarded(name, Err(gst::FlowError::Error), panicked, || {
                    for buffer in buffers.iter_owned() {
                        on_buffer(&me, pad, buffer);
                    }
                    // A source that hands out lists does so when it sleeps in between.
                    if name == "video"
                        && let Some(r) = lock(&me.recorder).as_mut()
                    {
                        r.pause();
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
            })
            .event_function(move |pad, parent, e| {
                if let Some(me) = event.upgrade() {
                    guarded(name, (), |_| {}, || on_event(&me, &e));
                }
                gst::Pad::event_default(pad, parent, e)
            })
            .build()
    }

    fn on_video_event(&self, event: &gst::Event) {
        match event.view() {
            gst::EventView::Caps(e) => lock(&self.video).caps = Some(e.caps_owned()),
            gst::EventView::Segment(e) => {
                if let Ok(segment) = e.segment().clone().downcast::<gst::ClockTime>() {
                    lock(&self.video).segment = segment;
                }
            }
            gst::EventView::Eos(_) => {
                self.end(Cause::new(CauseKind::StreamEnded, "the camera ended the stream"));
            }
            _ if sources::is_pause(event) => {
                if let Some(r) = lock(&self.recorder).as_mut() {
                    r.pause();
                }
            }
            _ => {}
        }
    }

    fn arrival_ns(&self) -> Option<i64> {
        let pipeline = self.pipeline.as_ref()?.upgrade()?;
        i64::try_from(pipeline.current_running_time()?.nseconds()).ok()
    }

    fn on_video(&self, _pad: &gst::Pad, buffer: gst::Buffer) {
        let mut v = lock(&self.video);
        let Some(pts) = running(&v.segment, buffer.pts().or(buffer.dts())) else {
            tracing::debug!(camera = %self.spec.camera, "a frame without time");
            return;
        };
        let dts = running(&v.segment, buffer.dts()).unwrap_or(pts);
        let arrival = self.arrival_ns();
        let (pts, dts) = v.retimer.fix(pts, dts, arrival);
        if let Some(caps) = v.caps.take() {
            v.info = Some(self.new_info(&caps, UnitTrack::Video));
        }
        let Some(info) = v.info.clone() else { return };
        let clock = self.run_clock.get_or_init(|| {
            let now = Anchor::read(&*self.spec.clock, || self.arrival_ns());
            let anchor = now.unwrap_or_else(|| self.anchor_at(self.spec.clock.now(), pts));
            Arc::new(RunClock::new(RunId::random(), anchor))
        });
        let unit = AccessUnit {
            keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            duration: buffer.duration().map(Into::into),
            buffer,
            info,
            track: UnitTrack::Video,
            pts_ns: pts,
            dts_ns: dts,
            utc: clock.utc(pts),
        };
        self.video_unit(&mut v, unit, || {
            Anchor::read(&*self.spec.clock, || self.arrival_ns())
        });
    }

    /// A unit of either kind from another run's tap.
    pub(crate) fn unit_from_tap(&self, unit: &AccessUnit, dropped: u64) {
        guarded(
            "tap",
            (),
            |text| self.end(Cause::new(CauseKind::Internal, format!("panic: {text}"))),
            || match unit.track {
                UnitTrack::Video => {
                    let mut v = lock(&self.video);
                    if v.info.as_ref().is_none_or(|i| !Arc::ptr_eq(i, &unit.info)) {
                        self.new_info(&unit.info.caps, UnitTrack::Video);
                        v.info = Some(unit.info.clone());
                    }
                    self.run_clock.get_or_init(|| {
                        let anchor = self.anchor_at(unit.utc, unit.pts_ns);
                        Arc::new(RunClock::new(RunId::random(), anchor))
                    });
                    let lost = dropped.saturating_sub(v.tap_dropped);
                    v.tap_dropped = dropped;
                    if lost > 0 {
                        self.dropped(
                            lost,
                            Cause::new(CauseKind::StorageError, "the storage did not keep up"),
                        );
                    }
                    let now = || Some(self.anchor_at(unit.utc, unit.pts_ns));
                    self.video_unit(&mut v, unit.clone(), now);
                }
                UnitTrack::Audio if !self.spec.audio => {}
                UnitTrack::Audio => {
                    let mut a = lock(&self.audio);
                    if a.info.as_ref().is_none_or(|i| !Arc::ptr_eq(i, &unit.info)) {
                        a.converter = None;
                        a.refused = false;
                        self.new_info(&unit.info.caps, UnitTrack::Audio);
                        a.info = Some(unit.info.clone());
                    }
                    self.audio_unit(&mut a, unit);
                }
            },
        );
    }

    /// Describes new caps and tells that they changed.
    fn new_info(&self, caps: &gst::Caps, track: UnitTrack) -> Arc<StreamInfo> {
        let mut t = lock(&self.tracks);
        let before = t.clone();
        match track {
            UnitTrack::Video => t.0 = Some(video_track(caps)),
            UnitTrack::Audio => t.1 = audio::track_of(caps),
        }
        let now = t.clone();
        drop(t);
        let tracks = Tracks {
            video: now.0.clone().unwrap_or(VideoTrack {
                codec: VideoCodec::H264,
                width: 0,
                height: 0,
                frame_rate: None,
            }),
            audio: now.1.clone(),
        };
        if before.0.is_some() && before != now {
            self.tell(RunEvent::TracksChanged(tracks.clone()));
        }
        StreamInfo::new(caps.clone(), tracks)
    }

    /// An anchor at an instant that was told, not read here.
    fn anchor_at(&self, utc: Timestamp, running_ns: i64) -> Anchor {
        Anchor {
            utc,
            steady_ns: self.spec.clock.steady_ns(),
            running_ns,
        }
    }

    /// `now` is asked for where the clocks are to be compared.
    fn video_unit(&self, v: &mut VideoIn, unit: AccessUnit, now: impl FnOnce() -> Option<Anchor>) {
        if v.over {
            return;
        }
        let steady_ns = self.spec.clock.steady_ns();
        let Some(clock) = self.run_clock.get() else { return };
        if self.count(&unit, steady_ns) {
            self.begin(&unit, clock);
            v.checked_steady_ns = steady_ns;
        }
        let mut stepped = false;
        if steady_ns.saturating_sub(v.checked_steady_ns) >= NS_PER_S {
            v.checked_steady_ns = steady_ns;
            stepped = now().is_some_and(|now| self.check_clock(clock, now));
        }
        let mut unit = unit;
        if self.pipeline.is_some() {
            // Only now: the check may have moved it.
            unit.utc = clock.utc(unit.pts_ns);
        }
        self.tap.push(&unit);
        if let Some(r) = lock(&self.recorder).as_mut() {
            if stepped {
                r.split();
            }
            r.video(&unit, steady_ns);
            lock(&self.stats).waiting_bytes = r.waiting_bytes();
        }
    }

    fn check_clock(&self, clock: &RunClock, now: Anchor) -> bool {
        let ClockCheck::Stepped { by_ns } = clock.check(now) else {
            return false;
        };
        let seconds = by_ns as f64 / NS_PER_S as f64;
        self.tell(RunEvent::RunStarted {
            run: clock.run(),
            anchor: clock.anchor(),
            cause: Cause::new(
                CauseKind::ClockStep,
                format!("the wall clock stepped by {seconds:.3} s"),
            ),
        });
        true
    }

    /// Counts a frame; true for the first.
    fn count(&self, unit: &AccessUnit, steady_ns: i64) -> bool {
        let mut s = lock(&self.stats);
        let first = s.frames == 0;
        s.frames += 1;
        s.bytes_in += unit.buffer.size() as u64;
        s.last_frame_steady_ns = Some(steady_ns);
        if let Some(last) = s.last_keyframe_steady_ns {
            s.longest_gop_ns = s.longest_gop_ns.max(steady_ns.saturating_sub(last));
        }
        if unit.keyframe {
            s.keyframes += 1;
            s.last_keyframe_steady_ns = Some(steady_ns);
        }
        s.connected = true;
        first
    }

    fn begin(&self, unit: &AccessUnit, clock: &Arc<RunClock>) {
        // The audio's caps may be there already, without its first packet.
        let mut tracks = unit.info.tracks.clone();
        if tracks.audio.is_none() && self.has_audio.load(Ordering::SeqCst) {
            let caps = lock(&self.pads)
                .iter()
                .find(|p| p.name() == "audio")
                .and_then(gst::prelude::PadExt::current_caps);
            tracks.audio = caps.and_then(|c| audio::track_of(&c));
            lock(&self.tracks).1.clone_from(&tracks.audio);
        }
        self.tell(RunEvent::Connected { tracks });
        self.tell(RunEvent::RunStarted {
            run: clock.run(),
            anchor: clock.anchor(),
            cause: self.spec.cause.clone(),
        });
        self.tell(RunEvent::FirstFrame);
        let Some(record) = self.spec.record.clone() else {
            return;
        };
        let weak = self.me.clone();
        let on_writer: OnNews = Arc::new(move |news| {
            let Some(me) = weak.upgrade() else { return };
            match news {
                WriterNews::Opened(start, path) => me.tell(RunEvent::SegmentOpened { start: *start, path }),
                WriterNews::Closed(segment) => me.tell(RunEvent::SegmentClosed(*segment)),
                WriterNews::Failed(cause) => me.end(cause),
            }
        });
        let weak = self.me.clone();
        let on_news = Box::new(move |news| {
            let Some(me) = weak.upgrade() else { return };
            match news {
                RecordNews::AudioTrouble(cause) => me.tell(RunEvent::AudioTrouble(cause)),
                RecordNews::Dropped(count, cause) => me.dropped(count, cause),
                RecordNews::Failed(cause) => me.end(cause),
            }
        });
        let recorder = Recorder::new(
            self.spec.camera.clone(),
            record,
            clock.clone(),
            self.has_audio.load(Ordering::SeqCst),
            on_writer,
            on_news,
        );
        // A stop that comes now finds either the recorder or its mark.
        let mut slot = lock(&self.recorder);
        if !lock(&self.ending).started {
            *slot = Some(recorder);
        }
    }

    fn dropped(&self, count: u64, cause: Cause) {
        lock(&self.stats).frames_dropped += count;
        self.tell(RunEvent::FramesDropped { count, cause });
    }
}
