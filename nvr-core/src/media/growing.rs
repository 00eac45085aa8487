//! Follows a fragmented MP4 as it grows, and scans one that a crash left behind.
//!
//! One state machine serves both: it looks at box headers, `moov`, `moof` and the description, and lets
//! everything else pass without keeping it.

use std::io::{self, Read, Seek, SeekFrom};

use super::boxes::{BoxHeader, HeaderParse, corrupt};
use super::describe::{self, DESCRIPTION_UUID, MAX_DESCRIPTION_BYTES};
use super::fragment::{MAX_MOOF_BYTES, MovieFragment};
use super::index::{Fragment, FragmentIndex, to_ns};
use super::init::{InitSegment, MAX_INIT_BYTES};
use super::mfra::SUMMARY_UUID;
use super::samples::{SAMPLES_UUID, SampleLog};
use crate::error::{Error, ErrorKind, Result};
use crate::segment::SegmentStart;

/// Builds the [`FragmentIndex`] of a file from its bytes in order, in pieces of any size.
///
/// Holds at most one box header, `moov` or `moof` at a time, never media data.
#[derive(Debug)]
pub struct GrowingIndex {
    /// Bytes taken so far, including those in `buf`.
    position: u64,
    /// The header, or the header and body, that is being collected.
    buf: Vec<u8>,
    /// How many bytes `buf` must hold to go on.
    need: usize,
    /// The box whose body is being collected or skipped.
    current: Option<BoxHeader>,
    /// Bytes of its body still to be skipped.
    skip: u64,
    /// `ftyp` and whatever else comes before `moov`.
    init_bytes: Vec<u8>,
    init: Option<InitSegment>,
    description: Option<SegmentStart>,
    index: FragmentIndex,
    samples: SampleLog,
    /// Start of the `styp`, `prft`, `emsg` or `moof` that begins the fragment under way.
    chunk_start: Option<u64>,
    pending: Option<Pending>,
    clock: TrackClock,
    /// Offset of the byte behind the last `mfra`.
    mfra_end: Option<u64>,
    failed: bool,
}

/// A `moof` that waits for the end of its `mdat`.
#[derive(Debug, Clone, Copy)]
struct Pending {
    start_ns: i64,
    end_ns: i64,
    keyframe: bool,
    data_len: u64,
    /// Becomes the index's with the first fragment that is whole.
    media_start: i64,
}

impl Default for GrowingIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl GrowingIndex {
    /// At the start of a file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            position: 0,
            buf: Vec::new(),
            need: 8,
            current: None,
            skip: 0,
            init_bytes: Vec::new(),
            init: None,
            description: None,
            index: FragmentIndex::default(),
            samples: SampleLog::default(),
            chunk_start: None,
            pending: None,
            clock: TrackClock::default(),
            mfra_end: None,
            failed: false,
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a fragmented MP4. What was indexed before stays; every later
    /// call fails too.
    pub fn push(&mut self, data: &[u8]) -> Result<()> {
        self.take(data, false).map(drop)
    }

    /// Takes the next bytes of the file up to the end of `moov` and says how many it took: all of them
    /// when `moov` does not end in them, or has ended before. A writer puts the description there.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_until_init(&mut self, data: &[u8]) -> Result<usize> {
        let stop = self.init.is_none();
        self.take(data, stop)
    }

    /// The init segment, once `moov` is complete.
    #[must_use]
    pub fn init(&self) -> Option<&InitSegment> {
        self.init.as_ref()
    }

    /// The description, once its box is complete; `None` also when it is damaged.
    #[must_use]
    pub fn description(&self) -> Option<&SegmentStart> {
        self.description.as_ref()
    }

    /// The fragments that are complete so far.
    #[must_use]
    pub fn index(&self) -> &FragmentIndex {
        &self.index
    }

    /// The samples of these fragments.
    #[must_use]
    pub fn samples(&self) -> &SampleLog {
        &self.samples
    }

    /// The index without a copy, when the file is complete.
    #[must_use]
    pub fn into_index(self) -> FragmentIndex {
        self.index
    }

    /// Offset of the byte behind the last whole fragment (behind the header when there is none yet): a
    /// file cut here is whole. 0 until `moov` is complete.
    #[must_use]
    pub fn whole_len(&self) -> u64 {
        if self.init.is_some() {
            self.index.tail_offset()
        } else {
            0
        }
    }

    /// Number of bytes taken so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the header is complete, i.e. a fragment has begun.
    #[must_use]
    pub fn header_is_complete(&self) -> bool {
        self.chunk_start.is_some() || !self.index.fragments.is_empty()
    }

    fn take(&mut self, data: &[u8], until_init: bool) -> Result<usize> {
        if self.failed {
            return Err(corrupt("the file was found damaged before"));
        }
        let result = self.advance(data, until_init);
        self.failed = result.is_err();
        result.map_err(|e| e.context(format_args!("at byte {}", self.position)))
    }

    fn advance(&mut self, data: &[u8], until_init: bool) -> Result<usize> {
        let mut rest = data;
        loop {
            if self.skip > 0 {
                let n = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
                rest = &rest[n..];
                self.pass_over(n as u64)?;
                if self.skip > 0 {
                    break;
                }
            } else {
                let n = (self.need - self.buf.len()).min(rest.len());
                self.buf.extend_from_slice(&rest[..n]);
                rest = &rest[n..];
                self.position += n as u64;
                if self.buf.len() < self.need {
                    break;
                }
                self.collected()?;
            }
            if until_init && self.init.is_some() {
                break;
            }
        }
        Ok(data.len() - rest.len())
    }

    /// Moves over bytes of the body that is being skipped, without seeing them.
    fn pass_over(&mut self, n: u64) -> Result<()> {
        self.position += n;
        self.skip -= n;
        if self.skip == 0 { self.box_ends() } else { Ok(()) }
    }

    /// `buf` holds as much as was needed: a header or a whole box.
    fn collected(&mut self) -> Result<()> {
        if self.current.is_some() {
            let bytes = std::mem::take(&mut self.buf);
            self.whole_box(&bytes)?;
            self.buf = bytes;
            return self.box_ends();
        }
        match BoxHeader::parse(&self.buf)? {
            HeaderParse::NeedsBytes(n) => {
                self.need = n;
                Ok(())
            }
            HeaderParse::Whole(h) => self.begin_box(h),
        }
    }

    fn begin_box(&mut self, h: BoxHeader) -> Result<()> {
        let kind = h.kind;
        let start = self.position - self.buf.len() as u64;
        if !kind.is_plausible() {
            return Err(corrupt(format!("{kind} is not a box type")));
        }
        let Some(size) = h.size else {
            return Err(corrupt(format!("box '{kind}' without a size")));
        };
        let limit = match (&kind.0, &self.init) {
            (b"mdat" | b"moof", None) => {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("'{kind}' before 'moov': not a fragmented MP4"),
                ));
            }
            (b"moov", Some(_)) => return Err(corrupt("a second 'moov'")),
            (_, None) => Some(MAX_INIT_BYTES as u64 - self.init_bytes.len() as u64),
            (b"moof", Some(_)) => {
                if self.pending.is_some() {
                    return Err(corrupt("'moof' without 'mdat'"));
                }
                Some(MAX_MOOF_BYTES)
            }
            (b"uuid", Some(_)) if h.uuid == Some(DESCRIPTION_UUID) && !self.header_is_complete() => {
                Some(MAX_DESCRIPTION_BYTES)
            }
            _ => None,
        };
        if matches!(&kind.0, b"styp" | b"prft" | b"emsg" | b"moof") && self.init.is_some() {
            self.chunk_start.get_or_insert(start);
        }
        if let (b"mdat", Some(p)) = (&kind.0, &self.pending)
            && p.data_len > size - u64::from(h.header_len)
        {
            return Err(corrupt(format!(
                "samples of {} bytes in an 'mdat' of {size}",
                p.data_len
            )));
        }
        self.current = Some(h);
        match limit {
            Some(limit) if size > limit => Err(corrupt(format!("box '{kind}' of {size} bytes is too large"))),
            Some(_) => {
                // Bounded by the limit, and reserved only as the bytes come.
                self.need = size as usize;
                if self.buf.len() == self.need {
                    self.collected()
                } else {
                    Ok(())
                }
            }
            None => {
                self.skip = size - u64::from(h.header_len);
                self.buf.clear();
                if self.skip == 0 { self.box_ends() } else { Ok(()) }
            }
        }
    }

    /// A box that was collected is complete.
    fn whole_box(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(init) = &self.init else {
            self.init_bytes.extend_from_slice(bytes);
            if self.current.is_some_and(|h| h.kind == b"moov") {
                let init = InitSegment::parse(&self.init_bytes)?;
                self.init_bytes = Vec::new();
                self.clock.video = init.video().map(|t| t.id);
                self.index.timescale = init.video().map_or(0, |t| t.timescale);
                self.init = Some(init);
            }
            return Ok(());
        };
        if self.current.is_some_and(|h| h.kind == b"moof") {
            let moof = MovieFragment::parse(bytes, init)?;
            let (start, end, keyframe) = self.clock.place(&moof);
            let moof_at = self.position - bytes.len() as u64;
            self.samples
                .begin(&moof, self.chunk_start.unwrap_or(moof_at), moof_at);
            let timescale = self.index.timescale;
            self.pending = Some(Pending {
                start_ns: to_ns(start, timescale),
                end_ns: to_ns(end, timescale),
                keyframe,
                data_len: moof.size(),
                media_start: self.clock.media_start.unwrap_or(0),
            });
        } else if self.description.is_none() {
            self.description = describe::from_box(bytes).ok();
        }
        Ok(())
    }

    /// The present box is behind us.
    fn box_ends(&mut self) -> Result<()> {
        self.buf.clear();
        self.need = 8;
        let ended = self.current.take();
        let kind = ended.map(|h| h.kind.0);
        let of_the_end = |uuid| uuid == SUMMARY_UUID || uuid == SAMPLES_UUID;
        let closing = kind == Some(*b"mfra") || ended.and_then(|h| h.uuid).is_some_and(of_the_end);
        if kind == Some(*b"mfra") {
            self.mfra_end = Some(self.position);
        }
        if kind == Some(*b"mdat")
            && let Some(p) = self.pending.take()
        {
            let offset = self.chunk_start.take().unwrap_or(self.position);
            let size =
                u32::try_from(self.position - offset).map_err(|_| corrupt("a fragment of 4 GiB or more"))?;
            self.samples.end();
            self.index.media_start = p.media_start;
            self.index.fragments.push(Fragment {
                offset,
                size,
                start_ns: p.start_ns,
                duration_ns: p.end_ns - p.start_ns,
                keyframe: p.keyframe,
            });
        } else if !closing && !self.header_is_complete() {
            self.index.header_len = self.position;
        }
        Ok(())
    }
}

/// Turns decode times of the video track into ticks of the segment.
#[derive(Debug, Default)]
struct TrackClock {
    /// Id of the video track.
    video: Option<u32>,
    /// Presentation time of the first frame.
    media_start: Option<i64>,
    /// What to add to a decode time; set anew at each keyframe.
    shift: i64,
    /// Decode time expected next, for fragments without `tfdt`.
    next_decode: i64,
    last_start: i64,
    last_end: i64,
}

impl TrackClock {
    /// Start, end (ticks from the first frame) and whether it starts with a keyframe.
    fn place(&mut self, moof: &MovieFragment<'_>) -> (i64, i64, bool) {
        let part = self.video.and_then(|id| moof.track(id));
        let Some((part, first)) = part.and_then(|p| Some((p, p.first_sample()?))) else {
            // Nothing may start before this one any more.
            self.last_start = self.last_end;
            return (self.last_end, self.last_end, false);
        };
        let ticks = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let decode = part.base_decode_time.map_or(self.next_decode, |t| ticks(t.value));
        let duration = ticks(part.duration());
        let presented = decode.saturating_add(i64::from(first.cts_offset));
        let keyframe = first.flags.is_sync();
        match self.media_start {
            None => {
                self.media_start = Some(presented);
                self.shift = decode.saturating_neg();
            }
            Some(zero) if keyframe => self.shift = presented.saturating_sub(zero).saturating_sub(decode),
            Some(_) => {}
        }
        self.next_decode = decode.saturating_add(duration);
        let start = decode.saturating_add(self.shift).max(self.last_start);
        let end = start.saturating_add(duration);
        self.last_start = start;
        self.last_end = end;
        (start, end, keyframe)
    }
}

/// What a scan of a whole file found.
#[derive(Debug)]
pub struct Scan {
    /// Who it belongs to, if it says so and the box is whole.
    pub description: Option<SegmentStart>,
    /// Its init segment; `None` when `moov` is missing or cut: nothing can be saved.
    pub init: Option<InitSegment>,
    /// Its whole fragments.
    pub index: FragmentIndex,
    /// Their samples.
    pub samples: SampleLog,
    /// Offset behind the last whole fragment (behind the header when there is none, 0 without `init`):
    /// where to cut.
    pub whole_len: u64,
    /// Size of the file.
    pub file_len: u64,
    /// Whether it ends with an `mfra`, i.e. was closed.
    pub has_mfra: bool,
    /// Why the scan ended before the end of the file, if the bytes there are not boxes. A box that is
    /// merely cut off is no problem.
    pub problem: Option<Error>,
}

/// Reads at least this much at a time: a `moof` of a chunk and the header of its `mdat`.
const READ_BYTES: u64 = 2048;

/// Reads the headers, `moov` and every `moof` of a file, seeking over media data.
///
/// Damage is not an error: what precedes it is reported.
///
/// # Errors
/// That of the reader.
pub fn scan<R: Read + Seek>(reader: &mut R) -> Result<Scan> {
    scan_io(reader).map_err(|e| Error::io("scan of a segment", e))
}

fn scan_io<R: Read + Seek>(reader: &mut R) -> io::Result<Scan> {
    let file_len = reader.seek(SeekFrom::End(0))?;
    let mut at = reader.seek(SeekFrom::Start(0))?;
    let mut growing = GrowingIndex::new();
    let mut block = Vec::new();
    let mut problem = None;
    while at < file_len {
        let left = file_len - at;
        let result = if growing.skip > READ_BYTES {
            let n = growing.skip.min(left);
            at = reader.seek(SeekFrom::Start(at + n))?;
            growing.pass_over(n)
        } else {
            let wanted = growing.skip.max((growing.need - growing.buf.len()) as u64);
            let n = wanted.max(READ_BYTES).min(left).min(1 << 16);
            block.clear();
            reader.by_ref().take(n).read_to_end(&mut block)?;
            if block.is_empty() {
                break; // The file shrank.
            }
            at += block.len() as u64;
            growing.push(&block)
        };
        if let Err(e) = result {
            problem = Some(e);
            break;
        }
    }
    Ok(Scan {
        whole_len: growing.whole_len(),
        file_len,
        has_mfra: growing.mfra_end == Some(file_len),
        description: growing.description,
        init: growing.init,
        index: growing.index,
        samples: growing.samples,
        problem,
    })
}

#[cfg(test)]
mod tests;
