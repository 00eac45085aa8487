//! Pictures of a replay, cut to a hole in the footage. Pure.
//!
//! A hole begins in the middle of a group of pictures as a rule. The pictures of that group that are recorded already are needed
//! to decode those that are not: they are kept, a tick long each, so that nothing is missing and nothing is there twice for
//! longer than an eye sees.

use crate::error::{Error, ErrorKind, Result};
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// The least distance of two pictures: a tick of a file, rounded up.
pub(super) const TICK_NS: i64 = 11_112;
/// Pictures further apart than this do not belong together: something is missing between them on the card as well.
const BREAK_NS: i64 = 3 * NS_PER_S;
/// So little between the hole's ends and its pictures is made none.
const JOIN_NS: i64 = NS_PER_S / 2;
/// How long a picture lasts where nothing tells.
const USUAL_NS: i64 = NS_PER_S / 25;
/// Most bytes of one group of pictures.
const MAX_GROUP_BYTES: usize = 96 << 20;

/// A picture as it comes, in the order of decoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Picture {
    pub data: Vec<u8>,
    pub keyframe: bool,
    /// When it is shown, by the recorder's clock.
    pub at: Timestamp,
}

/// A picture with its place in the footage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub data: Vec<u8>,
    pub keyframe: bool,
    /// When it is shown and decoded, in nanoseconds since 1970. Decoding times rise.
    pub pts_ns: i64,
    pub dts_ns: i64,
}

/// A keyframe and what depends on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub pictures: Vec<Placed>,
    /// When its last picture is over.
    pub end_ns: i64,
    /// It follows the group before without a break.
    pub joins: bool,
}

impl Group {
    /// When its first picture is decoded.
    pub(super) fn start_ns(&self) -> i64 {
        self.pictures.first().map_or(self.end_ns, |p| p.dts_ns)
    }

    /// Nothing in it is shown before its keyframe: a file may begin here.
    pub(super) fn is_closed(&self) -> bool {
        self.pictures.first().is_some_and(|p| p.pts_ns == p.dts_ns)
    }
}

/// Cuts the pictures of one replay.
#[derive(Debug)]
pub(super) struct Cutter {
    hole: TimeRange,
    group: Vec<Picture>,
    bytes: usize,
    /// Where the group before ended.
    end_ns: Option<i64>,
    distance_ns: i64,
    over: bool,
}

impl Cutter {
    pub(super) fn new(hole: TimeRange) -> Self {
        Self {
            hole,
            group: Vec::new(),
            bytes: 0,
            end_ns: None,
            distance_ns: USUAL_NS,
            over: false,
        }
    }

    /// The hole is full; what follows is of no use.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes the next picture; gives the group that it ends.
    ///
    /// # Errors
    /// `Unsupported` when keyframes are too far apart.
    pub(super) fn push(&mut self, picture: Picture) -> Result<Option<Group>> {
        if self.over {
            return Ok(None);
        }
        let at = picture.at;
        let before = self.group.last().map(|p| p.at);
        if picture.keyframe {
            let ended = self.end_group(Some(at));
            self.over |= at.as_ns() >= self.hole.end().as_ns() - self.distance_ns / 2;
            self.begin(picture);
            return Ok(ended);
        }
        let Some(before) = before else { return Ok(None) };
        if at.since(before).saturating_abs() > BREAK_NS {
            // What follows needs pictures that are not there, up to the next keyframe.
            return Ok(self.end_group(None));
        }
        if at.as_ns() > self.hole.end().as_ns().saturating_add(NS_PER_S) {
            let ended = self.end_group(Some(at));
            self.over = true;
            return Ok(ended);
        }
        self.bytes += picture.data.len();
        self.group.push(picture);
        if self.bytes > MAX_GROUP_BYTES {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("more than {} MiB without a keyframe", MAX_GROUP_BYTES >> 20),
            ));
        }
        Ok(None)
    }

    /// Nothing follows; gives the last group.
    pub(super) fn finish(&mut self) -> Option<Group> {
        let ended = self.end_group(None);
        self.over = true;
        ended
    }

    /// Something is missing here: what follows needs a keyframe.
    pub(super) fn interrupt(&mut self) -> Option<Group> {
        self.end_group(None)
    }

    fn begin(&mut self, picture: Picture) {
        self.bytes = picture.data.len();
        self.group = vec![picture];
    }

    fn end_group(&mut self, next: Option<Timestamp>) -> Option<Group> {
        let mut pictures = std::mem::take(&mut self.group);
        self.bytes = 0;
        if self.over || pictures.is_empty() {
            return None;
        }
        let next = next.map(Timestamp::as_ns);
        self.distance_ns = distance(&pictures, next).unwrap_or(self.distance_ns);
        let half = self.distance_ns / 2;
        let (start, end) = (self.hole.start().as_ns(), self.hole.end().as_ns());

        let whole = pictures.len();
        let beyond = pictures.iter().position(|p| p.at.as_ns() >= end - half);
        pictures.truncate(beyond.unwrap_or(whole));
        let key = pictures.first()?.at.as_ns();
        let joins = self
            .end_ns
            .is_some_and(|end| (-half..BREAK_NS).contains(&key.saturating_sub(end)));
        if self.end_ns.is_some_and(|end| key < end - half) {
            // Time went back: it is there already.
            return None;
        }
        if !joins {
            // What is shown before its keyframe needs the group before.
            pictures.retain(|p| p.at.as_ns() >= key);
        }
        if pictures.iter().all(|p| p.at.as_ns() < start - half) {
            return None;
        }
        let (times, last) = self.place(&pictures, start, half);
        if last >= end {
            return None;
        }
        let mut decoding = times.clone();
        decoding.sort_unstable();
        // Where the next one begins, unless it is far away or was cut off.
        let follows = next.filter(|n| pictures.len() == whole && (last..last + BREAK_NS).contains(n));
        let mut ends = follows.unwrap_or(last + self.distance_ns).min(end);
        if end - ends <= JOIN_NS && next.is_none_or(|n| n >= end - half || follows.is_none()) {
            ends = end;
        }
        let ends = ends.max(last + 1);
        self.end_ns = Some(ends);
        let pictures = pictures
            .into_iter()
            .zip(times)
            .zip(decoding)
            .map(|((p, pts_ns), dts_ns)| Placed {
                data: p.data,
                keyframe: p.keyframe,
                pts_ns,
                dts_ns,
            })
            .collect();
        Some(Group {
            pictures,
            end_ns: ends,
            joins,
        })
    }

    /// When each picture is shown, and the last of these times: in the hole, behind the group before, no two at once.
    fn place(&self, pictures: &[Picture], start: i64, half: i64) -> (Vec<i64>, i64) {
        let mut order: Vec<usize> = (0..pictures.len()).collect();
        order.sort_by_key(|&i| pictures[i].at);
        let mut times = vec![0; pictures.len()];
        let mut least = self.end_ns.unwrap_or(start).max(start);
        let first = self.end_ns.is_none();
        for (n, &i) in order.iter().enumerate() {
            let at = pictures[i].at.as_ns();
            let recorded = first && at < start - half;
            // The hole begins with its first picture, if that is near.
            let begins = first && n == 0 && at - start <= JOIN_NS;
            times[i] = if recorded || begins { least } else { at.max(least) };
            least = times[i] + TICK_NS;
        }
        (times, least - TICK_NS)
    }
}

/// The usual distance of pictures.
fn distance(pictures: &[Picture], next: Option<i64>) -> Option<i64> {
    let mut times: Vec<i64> = pictures.iter().map(|p| p.at.as_ns()).chain(next).collect();
    times.sort_unstable();
    let mut steps: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().filter(|d| *d < BREAK_NS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;
    const BASE: i64 = 1_700_000_000 * NS_PER_S;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ns(BASE + ms * MS)
    }

    fn hole(from: i64, to: i64) -> TimeRange {
        TimeRange::new(at(from), at(to)).unwrap()
    }

    fn picture(n: u8, ms: i64, keyframe: bool) -> Picture {
        Picture {
            data: vec![n],
            keyframe,
            at: at(ms),
        }
    }

    /// Ten pictures a second, a keyframe every second, the first of them `first` tenths of a second after the start.
    fn run(hole: TimeRange, numbers: impl Iterator<Item = u8>, shift_ms: i64) -> Vec<Group> {
        let mut cutter = Cutter::new(hole);
        let mut groups = Vec::new();
        for n in numbers {
            let p = picture(n, i64::from(n) * 100 + shift_ms, n % 10 == 0);
            groups.extend(cutter.push(p).unwrap());
        }
        groups.extend(cutter.finish());
        groups
    }

    fn numbers(groups: &[Group]) -> Vec<u8> {
        groups
            .iter()
            .flat_map(|g| g.pictures.iter().map(|p| p.data[0]))
            .collect()
    }

    /// In order, without overlap, within the hole.
    fn judge(groups: &[Group], hole: TimeRange) {
        let mut last = i64::MIN;
        let mut end = hole.start().as_ns();
        for group in groups {
            assert!(group.start_ns() >= end, "groups overlap");
            for p in &group.pictures {
                assert!(p.dts_ns > last, "decoding times rise");
                last = p.dts_ns;
                assert!(p.pts_ns < group.end_ns || group.pictures.len() > 1);
            }
            assert!(group.pictures[0].keyframe);
            end = group.end_ns;
            assert!(end > last && end <= hole.end().as_ns().max(last + 1));
        }
    }

    #[test]
    fn a_hole_is_filled_from_the_first_to_the_last_missing_picture() {
        // 23 was the last that was recorded before, 50 is the first one after it. The camera's times are near the truth.
        for shift_ms in [-40, 0, 40] {
            let hole = hole(2400, 5000);
            let groups = run(hole, 0..70, shift_ms);
            judge(&groups, hole);
            // 20 to 23 are needed to decode 24.
            assert_eq!(numbers(&groups), (20..50).collect::<Vec<u8>>(), "{shift_ms}");
            assert_eq!(groups[0].start_ns(), hole.start().as_ns());
            assert_eq!(groups.last().unwrap().end_ns, hole.end().as_ns());
            let lead = &groups[0].pictures[..4];
            assert!(lead.iter().all(|p| p.pts_ns - hole.start().as_ns() < 4 * TICK_NS));
            assert_eq!(
                groups.iter().map(|g| g.joins).collect::<Vec<_>>(),
                [false, true, true]
            );
        }
    }

    #[test]
    fn what_the_card_does_not_have_stays_missing() {
        let hole = hole(2400, 9000);
        // From 50 on, and nothing between 60 and 75 (three seconds and more are no frame's length).
        let groups = run(hole, (45..60).chain(95..100), 0);
        judge(&groups, hole);
        assert_eq!(numbers(&groups), (50..60).collect::<Vec<u8>>());
        assert_eq!(groups[0].start_ns(), at(5000).as_ns());
        assert_eq!(groups[0].end_ns, at(6000).as_ns());
        // Pictures behind a loss wait for a keyframe.
        let groups = run(hole, (20..33).chain(75..88), 0);
        judge(&groups, hole);
        assert_eq!(numbers(&groups), (20..33).chain(80..88).collect::<Vec<u8>>());
        assert!(!groups[2].joins);
    }

    #[test]
    fn all_before_or_behind_the_hole_is_none_of_it() {
        assert_eq!(run(hole(20_000, 21_000), 0..100, 0), []);
        assert_eq!(run(hole(-5000, -4000), 0..100, 0), []);
        let mut cutter = Cutter::new(hole(0, 1000));
        assert!(!cutter.is_over());
        cutter.push(picture(1, 1000, true)).unwrap();
        assert!(cutter.is_over());
    }

    #[test]
    fn reordered_pictures_keep_their_times() {
        let mut cutter = Cutter::new(hole(0, 10_000));
        // I P B B, then a keyframe.
        for (n, ms, key) in [(0, 0, true), (3, 300, false), (1, 100, false), (2, 200, false)] {
            assert_eq!(cutter.push(picture(n, ms, key)).unwrap(), None);
        }
        let group = cutter.push(picture(4, 400, true)).unwrap().unwrap();
        let times: Vec<_> = group
            .pictures
            .iter()
            .map(|p| (p.data[0], (p.pts_ns - BASE) / MS, (p.dts_ns - BASE) / MS))
            .collect();
        assert_eq!(times, [(0, 0, 0), (3, 300, 100), (1, 100, 200), (2, 200, 300)]);
        assert!(group.is_closed());
        assert_eq!(group.end_ns, at(400).as_ns());
    }

    proptest! {
        /// Whatever times a camera tells, the footage stays in its hole and in order.
        #[test]
        fn times_that_cannot_be_do_no_harm(
            pictures in prop::collection::vec((any::<bool>(), -20_000i64..40_000), 1..80),
            len in 300i64..20_000,
        ) {
            let hole = hole(0, len);
            let mut cutter = Cutter::new(hole);
            let mut groups = Vec::new();
            for (n, (keyframe, ms)) in pictures.into_iter().enumerate() {
                groups.extend(cutter.push(picture(n as u8, ms, keyframe)).unwrap());
            }
            groups.extend(cutter.finish());
            judge(&groups, hole);
        }

        #[test]
        fn extreme_times_do_not_overflow(times in prop::collection::vec((any::<bool>(), any::<i64>()), 1..40)) {
            let mut cutter = Cutter::new(hole(0, 1000));
            for (keyframe, ns) in times {
                let at = Timestamp::from_ns(ns.clamp(BASE - (1 << 60), BASE + (1 << 60)));
                let _ = cutter.push(Picture { data: vec![0], keyframe, at }).unwrap();
            }
            let _ = cutter.finish();
        }
    }
}
