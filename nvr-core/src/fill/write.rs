//! Segments of what was fetched: the same files as the recorder's, written by its own muxer.

use std::path::PathBuf;

use super::cut::{Group, Placed};
use super::sound::{Packet, Sound};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::files::Tree;
use crate::ids::{CameraId, RunId};
use crate::media::fragment::{Sample, SampleFlags};
use crate::media::mux::{self, TrackChunk, VideoEntry};
use crate::rtsp::{AudioParams, VideoParams};
use crate::run::Anchor;
use crate::segment::{Container, SegmentFile, SegmentFiles as _, SegmentStart};
use crate::store::Store;
use crate::time::{NS_PER_S, TimeRange, Timestamp};
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoTrack};

/// Ticks of video per second, as the recorder has them.
const TIMESCALE: u32 = 90_000;
/// A chunk is no longer, unless one picture is.
const CHUNK_NS: i64 = NS_PER_S / 2;
/// Samples of a packet of AAC.
const AAC_SAMPLES: u32 = 1024;

/// What is written, and how.
#[derive(Debug)]
pub(super) struct Spec {
    pub store: Store,
    pub tree: Tree,
    pub clock: SharedClock,
    pub camera: CameraId,
    /// Length of a segment; boundaries lie at multiples of it in UTC.
    pub segment_ns: i64,
    /// What is filled.
    pub hole: TimeRange,
    /// How far the camera's clock is ahead of ours.
    pub offset_ns: i64,
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Written {
    pub segments: u64,
    pub bytes: u64,
    pub duration_ns: i64,
}

impl Written {
    pub(super) const fn add(&mut self, more: Self) {
        self.segments += more.segments;
        self.bytes += more.bytes;
        self.duration_ns += more.duration_ns;
    }
}

/// Writes the footage of one hole. Each unbroken stretch is a run of its own. Dropped in the middle of a segment it leaves it
/// as a crash would.
#[derive(Debug)]
pub(super) struct Writer {
    spec: Spec,
    params: Option<VideoParams>,
    /// Run, its anchor and the number of its next segment.
    run: Option<(RunId, Anchor, u32)>,
    open: Option<Open>,
    /// A group that waits for its sound, which may come a little later.
    held: Option<Group>,
    sound: Sound,
    pub(super) written: Written,
}

#[derive(Debug)]
struct Open {
    file: Box<dyn SegmentFile>,
    path: PathBuf,
    /// Bytes that were handed over.
    at: u64,
    chunks: u32,
    /// When its first picture is shown, in nanoseconds since 1970.
    origin_ns: i64,
    /// Which multiple of the segment's length it lies in.
    slot: i64,
    sound: Option<SoundTrack>,
}

/// Where the sound of a file stands, in samples.
#[derive(Clone, Copy, Debug)]
struct SoundTrack {
    rate: u32,
    /// Where the sound so far ends.
    end: Option<i64>,
}

impl SoundTrack {
    /// Where a packet goes that begins so long after the file; `None` for one that begins before it, or whose place is taken.
    fn place(&mut self, after_ns: i64) -> Option<i64> {
        let packet = i64::from(AAC_SAMPLES);
        let at = ticks(after_ns, self.rate);
        let at = match self.end {
            Some(end) if at < end - 2 * packet => return None,
            // Times are rounded, and clocks differ: packets of one encoder follow each other.
            Some(end) if at < end + packet => end,
            _ if at < 0 => return None,
            _ => at,
        };
        self.end = Some(at + packet);
        Some(at)
    }
}

impl Writer {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            sound: Sound::new(spec.hole),
            held: None,
            spec,
            params: None,
            run: None,
            open: None,
            written: Written::default(),
        }
    }

    /// The parameters of the pictures that follow.
    ///
    /// # Errors
    /// As [`finish`](Self::finish): a file has one set.
    pub(super) fn set_params(&mut self, params: VideoParams) -> Result<()> {
        if self.params.as_ref() != Some(&params) {
            self.finish()?;
            self.params = Some(params);
        }
        Ok(())
    }

    /// What the sound that follows is; `None`: none follows.
    pub(super) fn set_sound(&mut self, params: Option<AudioParams>) {
        self.sound.set(params);
    }

    /// Sound may come.
    pub(super) fn expects_sound(&self) -> bool {
        self.sound.is_expected()
    }

    /// Takes packets of sound with their times by the recorder's clock. May block for as long as encoding takes.
    pub(super) fn sound(&mut self, packets: Vec<(Vec<u8>, Timestamp)>) {
        for (data, at) in packets {
            self.sound.push(data, at);
        }
    }

    /// Writes a group of pictures; where there is sound, as soon as there is another. Blocks.
    ///
    /// # Errors
    /// `Storage` when it cannot be written, `Unsupported` for pictures that fit into no file.
    pub(super) fn group(&mut self, group: Group) -> Result<()> {
        let due = if self.sound.is_expected() {
            self.held.replace(group)
        } else {
            self.write_held()?;
            Some(group)
        };
        due.map_or(Ok(()), |group| self.write(group))
    }

    fn write_held(&mut self) -> Result<()> {
        self.held.take().map_or(Ok(()), |group| self.write(group))
    }

    fn write(&mut self, group: Group) -> Result<()> {
        let slot = group.start_ns().div_euclid(self.spec.segment_ns.max(NS_PER_S));
        // A file says at its start whether it has sound.
        let sounds = self.sound.entry().is_some();
        let ends = |o: &Open| slot > o.slot || (sounds && o.sound.is_none());
        if !group.joins {
            self.close()?;
            self.run = None;
        } else if self.open.as_ref().is_some_and(ends) && group.is_closed() {
            self.close()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(&group, slot)?,
        };
        open.write(group, &mut self.sound)?;
        self.open = Some(open);
        Ok(())
    }

    fn begin(&mut self, group: &Group, slot: i64) -> Result<Open> {
        let unusable = |what: &str| {
            Error::new(
                ErrorKind::Unsupported,
                format!("what is on the camera's card cannot be put into a file: {what}"),
            )
        };
        let params = self
            .params
            .as_ref()
            .ok_or_else(|| unusable("no parameter sets"))?;
        let side = |side: u32| {
            let side = u16::try_from(side).ok().filter(|&s| s > 0);
            side.ok_or_else(|| unusable("no size of the picture"))
        };
        let entry = VideoEntry {
            codec: params.codec,
            config: params.codec_data.clone(),
            width: side(params.width)?,
            height: side(params.height)?,
            pixel_aspect: params.pixel_aspect.unwrap_or((1, 1)),
            timescale: TIMESCALE,
        };
        let audio = self.sound.entry();
        let origin_ns = group.start_ns();
        let start = Timestamp::from_ns(origin_ns);
        let (run, anchor, sequence) = *self.run.get_or_insert_with(|| {
            let anchor = Anchor {
                utc: start,
                steady_ns: self.spec.clock.steady_ns(),
                running_ns: 0,
            };
            (RunId::random(), anchor, 0)
        });
        let rate = params.frame_rate.map(|(n, d)| f64::from(n) / f64::from(d.max(1)));
        let start = SegmentStart {
            camera: self.spec.camera.clone(),
            run,
            sequence,
            anchor,
            start,
            camera_start: Some(start.add_ns(self.spec.offset_ns)),
            container: Container::Fmp4,
            tracks: Tracks {
                video: VideoTrack {
                    codec: params.codec,
                    width: params.width,
                    height: params.height,
                    frame_rate: rate.filter(|r| r.is_finite() && *r > 0.0),
                },
                audio: audio.map(|a| AudioTrack {
                    codec: AudioCodec::Aac,
                    sample_rate: a.sample_rate,
                    channels: u32::from(a.channels),
                }),
            },
            masks: None,
            from_card: true,
        };
        let mut file = self.spec.tree.create(&start)?;
        let path = file.path().to_owned();
        if sequence == 0 {
            let cause = Cause::new(CauseKind::Requested, "fetched from the camera's card");
            let (store, camera) = (&self.spec.store, &self.spec.camera);
            store.begin_run_blocking(run, camera, anchor, start.start, &cause)?;
            // It is over when it begins: a crash must not leave one that seems to go on.
            store.end_run_blocking(run, camera, Timestamp::from_ns(group.end_ns), &cause)?;
        }
        self.spec.store.open_segment_blocking(&start, &path)?;
        let init = mux::init_segment(&entry, audio);
        file.write_at(0, &init)?;
        self.run = Some((run, anchor, sequence + 1));
        Ok(Open {
            file,
            path,
            at: init.len() as u64,
            chunks: 0,
            origin_ns,
            slot,
            sound: audio.map(|a| SoundTrack {
                rate: a.sample_rate,
                end: None,
            }),
        })
    }

    /// Completes the open segment: it is footage from here on, and no gap any more. Blocks.
    ///
    /// # Errors
    /// `Storage` when that fails.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.write_held()?;
        self.close()
    }

    fn close(&mut self) -> Result<()> {
        let Some(Open { file, path, .. }) = self.open.take() else {
            return Ok(());
        };
        let closed = file.finish()?;
        let (store, camera) = (&self.spec.store, &self.spec.camera);
        store.fill_segment_blocking(&closed)?;
        self.spec.tree.indexed(camera, &path);
        let cause = Cause::new(CauseKind::Requested, "fetched from the camera's card");
        store.end_run_blocking(closed.start.run, camera, closed.range().end(), &cause)?;
        self.written.segments += 1;
        self.written.bytes += closed.size_bytes;
        self.written.duration_ns += closed.duration_ns;
        Ok(())
    }
}

fn ticks(ns: i64, rate: u32) -> i64 {
    let scaled = i128::from(ns) * i128::from(rate);
    i64::try_from(scaled.div_euclid(i128::from(NS_PER_S))).unwrap_or(i64::MAX)
}

impl Open {
    fn ticks(&self, ns: i64) -> i64 {
        ticks(ns - self.origin_ns, TIMESCALE)
    }

    fn write(&mut self, group: Group, sound: &mut Sound) -> Result<()> {
        let Group { pictures, end_ns, .. } = group;
        let mut rest = &pictures[..];
        while let Some(first) = rest.first() {
            let len = rest
                .iter()
                .position(|p| p.dts_ns - first.dts_ns >= CHUNK_NS)
                .unwrap_or(rest.len());
            let (chunk, after) = rest.split_at(len);
            let next_ns = after.first().map_or(end_ns, |p| p.dts_ns);
            self.chunk(chunk, next_ns, sound.take_before(next_ns))?;
            rest = after;
        }
        Ok(())
    }

    /// The places of packets in the file, and the packets that have one.
    fn place(&mut self, sound: Vec<Packet>) -> (Vec<i64>, Vec<Vec<u8>>) {
        let origin_ns = self.origin_ns;
        let Some(track) = &mut self.sound else {
            return Default::default();
        };
        let placed = sound.into_iter().filter_map(|packet| {
            let at = track.place(packet.at_ns - origin_ns)?;
            Some((at, packet.data))
        });
        placed.unzip()
    }

    fn chunk(&mut self, pictures: &[Placed], next_ns: i64, sound: Vec<Packet>) -> Result<()> {
        let starts: Vec<i64> = pictures.iter().map(|p| self.ticks(p.dts_ns)).collect();
        let ends = starts.iter().skip(1).copied().chain([self.ticks(next_ns)]);
        let samples: Vec<Sample> = pictures
            .iter()
            .zip(&starts)
            .zip(ends)
            .map(|((p, &start), end)| Sample {
                duration: u32::try_from(end.saturating_sub(start)).unwrap_or(0),
                size: u32::try_from(p.data.len()).unwrap_or(u32::MAX),
                flags: if p.keyframe {
                    SampleFlags::SYNC
                } else {
                    SampleFlags::NON_SYNC
                },
                cts_offset: i32::try_from(self.ticks(p.pts_ns).saturating_sub(start)).unwrap_or(0),
            })
            .collect();
        self.chunks += 1;
        let track = TrackChunk {
            id: mux::VIDEO_ID,
            decode_time: starts.first().copied().unwrap_or(0).max(0).unsigned_abs(),
            samples: &samples,
        };
        let (times, packets) = self.place(sound);
        let ends = times.iter().skip(1).copied();
        let sounds: Vec<Sample> = times
            .iter()
            .zip(ends.map(Some).chain([None]))
            .zip(&packets)
            .map(|((&start, end), packet)| Sample {
                duration: end.map_or(AAC_SAMPLES, |end| {
                    u32::try_from(end - start).unwrap_or(AAC_SAMPLES)
                }),
                size: u32::try_from(packet.len()).unwrap_or(u32::MAX),
                flags: SampleFlags::SYNC,
                cts_offset: 0,
            })
            .collect();
        let sound = TrackChunk {
            id: mux::AUDIO_ID,
            decode_time: times.first().map_or(0, |t| t.unsigned_abs()),
            samples: &sounds,
        };
        let mut bytes = mux::chunk_head(self.chunks, &[track, sound]);
        for data in pictures.iter().map(|p| &p.data).chain(&packets) {
            bytes.extend_from_slice(data);
        }
        self.file.write_at(self.at, &bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
