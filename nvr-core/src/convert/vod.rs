//! Pieces of a segment for a playlist: the same chunks with H.264 in them, on the clock of the file.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::encode::Stretch;
use super::{Converter, Inner, PATIENCE, slots};
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{CodedFrame, Recoded};
use crate::media::clip::ClipSegment;
use crate::media::init::{InitSegment, InitTrack};
use crate::media::recode::{Chunk, NewSample, NewVideo, in_band, init_with};
use crate::privacy::Privacy;
use crate::time::NS_PER_S;
use crate::track::VideoCodec;

/// Headers that are remembered: one for each size and encoder.
const MOST_HEADERS: usize = 64;
/// Largest fragment that is read into memory.
const MOST_FRAGMENT_BYTES: u32 = 256 << 20;
/// Largest piece: some minutes of what cameras send.
const MOST_PIECE_BYTES: u64 = 256 << 20;

/// What a playlist asks of a segment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum VodPart {
    /// The header.
    Init,
    /// Some of its fragments, from a keyframe on.
    Fragments(Range<usize>),
}

impl FromStr for VodPart {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let read = || {
            let (from, to) = s.split_once('-')?;
            let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok());
            let range = plain(from)??..plain(to)??;
            (!range.is_empty()).then_some(Self::Fragments(range))
        };
        match s {
            "init" => Ok(Self::Init),
            _ => read().ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("{s:?} is no part of a segment: want `init` or numbers as in `0-16`"),
                )
            }),
        }
    }
}

/// What a header depends on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct HeaderKey {
    config: Vec<u8>,
    fit: Option<(u32, u32)>,
    quality: u8,
}

/// What a piece depends on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct PieceKey {
    segment: Arc<str>,
    version: Option<String>,
    fragments: Range<usize>,
    fit: Option<(u32, u32)>,
    quality: u8,
    /// What is masked in it.
    masks: Option<String>,
}

/// What was made before.
#[derive(Debug, Default)]
pub(super) struct Made {
    headers: Mutex<HashMap<HeaderKey, Arc<Vec<u8>>>>,
    pieces: Mutex<Pieces>,
    /// What is made now: who asks for the same waits for it.
    making: Mutex<HashMap<PieceKey, Weak<OnceCell<Bytes>>>>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// The one used last is at the end.
    queue: VecDeque<(PieceKey, Bytes)>,
    bytes: u64,
}

impl Pieces {
    fn get(&mut self, key: &PieceKey) -> Option<Bytes> {
        let at = self.queue.iter().position(|(k, _)| k == key)?;
        let found = self.queue.remove(at)?;
        let bytes = found.1.clone();
        self.queue.push_back(found);
        Some(bytes)
    }

    fn put(&mut self, key: PieceKey, bytes: Bytes, most: u64) {
        if self.queue.iter().any(|(k, _)| *k == key) {
            return;
        }
        self.bytes += bytes.len() as u64;
        self.queue.push_back((key, bytes));
        while self.bytes > most {
            let Some((_, old)) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= old.len() as u64;
        }
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Converter {
    /// The header of a segment as H.264.
    pub(crate) async fn header(&self, segment: &ClipSegment) -> Result<Bytes> {
        let init = init_of(segment).await?;
        let track = video_of(segment, &init)?;
        let fit = self.0.fit(track);
        let config = self.config(segment, track).await?;
        let new = NewVideo {
            codec: VideoCodec::H264,
            config: &config,
            size: fit.map(|(w, h)| (w as u16, h as u16)),
        };
        Ok(init_with(&init, &new)?.into())
    }

    /// The encoder's parameters for a segment's video, as its header holds them.
    async fn config(&self, segment: &ClipSegment, track: &InitTrack) -> Result<Arc<Vec<u8>>> {
        let key = self.0.header_key(track);
        if let Some(known) = lock(&self.0.made.headers).get(&key) {
            return Ok(Arc::clone(known));
        }
        let slot = self.0.slots.take(PATIENCE).await?;
        let (inner, segment, wanted) = (Arc::clone(&self.0), segment.clone(), key.clone());
        let priority = inner.config.load().priority;
        let work = move |stop: &AtomicBool| {
            let first = segment
                .index
                .fragments
                .iter()
                .position(|f| f.keyframe)
                .ok_or_else(|| Error::new(ErrorKind::NotFound, "a segment without a keyframe"))?;
            let mut piece = Piece::read(&segment, first..first + 1)?;
            piece.most = 1;
            let track = piece.init.clone();
            inner.encode(video_of(&segment, &track)?, wanted.fit, None, &mut piece, stop)?;
            piece
                .config
                .take()
                .ok_or_else(|| Error::new(ErrorKind::Unavailable, "the encoder told no parameters"))
        };
        let config = Arc::new(slots::run(slot, priority, work).await?);
        let mut headers = lock(&self.0.made.headers);
        if headers.len() >= MOST_HEADERS {
            headers.clear();
        }
        headers.insert(key, Arc::clone(&config));
        Ok(config)
    }

    /// Some fragments of a segment as H.264, with what nobody is to see covered.
    pub(crate) async fn piece(
        &self,
        segment: &ClipSegment,
        fragments: Range<usize>,
        privacy: Option<Arc<Privacy>>,
    ) -> Result<Bytes> {
        let init = init_of(segment).await?;
        let track = video_of(segment, &init)?;
        let key = PieceKey {
            segment: Arc::clone(&segment.name),
            version: segment.stamp.version(),
            fragments: fragments.clone(),
            fit: self.0.fit(track),
            quality: self.0.config.load().quality,
            masks: privacy.as_ref().map(|p| p.text()),
        };
        if let Some(bytes) = lock(&self.0.made.pieces).get(&key) {
            return Ok(bytes);
        }
        // The header first: its parameters are those that the piece is compared with.
        let config = self.config(segment, track).await?;
        let cell = {
            let mut making = lock(&self.0.made.making);
            making.retain(|_, cell| cell.strong_count() > 0);
            let cell = making.get(&key).and_then(Weak::upgrade).unwrap_or_default();
            making.insert(key.clone(), Arc::downgrade(&cell));
            cell
        };
        let made = cell.get_or_try_init(|| self.make(segment, fragments, privacy, key.clone(), config));
        made.await.cloned()
    }

    async fn make(
        &self,
        segment: &ClipSegment,
        fragments: Range<usize>,
        privacy: Option<Arc<Privacy>>,
        key: PieceKey,
        config: Arc<Vec<u8>>,
    ) -> Result<Bytes> {
        let slot = self.0.slots.take(PATIENCE).await?;
        let (inner, segment) = (Arc::clone(&self.0), segment.clone());
        let priority = inner.config.load().priority;
        let fit = key.fit;
        let work = move |stop: &AtomicBool| {
            let mut piece = Piece::read(&segment, fragments)?;
            let init = piece.init.clone();
            if !inner.encode(
                video_of(&segment, &init)?,
                fit,
                privacy.as_ref(),
                &mut piece,
                stop,
            )? {
                return Err(Error::new(ErrorKind::Unavailable, "nobody waits for it any more"));
            }
            Ok(Bytes::from(piece.finish(&config)))
        };
        let bytes = slots::run(slot, priority, work).await?;
        let most = self.0.config.load().cache_bytes;
        lock(&self.0.made.pieces).put(key, bytes.clone(), most);
        Ok(bytes)
    }
}

impl Inner {
    /// The size that pictures are brought to for a playlist.
    fn fit(&self, track: &InitTrack) -> Option<(u32, u32)> {
        let most = self.config.load().max_height & !1;
        let (w, h) = (u32::from(track.width), u32::from(track.height));
        (most > 0 && h > most).then(|| (((w * most / h) & !1).max(2), most))
    }

    fn header_key(&self, track: &InitTrack) -> HeaderKey {
        use crate::media::init::CodecConfig;
        let config = match &track.config {
            CodecConfig::Avc(c) | CodecConfig::Hevc(c) | CodecConfig::Esds(c) => c.clone(),
            CodecConfig::Unknown => Vec::new(),
        };
        HeaderKey {
            config,
            fit: self.fit(track),
            quality: self.config.load().quality,
        }
    }
}

async fn init_of(segment: &ClipSegment) -> Result<Arc<InitSegment>> {
    let segment = segment.clone();
    crate::nvr::blocking(move || segment.init()).await
}

fn video_of<'a>(segment: &ClipSegment, init: &'a InitSegment) -> Result<&'a InitTrack> {
    init.video().ok_or_else(|| {
        let what = format!("{} has no video track", segment.name);
        Error::new(ErrorKind::Unsupported, what)
    })
}

/// Fragments on their way through the encoder.
struct Piece {
    init: Arc<InitSegment>,
    chunks: Vec<Chunk>,
    /// Time of the earliest frame, and of the first behind the piece.
    base: i64,
    end: Option<i64>,
    timescale: u32,
    /// Chunk and frame that are next.
    at: (usize, usize),
    /// Frames to encode at most.
    most: usize,
    given: usize,
    /// What the encoder calls a frame, and its time.
    times: HashMap<i64, i64>,
    config: Option<Vec<u8>>,
    made: BTreeMap<i64, CodedFrame>,
}

impl Piece {
    fn read(segment: &ClipSegment, fragments: Range<usize>) -> Result<Self> {
        let init = segment.init()?;
        let timescale = video_of(segment, &init)?.timescale;
        let read = |number: usize| -> Result<Chunk> {
            let f = segment
                .index
                .fragments
                .get(number)
                .filter(|f| f.size <= MOST_FRAGMENT_BYTES)
                .ok_or_else(|| Error::new(ErrorKind::NotFound, "the segment has no such fragments"))?;
            let mut bytes = vec![0; f.size as usize];
            segment.read_exact(f.offset, &mut bytes)?;
            Chunk::read(bytes, &init).map_err(|e| e.context(&segment.name))
        };
        let all = segment.index.fragments.get(fragments.clone()).unwrap_or_default();
        if all.iter().map(|f| u64::from(f.size)).sum::<u64>() > MOST_PIECE_BYTES {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "{}: too much lies between two keyframes to be encoded at once",
                    segment.name
                ),
            )
            .with_hint("export it instead, or let the camera send keyframes more often"));
        }
        let behind = fragments.end;
        let chunks: Vec<Chunk> = fragments.map(read).collect::<Result<_>>()?;
        let earliest = |c: &Chunk| c.frames.iter().map(|f| f.pts).min();
        let base = chunks.iter().filter_map(earliest).min().unwrap_or(0);
        let end = if behind < segment.index.fragments.len() {
            earliest(&read(behind)?)
        } else {
            None
        };
        Ok(Self {
            init,
            chunks,
            base,
            end,
            timescale,
            at: (0, 0),
            most: usize::MAX,
            given: 0,
            times: HashMap::new(),
            config: None,
            made: BTreeMap::new(),
        })
    }

    fn ns(&self, pts: i64) -> i64 {
        let ns = i128::from(pts - self.base) * i128::from(NS_PER_S) / i128::from(self.timescale);
        i64::try_from(ns).unwrap_or(i64::MAX)
    }

    /// The chunks with the new video; parameter sets are put before keyframes where they are not those of the header.
    fn finish(mut self, header: &[u8]) -> Vec<u8> {
        let sets = match &self.config {
            Some(config) if config != header => in_band(config),
            _ => Vec::new(),
        };
        if !sets.is_empty() {
            for f in self.made.values_mut().filter(|f| f.keyframe) {
                f.data.splice(0..0, sets.iter().copied());
            }
        }
        // Where frames were reordered, chunks overlap in presentation: each takes as many as it had, in order.
        let mut frames: Vec<(i64, u32)> = self
            .chunks
            .iter()
            .flat_map(|c| c.frames.iter().map(|f| (f.pts, f.duration)))
            .collect();
        frames.sort_unstable();
        let mut rest = &frames[..];
        let id = self.init.video().map_or(0, |t| t.id);
        let mut out = Vec::new();
        for chunk in &self.chunks {
            let (own, behind) = rest.split_at(chunk.frames.len().min(rest.len()));
            rest = behind;
            let samples: Vec<NewSample<'_>> = own
                .iter()
                .filter_map(|&(pts, length)| {
                    let made = self.made.get(&pts)?;
                    let next = self.made.range(pts + 1..).next().map(|(t, _)| *t).or(self.end);
                    let duration = next.and_then(|n| u32::try_from(n - pts).ok()).unwrap_or(length);
                    Some(NewSample {
                        pts,
                        duration,
                        keyframe: made.keyframe,
                        data: &made.data,
                    })
                })
                .collect();
            out.extend(chunk.with_pictures(id, &samples));
        }
        out
    }
}

impl Stretch for Piece {
    fn again(&mut self) -> Result<bool> {
        (self.at, self.given, self.config) = ((0, 0), 0, None);
        self.made.clear();
        Ok(true)
    }

    fn next(&mut self) -> Result<Option<CodedFrame>> {
        while let Some(chunk) = self.chunks.get(self.at.0) {
            if let Some(frame) = chunk.frames.get(self.at.1)
                && self.given < self.most
            {
                let pts_ns = self.ns(frame.pts);
                self.times.insert(pts_ns, frame.pts);
                (self.at.1, self.given) = (self.at.1 + 1, self.given + 1);
                return Ok(Some(CodedFrame {
                    data: chunk.bytes[frame.data.clone()].to_vec(),
                    pts_ns,
                    keyframe: frame.keyframe,
                    shown: true,
                }));
            }
            self.at = (self.at.0 + 1, 0);
        }
        Ok(None)
    }

    fn take(&mut self, made: Recoded) -> Result<()> {
        match made {
            Recoded::Config(config) => self.config = Some(config),
            Recoded::Frame(frame) => {
                let pts = self.times.get(&frame.pts_ns).copied().ok_or_else(|| {
                    Error::new(ErrorKind::Internal, "the encoder gave a frame another time")
                })?;
                self.made.insert(pts, frame);
            }
        }
        Ok(())
    }
}
