//! Segments of what was fetched: the same files as the recorder's, written by its own muxer.

use std::path::PathBuf;

use super::cut::{Group, Placed};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::files::Tree;
use crate::ids::{CameraId, RunId};
use crate::media::fragment::{Sample, SampleFlags};
use crate::media::mux::{self, TrackChunk, VideoEntry};
use crate::rtsp::VideoParams;
use crate::run::Anchor;
use crate::segment::{Container, SegmentFile, SegmentFiles as _, SegmentStart};
use crate::store::Store;
use crate::time::{NS_PER_S, Timestamp};
use crate::track::{Tracks, VideoTrack};

/// Ticks of video per second, as the recorder has them.
const TIMESCALE: u32 = 90_000;
/// A chunk is no longer, unless one picture is.
const CHUNK_NS: i64 = NS_PER_S / 2;

/// What is written, and how.
#[derive(Debug)]
pub(super) struct Spec {
    pub store: Store,
    pub tree: Tree,
    pub clock: SharedClock,
    pub camera: CameraId,
    /// Length of a segment; boundaries lie at multiples of it in UTC.
    pub segment_ns: i64,
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
}

impl Writer {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
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

    /// Writes a group of pictures. Blocks.
    ///
    /// # Errors
    /// `Storage` when it cannot be written, `Unsupported` for pictures that fit into no file.
    pub(super) fn group(&mut self, group: Group) -> Result<()> {
        let slot = group.start_ns().div_euclid(self.spec.segment_ns.max(NS_PER_S));
        if !group.joins {
            self.finish()?;
            self.run = None;
        } else if self.open.as_ref().is_some_and(|o| slot > o.slot) && group.is_closed() {
            self.finish()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(&group, slot)?,
        };
        open.write(group)?;
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
                audio: None,
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
        let init = mux::init_segment(&entry, None);
        file.write_at(0, &init)?;
        self.run = Some((run, anchor, sequence + 1));
        Ok(Open {
            file,
            path,
            at: init.len() as u64,
            chunks: 0,
            origin_ns,
            slot,
        })
    }

    /// Completes the open segment: it is footage from here on, and no gap any more. Blocks.
    ///
    /// # Errors
    /// `Storage` when that fails.
    pub(super) fn finish(&mut self) -> Result<()> {
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

impl Open {
    fn ticks(&self, ns: i64) -> i64 {
        let scaled = i128::from(ns - self.origin_ns) * i128::from(TIMESCALE);
        i64::try_from(scaled.div_euclid(i128::from(NS_PER_S))).unwrap_or(i64::MAX)
    }

    fn write(&mut self, group: Group) -> Result<()> {
        let Group { pictures, end_ns, .. } = group;
        let mut rest = &pictures[..];
        while let Some(first) = rest.first() {
            let len = rest
                .iter()
                .position(|p| p.dts_ns - first.dts_ns >= CHUNK_NS)
                .unwrap_or(rest.len());
            let (chunk, after) = rest.split_at(len);
            let next_ns = after.first().map_or(end_ns, |p| p.dts_ns);
            self.chunk(chunk, next_ns)?;
            rest = after;
        }
        Ok(())
    }

    fn chunk(&mut self, pictures: &[Placed], next_ns: i64) -> Result<()> {
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
        let mut bytes = mux::chunk_head(self.chunks, &[track]);
        for picture in pictures {
            bytes.extend_from_slice(&picture.data);
        }
        self.file.write_at(self.at, &bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
