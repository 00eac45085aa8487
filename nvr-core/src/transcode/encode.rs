//! One segment to one draft: the same chunks with other video in them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::fault::storage;
use crate::files::replace::Draft;
use crate::gst::{self, ArchiveEncoder, ArchiveSettings, CodedFrame, CodedVideo, Gate, RecodeFault, Recoded};
use crate::media::index::Fragment;
use crate::media::init::CodecConfig;
use crate::media::recode::{Chunk, NewSample, NewVideo, init_with, is_avc};
use crate::media::{ClosedInfo, GrowingIndex, InitSegment, describe, mfra, read_closed};
use crate::priority::Priority;
use crate::privacy::Privacy;
use crate::segment::{ClosedSegment, SegmentStart};
use crate::time::NS_PER_S;
use crate::track::VideoCodec;

/// Largest fragment that is read into memory.
const MOST_FRAGMENT_BYTES: u32 = 256 << 20;

/// A segment as it is read.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) file: File,
    pub(super) info: ClosedInfo,
    /// Video frames in it.
    pub(super) frames: u64,
    /// Presentation time of the frame that is shown first, ticks.
    first_pts: i64,
    /// Whether frames are decoded in another order than they are shown.
    pub(super) reorders: bool,
}

impl Original {
    /// Reads its ends and all of its tables; `Ok(Err(…))` says why it cannot be encoded again.
    pub(super) fn read(file: File) -> Result<Result<Self, String>> {
        let Some(info) = read_closed(&mut &file)? else {
            return Ok(Err("its end is missing or damaged".into()));
        };
        let video = info.init.video();
        let is_usable = video.is_some_and(|v| match &v.config {
            CodecConfig::Avc(_) => is_avc(v.sample_entry),
            // To burn masks in.
            CodecConfig::Hevc(_) => v.sample_entry == b"hvc1",
            _ => false,
        });
        if !is_usable {
            return Ok(Err("its video is neither H.264 nor H.265".into()));
        }
        let (mut frames, mut first_pts, mut reorders) = (0u64, i64::MAX, false);
        let mut last_pts = i64::MIN;
        for fragment in &info.index.fragments {
            let chunk = read_chunk(&file, fragment, &info.init)?;
            frames += chunk.frames.len() as u64;
            reorders |= chunk.reorders();
            let (from, to) = (
                chunk.frames.iter().map(|f| f.pts).min(),
                chunk.frames.iter().map(|f| f.pts).max(),
            );
            if let (Some(from), Some(to)) = (from, to) {
                if from <= last_pts {
                    return Ok(Err(
                        "frames are shown before those of the chunk before them".into()
                    ));
                }
                first_pts = first_pts.min(from);
                last_pts = to;
            }
        }
        if frames == 0 {
            return Ok(Err("there is no video in it".into()));
        }
        Ok(Ok(Self {
            file,
            info,
            frames,
            first_pts,
            reorders,
        }))
    }

    /// What its video is.
    pub(super) fn video(&self) -> Option<CodedVideo> {
        let track = self.info.init.video()?;
        let (codec, config) = match &track.config {
            CodecConfig::Avc(config) => (VideoCodec::H264, config),
            CodecConfig::Hevc(config) => (VideoCodec::H265, config),
            _ => return None,
        };
        Some(CodedVideo {
            codec,
            codec_data: config.clone(),
            size: (track.width.into(), track.height.into()),
        })
    }

    fn timescale(&self) -> u32 {
        self.info.index.timescale.max(1)
    }

    /// Nanoseconds from the first frame.
    fn ns(&self, pts: i64) -> i64 {
        let ticks = i128::from(pts - self.first_pts);
        let ns = (ticks * i128::from(NS_PER_S)) / i128::from(self.timescale());
        i64::try_from(ns).unwrap_or(i64::MAX)
    }
}

pub(super) fn read_chunk(file: &File, fragment: &Fragment, init: &InitSegment) -> Result<Chunk> {
    if fragment.size > MOST_FRAGMENT_BYTES {
        let why = format!("a fragment of {} bytes", fragment.size);
        return Err(Error::new(ErrorKind::Corrupt, why));
    }
    let mut bytes = vec![0; fragment.size as usize];
    file.read_exact_at(&mut bytes, fragment.offset)
        .map_err(|e| storage("read a segment", e))?;
    Chunk::read(bytes, init)
}

/// Why a draft came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another encoder may do it.
    Encoder(String),
    /// The original stays for good, and why.
    Keep(String),
    /// It was told to stop.
    Stopped,
    /// Disk or index.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

/// How a segment is encoded.
pub(super) struct How<'a> {
    pub(super) encoder: &'a ArchiveEncoder,
    pub(super) settings: &'a ArchiveSettings,
    pub(super) priority: Priority,
    /// More than this is not worth it.
    pub(super) most_bytes: u64,
    /// What nobody is to see of it.
    pub(super) privacy: Option<&'a Arc<Privacy>>,
}

/// Encodes a segment into a draft. `progress` is told the share that is done.
pub(super) fn encode(
    original: &Original,
    draft: &Draft,
    how: &How<'_>,
    progress: &mut dyn FnMut(f64),
    gate: &mut dyn FnMut() -> Gate,
) -> Result<ClosedSegment, Failure> {
    let video = original
        .video()
        .ok_or_else(|| Failure::Keep("its video is neither H.264 nor H.265".into()))?;
    let state = RefCell::new(State {
        original,
        out: Output::new(&draft.file),
        waiting: VecDeque::new(),
        next_fragment: 0,
        frame: 0,
        done: 0,
        most_bytes: how.most_bytes,
        masks: how.privacy.map(|p| p.text()),
        failure: None,
    });
    let with = gst::RecodeWith {
        encoder: how.encoder,
        settings: how.settings,
        priority: Some(how.priority),
        view: None,
        privacy: how.privacy,
    };
    let result = gst::recode(
        &video,
        with,
        || state.borrow_mut().next(),
        &mut |recoded| {
            let mut state = state.borrow_mut();
            state.take(recoded)?;
            progress(state.done as f64 / original.frames.max(1) as f64);
            Ok(())
        },
        gate,
    );
    let mut state = state.into_inner();
    if let Some(failure) = state.failure.take() {
        return Err(failure);
    }
    match result {
        Ok(_) => {}
        Err(RecodeFault::Encoder(why)) => return Err(Failure::Encoder(why)),
        Err(RecodeFault::Input(why)) => return Err(Failure::Keep(why)),
        Err(RecodeFault::Stopped) => return Err(Failure::Stopped),
        Err(RecodeFault::Other(e)) => return Err(Failure::Other(e)),
    }
    state.flush()?;
    if !state.waiting.is_empty() {
        return Err(Failure::Encoder("frames are missing at the end".into()));
    }
    state.out.finish(draft.path())
}

/// A chunk whose frames are with the encoder.
struct Waiting {
    chunk: Chunk,
    /// Times and keyframes in the order of presentation.
    order: Vec<(i64, bool)>,
    made: Vec<CodedFrame>,
}

struct State<'a> {
    original: &'a Original,
    out: Output<'a>,
    waiting: VecDeque<Waiting>,
    next_fragment: usize,
    /// The next frame of the newest chunk.
    frame: usize,
    done: u64,
    most_bytes: u64,
    /// What is burnt in.
    masks: Option<String>,
    failure: Option<Failure>,
}

impl State<'_> {
    /// The next frame in decode order.
    fn next(&mut self) -> Result<Option<CodedFrame>> {
        loop {
            if let Some(newest) = self.waiting.back()
                && let Some(frame) = newest.chunk.frames.get(self.frame)
            {
                self.frame += 1;
                return Ok(Some(CodedFrame {
                    data: newest.chunk.bytes[frame.data.clone()].to_vec(),
                    pts_ns: self.original.ns(frame.pts),
                    keyframe: frame.keyframe,
                    shown: true,
                }));
            }
            let Some(fragment) = self.original.info.index.fragments.get(self.next_fragment) else {
                return Ok(None);
            };
            let chunk = read_chunk(&self.original.file, fragment, &self.original.info.init)?;
            let mut order: Vec<(i64, bool)> = chunk.frames.iter().map(|f| (f.pts, f.keyframe)).collect();
            order.sort_unstable();
            self.next_fragment += 1;
            self.frame = 0;
            self.waiting.push_back(Waiting {
                chunk,
                order,
                made: Vec::new(),
            });
        }
    }

    /// Ends the work with a failure of ours.
    fn fail<T>(&mut self, failure: Failure) -> Result<T> {
        self.failure = Some(failure);
        Err(Error::new(ErrorKind::Internal, "the draft was given up"))
    }

    fn take(&mut self, recoded: Recoded) -> Result<()> {
        let frame = match recoded {
            Recoded::Config(config) => {
                let mut start = self.original.info.description.clone();
                start.tracks.video.codec = VideoCodec::H265;
                start.masks.clone_from(&self.masks);
                let init = init_with(
                    &self.original.info.init,
                    &NewVideo {
                        codec: VideoCodec::H265,
                        config: &config,
                        size: None,
                    },
                )?;
                return self.out.begin(&init, start);
            }
            Recoded::Frame(frame) => frame,
        };
        self.flush()?;
        let original = self.original;
        let expected = self.waiting.front_mut().and_then(|w| {
            let (pts, keyframe) = *w.order.get(w.made.len())?;
            Some((original.ns(pts), keyframe))
        });
        if expected != Some((frame.pts_ns, frame.keyframe)) {
            let why = match expected {
                Some((at, key)) if at == frame.pts_ns && key => "it made no keyframe where it was asked to",
                Some((at, _)) if at == frame.pts_ns => "it made a keyframe where nobody asked for one",
                _ => "it gave a frame another time",
            };
            return self.fail(Failure::Encoder(why.into()));
        }
        if let Some(w) = self.waiting.front_mut() {
            w.made.push(frame);
        }
        self.done += 1;
        self.flush()?;
        if self.out.written > self.most_bytes {
            let (so_far, of) = (self.done, original.frames);
            return self.fail(Failure::Keep(format!(
                "it does not become small enough ({} bytes after {so_far} of {of} frames)",
                self.out.written
            )));
        }
        Ok(())
    }

    /// Writes the chunks that are complete.
    fn flush(&mut self) -> Result<()> {
        while let Some(w) = self.waiting.front() {
            if w.made.len() < w.order.len() {
                break;
            }
            if self.out.start.is_none() {
                // A chunk of sound before the first picture waits for the parameter sets.
                break;
            }
            let durations = self.durations(w);
            let samples: Vec<NewSample<'_>> = w
                .made
                .iter()
                .zip(&w.order)
                .zip(durations)
                .map(|((frame, &(pts, keyframe)), duration)| NewSample {
                    pts,
                    duration,
                    keyframe,
                    data: &frame.data,
                })
                .collect();
            let id = self.original.info.init.video().map_or(0, |t| t.id);
            let bytes = w.chunk.with_video(id, &samples, !self.original.reorders)?;
            self.out.put(&bytes)?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// How long each frame of a chunk is shown, where decode times become those of presentation: up to the next,
    /// the last as long as the sum of the chunk's says.
    fn durations(&self, w: &Waiting) -> Vec<u32> {
        let total: i64 = w.chunk.frames.iter().map(|f| i64::from(f.duration)).sum();
        let first = w.order.first().map_or(0, |f| f.0);
        let mut ends: Vec<i64> = w.order.iter().skip(1).map(|f| f.0).collect();
        let next = self
            .waiting
            .get(1)
            .and_then(|next| next.order.first())
            .map(|f| f.0);
        let last = w.order.last().map_or(0, |f| f.0);
        let spare = w
            .chunk
            .frames
            .iter()
            .map(|f| i64::from(f.duration))
            .min()
            .unwrap_or(0);
        ends.push(next.unwrap_or_else(|| (first + total).max(last + spare)));
        w.order
            .iter()
            .zip(ends)
            .map(|(f, end)| u32::try_from(end - f.0).unwrap_or(0))
            .collect()
    }
}

/// Writes the file, follows its index and hashes it.
struct Output<'a> {
    file: &'a File,
    index: GrowingIndex,
    hash: Box<blake3::Hasher>,
    written: u64,
    start: Option<SegmentStart>,
}

impl<'a> Output<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            index: GrowingIndex::new(),
            hash: Box::default(),
            written: 0,
            start: None,
        }
    }

    fn begin(&mut self, init: &[u8], start: SegmentStart) -> Result<()> {
        self.put(init)?;
        self.put(&describe::to_box(&start))?;
        self.start = Some(start);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.index.push(bytes)?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut file = self.file;
        file.write_all(bytes)
            .map_err(|e| storage("write a new version of a segment", e))?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self, path: std::path::PathBuf) -> Result<ClosedSegment, Failure> {
        let (Some(start), Some(init)) = (self.start.take(), self.index.init().cloned()) else {
            return Err(Failure::Encoder("it made nothing".into()));
        };
        let index = self.index.index().clone();
        self.write(&mfra::closing_boxes(&index, &init, self.index.samples()))?;
        Ok(ClosedSegment {
            start,
            path,
            duration_ns: index.duration_ns(),
            size_bytes: self.written,
            fragments: index.to_blob(),
            hash: Some(*self.hash.finalize().as_bytes()),
            recovered: false,
        })
    }
}
