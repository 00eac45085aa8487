//! What of a live stream can be asked for by LL-HLS (RFC 8216bis, 4.4.4.9 and B.): the last segments and their parts.
//! Pure.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};

use crate::live::fmp4::{Chunk, Init, Packet};
use crate::time::Timestamp;

const TICKS: f64 = 90_000.0;
/// Length of a part, unless frames are longer.
const PART: u32 = 18_000;
/// A segment is at least so long.
const SEGMENT: u64 = 90_000;
/// A segment ends also without a keyframe in sight when it is so long.
const SEGMENT_MOST: u64 = 30 * 90_000;
/// Segments that are kept behind the growing one, at least.
const SEGMENTS: usize = 6;
/// And as many as make up so many target durations.
const HISTORY: u64 = 9;
/// How far from the end segments are that an update may leave out, in target durations. RFC 8216bis wants at least six.
const SKIP: u64 = 6;
/// Segments whose parts are listed, besides the growing one.
const WITH_PARTS: usize = 2;
/// Most bytes that are kept.
const MOST_BYTES: usize = 32 << 20;

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    duration: u64,
    independent: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Which init segment it goes with.
    init: usize,
    /// It does not go on from the one before.
    discontinuity: bool,
    start: Timestamp,
    parts: Vec<Part>,
    complete: bool,
}

impl Segment {
    fn duration(&self) -> u64 {
        self.parts.iter().map(|p| p.duration).sum()
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|p| p.bytes.len()).sum()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    prefix: String,
    inits: VecDeque<(usize, Init)>,
    segments: VecDeque<Segment>,
    /// Number of the first segment.
    first: u64,
    next_number: u64,
    next_init: usize,
    gathering: BytesMut,
    gathered: u64,
    gathered_independent: bool,
    /// The length that parts are promised not to exceed, in ticks.
    part_target: u32,
    /// In seconds.
    target: u64,
    dropped_discontinuities: u64,
    discontinuity: bool,
    /// The first segment is yet to come, or to end: see `begin_at_once`.
    opening: bool,
    /// The next segment goes on where the first one was ended, in the middle of a group of pictures.
    goes_on: bool,
}

/// What a file of the window is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Here(Bytes),
    /// It is the next one, or soon will be.
    NotYet,
    Gone,
}

impl Window {
    /// `prefix` begins the name of every file.
    pub(super) fn new(prefix: String) -> Self {
        Self {
            prefix,
            inits: VecDeque::new(),
            segments: VecDeque::new(),
            first: 0,
            next_number: 0,
            next_init: 0,
            gathering: BytesMut::new(),
            gathered: 0,
            gathered_independent: false,
            part_target: PART,
            target: 2,
            dropped_discontinuities: 0,
            discontinuity: false,
            opening: false,
            goes_on: false,
        }
    }

    /// Ends the first segment as soon as `caught_up` says so, though no keyframe follows: players want a whole segment
    /// before they begin, and a number that is not zero before they wait for parts.
    pub(super) fn begin_at_once(&mut self) {
        self.first = 1;
        self.next_number = 1;
        self.opening = true;
    }

    /// What there was of the present group of pictures has been pushed: it is the first segment, so that where players
    /// begin, a little before the end, lies behind a keyframe of the same segment. Otherwise they wait for the next
    /// one. True when there is something new to be asked for.
    pub(super) fn caught_up(&mut self) -> bool {
        let begun = self.segments.back().is_some_and(|s| !s.parts.is_empty());
        if !self.opening || !begun {
            return false;
        }
        self.end_part();
        self.end_segment();
        self.goes_on = true;
        true
    }

    /// Frames are missing, or another connection begins.
    pub(super) fn interrupt(&mut self) {
        self.end_part();
        // Sound without a frame belongs to nothing that follows.
        self.gathering.clear();
        self.end_segment();
        self.goes_on = false;
        self.discontinuity = self.next_number > self.first;
    }

    /// Takes a packet; true when there is something new to be asked for.
    pub(super) fn push(&mut self, packet: Packet) -> bool {
        match packet {
            Packet::Init(init) => {
                self.interrupt();
                self.inits.push_back((self.next_init, init));
                self.next_init += 1;
                false
            }
            Packet::Chunk(chunk) => self.chunk(&chunk),
        }
    }

    fn chunk(&mut self, chunk: &Chunk) -> bool {
        let Some(init) = self.next_init.checked_sub(1) else {
            return false;
        };
        let growing = self.segments.back().filter(|s| !s.complete);
        let so_far = growing.map_or(0, Segment::duration) + self.gathered;
        let begins = growing.is_none();
        if begins && !chunk.keyframe && !self.goes_on {
            return false;
        }
        let mut news = false;
        // What there was already comes at once, and is no longer than memory holds.
        let too_long = so_far >= SEGMENT_MOST && !self.opening;
        let cut = (chunk.keyframe && so_far >= SEGMENT) || too_long;
        if cut && !begins {
            self.end_part();
            self.end_segment();
            news = true;
        }
        if begins || cut {
            self.segments.push_back(Segment {
                number: self.next_number,
                init,
                discontinuity: std::mem::take(&mut self.discontinuity),
                start: chunk.utc,
                parts: Vec::new(),
                complete: false,
            });
            self.next_number += 1;
            self.goes_on = false;
        }
        let duration = u64::from(chunk.duration);
        if self.gathered > 0 && self.gathered + duration > u64::from(self.part_target) {
            self.end_part();
            news = true;
        }
        // Its first frame counts, not the sound that may lie before that.
        if self.gathered == 0 {
            self.gathered_independent = chunk.keyframe;
        }
        self.gathering.extend_from_slice(&chunk.bytes);
        self.gathered += duration;
        if chunk.duration > self.part_target {
            self.part_target = chunk.duration + chunk.duration / 4;
        }
        // The next one would not fit any more: do not wait for it.
        if self.gathered + duration * 9 / 10 > u64::from(self.part_target) {
            self.end_part();
            news = true;
        }
        self.forget();
        news
    }

    fn end_part(&mut self) {
        if self.gathered == 0 {
            return;
        }
        let part = Part {
            bytes: self.gathering.split().freeze(),
            duration: std::mem::take(&mut self.gathered),
            independent: self.gathered_independent,
        };
        if let Some(segment) = self.segments.back_mut() {
            segment.parts.push(part);
        }
    }

    fn end_segment(&mut self) {
        if let Some(segment) = self.segments.back_mut().filter(|s| !s.complete) {
            segment.complete = true;
            self.opening = false;
            let seconds = (segment.duration() as f64 / TICKS).round() as u64;
            self.target = self.target.max(seconds);
        }
    }

    fn forget(&mut self) {
        let bytes = |s: &VecDeque<Segment>| s.iter().map(Segment::len).sum::<usize>();
        let ticks = |s: &VecDeque<Segment>| s.iter().map(Segment::duration).sum::<u64>();
        let history = self.target * HISTORY * 90_000;
        while (self.segments.len() > SEGMENTS + 1
            && ticks(&self.segments) - self.segments[0].duration() >= history)
            || (self.segments.len() > 1 && bytes(&self.segments) > MOST_BYTES)
        {
            if let Some(old) = self.segments.pop_front() {
                self.dropped_discontinuities += u64::from(old.discontinuity);
            }
        }
        if let Some(first) = self.segments.front() {
            let init = first.init;
            self.inits.retain(|(n, _)| *n >= init);
            // A single segment that is too large: nobody can be served more than its end.
            if self.segments.len() == 1 && bytes(&self.segments) > MOST_BYTES {
                self.interrupt();
            }
        }
    }

    /// Whether the part is there that a playlist is wanted with; `part` absent: the whole segment.
    pub(super) fn has(&self, number: u64, part: Option<u64>) -> Found {
        match self.segments.back() {
            Some(last) if number > last.number + 2 => Found::Gone,
            Some(last) if number > last.number => Found::NotYet,
            Some(last) if number == last.number => {
                let there = last.complete || part.is_some_and(|part| (part as usize) < last.parts.len());
                if there {
                    Found::Here(Bytes::new())
                } else {
                    Found::NotYet
                }
            }
            Some(_) => Found::Here(Bytes::new()),
            None if number <= self.first + 2 => Found::NotYet,
            None => Found::Gone,
        }
    }

    /// Whether there is enough for a first playlist.
    pub(super) fn is_ready(&self) -> bool {
        self.segments.iter().any(|s| s.complete)
    }

    /// A file by its name.
    pub(super) fn file(&self, name: &str) -> Found {
        let inner = || {
            let rest = name.strip_prefix(self.prefix.as_str())?;
            if let Some(n) = rest.strip_prefix("init").and_then(|r| r.strip_suffix(".mp4")) {
                let n: usize = n.parse().ok()?;
                let (_, init) = self.inits.iter().find(|(of, _)| *of == n)?;
                return Some(Found::Here(init.bytes.clone()));
            }
            let numbers = rest.strip_suffix(".m4s")?;
            let (number, part) = match numbers.split_once('.') {
                Some((number, part)) => (number.parse().ok()?, Some(part.parse::<usize>().ok()?)),
                None => (numbers.parse::<u64>().ok()?, None),
            };
            let Some(segment) = self.segments.iter().find(|s| s.number == number) else {
                let soon = number == self.next_number && part.unwrap_or(0) == 0;
                return soon.then_some(Found::NotYet);
            };
            match part {
                Some(part) => match segment.parts.get(part) {
                    Some(part) => Some(Found::Here(part.bytes.clone())),
                    // What was hinted at became the first part of the next segment.
                    None if segment.complete && part == segment.parts.len() => None,
                    None if !segment.complete && part <= segment.parts.len() + 1 => Some(Found::NotYet),
                    None => None,
                },
                None if segment.complete => {
                    let mut whole = BytesMut::with_capacity(segment.len());
                    for part in &segment.parts {
                        whole.extend_from_slice(&part.bytes);
                    }
                    Some(Found::Here(whole.freeze()))
                }
                None => Some(Found::NotYet),
            }
        };
        inner().unwrap_or(Found::Gone)
    }

    /// Segments at the beginning that an update leaves out: those that end before the skip boundary.
    fn skipped(&self, target: u64) -> usize {
        let all: u64 = self.segments.iter().map(Segment::duration).sum();
        let boundary = all.saturating_sub(target * SKIP * 90_000);
        let mut end = 0;
        self.segments
            .iter()
            .take_while(|s| {
                end += s.duration();
                s.complete && end <= boundary
            })
            .count()
    }

    /// The playlist of now; `folder` is put before the names of files. With `skip` it leaves out what whoever has a
    /// recent one knows (a delta update, RFC 8216bis, 6.2.5.1), where there is such.
    pub(super) fn playlist(&self, folder: &str, skip: bool) -> String {
        let part_target = f64::from(self.part_target) / TICKS;
        let files = format!("{folder}{}", self.prefix);
        let growing = self
            .segments
            .back()
            .filter(|s| !s.complete)
            .map_or(0, Segment::duration);
        let target = self.target.max((growing as f64 / TICKS).ceil() as u64);
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}.0,PART-HOLD-BACK={:.3}\n\
             #EXT-X-PART-INF:PART-TARGET={part_target:.3}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            target * SKIP,
            part_target * 3.0,
            self.segments.front().map_or(0, |s| s.number),
        );
        if self.dropped_discontinuities > 0 {
            let _ = writeln!(
                out,
                "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
                self.dropped_discontinuities
            );
        }
        let skipped = if skip { self.skipped(target) } else { 0 };
        if skipped > 0 {
            let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        }
        let mut init = None;
        let with_parts = self.segments.len().saturating_sub(WITH_PARTS + 1);
        for (i, segment) in self.segments.iter().enumerate().skip(skipped) {
            if segment.discontinuity {
                out += "#EXT-X-DISCONTINUITY\n";
            }
            if init != Some(segment.init) {
                init = Some(segment.init);
                let _ = writeln!(out, "#EXT-X-MAP:URI=\"{files}init{}.mp4\"", segment.init);
            }
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.start);
            if i >= with_parts {
                for (n, part) in segment.parts.iter().enumerate() {
                    let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
                    let _ = writeln!(
                        out,
                        "#EXT-X-PART:DURATION={:.5},URI=\"{files}{}.{n}.m4s\"{independent}",
                        part.duration as f64 / TICKS,
                        segment.number,
                    );
                }
            }
            if segment.complete {
                let _ = writeln!(
                    out,
                    "#EXTINF:{:.5},\n{files}{}.m4s",
                    segment.duration() as f64 / TICKS,
                    segment.number
                );
            }
        }
        let (number, part) = match self.segments.back() {
            Some(last) if !last.complete => (last.number, last.parts.len()),
            _ => (self.next_number, 0),
        };
        let _ = writeln!(
            out,
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{files}{number}.{part}.m4s\""
        );
        out
    }
}

#[cfg(test)]
mod tests;
