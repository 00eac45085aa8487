//! Fragmented MP4, one chunk at a time.
//!
//! The caller's thread gathers units and says where a chunk ends ([`Cuts`]); a thread of the writer's own makes
//! the bytes and writes them, one write a chunk. So what a disk does is felt by that thread alone, and between
//! two chunks nobody is woken. A chunk is handed on when the frame after it is there, which says how long its
//! last frame is.
//!
//! Sound is mostly later than the picture, and more so when it is converted. What sounds before a split but comes
//! after it belongs to the file before: that one stays open, with its last frames not handed on, until the sound has
//! passed the split.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::cuts::Cuts;
use super::times::{FileTimes, Placed, VIDEO_TIMESCALE, decode_time, durations};
use super::{Ended, Latest, OnNews, Shared, Unit, WriterNews, WriterSpec, subtract_waiting};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::gst::bus::storage_cause;
use crate::gst::guard::guarded;
use crate::media::fragment::{Sample, SampleFlags};
use crate::media::mux::{self, AudioEntry, TrackChunk, VideoEntry};
use crate::segment::{SegmentFile, SegmentFiles, SegmentStart};
use crate::time::NS_PER_S;
use crate::track::VideoCodec;

/// AAC packets without a duration have so many samples.
const AAC_SAMPLES: i64 = 1024;
/// A file waits for its last sound for so much of the next one's video at most: longer than sound may lag.
const MOST_WAITING_NS: i64 = 6_000_000_000;

pub(crate) struct ChunkWriter {
    /// Ticks of audio per second, where there is audio.
    audio_scale: Option<u32>,
    cuts: Cuts,
    latest: Latest,
    /// The file that units go to now.
    file: Option<Gathering>,
    /// The file before it, while its last sound is not there.
    before: Option<Box<Waiting>>,
    jobs: Option<Sender<Job>>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for ChunkWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkWriter").finish_non_exhaustive()
    }
}

/// What of a file has not been handed on.
#[derive(Debug)]
struct Gathering {
    /// Presentation and decoding time of its first frame.
    first: (i64, i64),
    /// Known as soon as the first chunk is complete.
    times: Option<FileTimes>,
    video: Vec<Unit>,
    audio: Vec<Unit>,
    chunks: u32,
}

/// A file that the next one has begun behind, with its last frames.
#[derive(Debug)]
struct Waiting {
    file: Gathering,
    /// Presentation and decoding time of the frame that begins the next file.
    until: (i64, i64),
}

/// Of the two files that may be open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    /// That which was begun last.
    Present,
    /// The one before it.
    Before,
}

#[derive(Debug)]
enum Job {
    /// A file begins.
    Begin(Box<SegmentStart>),
    /// A chunk: `moof` with the header of `mdat`, the samples, and how many bytes were fed for it.
    Chunk {
        which: Which,
        head: Vec<u8>,
        buffers: Vec<gst::Buffer>,
        fed: u64,
    },
    /// The file is complete.
    Complete(Which),
    /// No file follows.
    End,
}

impl ChunkWriter {
    pub(super) fn new(spec: &WriterSpec, news: &OnNews) -> Result<Self> {
        let video = video_entry(&spec.video_caps)?;
        let audio = spec.audio_caps.as_deref().map(audio_entry).transpose()?;
        let init = mux::init_segment(&video, audio.as_ref());
        let shared = Arc::new(Shared::default());
        let (jobs, receiver) = channel();
        let worker = Worker {
            files: spec.files.clone(),
            news: news.clone(),
            shared: shared.clone(),
            init,
        };
        let span = tracing::Span::current();
        std::thread::Builder::new()
            .name("nvr-write".into())
            .spawn(move || span.in_scope(|| worker.run(&receiver)))
            .map_err(|e| Error::io("cannot start a thread", e))?;
        Ok(Self {
            audio_scale: audio.map(|a| a.sample_rate),
            cuts: Cuts::new(spec.chunk),
            latest: Latest::default(),
            file: None,
            before: None,
            jobs: Some(jobs),
            shared,
        })
    }

    pub(super) fn has_audio(&self) -> bool {
        self.audio_scale.is_some()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn send(&self, job: Job) -> Result<(), Ended> {
        let jobs = self.jobs.as_ref().ok_or(Ended)?;
        jobs.send(job).map_err(|_| Ended)
    }

    pub(super) fn feed(
        &mut self,
        unit: &Unit,
        audio: &[Unit],
        segment: Option<SegmentStart>,
    ) -> Result<(), Ended> {
        let begins = segment.is_some();
        let mut due = audio;
        if self
            .before
            .as_ref()
            .is_some_and(|w| unit.dts_ns.saturating_sub(w.until.1) > MOST_WAITING_NS)
        {
            self.complete_before()?;
        }
        if let Some(start) = segment {
            if self.file.is_some() {
                // What sounds before the split belongs to the file before it.
                let (before, after) = audio.split_at(audio.partition_point(|a| a.pts_ns < unit.pts_ns));
                self.feed_audio(before)?;
                self.split(unit, after.is_empty())?;
                due = after;
            }
            self.send(Job::Begin(Box::new(start)))?;
            self.file = Some(Gathering {
                first: (unit.pts_ns, unit.dts_ns),
                times: None,
                video: Vec::new(),
                audio: Vec::new(),
                chunks: 0,
            });
        }
        self.feed_audio(due)?;
        if self.cuts.before(unit, begins) {
            self.hand_on(unit.dts_ns)?;
        }
        self.latest.remember(unit);
        let file = self.file.as_mut().ok_or(Ended)?;
        self.shared.add_waiting(unit.buffer.size());
        file.video.push(unit.clone());
        Ok(())
    }

    /// Nothing will come for a while: what there is becomes a chunk, but for the last frame, whose end is not known, and those
    /// that are shown between it and earlier ones.
    pub(super) fn pause(&mut self) -> Result<(), Ended> {
        self.hand_on_what_is_clear()
    }

    fn hand_on_what_is_clear(&mut self) -> Result<(), Ended> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let Some(dts_ns) = self.cuts.at_pause() else {
            return Ok(());
        };
        let Some(at) = file.video.iter().rposition(|u| u.dts_ns == dts_ns) else {
            return Ok(());
        };
        let rest = file.video.split_off(at);
        let handed_on = self.hand_on(dts_ns);
        if let Some(file) = &mut self.file {
            file.video = rest;
        }
        handed_on
    }

    /// Audio waits for the video that it goes with.
    pub(super) fn feed_audio(&mut self, audio: &[Unit]) -> Result<(), Ended> {
        for unit in audio {
            if self.before.as_ref().is_some_and(|w| unit.pts_ns >= w.until.0) {
                self.complete_before()?;
            }
            let waiting = self.before.as_mut().map(|w| &mut w.file);
            let Some(file) = waiting.or(self.file.as_mut()) else {
                return Ok(());
            };
            self.shared.add_waiting(unit.buffer.size());
            file.audio.push(unit.clone());
        }
        Ok(())
    }

    /// Hands on what was gathered as a chunk. `next_dts_ns` is when the frame behind it is decoded.
    fn hand_on(&mut self, next_dts_ns: i64) -> Result<(), Ended> {
        let scale = self.audio_scale;
        let file = self.file.as_mut().ok_or(Ended)?;
        let (fed, chunk) = (file.fed(), file.chunk(next_dts_ns, scale));
        self.send_chunk(Which::Present, fed, chunk)
    }

    fn send_chunk(&self, which: Which, fed: u64, chunk: Option<Chunk>) -> Result<(), Ended> {
        let Some((head, buffers)) = chunk else {
            subtract_waiting(&self.shared.waiting_bytes, fed);
            return Ok(());
        };
        self.send(Job::Chunk {
            which,
            head,
            buffers,
            fed,
        })
    }

    /// `next` begins the next file. `sound_lags`: none of it is for that file yet.
    fn split(&mut self, next: &Unit, sound_lags: bool) -> Result<(), Ended> {
        self.complete_before()?;
        if !(self.has_audio() && sound_lags) {
            return self.complete(next.dts_ns);
        }
        // Little is left that a crash would cost; and the last chunk will have pictures, as all have.
        self.hand_on_what_is_clear()?;
        self.before = self.file.take().map(|file| {
            Box::new(Waiting {
                file,
                until: (next.pts_ns, next.dts_ns),
            })
        });
        Ok(())
    }

    /// Completes the file that waits for its last sound.
    fn complete_before(&mut self) -> Result<(), Ended> {
        let Some(mut waiting) = self.before.take() else {
            return Ok(());
        };
        let fed = waiting.file.fed();
        let chunk = waiting.file.chunk(waiting.until.1, self.audio_scale);
        self.send_chunk(Which::Before, fed, chunk)?;
        self.send(Job::Complete(Which::Before))
    }

    fn complete(&mut self, next_dts_ns: i64) -> Result<(), Ended> {
        self.hand_on(next_dts_ns)?;
        self.file = None;
        self.send(Job::Complete(Which::Present))
    }

    pub(super) fn end(&mut self, audio: &[Unit], next: Option<(i64, i64)>) {
        if self.file.is_some() {
            let _ = self.feed_audio(audio);
            let _ = self.complete_before();
            let (_, dts) = next.unwrap_or_else(|| self.latest.next());
            let _ = self.complete(dts);
        }
        if self.send(Job::End).is_err() {
            // The thread has ended, and has said so.
            self.shared.set_done(false);
        }
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        // After `End` this cuts nothing off, unless the disk kept it from being reached.
        self.shared.cut.store(true, Ordering::SeqCst);
    }
}

/// Its head and its samples.
type Chunk = (Vec<u8>, Vec<gst::Buffer>);

impl Gathering {
    /// Bytes that were fed and not handed on.
    fn fed(&self) -> u64 {
        let units = self.video.iter().chain(&self.audio);
        units.map(|u| u.buffer.size() as u64).sum()
    }

    fn chunk(&mut self, next_dts_ns: i64, audio_scale: Option<u32>) -> Option<Chunk> {
        let (video, audio) = (std::mem::take(&mut self.video), std::mem::take(&mut self.audio));
        let first = self.first;
        let times = self.times.get_or_insert_with(|| {
            let sound = audio.first().map(|a| a.pts_ns);
            FileTimes::new(first, sound, audio_scale.unwrap_or(1))
        });
        let mut buffers = Vec::with_capacity(video.len() + audio.len());

        let placed: Vec<Placed> = video.iter().map(|u| times.video(u.pts_ns, u.dts_ns)).collect();
        let starts: Vec<i64> = placed.iter().map(|p| p.dts).collect();
        let ends = durations(&starts, times.end_of_video(next_dts_ns));
        let mut pictures = Vec::with_capacity(video.len());
        for ((unit, placed), duration) in video.into_iter().zip(&placed).zip(ends) {
            pictures.push(Sample {
                duration,
                size: unit.buffer.size() as u32,
                flags: if unit.keyframe {
                    SampleFlags::SYNC
                } else {
                    SampleFlags::NON_SYNC
                },
                cts_offset: placed.cts_offset,
            });
            buffers.push(unit.buffer);
        }

        let packet_ns = AAC_SAMPLES * NS_PER_S / i64::from(audio_scale.unwrap_or(48_000).max(1));
        let mut packets: Vec<(i64, u32)> = Vec::with_capacity(audio.len());
        let mut sounds = Vec::with_capacity(audio.len());
        for unit in audio {
            let duration = unit
                .duration
                .and_then(|d| i64::try_from(d.nseconds()).ok())
                .unwrap_or(packet_ns);
            if let Some(packet) = times.audio(unit.pts_ns, duration) {
                packets.push(packet);
                sounds.push(unit.buffer);
            }
        }
        let ends = packets.last().map_or(0, |(at, length)| at + i64::from(*length));
        let starts_of_sound: Vec<i64> = packets.iter().map(|p| p.0).collect();
        let sound: Vec<Sample> = durations(&starts_of_sound, ends)
            .zip(&sounds)
            .map(|(duration, buffer)| Sample {
                duration,
                size: buffer.size() as u32,
                flags: SampleFlags::SYNC,
                cts_offset: 0,
            })
            .collect();
        buffers.extend(sounds);

        if buffers.is_empty() {
            return None;
        }
        self.chunks += 1;
        let track = |id, starts: &[i64], samples| TrackChunk {
            id,
            decode_time: decode_time(starts.first().copied().unwrap_or(0)),
            samples,
        };
        let tracks = [
            track(mux::VIDEO_ID, &starts, &pictures[..]),
            track(mux::AUDIO_ID, &starts_of_sound, &sound[..]),
        ];
        Some((mux::chunk_head(self.chunks, &tracks), buffers))
    }
}

/// A file and how long it is.
type Open = (Box<dyn SegmentFile>, u64);

/// The thread that writes.
struct Worker {
    files: Arc<dyn SegmentFiles>,
    news: OnNews,
    shared: Arc<Shared>,
    init: Vec<u8>,
}

impl Worker {
    fn run(self, jobs: &Receiver<Job>) {
        let panicked = |text: &str| {
            let cause = Cause::new(CauseKind::Internal, format!("panic: {text}"));
            self.shared.fail(cause, &self.news);
        };
        crate::priority::batch_this_thread(true);
        guarded("segment writer", (), panicked, || {
            if let Err(e) = self.work(jobs) {
                self.shared.fail(storage_cause(&e), &self.news);
            }
        });
    }

    /// Ends with `Ok` when all is done, or nobody waits for it any more.
    fn work(&self, jobs: &Receiver<Job>) -> Result<()> {
        let (mut present, mut before): (Option<Open>, Option<Open>) = (None, None);
        let mut bytes = Vec::new();
        while let Ok(job) = jobs.recv() {
            if self.shared.cut.load(Ordering::SeqCst) {
                // The open file is dropped as it is, as in a crash.
                return Ok(());
            }
            match job {
                Job::Begin(start) => {
                    let mut file = self.files.create(&start)?;
                    (self.news)(WriterNews::Opened(start, file.path().to_owned()));
                    file.write_at(0, &self.init)?;
                    before = present.replace((file, self.init.len() as u64));
                }
                Job::Chunk {
                    which,
                    head,
                    buffers,
                    fed,
                } => {
                    bytes.clear();
                    bytes.extend_from_slice(&head);
                    for buffer in &buffers {
                        // Each memory by itself: mapping the whole buffer would first merge them into a copy.
                        for memory in buffer.iter_memories() {
                            let map = memory.map_readable().map_err(|e| {
                                Error::new(ErrorKind::Internal, "a frame's memory cannot be read")
                                    .with_source(e)
                            })?;
                            bytes.extend_from_slice(&map);
                        }
                    }
                    let open = match which {
                        Which::Present => &mut present,
                        Which::Before => &mut before,
                    };
                    if let Some((file, at)) = open {
                        file.write_at(*at, &bytes)?;
                        *at += bytes.len() as u64;
                    }
                    subtract_waiting(&self.shared.waiting_bytes, fed);
                }
                Job::Complete(which) => {
                    let open = match which {
                        Which::Present => &mut present,
                        Which::Before => &mut before,
                    };
                    if let Some((file, _)) = open.take() {
                        let closed = file.finish()?;
                        (self.news)(WriterNews::Closed(Box::new(closed)));
                    }
                }
                Job::End => {
                    self.shared.set_done(true);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn unusable(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the stream cannot be put into a file: {what}"),
    )
}

fn config_of(s: &gst::StructureRef) -> Result<Vec<u8>> {
    let config = s
        .get::<gst::Buffer>("codec_data")
        .map_err(|_| unusable("no parameter sets"))?;
    let map = config
        .map_readable()
        .map_err(|_| unusable("parameter sets cannot be read"))?;
    Ok(map.to_vec())
}

pub(in crate::gst) fn video_entry(caps: &gst::CapsRef) -> Result<VideoEntry> {
    let s = caps.structure(0).ok_or_else(|| unusable("no video"))?;
    let codec = match s.name().as_str() {
        "video/x-h264" => VideoCodec::H264,
        "video/x-h265" => VideoCodec::H265,
        other => return Err(unusable(other)),
    };
    let side = |name: &str| {
        let side = s.get::<i32>(name).ok().and_then(|v| u16::try_from(v).ok());
        side.filter(|&v| v > 0)
            .ok_or_else(|| unusable("no size of the picture"))
    };
    let aspect = s.get::<gst::Fraction>("pixel-aspect-ratio").ok();
    let pixel_aspect = aspect.and_then(|f| {
        let sides = (u32::try_from(f.numer()).ok()?, u32::try_from(f.denom()).ok()?);
        (sides.0 > 0 && sides.1 > 0).then_some(sides)
    });
    Ok(VideoEntry {
        codec,
        config: config_of(s)?,
        width: side("width")?,
        height: side("height")?,
        pixel_aspect: pixel_aspect.unwrap_or((1, 1)),
        timescale: VIDEO_TIMESCALE,
    })
}

pub(in crate::gst) fn audio_entry(caps: &gst::CapsRef) -> Result<AudioEntry> {
    let s = caps.structure(0).ok_or_else(|| unusable("no audio"))?;
    let number = |name: &str| s.get::<i32>(name).ok().and_then(|v| u32::try_from(v).ok());
    Ok(AudioEntry {
        config: config_of(s)?,
        sample_rate: number("rate").filter(|&r| r > 0).unwrap_or(48_000),
        channels: number("channels")
            .and_then(|c| u16::try_from(c).ok())
            .unwrap_or(1),
    })
}
