//! Fetching: from the replay of a recording into segments.

use std::sync::Arc;

use super::cut::{Cutter, Group, Picture};
use super::kind::Wanted;
use super::replay::{Replay, What};
use super::write::{Spec, Writer, Written};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::files::Tree;
use crate::ids::CameraId;
use crate::jobs::{JobContext, JobError};
use crate::nvr::blocking;
use crate::onvif::{CardRecording, Device};
use crate::rtsp::{AudioParams, Event, TrackKind, Unit, VideoParams};
use crate::store::{SegmentQuery, Store};
use crate::time::{NS_PER_S, TimeRange, Timestamp, duration_ns};

/// So much before a hole is asked for: the group of pictures in whose middle it begins.
const LEAD_NS: i64 = 15 * NS_PER_S;
/// So much behind a hole pictures are looked at, at most, for the sound of its end.
const LINGER_NS: i64 = NS_PER_S / 2;
/// Packets of sound that are handed on together.
const SOUND_BATCH: usize = 64;
/// Where footage is looked for that tells the difference of the clocks.
const CLOCK_REACH_NS: i64 = 6 * 3600 * NS_PER_S;
/// A difference that ONVIF tells counts from here on: it knows whole seconds only.
const COARSE_NS: i64 = 2 * NS_PER_S;
/// Pictures without a time after which a replay is given up.
const MOST_TIMELESS: u32 = 32;
/// Bytes that a replay may have in any case, and for each second.
const ALLOWANCE_BYTES: u64 = 64 << 20;
const ALLOWANCE_BYTES_PER_S: u64 = 16 << 20;

/// All that it takes.
pub(super) struct Fetch<'a> {
    pub ctx: &'a JobContext,
    pub store: &'a Store,
    pub tree: &'a Tree,
    pub clock: &'a SharedClock,
    pub camera: &'a CameraId,
    pub wanted: &'a Wanted,
    pub device: &'a Arc<Device>,
    pub recording: &'a CardRecording,
}

/// The replay of one hole under way.
struct Hole {
    cutter: Cutter,
    /// At its thread while it writes.
    writer: Option<Writer>,
    offset_ns: i64,
    timeless: u32,
    /// Sound that was not handed on yet.
    sound: Vec<(Vec<u8>, Timestamp)>,
    sound_expected: bool,
    /// How far pictures and sound came.
    picture_at: Timestamp,
    sound_at: Timestamp,
    range: TimeRange,
    whole_ns: i64,
    done_ns: i64,
}

impl Fetch<'_> {
    /// Fills one hole after the other.
    pub(super) async fn all(&self, holes: &[TimeRange]) -> Result<Written, JobError> {
        let address = self.device.replay_address(&self.recording.token).await?;
        let whole_ns: i64 = holes.iter().map(TimeRange::len_ns).sum();
        let mut sum = Written::default();
        let mut done_ns = 0;
        for &range in holes {
            self.ctx.go_on()?;
            let offset_ns = self.offset(range.start()).await?;
            let theirs = TimeRange::new(
                range.start().add_ns(offset_ns - LEAD_NS),
                range.end().add_ns(offset_ns + NS_PER_S),
            )?;
            let seconds = u64::try_from(theirs.len_ns() / NS_PER_S).unwrap_or(0);
            let what = What {
                address: address.clone(),
                credentials: self.wanted.onvif.credentials.clone(),
                range: theirs,
                rate: self.wanted.onvif.fill.bytes_per_s,
                audio: self.wanted.audio,
                most_bytes: ALLOWANCE_BYTES + ALLOWANCE_BYTES_PER_S.saturating_mul(seconds),
            };
            let hole = Hole {
                cutter: Cutter::new(range),
                writer: Some(Writer::new(Spec {
                    store: self.store.clone(),
                    tree: self.tree.clone(),
                    clock: Arc::clone(self.clock),
                    camera: self.camera.clone(),
                    segment_ns: duration_ns(self.wanted.segment),
                    hole: range,
                    offset_ns,
                })),
                offset_ns,
                timeless: 0,
                sound: Vec::new(),
                sound_expected: false,
                picture_at: Timestamp::MIN,
                sound_at: Timestamp::MIN,
                range,
                whole_ns,
                done_ns,
            };
            let written = self.one(hole, what).await?;
            sum.add(written);
            done_ns += range.len_ns();
        }
        Ok(sum)
    }

    /// How far the camera's clock was ahead then: by the footage before and after, of which both times are known; else as the
    /// camera tells its clock now, if it is far off.
    async fn offset(&self, at: Timestamp) -> Result<i64> {
        let (store, camera) = (self.store.clone(), self.camera.clone());
        let around = TimeRange::new(at.add_ns(-CLOCK_REACH_NS), at.add_ns(CLOCK_REACH_NS))?;
        let told = blocking(move || {
            let mut query = SegmentQuery::new([camera], around);
            let mut nearest: Option<(i64, i64)> = None;
            loop {
                let page = store.segments(&query)?;
                for row in page.items.iter().filter(|r| !r.from_card) {
                    let Some(theirs) = row.camera_start else { continue };
                    let far = row.start.since(at).saturating_abs();
                    if nearest.is_none_or(|(least, _)| far < least) {
                        nearest = Some((far, theirs.since(row.start)));
                    }
                }
                query.cursor = page.next;
                if query.cursor.is_none() {
                    return Ok(nearest.map(|(_, offset)| offset));
                }
            }
        })
        .await?;
        let coarse = || self.device.clock_offset_ns().filter(|o| o.abs() >= COARSE_NS);
        Ok(told.or_else(coarse).unwrap_or(0))
    }

    /// Plays what is missing in one hole. What was fetched is kept, however it ends.
    async fn one(&self, mut hole: Hole, mut what: What) -> Result<Written, JobError> {
        let mut replay = self.open(what.clone()).await?;
        let mut played = self.play(&mut hole, &mut replay).await;
        if what.audio
            && !replay.has_begun()
            && let Err(e) = &played
            && matches!(
                e.error.kind(),
                ErrorKind::Unsupported | ErrorKind::Unavailable | ErrorKind::Timeout
            )
        {
            // The sound may be what the camera cannot play.
            tracing::debug!(error = %e.error, "the camera's card is asked for pictures alone");
            replay.end().await;
            what.audio = false;
            replay = self.open(what).await?;
            played = self.play(&mut hole, &mut replay).await;
        }
        replay.end().await;
        let last = match &played {
            // A card that has nothing there answers so.
            Err(e) if e.error.kind() == ErrorKind::Storage => None,
            _ => hole.cutter.finish(),
        };
        let kept = self.keep(&mut hole, last).await;
        match played {
            Err(e) if e.error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
        Ok(kept?)
    }

    async fn open(&self, what: What) -> Result<Replay, JobError> {
        tokio::select! {
            replay = Replay::open(self.clock, what) => Ok(replay?),
            () = self.ctx.stop() => Err(JobError::stopped()),
        }
    }

    async fn keep(&self, hole: &mut Hole, last: Option<Group>) -> Result<Written> {
        if let Some(group) = last {
            hole.group(group).await?;
        }
        hole.hand_on_sound().await?;
        hole.write(Writer::finish).await?;
        Ok(hole.writer.as_ref().map(|w| w.written).unwrap_or_default())
    }

    async fn play(&self, hole: &mut Hole, replay: &mut Replay) -> Result<(), JobError> {
        loop {
            let events = tokio::select! {
                events = replay.next() => events?,
                () = self.ctx.stop() => return Err(JobError::stopped()),
            };
            for event in events {
                match event {
                    Event::Tracks(tracks) => {
                        self.params(hole, tracks.video).await?;
                        hole.set_sound(tracks.audio).await?;
                    }
                    Event::Parameters(params) => self.params(hole, params).await?,
                    Event::Unit(unit) if unit.track == TrackKind::Video => self.unit(hole, unit).await?,
                    Event::Unit(unit) => hole.take_sound(unit).await?,
                    Event::Ended(_) => return Ok(()),
                    Event::Redirect(_) => {
                        return Err(JobError::lasting(Error::new(
                            ErrorKind::Unsupported,
                            "the camera's replay is at another place than the camera, to which user and password do not go",
                        )));
                    }
                }
                if hole.is_over() {
                    return Ok(());
                }
            }
        }
    }

    /// The next picture has other parameters: what came before it ends.
    async fn params(&self, hole: &mut Hole, params: VideoParams) -> Result<()> {
        if let Some(group) = hole.cutter.interrupt() {
            hole.group(group).await?;
        }
        hole.write(move |w| w.set_params(params)).await
    }

    async fn unit(&self, hole: &mut Hole, unit: Unit) -> Result<()> {
        let Some(theirs) = unit.ntp else {
            hole.timeless += 1;
            if hole.timeless > MOST_TIMELESS {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the camera's replay does not say when its pictures were taken (no ONVIF header extension)",
                ));
            }
            return Ok(());
        };
        if unit.lost_before > 0
            && let Some(group) = hole.cutter.interrupt()
        {
            hole.group(group).await?;
        }
        let at = theirs.add_ns(-hole.offset_ns);
        hole.picture_at = at;
        let ended = hole.cutter.push(Picture {
            data: unit.data,
            keyframe: unit.keyframe,
            at,
        })?;
        if let Some(group) = ended {
            hole.group(group).await?;
        }
        let here_ns = at.since(hole.range.start()).clamp(0, hole.range.len_ns());
        let share = (hole.done_ns + here_ns) as f64 / hole.whole_ns.max(1) as f64;
        self.ctx.progress(share, "reads the camera's card");
        Ok(())
    }
}

impl Hole {
    /// The hole is full; what follows is of no use.
    fn is_over(&self) -> bool {
        let end = self.range.end();
        let more_sound =
            self.sound_expected && self.sound_at < end && self.picture_at < end.add_ns(LINGER_NS);
        self.cutter.is_over() && !more_sound
    }

    async fn set_sound(&mut self, params: Option<AudioParams>) -> Result<()> {
        self.hand_on_sound().await?;
        let expected = self
            .write(move |w| {
                w.set_sound(params);
                Ok(w.expects_sound())
            })
            .await?;
        self.sound_expected = expected;
        Ok(())
    }

    /// Sound without a time is left out.
    async fn take_sound(&mut self, unit: Unit) -> Result<()> {
        let Some(theirs) = unit.ntp.filter(|_| self.sound_expected) else {
            return Ok(());
        };
        let at = theirs.add_ns(-self.offset_ns);
        self.sound_at = at;
        self.sound.push((unit.data, at));
        if self.sound.len() >= SOUND_BATCH {
            self.hand_on_sound().await?;
        }
        Ok(())
    }

    async fn hand_on_sound(&mut self) -> Result<()> {
        let sound = std::mem::take(&mut self.sound);
        if sound.is_empty() {
            return Ok(());
        }
        self.write(move |w| {
            w.sound(sound);
            Ok(())
        })
        .await
    }

    /// Writes a group, and takes up the sound that came so far.
    async fn group(&mut self, group: Group) -> Result<()> {
        self.hand_on_sound().await?;
        self.write(move |w| w.group(group)).await
    }

    /// Does something with the writer where it may block. One that failed is gone.
    async fn write<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Writer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Some(mut writer) = self.writer.take() else {
            return Err(Error::new(
                ErrorKind::Internal,
                "what was fetched cannot be written any more",
            ));
        };
        let (writer, result) = blocking(move || {
            let result = act(&mut writer);
            Ok((writer, result))
        })
        .await?;
        if result.is_ok() {
            self.writer = Some(writer);
        }
        result
    }
}
