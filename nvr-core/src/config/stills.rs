//! `[stills]` and the keys of `[[cameras]]` that begin with `stills`: pictures that are kept at intervals.

use std::time::Duration;

use super::camera::RawCamera;
use super::reader::{At, Reader, Section, section};
use super::retention::{Age, Room, age, most_bytes};
use super::values::{Span, Text};
use crate::window::Windows;

/// Shortest and longest interval.
const EVERY: std::ops::RangeInclusive<Span> =
    Span(Duration::from_secs(5))..=Span(Duration::from_secs(86_400));
/// Width of a picture in pixels.
const WIDTH: std::ops::RangeInclusive<u64> = 16..=7680;
/// Quality of a JPEG.
const QUALITY: std::ops::RangeInclusive<u64> = 1..=100;

/// Pictures that are kept at intervals, of all cameras that say nothing of their own.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct StillsConfig {
    /// What holds for a camera that says nothing else, and for removed ones.
    pub rules: StillRules,
    /// Most room that all stills together take (default: a tenth of the disk; nothing: no limit).
    pub max_size: Room,
}

/// When stills of a camera are taken, how, and how long they are kept.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct StillRules {
    /// How often, counted from midnight UTC (5 s to 24 h; `None`: never).
    pub every: Option<Duration>,
    /// Width in pixels (16 to 7680), the aspect is kept; as the camera sends it when absent.
    pub width: Option<u32>,
    /// Quality of the JPEG (1 to 100; default 85).
    pub quality: u8,
    /// Times of the day at which they are taken (default: always).
    pub times: Windows,
    /// How long they are kept (default: 30 days).
    pub max_age: Age,
    /// Most bytes of a camera's stills.
    pub max_bytes: Option<u64>,
    /// Most stills of a camera.
    pub max_count: Option<u64>,
}

impl Default for StillRules {
    fn default() -> Self {
        Self {
            every: None,
            width: None,
            quality: 85,
            times: Windows::always(),
            max_age: Age::For(Duration::from_secs(30 * 86_400)),
            max_bytes: None,
            max_count: None,
        }
    }
}

impl Default for StillsConfig {
    fn default() -> Self {
        Self {
            rules: StillRules::default(),
            max_size: Room::Share(1000),
        }
    }
}

/// What a camera has of its own; what is not said is as in `[stills]`.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct CameraStills {
    /// How often; zero: never.
    pub every: Option<Duration>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Quality of the JPEG.
    pub quality: Option<u8>,
    /// Times of the day.
    pub times: Option<Windows>,
    /// How long they are kept.
    pub max_age: Option<Age>,
    /// Most bytes.
    pub max_bytes: Option<u64>,
    /// Most stills.
    pub max_count: Option<u64>,
}

impl StillsConfig {
    /// What holds for a camera.
    #[must_use]
    pub fn of(&self, camera: Option<&CameraStills>) -> StillRules {
        let mut out = self.rules.clone();
        let Some(own) = camera else {
            // It was removed: none is taken, and what is there goes by the rules of all.
            out.every = None;
            return out;
        };
        if let Some(every) = own.every {
            out.every = Some(every).filter(|d| !d.is_zero());
        }
        out.width = own.width.or(out.width);
        out.quality = own.quality.unwrap_or(out.quality);
        if let Some(times) = &own.times {
            out.times.clone_from(times);
        }
        out.max_age = own.max_age.unwrap_or(out.max_age);
        out.max_bytes = own.max_bytes.or(out.max_bytes);
        out.max_count = own.max_count.or(out.max_count);
        out
    }
}

section! {
    /// Stills: pictures that are kept at intervals, as JPEG files of their own, usually for longer than the footage. They are
    /// taken from what the camera sends anyway. Each camera may say otherwise.
    RawStills requires [] {
        /// How often one is taken of each camera, 5 s to 24 h, at whole multiples from midnight UTC on (`"10m"`: 12:00, 12:10, …);
        /// 0: never.
        every: Span = "0s",
        /// Width in pixels, 16 to 7680; the aspect is kept. As the camera sends it by default.
        width: u64,
        /// Quality of the JPEG, 1 to 100.
        quality: u64 = 85,
        /// Times of the day at which they are taken: `"06:00-20:00"`, several with commas, in `recorder.time_zone`; always by
        /// default.
        times: Text,
        /// How long they are kept, 1 min to 5200 weeks, or `forever`.
        max_age: Age = "30d",
        /// Most stills of each camera: beyond that the oldest go. No limit by default.
        max_count: u64,
        /// Most room that the stills of all cameras take together, as a size or a share of the disk: beyond it the oldest go. They
        /// count towards `retention.max_bytes` as well, and never take more than a tenth of that. 0: no limit.
        max_size: Room = "10%",
    }
}

impl StillsConfig {
    /// Reads the section; `zone` is the recorder's time zone.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, zone: &str) -> Self {
        let raw = RawStills::read(reader, section);
        let mut out = Self::default();
        let rules = &mut out.rules;
        rules.every = every(reader, raw.every.as_ref()).filter(|d| !d.is_zero());
        rules.width = reader.within(raw.width.as_ref(), &WIDTH).map(|n| n as u32);
        if let Some(n) = reader.within(raw.quality.as_ref(), &QUALITY) {
            rules.quality = n as u8;
        }
        if let Some(times) = super::jobs::windows(reader, raw.times.as_ref(), zone) {
            rules.times = times;
        }
        if let Some(max_age) = age(reader, raw.max_age.as_ref()) {
            rules.max_age = max_age;
        }
        rules.max_count = reader.within(raw.max_count.as_ref(), &(1..=u64::MAX));
        if let Some(at) = &raw.max_size {
            out.max_size = at.value;
        }
        out
    }
}

impl CameraStills {
    /// Reads the keys of a camera.
    pub(super) fn read(reader: &mut Reader<'_, '_>, raw: &RawCamera, zone: &str) -> Self {
        Self {
            every: every(reader, raw.stills.as_ref()),
            width: reader.within(raw.stills_width.as_ref(), &WIDTH).map(|n| n as u32),
            quality: reader
                .within(raw.stills_quality.as_ref(), &QUALITY)
                .map(|n| n as u8),
            times: super::jobs::windows(reader, raw.stills_times.as_ref(), zone),
            max_age: age(reader, raw.stills_max_age.as_ref()),
            max_bytes: most_bytes(reader, raw.stills_max_bytes.as_ref()),
            max_count: reader.within(raw.stills_max_count.as_ref(), &(1..=u64::MAX)),
        }
    }
}

/// An interval, or zero for never.
fn every(reader: &mut Reader<'_, '_>, field: Option<&At<Span>>) -> Option<Duration> {
    match field {
        Some(at) if at.value.0.is_zero() => Some(Duration::ZERO),
        field => reader.within(field, &EVERY).map(|d| d.0),
    }
}
