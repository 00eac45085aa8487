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
            next_number: 0,
            next_init: 0,
            gathering: BytesMut::new(),
            gathered: 0,
            gathered_independent: false,
            part_target: PART,
            target: 2,
            dropped_discontinuities: 0,
            discontinuity: false,
        }
    }

    /// Frames are missing, or another connection begins.
    pub(super) fn interrupt(&mut self) {
        self.end_part();
        // Sound without a frame belongs to nothing that follows.
        self.gathering.clear();
        self.end_segment();
        self.discontinuity = self.next_number > 0;
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
        if begins && !chunk.keyframe {
            return false;
        }
        let mut news = false;
        let cut = (chunk.keyframe && so_far >= SEGMENT) || so_far >= SEGMENT_MOST;
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
            None if number <= 2 => Found::NotYet,
            None => Found::Gone,
        }
    }

    /// Whether there is enough for a first playlist.
    pub(super) fn is_ready(&self) -> bool {
        self.segments.iter().any(|s| !s.parts.is_empty())
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
mod tests {
    use super::*;

    fn init() -> Packet {
        Packet::Init(Init {
            mime: String::new(),
            video_codec: String::new(),
            audio_codec: None,
            size: (2, 2),
            timescale: 90_000,
            bytes: Bytes::from_static(b"init"),
        })
    }

    fn frames(window: &mut Window, from: u64, n: u64, gop: u64) {
        for i in from..from + n {
            window.push(Packet::Chunk(Chunk {
                bytes: Bytes::copy_from_slice(&i.to_be_bytes()),
                keyframe: i % gop == 0,
                decode_time: Some(i as i64 * 3600),
                duration: 3600,
                presentation: i as i64 * 3600,
                utc: Timestamp::from_ns(i as i64 * 40_000_000),
            }));
        }
    }

    fn here(found: Found) -> Vec<u64> {
        let Found::Here(bytes) = found else {
            panic!("{found:?}")
        };
        bytes
            .chunks(8)
            .map(|c| u64::from_be_bytes(c.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn parts_make_up_segments_and_segments_the_stream() {
        let mut w = Window::new("x-".into());
        assert!(!w.is_ready());
        w.push(init());
        frames(&mut w, 0, 130, 50);
        // 0..50, 50..100, and 100..130 growing; five frames a part.
        assert_eq!(here(w.file("x-0.m4s")), (0..50).collect::<Vec<_>>());
        assert_eq!(here(w.file("x-1.9.m4s")), (95..100).collect::<Vec<_>>());
        assert_eq!(here(w.file("x-2.5.m4s")), (125..130).collect::<Vec<_>>());
        assert_eq!(w.file("x-2.6.m4s"), Found::NotYet);
        assert_eq!(w.file("x-2.m4s"), Found::NotYet);
        assert_eq!(w.file("x-3.0.m4s"), Found::NotYet);
        assert_eq!(w.file("x-init0.mp4"), Found::Here(Bytes::from_static(b"init")));
        for bad in [
            "x-4.0.m4s",
            "x-2.9.m4s",
            "x-1.10.m4s",
            "y-0.m4s",
            "x-init1.mp4",
            "x-",
            "x-1",
            "x-a.m4s",
        ] {
            assert_eq!(w.file(bad), Found::Gone, "{bad}");
        }
        let list = w.playlist("live/", false);
        assert!(list.contains("#EXT-X-PART-INF:PART-TARGET=0.200\n"), "{list}");
        assert!(list.contains("#EXT-X-TARGETDURATION:2\n"), "{list}");
        assert!(
            list.contains("#EXT-X-PART:DURATION=0.20000,URI=\"live/x-2.0.m4s\",INDEPENDENT=YES\n"),
            "{list}"
        );
        assert!(list.contains("#EXTINF:2.00000,\nlive/x-1.m4s\n"), "{list}");
        assert!(
            list.ends_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"live/x-2.6.m4s\"\n"),
            "{list}"
        );
        assert_eq!(w.has(2, Some(5)), Found::Here(Bytes::new()));
        assert_eq!(w.has(2, Some(6)), Found::NotYet);
        assert_eq!(w.has(2, None), Found::NotYet);
        assert_eq!(w.has(1, Some(99)), Found::Here(Bytes::new()));
        assert_eq!(w.has(9, None), Found::Gone);
    }

    #[test]
    fn old_segments_go_and_an_interruption_is_told() {
        let mut w = Window::new("x-".into());
        w.push(init());
        frames(&mut w, 0, 60, 50);
        w.interrupt();
        w.push(init());
        // In the middle of a group: nothing begins before its end.
        frames(&mut w, 80, 480, 50);
        assert_eq!(here(w.file("x-2.0.m4s"))[0], 100);
        assert_eq!(w.file("x-0.m4s"), Found::Gone);
        let list = w.playlist("", false);
        assert!(list.contains("x-init1.mp4") && !list.contains("init0"), "{list}");
        frames(&mut w, 560, 850, 50);
        let list = w.playlist("", false);
        assert!(list.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{list}");
        assert!(w.segments.len() <= HISTORY as usize + 2);
    }

    /// What a client makes of an update and the playlist that it has.
    fn merged(old: &str, update: &str) -> Vec<String> {
        let segments = |list: &str| -> Vec<String> {
            let end = |l: &&str| l.ends_with(".m4s") && !l.starts_with('#');
            list.lines().filter(end).map(str::to_owned).collect()
        };
        let number = |list: &str, tag: &str| -> usize {
            let line = list.lines().find_map(|l| l.strip_prefix(tag));
            line.map_or(0, |n| n.parse().unwrap())
        };
        let first = "#EXT-X-MEDIA-SEQUENCE:";
        let from = number(update, first) - number(old, first);
        let skipped = number(update, "#EXT-X-SKIP:SKIPPED-SEGMENTS=");
        let mut all = segments(old)[from..from + skipped].to_vec();
        all.extend(segments(update));
        all
    }

    #[test]
    fn an_update_leaves_out_what_is_known() {
        for gop in [25, 50, 100] {
            let mut w = Window::new("x-".into());
            w.push(init());
            frames(&mut w, 0, 1000, gop);
            let old = w.playlist("", false);
            let target: u64 = old
                .lines()
                .find_map(|l| l.strip_prefix("#EXT-X-TARGETDURATION:"))
                .unwrap()
                .parse()
                .unwrap();
            assert!(
                old.contains(&format!("CAN-SKIP-UNTIL={}.0,", target * 6)),
                "{old}"
            );
            assert!(!old.contains("#EXT-X-SKIP"), "nobody asked for it: {old}");
            frames(&mut w, 1000, 130, gop);
            let (whole, update) = (w.playlist("", false), w.playlist("", true));
            assert!(update.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS="), "{update}");
            assert!(update.len() < whole.len(), "{update}");
            assert_eq!(merged(&old, &update), merged(&whole, &whole), "{update}");
            // What is left reaches as far back as was promised, and has its init segment.
            let left: f64 = update
                .lines()
                .filter_map(|l| l.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok())
                .sum();
            let growing = update
                .lines()
                .skip_while(|l| !l.ends_with(&format!("x-{}.m4s", w.next_number - 2)) || l.starts_with('#'))
                .filter_map(|l| l.strip_prefix("#EXT-X-PART:DURATION="))
                .filter_map(|l| l.split(',').next()?.parse::<f64>().ok())
                .sum::<f64>();
            assert!(
                left + growing >= (target * 6) as f64 - 0.001,
                "{left} and {growing}: {update}"
            );
            assert_eq!(update.matches("#EXT-X-MAP").count(), 1);
            let at = |tag: &str| update.find(tag).unwrap();
            assert!(at("#EXT-X-MEDIA-SEQUENCE") < at("#EXT-X-SKIP") && at("#EXT-X-SKIP") < at("#EXT-X-MAP"));
        }
        // So young a list has nothing to leave out.
        let mut w = Window::new("x-".into());
        w.push(init());
        frames(&mut w, 0, 200, 50);
        assert_eq!(w.playlist("", true), w.playlist("", false));
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let mut w = Window::new("x-".into());
        w.push(init());
        for i in 0..2000i64 {
            w.push(Packet::Chunk(Chunk {
                bytes: Bytes::from(vec![0; 200 << 10]),
                keyframe: i % 500 == 0,
                decode_time: Some(i * 3600),
                duration: 3600,
                presentation: 0,
                utc: Timestamp::from_ns(0),
            }));
            let held: usize = w.segments.iter().map(Segment::len).sum();
            assert!(held <= MOST_BYTES + (2 << 20), "{held} at {i}");
        }
    }

    fn sound(window: &mut Window) {
        window.push(Packet::Chunk(Chunk {
            bytes: Bytes::copy_from_slice(&u64::MAX.to_be_bytes()),
            keyframe: false,
            decode_time: None,
            duration: 0,
            presentation: 0,
            utc: Timestamp::from_ns(0),
        }));
    }

    #[test]
    fn sound_alone_before_a_keyframe() {
        let mut w = Window::new("x-".into());
        w.push(init());
        for n in 0..75 {
            frames(&mut w, n, 1, 25);
            // Behind a part that has just ended.
            sound(&mut w);
        }
        let list = w.playlist("", false);
        for number in 0..3 {
            let begins = format!("URI=\"x-{number}.0.m4s\",INDEPENDENT=YES\n");
            assert!(list.contains(&begins), "{number}: {list}");
        }
        // Between two connections it belongs to neither.
        w.push(init());
        frames(&mut w, 0, 10, 25);
        assert_eq!(here(w.file("x-3.0.m4s")), (0..5).collect::<Vec<_>>());
    }

    #[test]
    fn slow_cameras_have_long_parts() {
        let mut w = Window::new("x-".into());
        w.push(init());
        for i in 0..6i64 {
            w.push(Packet::Chunk(Chunk {
                bytes: Bytes::from_static(b"12345678"),
                keyframe: i % 2 == 0,
                decode_time: Some(i * 90_000),
                duration: 90_000,
                presentation: 0,
                utc: Timestamp::from_ns(0),
            }));
        }
        let list = w.playlist("", false);
        assert!(list.contains("PART-TARGET=1.250\n"), "{list}");
        assert!(list.contains("#EXT-X-PART:DURATION=1.00000"), "{list}");
    }
}
