//! Which encoders work here, at which size and how fast: tried once, remembered for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::archive_encoders::{ARCHIVE_H265, ArchiveEncoder, ArchiveSettings};
use super::codec_trial::Outcome;
use crate::clock::SharedClock;
use crate::time::duration_ns;
use crate::track::VideoCodec;

/// How long one trial may take: 4K on a slow processor that records at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long is believed that one is too slow.
const SLOW_KEEP: Duration = Duration::from_mins(10);

/// An encoder that works at a size.
#[derive(Clone, Copy, Debug)]
pub struct Ranked {
    /// Encoder.
    pub encoder: &'static ArchiveEncoder,
    /// Frames per second in its trial, start-up included.
    pub fps: f64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    name: &'static str,
    preset: &'static str,
    size: (u32, u32),
}

/// What was found out, with its time.
#[derive(Debug)]
pub struct Catalogue {
    encoders: &'static [ArchiveEncoder],
    clock: SharedClock,
    keep: Duration,
    /// Held while an encoder is tried, so that two jobs do not try it at once.
    found: Mutex<HashMap<Key, (Outcome, i64)>>,
}

impl Catalogue {
    /// All encoders that are known; what a trial brought is believed for `keep`.
    #[must_use]
    pub fn new(clock: SharedClock, keep: Duration) -> Self {
        Self::of(ARCHIVE_H265, clock, keep)
    }

    /// The same of other encoders.
    #[must_use]
    pub(crate) fn of(encoders: &'static [ArchiveEncoder], clock: SharedClock, keep: Duration) -> Self {
        Self {
            encoders,
            clock,
            keep,
            found: Mutex::default(),
        }
    }

    /// The encoders that work at this size, the best first: those that `prefer` names in its order, then the
    /// quickest. Blocks while encoders are tried.
    #[must_use]
    pub fn ranked(&self, size: (u32, u32), settings: &ArchiveSettings, prefer: &[String]) -> Vec<Ranked> {
        let mut works: Vec<Ranked> = self
            .encoders
            .iter()
            .filter_map(|e| match self.outcome(e, size, settings) {
                Outcome::Works { fps } => Some(Ranked { encoder: e, fps }),
                _ => None,
            })
            .collect();
        let place = |r: &Ranked| {
            prefer
                .iter()
                .position(|p| p == r.encoder.name)
                .unwrap_or(usize::MAX)
        };
        works.sort_by(|a, b| place(a).cmp(&place(b)).then(b.fps.total_cmp(&a.fps)));
        works
    }

    /// The first that works at this size, in the order of the list: hardware comes first there. Blocks while
    /// encoders are tried.
    #[must_use]
    pub fn first(&self, size: (u32, u32), settings: &ArchiveSettings) -> Option<&'static ArchiveEncoder> {
        self.encoders
            .iter()
            .find(|e| matches!(self.outcome(e, size, settings), Outcome::Works { .. }))
    }

    /// What trying an encoder at a size brought, from memory while that is fresh.
    #[must_use]
    pub fn outcome(&self, encoder: &ArchiveEncoder, size: (u32, u32), settings: &ArchiveSettings) -> Outcome {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(encoder, size, settings);
        let now = self.clock.steady_ns();
        if let Some((outcome, at)) = found.get(&key)
            && now - at < duration_ns(self.kept_for(outcome))
        {
            return outcome.clone();
        }
        let outcome = encoder.try_at(size, settings, PATIENCE);
        match &outcome {
            Outcome::Works { fps } => tracing::info!(encoder = encoder.name, fps, "encoder works"),
            Outcome::Broken { reason } => {
                tracing::info!(encoder = encoder.name, reason, "encoder does not work");
            }
            Outcome::Slow { .. } => tracing::info!(encoder = encoder.name, "encoder is too slow"),
            Outcome::Absent => {}
        }
        found.insert(key, (outcome.clone(), self.clock.steady_ns()));
        outcome
    }

    /// That one was not done in time may have been the hour.
    fn kept_for(&self, outcome: &Outcome) -> Duration {
        match outcome {
            Outcome::Slow { .. } => self.keep.min(SLOW_KEEP),
            _ => self.keep,
        }
    }

    /// An encoder failed in the middle of its work: it does not count as working until it is tried again.
    pub fn failed(
        &self,
        encoder: &ArchiveEncoder,
        size: (u32, u32),
        settings: &ArchiveSettings,
        reason: &str,
    ) {
        let outcome = Outcome::Broken {
            reason: reason.into(),
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(key(encoder, size, settings), (outcome, self.clock.steady_ns()));
    }

    fn codec(&self) -> VideoCodec {
        self.encoders.first().map_or(VideoCodec::H265, |e| e.codec)
    }

    /// Why none works, in words.
    #[must_use]
    pub fn why_none(&self, size: (u32, u32), settings: &ArchiveSettings) -> String {
        let broken: Vec<String> = self
            .encoders
            .iter()
            .filter_map(|e| match self.outcome(e, size, settings) {
                Outcome::Broken { reason } | Outcome::Slow { reason } => {
                    Some(format!("{}: {reason}", e.name))
                }
                _ => None,
            })
            .collect();
        if broken.is_empty() {
            format!("no {} encoder is installed", self.codec())
        } else {
            format!("no {} encoder works here ({})", self.codec(), broken.join("; "))
        }
    }
}

fn key(encoder: &ArchiveEncoder, size: (u32, u32), settings: &ArchiveSettings) -> Key {
    let preset = encoder.preset(settings.preset.as_deref());
    Key {
        name: encoder.name,
        preset: encoder
            .presets
            .iter()
            .copied()
            .find(|p| *p == preset)
            .unwrap_or(encoder.default_preset),
        size,
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;
    use crate::gst::archive_encoders::X265;
    use crate::testing::ManualClock;

    /// Registers an installed element under another name.
    fn alias(name: &str, of: &str) {
        let kind = gst::ElementFactory::find(of)
            .unwrap()
            .load()
            .unwrap()
            .element_type();
        gst::Element::register(None, name, gst::Rank::NONE, kind).unwrap();
    }

    const fn fake(name: &'static str, settings: &'static [(&'static str, &'static str)]) -> ArchiveEncoder {
        ArchiveEncoder {
            name,
            settings,
            ..X265
        }
    }

    static ABSENT: ArchiveEncoder = fake("archiveabsent", &[]);
    static ENCODERS: &[ArchiveEncoder] = &[
        ABSENT,
        fake("archivefailing", &[("error-after", "3")]),
        fake("archivesilent", &[("drop-probability", "1.0")]),
        fake("archiveuseless", &[]),
        fake(
            "archiveslow",
            &[("speed-preset", "slower"), ("no-such-property", "1")],
        ),
        fake(
            "archivequick",
            &[("speed-preset", "ultrafast"), ("option-string", "bframes=0")],
        ),
    ];

    #[test]
    fn absent_broken_and_working_encoders_are_told_apart_and_ranked() {
        crate::gst::init().unwrap();
        for name in ["archivefailing", "archivesilent", "archiveuseless"] {
            alias(name, "identity");
        }
        alias("archiveslow", "x265enc");
        alias("archivequick", "x265enc");
        let clock = std::sync::Arc::new(ManualClock::new("2026-05-04T03:02:01Z".parse().unwrap()));
        let keep = Duration::from_secs(3600);
        // Small, so that also the slow one is done in time where others want the processors.
        let size = (320, 180);
        let settings = ArchiveSettings::default();
        let catalogue = Catalogue::of(ENCODERS, clock.clone(), keep);
        let names = |prefer: &[&str]| {
            let prefer: Vec<String> = prefer.iter().map(|&s| s.to_owned()).collect();
            let ranked = catalogue.ranked(size, &settings, &prefer);
            ranked.iter().map(|r| r.encoder.name).collect::<Vec<_>>()
        };
        assert_eq!(catalogue.outcome(&ABSENT, size, &settings), Outcome::Absent);
        for encoder in &ENCODERS[1..4] {
            let outcome = catalogue.outcome(encoder, size, &settings);
            assert!(
                matches!(&outcome, Outcome::Broken { reason } if !reason.is_empty()),
                "{}: {outcome:?}",
                encoder.name
            );
        }
        assert_eq!(names(&[]), ["archivequick", "archiveslow"], "the quickest first");
        assert_eq!(
            names(&["archivefailing", "archiveslow"]),
            ["archiveslow", "archivequick"]
        );

        // It fails at work: out, until it is time to try again.
        catalogue.failed(&ENCODERS[5], size, &settings, "the driver crashed");
        assert_eq!(names(&[]), ["archiveslow"]);
        assert!(catalogue.why_none(size, &settings).contains("the driver crashed"));
        clock.advance(keep);
        assert_eq!(names(&[]), ["archivequick", "archiveslow"]);
    }

    #[test]
    fn the_encoder_of_this_machine_works() {
        crate::gst::init().unwrap();
        let catalogue = Catalogue::new(crate::clock::SystemClock::shared(), Duration::from_secs(60));
        let ranked = catalogue.ranked((320, 240), &ArchiveSettings::default(), &[]);
        assert!(ranked.iter().any(|r| r.encoder.name == "x265enc"), "{ranked:?}");
    }
}
