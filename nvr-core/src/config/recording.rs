//! `[recording]`: how cameras are recorded unless they say otherwise.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Reader, Section, section};
use super::values::{Span, Text, Word, format_duration, parse_duration};
use crate::segment::Container;
use crate::source::Ingest;

/// How cameras are recorded unless they say otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecordingConfig {
    /// Length of a segment (10 s to 24 h; default 15 min); segments begin at multiples of it.
    pub segment: Duration,
    /// Length of a chunk, the most that a crash can lose (100 to 500 ms; default 250 ms).
    pub chunk: Duration,
    /// How segments are packed (default fragmented MP4).
    pub container: Container,
    /// When the growing file is synced to the disk (default: every 5 s).
    pub sync: SyncMode,
    /// Whether audio is recorded where a camera has it (default: yes).
    pub audio: bool,
    /// How much from before its start a recording by hand has (0 to 60 s; default 5 s).
    pub pre_roll: Duration,
    /// After how long without a frame a camera is restarted (2 s to 10 min; default 10 s).
    pub watchdog: Duration,
    /// How long a camera may take from being opened to its first frame (1 s to 5 min; default 20 s).
    pub start_deadline: Duration,
    /// Which client reads RTSP streams (default: the lean one where it can).
    pub ingest: Ingest,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            segment: Duration::from_secs(15 * 60),
            chunk: Duration::from_millis(250),
            container: Container::Fmp4,
            sync: SyncMode::default(),
            audio: true,
            pre_roll: Duration::from_secs(5),
            watchdog: Duration::from_secs(10),
            start_deadline: Duration::from_secs(20),
            ingest: Ingest::Auto,
        }
    }
}

/// When a growing segment is synced to the disk. A closed one always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// Only when it is closed: a power cut may lose what the system had not written (30 s or more).
    Close,
    /// Also in between, as often as this.
    Every(Duration),
}

impl Default for SyncMode {
    fn default() -> Self {
        Self::Every(Duration::from_secs(5))
    }
}

section! {
    /// How cameras are recorded unless they say otherwise.
    RawRecording requires [] {
        /// Length of a segment, 10 s to 24 h. Segments begin at multiples of it in UTC, at the first keyframe.
        segment: Span = "15m",
        /// Length of a chunk, 100 to 500 ms: the most that a crash can lose.
        chunk: Span = "250ms",
        /// How segments are packed.
        container: Word<Container> = "fmp4",
        /// When the growing segment is synced to the disk: `close` (only when it is complete) or as often as a
        /// duration says, 1 s to 10 min. It is what a power cut can lose.
        sync: Text = "5s",
        /// Whether audio is recorded where a camera has it.
        audio: bool = true,
        /// How much from before its start a recording by hand has, 0 to 60 s.
        pre_roll: Span = "5s",
        /// After how long without a frame a camera is restarted, 2 s to 10 min.
        watchdog: Span = "10s",
        /// How long a camera may take from being opened to its first frame, 1 s to 5 min.
        start_deadline: Span = "20s",
        /// Which client reads RTSP streams: `lean` (this recorder's own, over TCP), `rtspsrc` (GStreamer's, which
        /// costs several times as much and knows every transport) or `auto`: lean over TCP, rtspsrc for other
        /// transports and for what the lean one refuses.
        ingest: Word<Ingest> = "auto",
    }
}

const fn ms(from: u64, to: u64) -> RangeInclusive<Span> {
    RangeInclusive::new(Span(Duration::from_millis(from)), Span(Duration::from_millis(to)))
}

// Bounds that a camera's own keys share.
pub(super) const SEGMENT: RangeInclusive<Span> = ms(10_000, 86_400_000);
pub(super) const CHUNK: RangeInclusive<Span> = ms(100, 500);
pub(super) const PRE_ROLL: RangeInclusive<Span> = ms(0, 60_000);
pub(super) const WATCHDOG: RangeInclusive<Span> = ms(2_000, 600_000);
pub(super) const START_DEADLINE: RangeInclusive<Span> = ms(1_000, 300_000);
const SYNC: RangeInclusive<Span> = ms(1_000, 600_000);

impl RecordingConfig {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Self {
        let raw = RawRecording::read(reader, section);
        let mut out = Self::default();
        for (field, bounds, to) in [
            (&raw.segment, SEGMENT, &mut out.segment),
            (&raw.chunk, CHUNK, &mut out.chunk),
            (&raw.pre_roll, PRE_ROLL, &mut out.pre_roll),
            (&raw.watchdog, WATCHDOG, &mut out.watchdog),
            (&raw.start_deadline, START_DEADLINE, &mut out.start_deadline),
        ] {
            if let Some(d) = reader.within(field.as_ref(), &bounds) {
                *to = d.0;
            }
        }
        if let Some(at) = &raw.container {
            out.container = at.value.0;
        }
        if let Some(at) = &raw.audio {
            out.audio = at.value;
        }
        if let Some(at) = &raw.ingest {
            out.ingest = at.value.0;
        }
        if let Some(at) = &raw.sync {
            match parse_duration(at.value.as_str()).map(Span) {
                _ if at.value.as_str() == "close" => out.sync = SyncMode::Close,
                Some(every) if SYNC.contains(&every) => out.sync = SyncMode::Every(every.0),
                _ => reader.problems.error(
                    &at.span,
                    &at.key,
                    format!(
                        "`sync`: {} is neither `close` nor a duration from 1s to 10m",
                        at.value.shown()
                    ),
                    Some("write \"close\" or \"5s\"".into()),
                ),
            }
        }
        if let Some(at) = &raw.segment {
            warn_of_odd_segment(reader, at.value.0, &at.span, &at.key);
        }
        out
    }
}

/// A day should hold a whole number of segments, else they begin at other times each day.
pub(super) fn warn_of_odd_segment(
    reader: &mut Reader<'_, '_>,
    segment: Duration,
    span: &std::ops::Range<usize>,
    key: &str,
) {
    let day = Duration::from_secs(86_400).as_nanos();
    if SEGMENT.contains(&Span(segment)) && !day.is_multiple_of(segment.as_nanos()) {
        reader.problems.warn(
            span,
            key,
            format!(
                "segments of {} begin at other times each day",
                format_duration(segment)
            ),
            Some("take a length that divides 24 h, such as 10m, 15m or 1h".into()),
        );
    }
}
