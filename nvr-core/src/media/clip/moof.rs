//! Reading and patching the `moof` of a recorded fragment.

use std::sync::Arc;

use super::source::ClipSegment;
use super::timeline::Shift;
use crate::error::{Error, ErrorKind, Result};
use crate::media::boxes::{BoxHeader, Boxes, HeaderParse, MAX_HEADER_LEN, corrupt};
use crate::media::fragment::{MAX_MOOF_BYTES, MovieFragment};
use crate::media::index::Fragment;
use crate::media::init::InitSegment;

/// A `moof` of half a second of video and audio is mostly below this.
const GUESS_BYTES: usize = 4096;
/// The next one is about as long as the last; read is what it needs and so much more, in steps of this.
const GUESS_STEP: usize = 512;
/// Read at once where fragments are small, so that one read brings many of them.
const WINDOW_BYTES: usize = 256 << 10;
/// Fragments above this size are read one `moof` at a time.
const SMALL_FRAGMENT: u64 = 24 << 10;

/// What precedes the sample data of a fragment: boxes before `moof` (rare), then `moof`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    pub bytes: &'a [u8],
    /// Where the `moof` starts in `bytes`.
    pub moof_at: usize,
}

impl<'a> Header<'a> {
    /// Its `moof`, parsed.
    pub fn parse(&self, init: &InitSegment) -> Result<MovieFragment<'a>> {
        let moof = MovieFragment::parse(self.moof(), init)?;
        moof.check_sample_count()?;
        Ok(moof)
    }

    pub fn moof(&self) -> &'a [u8] {
        &self.bytes[self.moof_at..]
    }
}

/// Finds the `moof` at the start of a fragment: `Ok(Err(n))` when `n` bytes are needed to go on.
pub(super) fn find_moof(data: &[u8], fragment_size: u64) -> Result<Result<(usize, usize), usize>> {
    let mut at = 0usize;
    loop {
        let rest = data.get(at..).unwrap_or_default();
        let header = match BoxHeader::parse(rest)? {
            HeaderParse::Whole(h) => h,
            HeaderParse::NeedsBytes(n) if ((at + n) as u64) <= fragment_size => return Ok(Err(at + n)),
            HeaderParse::NeedsBytes(_) => return Err(corrupt("a fragment without 'moof'")),
        };
        let size = header.size.unwrap_or(u64::MAX);
        if size > MAX_MOOF_BYTES || at as u64 + size > fragment_size {
            return Err(corrupt(format!(
                "box '{}' of {size} bytes in a fragment's head",
                header.kind
            )));
        }
        let end = at + size as usize;
        if header.kind == b"moof" {
            return Ok(if end <= data.len() {
                Ok((at, end))
            } else {
                Err(end)
            });
        }
        at = end;
        if at > data.len() {
            return Ok(Err(at + MAX_HEADER_LEN.min((fragment_size - at as u64) as usize)));
        }
    }
}

/// Reads fragment heads of one segment, several with one read where they lie close together.
#[derive(Debug)]
pub(super) struct HeaderReader<'s> {
    segment: &'s ClipSegment,
    buf: Vec<u8>,
    offset: u64,
    /// How many bytes are read at once.
    window: usize,
    limit: u64,
}

impl<'s> HeaderReader<'s> {
    pub fn new(segment: &'s ClipSegment) -> Self {
        let fragments = &segment.index.fragments;
        let limit = segment.index.tail_offset();
        let average = limit / (fragments.len() as u64).max(1);
        Self {
            segment,
            buf: Vec::new(),
            offset: 0,
            window: if average < SMALL_FRAGMENT {
                WINDOW_BYTES
            } else {
                GUESS_BYTES
            },
            limit,
        }
    }

    /// For a single one: no reading ahead.
    pub fn single(segment: &'s ClipSegment) -> Self {
        Self {
            window: GUESS_BYTES,
            ..Self::new(segment)
        }
    }

    /// The head of a fragment.
    pub fn read(&mut self, fragment: &Fragment) -> Result<Header<'_>> {
        let context = |e: Error| e.context(format_args!("{} at byte {}", self.segment.name, fragment.offset));
        let size = u64::from(fragment.size);
        let mut want = 8.min(fragment.size as usize);
        loop {
            let have = fragment
                .offset
                .checked_sub(self.offset)
                .filter(|&o| o + want as u64 <= self.buf.len() as u64);
            let Some(start) = have.map(|o| o as usize) else {
                self.fill(fragment.offset, want)?;
                continue;
            };
            let stop = self.buf.len().min(start + fragment.size as usize);
            match find_moof(&self.buf[start..stop], size).map_err(context)? {
                Ok((moof_at, end)) => {
                    if self.window <= GUESS_BYTES {
                        self.window = (end + end / 8).next_multiple_of(GUESS_STEP).min(GUESS_BYTES);
                    }
                    return Ok(Header {
                        bytes: &self.buf[start..start + end],
                        moof_at,
                    });
                }
                Err(needs) => want = needs,
            }
        }
    }

    fn fill(&mut self, offset: u64, at_least: usize) -> Result<()> {
        let left = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.buf.clear();
        self.buf.resize(self.window.min(left).max(at_least), 0);
        self.offset = offset;
        self.segment.read_exact(offset, &mut self.buf)
    }
}

/// How the `moof`s of a part are changed.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub init: Arc<InitSegment>,
    pub video_id: u32,
    pub audio_id: Option<u32>,
    pub shift: Shift,
    /// Store all decode times in 64 bits and make every fragment [`wide_growth`] bytes longer.
    pub wide: bool,
}

/// By how much a fragment grows where decode times need 64 bits: 4 bytes for each `tfdt` that had 32, the
/// rest filled by a `free` box (8 bytes or more) behind the fragment. So the size of the clip does not
/// depend on what the fragments hold.
pub(super) const fn wide_growth() -> usize {
    8 + 4 * 2
}

impl Rules {
    /// Patches a `moof` in place: number, decode times; tracks that are not shown become `free`.
    ///
    /// With `wide`, numbers that do not fit are left for [`widen`](Self::widen).
    pub fn patch(&self, moof: &mut [u8], sequence: u32) -> Result<()> {
        let parsed = MovieFragment::parse(moof, &self.init)?;
        let mut short: Vec<(usize, [u8; 4])> = vec![(parsed.sequence_at, sequence.to_be_bytes())];
        let mut long: Vec<(usize, [u8; 8])> = Vec::new();
        for (at, track) in traf_offsets(moof)?.into_iter().zip(&parsed.tracks) {
            if track.base_data_offset.is_some() {
                return Err(absolute_offsets());
            }
            let Some(shift) = self.shift_of(track.track_id) else {
                short.push((at + 4, *b"free"));
                continue;
            };
            let time = track
                .base_decode_time
                .ok_or_else(|| corrupt("a track fragment without 'tfdt'"))?;
            let value = i64::try_from(time.value)
                .ok()
                .and_then(|v| v.checked_add(shift))
                .and_then(|v| u64::try_from(v).ok())
                .ok_or_else(|| corrupt("a decode time is out of range"))?;
            if time.wide {
                long.push((time.offset, value.to_be_bytes()));
            } else if let Ok(value) = u32::try_from(value) {
                short.push((time.offset, value.to_be_bytes()));
            } else if !self.wide {
                return Err(corrupt("a decode time is out of range"));
            }
        }
        for (at, bytes) in short {
            moof[at..at + 4].copy_from_slice(&bytes);
        }
        for (at, bytes) in long {
            moof[at..at + 8].copy_from_slice(&bytes);
        }
        Ok(())
    }

    /// The same with all decode times in 64 bits; the `moof` becomes longer.
    pub fn widen(&self, moof: &[u8], sequence: u32) -> Result<Vec<u8>> {
        let mut out = moof.to_vec();
        self.patch(&mut out, sequence)?;
        let parsed = MovieFragment::parse(moof, &self.init)?;
        let shown = |id| self.shift_of(id).is_some();
        let narrow: Vec<(usize, usize, u64)> = traf_offsets(moof)?
            .into_iter()
            .zip(&parsed.tracks)
            .filter(|(_, t)| shown(t.track_id))
            .filter_map(|(at, t)| Some((at, t.base_decode_time.filter(|b| !b.wide)?, t.track_id)))
            .map(|(at, time, id)| {
                let value = time.value.wrapping_add_signed(self.shift_of(id).unwrap_or(0));
                (at, time.offset, value)
            })
            .collect();
        let growth = 4 * narrow.len();
        if growth + 8 > wide_growth() || parsed.tracks.iter().any(|t| !t.default_base_is_moof) {
            return Err(absolute_offsets());
        }
        let mut add32 = |at: usize, n: usize| -> Result<()> {
            let field: [u8; 4] = out[at..at + 4].try_into().map_err(|_| corrupt("moof"))?;
            let sum = u32::from_be_bytes(field).wrapping_add(n as u32);
            out[at..at + 4].copy_from_slice(&sum.to_be_bytes());
            Ok(())
        };
        add32(0, growth)?;
        for &(traf, time, _) in &narrow {
            // A `tfdt` starts 12 bytes before its number when its size is stored in 32 bits.
            if moof[time - 8..time - 4] != *b"tfdt" || moof[traf + 4..traf + 8] != *b"traf" {
                return Err(corrupt("a box header of unusual length"));
            }
            add32(traf, 4)?;
            add32(time - 12, 4)?;
        }
        for at in parsed
            .tracks
            .iter()
            .flat_map(|t| &t.runs)
            .map(|r| r.data_offset_at)
        {
            add32(at.ok_or_else(absolute_offsets)?, growth)?;
        }
        for &(_, time, value) in narrow.iter().rev() {
            out[time - 4] = 1;
            out.splice(time..time + 4, value.to_be_bytes());
        }
        Ok(out)
    }

    fn shift_of(&self, track_id: u32) -> Option<i64> {
        if track_id == self.video_id {
            Some(self.shift.video)
        } else if Some(track_id) == self.audio_id {
            Some(self.shift.audio)
        } else {
            None
        }
    }
}

pub(super) fn absolute_offsets() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a fragment addresses its samples in a way that does not survive being moved",
    )
    .with_hint("ask for the progressive format")
}

/// Offsets of the `traf` boxes from the start of the `moof`.
fn traf_offsets(moof: &[u8]) -> Result<Vec<usize>> {
    let outer = Boxes::new(moof).next().ok_or_else(|| corrupt("empty moof"))??;
    let mut offsets = Vec::with_capacity(2);
    for b in outer.children() {
        let b = b?;
        if b.kind() == b"traf" {
            offsets.push(outer.body_offset() + b.offset);
        }
    }
    Ok(offsets)
}
