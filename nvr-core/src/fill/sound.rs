//! The sound of a replay: packets of AAC with their times, waiting for the pictures that they go with.
//!
//! AAC is taken as it is; the rest becomes AAC as it does in a recording. Pictures never wait for sound, and sound that is
//! broken is left out.

use std::collections::VecDeque;

use crate::gst::AacMaker;
use crate::media::mux::AudioEntry;
use crate::rtsp::{AudioKind, AudioParams};
use crate::time::{TimeRange, Timestamp};

/// Most that waits, in packets and bytes: the oldest go.
const MOST_PACKETS: usize = 1 << 14;
const MOST_BYTES: usize = 16 << 20;

/// One packet of AAC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Packet {
    pub data: Vec<u8>,
    /// When it begins to sound by the recorder's clock, in nanoseconds since 1970.
    pub at_ns: i64,
}

#[derive(Debug)]
enum Kind {
    /// There is none, or none that can be used.
    None,
    Copied(AudioEntry),
    Made(Box<AacMaker>),
}

/// The sound that goes into one hole.
#[derive(Debug)]
pub(super) struct Sound {
    hole: TimeRange,
    /// What the camera said of it last.
    params: Option<AudioParams>,
    kind: Kind,
    waiting: VecDeque<Packet>,
    bytes: usize,
    came: bool,
    /// Times of packets rise.
    last_ns: i64,
}

impl Sound {
    pub(super) fn new(hole: TimeRange) -> Self {
        Self {
            hole,
            params: None,
            kind: Kind::None,
            waiting: VecDeque::new(),
            bytes: 0,
            came: false,
            last_ns: i64::MIN,
        }
    }

    /// What the packets that follow are. `None`: none follow.
    pub(super) fn set(&mut self, params: Option<AudioParams>) {
        if self.params == params {
            return;
        }
        self.kind = match &params {
            None => Kind::None,
            Some(AudioParams {
                kind: AudioKind::Aac { config },
                rate,
                channels,
            }) if is_plain(config) => Kind::Copied(AudioEntry {
                config: config.clone(),
                sample_rate: *rate,
                channels: u16::try_from(*channels).unwrap_or(2),
            }),
            Some(other) => match AacMaker::new(other) {
                Ok(maker) => Kind::Made(Box::new(maker)),
                Err(e) => {
                    tracing::warn!(error = %e, "the sound on the camera's card is left out");
                    Kind::None
                }
            },
        };
        self.params = params;
        self.came = false;
        self.waiting.clear();
        self.bytes = 0;
    }

    /// Packets may come.
    pub(super) fn is_expected(&self) -> bool {
        !matches!(self.kind, Kind::None)
    }

    /// What a file says of the sound, once there is any.
    pub(super) fn entry(&self) -> Option<&AudioEntry> {
        match &self.kind {
            Kind::Copied(entry) if self.came => Some(entry),
            Kind::Made(maker) if self.came => maker.entry(),
            _ => None,
        }
    }

    /// Takes a packet as it came. What sounds outside of the hole is not wanted.
    pub(super) fn push(&mut self, data: Vec<u8>, at: Timestamp) {
        let at_ns = at.as_ns();
        if !self.hole.contains(at) || at_ns <= self.last_ns {
            return;
        }
        self.last_ns = at_ns;
        let start_ns = self.hole.start().as_ns();
        match &self.kind {
            Kind::None => {}
            Kind::Copied(_) => self.keep(Packet { data, at_ns }),
            Kind::Made(maker) => match maker.push(data, at_ns - start_ns) {
                Ok(made) => {
                    for (data, later_ns) in made {
                        let at_ns = start_ns.saturating_add(later_ns);
                        self.keep(Packet { data, at_ns });
                    }
                }
                Err(e) => {
                    tracing::warn!(error = %e, "the sound on the camera's card is left out from here on");
                    self.kind = Kind::None;
                }
            },
        }
    }

    fn keep(&mut self, packet: Packet) {
        self.came = true;
        self.bytes += packet.data.len();
        self.waiting.push_back(packet);
        while self.bytes > MOST_BYTES || self.waiting.len() > MOST_PACKETS {
            let Some(gone) = self.waiting.pop_front() else {
                return;
            };
            self.bytes -= gone.data.len();
        }
    }

    /// The packets that begin before an instant.
    pub(super) fn take_before(&mut self, ns: i64) -> Vec<Packet> {
        let count = self.waiting.iter().take_while(|p| p.at_ns < ns).count();
        let taken: Vec<Packet> = self.waiting.drain(..count).collect();
        self.bytes -= taken.iter().map(|p| p.data.len()).sum::<usize>();
        taken
    }
}

/// AAC whose packets have 1024 samples of its rate: LC, or such in the frame of HE (ISO/IEC 14496-3, 1.6.2.1).
fn is_plain(config: &[u8]) -> bool {
    let (Some(&a), Some(&b)) = (config.first(), config.get(1)) else {
        return false;
    };
    let with_rate_index = (a & 7) << 1 | b >> 7 != 15;
    match a >> 3 {
        2 => with_rate_index && b & 4 == 0,
        5 | 29 => with_rate_index,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ns(1_700_000_000_000_000_000 + ms * 1_000_000)
    }

    fn sound(kind: AudioKind, rate: u32) -> Sound {
        let mut sound = Sound::new(TimeRange::new(at(0), at(2000)).unwrap());
        sound.set(Some(AudioParams {
            kind,
            rate,
            channels: 1,
        }));
        sound
    }

    #[test]
    fn aac_is_taken_as_it_is_where_it_is_missing() {
        let config = vec![0x14, 0x08];
        let mut sound = sound(
            AudioKind::Aac {
                config: config.clone(),
            },
            16_000,
        );
        assert!(sound.is_expected() && sound.entry().is_none(), "none came");
        for (n, ms) in [-64, 0, 64, 64, 32, 128, 2000, i64::MAX / 10_000_000]
            .into_iter()
            .enumerate()
        {
            sound.push(vec![n as u8], at(ms));
        }
        let entry = sound.entry().unwrap();
        assert_eq!((&entry.config, entry.sample_rate), (&config, 16_000));
        let numbers = |taken: Vec<Packet>| taken.into_iter().map(|p| p.data[0]).collect::<Vec<_>>();
        assert_eq!(numbers(sound.take_before(at(128).as_ns())), [1, 2]);
        assert_eq!(numbers(sound.take_before(i64::MAX)), [5]);
        assert_eq!(sound.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut sound = sound(
            AudioKind::Aac {
                config: vec![0x14, 0x08],
            },
            16_000,
        );
        for n in 0..2 * MOST_PACKETS as i64 {
            sound.push(vec![0; 2000], at(0).add_ns(n));
        }
        assert!(sound.bytes <= MOST_BYTES && sound.waiting.len() <= MOST_PACKETS);
        let last = sound.waiting.back().unwrap().at_ns;
        assert_eq!(
            last,
            at(0).as_ns() + 2 * MOST_PACKETS as i64 - 1,
            "the newest stay"
        );
    }

    #[test]
    fn the_rest_becomes_aac_at_its_time() {
        crate::gst::init().unwrap();
        let mut sound = sound(AudioKind::Pcmu, 8000);
        for n in 0..50 {
            sound.push(vec![0xFF; 160], at(500 + n * 20));
        }
        let entry = sound.entry().unwrap();
        assert_eq!((entry.sample_rate, entry.channels), (48_000, 1));
        let made = sound.take_before(i64::MAX);
        assert!(made.len() > 40, "{}", made.len());
        let first = made[0].at_ns - at(500).as_ns();
        assert!(first.abs() < 30_000_000, "{first}");
        assert!(made.windows(2).all(|w| w[1].at_ns > w[0].at_ns));
    }

    #[test]
    fn sound_that_nobody_can_decode_is_left_out() {
        crate::gst::init().unwrap();
        // An object type that is none of AAC's usual ones.
        let mut sound = sound(
            AudioKind::Aac {
                config: vec![0xF8, 0, 0],
            },
            8000,
        );
        for n in 0..50 {
            sound.push(vec![0xA5; 40], at(n * 20));
        }
        assert_eq!(sound.entry(), None);
    }
}
