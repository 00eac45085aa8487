//! From a track's own clock to the recorder's: RTP timestamps in, times on the steady clock's line out.
//!
//! The two clocks differ: by an offset, which is not known because of the network's delay, and in rate, by up to some
//! per cent in bad cameras. Packets can only be late, never early, so the least difference of arrival and media time in
//! a window is the best guess of the offset; it does not mind that arrivals are rounded up to a tick. Towards that
//! guess the line is bent, by at most [`MAX_BEND`]: times never go back and frames keep their distance. While the guess
//! is within [`DEAD_NS`], nothing is bent.
//!
//! Where sender reports tell the common clock of two tracks, audio follows video instead of its own arrivals: at once
//! while none of its times was used, else by bending.

use crate::time::{NS_PER_S, Timestamp};

use super::rtcp::{self, SenderReport};

/// Length of a bucket of the window.
const BUCKET_NS: i64 = NS_PER_S;

/// Buckets of the window.
const BUCKETS: usize = 8;

/// A deviation that is left alone: less than a frame, more than the noise of arrivals.
const DEAD_NS: i64 = 25_000_000;

/// In this time a deviation would be worked off at the rate at which that begins.
const HORIZON_NS: i64 = 10 * NS_PER_S;

/// Most that the line is bent, in parts of a million: a camera's clock may be wrong by 1 % and still be followed.
const MAX_BEND: i64 = 30_000;

/// Media time that advances by so much more than the steady clock from one packet to the next has jumped.
const JUMP_AHEAD_NS: i64 = 5 * NS_PER_S;

/// Media time that goes back by so much has jumped; by less, pictures are reordered.
const JUMP_BACK_NS: i64 = 2 * NS_PER_S;

/// Everything came later than foreseen by so much during a whole window: the camera paused without its clock. Bending
/// would take for ever; the line steps ahead.
const STEP_NS: i64 = 3 * NS_PER_S;

/// A stream that has not come to the present by then is taken as it comes.
const MOST_CATCHING_UP_NS: i64 = NS_PER_S * 6 / 10;

/// Sender reports of two tracks that put them further apart than this are no use.
const MAX_SYNC_NS: i64 = 3 * NS_PER_S;

/// A sender report further from the stream than this is about another clock.
const MAX_REPORT_AGE_NS: i64 = 60 * NS_PER_S;

/// One track's line.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock_rate: u32,
    /// The timestamp and media time that were seen last; `None` before the first packet.
    last: Option<(u32, i64)>,
    last_arrival_ns: i64,
    last_pts_ns: i64,
    /// Media time and time on the line of one instant, from which the line is straight.
    anchor: (i64, i64),
    /// By how much the line is steeper than the media clock, in parts of a million.
    bend: i64,
    /// Least difference of arrival and media time in each bucket.
    buckets: [i64; BUCKETS],
    filled: usize,
    bucket_start_ns: i64,
    /// Media time and the sender's clock of one instant.
    report: Option<(i64, i64)>,
    /// It is a sender report's, and no guess.
    reported: bool,
    /// When the first packet came, until the stream has come to the present.
    first_ns: Option<i64>,
    begins_at: Option<u32>,
}

impl Timeline {
    /// A line for a clock of so many ticks a second.
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            last: None,
            last_arrival_ns: 0,
            last_pts_ns: 0,
            anchor: (0, 0),
            bend: 0,
            buckets: [i64::MAX; BUCKETS],
            filled: 0,
            bucket_start_ns: 0,
            report: None,
            reported: false,
            first_ns: None,
            begins_at: None,
        }
    }

    fn ticks_ns(&self, ticks: i64) -> i64 {
        (i128::from(ticks) * i128::from(NS_PER_S) / i128::from(self.clock_rate)) as i64
    }

    /// Media time of a timestamp, counted on from the last one.
    fn media(&self, timestamp: u32) -> Option<i64> {
        let (last, media) = self.last?;
        let ticks = i64::from(timestamp.wrapping_sub(last) as i32);
        Some(media.saturating_add(self.ticks_ns(ticks)))
    }

    fn at(&self, media: i64) -> i64 {
        let d = media.saturating_sub(self.anchor.0);
        let bent = d.saturating_add((i128::from(d) * i128::from(self.bend) / 1_000_000) as i64);
        self.anchor.1.saturating_add(bent)
    }

    /// The time of a packet that arrived at `now_ns`. `video` is the line to follow, for audio.
    pub(crate) fn pts(&mut self, timestamp: u32, now_ns: i64, video: Option<&Self>) -> i64 {
        let Some((last, last_media)) = self.last else {
            self.restart(timestamp, 0, now_ns, now_ns);
            self.first_ns = Some(now_ns);
            // One that is far from the first packet is about something else.
            let begin = self.begins_at.take().and_then(|t| self.media(t));
            self.report = begin
                .filter(|media| media.abs() <= NS_PER_S)
                .map(|media| (media, 0));
            return now_ns;
        };
        if timestamp == last {
            return self.last_pts_ns;
        }
        let media = self.media(timestamp).unwrap_or(last_media);
        let step = media.saturating_sub(last_media);
        let passed = now_ns.saturating_sub(self.last_arrival_ns).max(0);
        if step < -JUMP_BACK_NS || step > passed.saturating_add(JUMP_AHEAD_NS) {
            // Where the line would be now, had the clock gone on; media time goes on as well, so that it never overflows.
            let now_media = last_media.saturating_add(passed);
            let pts = self.at(now_media).max(self.last_pts_ns.saturating_add(1_000_000));
            self.restart(timestamp, now_media, pts, now_ns);
            return pts;
        }
        // In its own time a picture comes when it is due.
        if step > 0 && step <= passed.saturating_mul(2) {
            self.first_ns = None;
        }
        self.observe(media, now_ns, video);
        self.last = Some((timestamp, media));
        self.last_arrival_ns = now_ns;
        self.last_pts_ns = self.at(media);
        self.last_pts_ns
    }

    /// Whether the stream has not come to the present yet: a camera may first send what it kept, as fast as the
    /// network is, and then go on in its own time. Also while there is only one picture, which tells nothing.
    pub(super) fn catching_up(&self, now_ns: i64) -> bool {
        self.first_ns
            .is_some_and(|first| now_ns.saturating_sub(first) < MOST_CATCHING_UP_NS)
    }

    /// Moves the line so that nothing came earlier than it was due, and gives what is to be added to the times that
    /// were told so far. Only while none of them was used. Audio goes to where sender reports put it beside `video`, which
    /// has been settled: that pictures take longer on their way than sound is known then.
    pub(super) fn settle(&mut self, video: Option<&Self>) -> i64 {
        self.first_ns = None;
        let Some(least) = self.buckets[..self.filled].iter().copied().min() else {
            return 0;
        };
        let own = least.saturating_sub(self.anchor.1.saturating_sub(self.anchor.0));
        let media = self.last.map_or(0, |(_, media)| media);
        let shift = video
            .filter(|v| v.reported && self.reported)
            .and_then(|v| self.behind(v, media))
            .unwrap_or(own);
        self.anchor.1 = self.anchor.1.saturating_add(shift);
        self.last_pts_ns = self.last_pts_ns.saturating_add(shift);
        shift
    }

    /// The server says that the stream begins at this timestamp (RFC 2326, 12.33), as its other tracks do at theirs.
    /// Serves to bring them together until a sender report comes.
    pub(super) fn begins_at(&mut self, timestamp: u32) {
        self.begins_at = Some(timestamp);
    }

    fn restart(&mut self, timestamp: u32, media: i64, pts: i64, now_ns: i64) {
        self.last = Some((timestamp, media));
        self.last_arrival_ns = now_ns;
        self.last_pts_ns = pts;
        self.anchor = (media, pts);
        self.bend = 0;
        self.buckets = [i64::MAX; BUCKETS];
        self.buckets[0] = now_ns.saturating_sub(media);
        self.filled = 1;
        self.bucket_start_ns = now_ns;
        self.report = None;
        self.reported = false;
    }

    fn observe(&mut self, media: i64, now_ns: i64, video: Option<&Self>) {
        let difference = now_ns.saturating_sub(media);
        if now_ns.saturating_sub(self.bucket_start_ns) < BUCKET_NS {
            self.buckets[0] = self.buckets[0].min(difference);
            return;
        }
        // The window's guess, before a new bucket is begun.
        let least = self.buckets[..self.filled]
            .iter()
            .copied()
            .min()
            .unwrap_or(difference);
        let whole = self.filled == BUCKETS;
        let here = self.at(media);
        let own = least.saturating_add(media).saturating_sub(here);
        let deviation = video.and_then(|v| self.behind(v, media)).unwrap_or(own);
        if whole && deviation > STEP_NS {
            self.anchor = (media, here.saturating_add(deviation));
            self.bend = 0;
        } else {
            let beyond = i128::from(deviation) - i128::from(deviation.clamp(-DEAD_NS, DEAD_NS));
            let bend = beyond * 1_000_000 / i128::from(HORIZON_NS);
            self.anchor = (media, here);
            self.bend = bend.clamp(-i128::from(MAX_BEND), i128::from(MAX_BEND)) as i64;
        }
        self.buckets.rotate_right(1);
        self.buckets[0] = difference;
        self.filled = (self.filled + 1).min(BUCKETS);
        self.bucket_start_ns = now_ns;
    }

    /// By how much this track is to move to meet the other at the same instant of the sender's clock.
    fn behind(&self, other: &Self, media: i64) -> Option<i64> {
        let (own_media, own_clock) = self.report?;
        let (other_media, other_clock) = other.report?;
        let clock = own_clock.checked_add(media.checked_sub(own_media)?)?;
        let there = other.at(other_media.checked_add(clock.checked_sub(other_clock)?)?);
        let deviation = there.checked_sub(self.at(media))?;
        (-MAX_SYNC_NS..=MAX_SYNC_NS)
            .contains(&deviation)
            .then_some(deviation)
    }

    /// Takes up a sender report of this track.
    pub(super) fn sender_report(&mut self, report: &SenderReport) {
        let (Some((_, last)), Some(media)) = (self.last, self.media(report.timestamp)) else {
            return;
        };
        if media.saturating_sub(last).saturating_abs() <= MAX_REPORT_AGE_NS {
            self.report = Some((media, rtcp::unix_ns(report.ntp)));
            self.reported = true;
        }
    }

    /// Takes up the sender report in a packet of RTCP, if there is one.
    pub(crate) fn rtcp(&mut self, data: &[u8]) {
        if let Some(report) = rtcp::parse(data).report {
            self.sender_report(&report);
        }
    }

    /// The camera's clock at a timestamp, if it told it and it is set.
    pub(crate) fn ntp(&self, timestamp: u32) -> Option<Timestamp> {
        let (media, clock) = self.report?;
        rtcp::plausible(clock.checked_add(self.media(timestamp)?.checked_sub(media)?)?)
    }

    #[cfg(test)]
    fn bend_ppm(&self) -> i64 {
        self.bend
    }
}

#[cfg(test)]
mod tests;
