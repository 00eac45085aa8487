//! Lets audio out in step with video, fills what is missing with silence and never makes video wait. Pure.

use std::collections::VecDeque;

use super::writer::Unit;

/// Audio may lag behind video by this much before silence is put in its place; it adds to what a crash can
/// cost, hence small. A camera whose audio is later by nature raises it up to the second figure.
const LAG_NS: i64 = 300_000_000;
const LAG_MOST_NS: i64 = 5_000_000_000;
/// A hole smaller than this is left as it is: times jitter.
const HOLE_NS: i64 = 100_000_000;
/// Packets that wait for video at most (20 s of AAC at 48 kHz).
const MOST: usize = 1000;
/// Silence of this length is worth an event.
const STALL_NS: i64 = 2_000_000_000;

/// What the gate wants to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateNews {
    /// The audio stopped; silence stands in for it.
    Stalled,
    /// The audio stopped and silence cannot be made for its configuration.
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Gate {
    queue: VecDeque<Unit>,
    silence: Option<gst::Buffer>,
    /// Duration of a packet.
    packet_ns: i64,
    /// Nothing that ends before is wanted.
    from_ns: Option<i64>,
    last_ns: Option<i64>,
    last_real_ns: Option<i64>,
    lag_ns: i64,
    told: bool,
}

impl Gate {
    pub(crate) fn new(silence: Option<gst::Buffer>, packet_ns: i64) -> Self {
        Self {
            silence,
            packet_ns: packet_ns.max(1_000_000),
            lag_ns: LAG_NS,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, mut unit: Unit) {
        let packet = u64::try_from(self.packet_ns).map(gst::ClockTime::from_nseconds);
        unit.duration = unit.duration.or(packet.ok());
        if self
            .from_ns
            .is_some_and(|from| unit.pts_ns.saturating_add(self.packet_ns) <= from)
        {
            return;
        }
        if self.queue.len() >= MOST {
            self.queue.pop_front();
        }
        self.queue.push_back(unit);
    }

    /// Begins a recording: nothing that ends before `video_ns` is wanted, and audio is owed from there on.
    pub(crate) fn begin(&mut self, video_ns: i64) {
        self.from_ns = Some(video_ns);
        while self
            .queue
            .front()
            .is_some_and(|u| u.pts_ns + self.packet_ns <= video_ns)
        {
            self.queue.pop_front();
        }
    }

    /// What is to be written before the video of `video_ns`.
    pub(crate) fn due(&mut self, video_ns: i64) -> (Vec<Unit>, Option<GateNews>) {
        let mut out = Vec::new();
        while self.queue.front().is_some_and(|u| u.pts_ns <= video_ns) {
            if let Some(unit) = self.queue.pop_front() {
                self.take(unit, video_ns, &mut out);
            }
        }
        let lag = self.lag_ns;
        self.fill(video_ns.saturating_sub(lag), &mut out);
        (out, self.news(video_ns))
    }

    /// All that is left, at the end.
    pub(crate) fn rest(&mut self) -> Vec<Unit> {
        let mut out = Vec::new();
        while let Some(unit) = self.queue.pop_front() {
            self.take(unit, i64::MIN, &mut out);
        }
        out
    }

    fn take(&mut self, unit: Unit, video_ns: i64, out: &mut Vec<Unit>) {
        if let Some(last) = self.last_ns {
            if unit.pts_ns <= last.saturating_add(self.packet_ns / 2) {
                // Its place is taken: by silence because it came late, or it is there twice.
                let lag = video_ns.saturating_sub(unit.pts_ns);
                if lag > self.lag_ns {
                    self.lag_ns = lag.saturating_add(LAG_NS).min(LAG_MOST_NS);
                }
                return;
            }
            if unit.pts_ns > last.saturating_add(self.packet_ns + HOLE_NS) {
                self.fill(unit.pts_ns - self.packet_ns, out);
            }
        }
        self.last_ns = Some(unit.pts_ns);
        self.last_real_ns = Some(unit.pts_ns);
        self.told = false;
        out.push(unit);
    }

    /// Silence for packets that begin at or before `until_ns`.
    fn fill(&mut self, until_ns: i64, out: &mut Vec<Unit>) {
        let (Some(silence), Some(mut last)) = (&self.silence, self.last_ns) else {
            return;
        };
        while last.saturating_add(self.packet_ns) <= until_ns {
            last += self.packet_ns;
            out.push(Unit {
                buffer: silence.clone(),
                pts_ns: last,
                dts_ns: last,
                duration: Some(gst::ClockTime::from_nseconds(self.packet_ns as u64)),
                keyframe: true,
            });
        }
        self.last_ns = Some(last);
    }

    fn news(&mut self, video_ns: i64) -> Option<GateNews> {
        let since = video_ns.saturating_sub(self.last_real_ns?);
        if self.told || since < self.lag_ns + STALL_NS {
            return None;
        }
        self.told = true;
        Some(if self.silence.is_some() {
            GateNews::Stalled
        } else {
            GateNews::Lost
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn unit(ms: i64) -> Unit {
        Unit {
            buffer: gst::Buffer::new(),
            pts_ns: ms * MS,
            dts_ns: ms * MS,
            duration: None,
            keyframe: true,
        }
    }

    fn times(units: &[Unit]) -> Vec<i64> {
        units.iter().map(|u| u.pts_ns / MS).collect()
    }

    fn gate(silence: bool) -> Gate {
        crate::gst::init().unwrap();
        Gate::new(silence.then(gst::Buffer::new), 20 * MS)
    }

    #[test]
    fn audio_waits_for_video_and_passes_unchanged() {
        let mut g = gate(true);
        for ms in [0, 21, 39, 60] {
            g.push(unit(ms));
        }
        assert_eq!(times(&g.due(40 * MS).0), [0, 21, 39]);
        assert_eq!(times(&g.due(80 * MS).0), [60]);
    }

    #[test]
    fn a_stall_is_filled_with_silence_and_told_once() {
        let mut g = gate(true);
        g.push(unit(0));
        let mut all = Vec::new();
        let mut news = Vec::new();
        for ms in (0..=4000).step_by(40) {
            let (units, n) = g.due(ms * MS);
            all.extend(times(&units));
            news.extend(n);
        }
        assert_eq!(all, (0..=3700).step_by(20).collect::<Vec<_>>());
        assert_eq!(news, [GateNews::Stalled]);
        // It comes back after a hole.
        g.push(unit(4005));
        let (units, _) = g.due(4040 * MS);
        assert_eq!(times(&units).last(), Some(&4005));
        assert!(times(&units).windows(2).all(|w| w[1] - w[0] <= 25));
    }

    #[test]
    fn late_audio_raises_the_lag_and_is_heard_again() {
        let mut g = gate(true);
        let mut heard = 0;
        for ms in (0..20_000).step_by(20) {
            g.push(unit(ms));
            // Video is 1.5 s ahead.
            heard += g.due((ms + 1500) * MS).0.len();
        }
        assert!(g.lag_ns > 1500 * MS && g.lag_ns <= LAG_MOST_NS);
        assert!(g.last_ns == g.last_real_ns, "the last packets are real ones");
        assert!(heard > 900);
    }

    #[test]
    fn without_silence_a_stall_is_a_loss() {
        let mut g = gate(false);
        g.push(unit(0));
        let news: Vec<_> = (0..=4000).step_by(40).filter_map(|ms| g.due(ms * MS).1).collect();
        assert_eq!(news, [GateNews::Lost]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut g = gate(true);
        for ms in 0..5000 {
            g.push(unit(ms * 20));
        }
        assert_eq!(g.queue.len(), MOST);
    }
}
