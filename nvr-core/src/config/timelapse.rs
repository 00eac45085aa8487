//! `[[timelapse]]`: time-lapses that are made by themselves, one of each day.

use std::time::Duration;

use super::reader::{At, Reader, Section, section};
use super::values::{Ratio, Span, Text};
use crate::daily::{DaySpan, TimeOfDay};
use crate::ids::CameraId;

/// A time-lapse of each day.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct DailyTimelapse {
    /// Its name.
    pub name: CameraId,
    /// Of which cameras, each in a file of its own.
    pub cameras: Vec<CameraId>,
    /// When it is made: the first time that clocks show this once the span is over.
    pub at: TimeOfDay,
    /// Which part of the day it shows.
    pub span: DaySpan,
    /// How long the file is to be, seconds; or `per_hour`.
    pub length: Duration,
    /// Pictures of each hour of the span, instead of a length.
    pub per_hour: Option<f64>,
    /// Pictures a second of the file (1 to 60; default 25).
    pub fps: u32,
    /// Height of the picture, pixels (64 to 2160); as recorded when absent.
    pub height: Option<u32>,
    /// How long the files are kept (1 h to 520 weeks; default 30 days).
    pub keep: Duration,
    /// How late it may still be made when the recorder was off at its time (0 to 31 days; default 2 days).
    pub catch_up: Duration,
    /// Time zone of `at` and `span`.
    pub time_zone: String,
}

const DAY: Duration = Duration::from_secs(86_400);

section! {
    /// A time-lapse of each day, made by itself as a job once the day is over; any number of them. Where nothing is recorded
    /// none is made.
    RawTimelapse requires ["name", "cameras"] {
        /// Its name: 1 to 63 of a-z, 0-9, `_` and `-`. The folder of its files is called so.
        name: Text,
        /// Cameras, separated by commas; each gets a file of its own.
        cameras: Text,
        /// When it is made, as clocks in `recorder.time_zone` show it: the first time after the end of `span`.
        at: Text = "00:15",
        /// Which part of the day it shows, as clocks show it: `"06:00-20:00"`, or over midnight `"20:00-06:00"`.
        span: Text = "00:00-24:00",
        /// How long the file is to be, 1 s to 10 h.
        length: Span = "1m",
        /// Pictures of each hour instead of a length, 0.1 to 90000.
        per_hour: Ratio,
        /// Pictures a second of the file, 1 to 60.
        fps: u64 = 25,
        /// Height of the picture in pixels, 64 to 2160; as recorded by default.
        height: u64,
        /// How long the files are kept, 1 h to 520 weeks. They lie in a folder `daily` of the exports.
        keep: Span = "30d",
        /// How late it may still be made when the recorder was off at its time, up to 31 days. A new one begins with the
        /// days that lie in this.
        catch_up: Span = "2d",
    }
}

impl DailyTimelapse {
    /// One of whole days with the defaults, in UTC.
    #[must_use]
    pub fn new(name: CameraId, cameras: Vec<CameraId>) -> Self {
        Self {
            name,
            cameras,
            at: TimeOfDay::from_minutes(15),
            span: DaySpan::WHOLE,
            length: Duration::from_secs(60),
            per_hour: None,
            fps: 25,
            height: None,
            keep: DAY * 30,
            catch_up: DAY * 2,
            time_zone: "UTC".to_owned(),
        }
    }

    /// Reads one; `None` when it is of no use.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, zone: &str) -> Option<At<Self>> {
        let raw = RawTimelapse::read(reader, section);
        for (key, hint) in [
            ("name", "give it one: name = \"garden\""),
            ("cameras", "say of what: cameras = \"front, yard\""),
        ] {
            if !section.table.is_some_and(|t| t.contains_key(key)) {
                reader.missing(section, key, hint);
            }
        }
        let mut wrong = |at: &At<Text>, message: &str, hint: Option<&str>| {
            let name = at.key.rsplit('.').next().unwrap_or_default();
            let message = format!("`{name}`: {message}");
            reader
                .problems
                .error(&at.span, &at.key, message, hint.map(str::to_owned));
        };
        let name = raw
            .name
            .as_ref()
            .and_then(|at| match CameraId::new(at.value.as_str()) {
                Ok(name) => Some(name),
                Err(e) => {
                    wrong(at, "not usable as a name", e.hint());
                    None
                }
            });
        let mut cameras = Vec::new();
        if let Some(at) = &raw.cameras {
            let names = at
                .value
                .as_str()
                .split(',')
                .map(str::trim)
                .filter(|p| !p.is_empty());
            match names.map(CameraId::new).collect::<Result<Vec<_>, _>>() {
                Ok(ids) if ids.is_empty() => wrong(at, "none is named", None),
                Ok(mut ids) => {
                    ids.sort_unstable();
                    ids.dedup();
                    cameras = ids;
                }
                Err(e) => wrong(at, "not usable as ids of cameras", e.hint()),
            }
        }
        let mut made_at = TimeOfDay::from_minutes(15);
        if let Some(at) = &raw.at {
            match TimeOfDay::parse(at.value.as_str()) {
                Some(time) => made_at = time,
                None => wrong(at, "not a time of the day", Some("write \"00:15\"")),
            }
        }
        let mut span = DaySpan::WHOLE;
        if let Some(at) = &raw.span {
            match DaySpan::parse(at.value.as_str()) {
                Some(read) => span = read,
                None => wrong(
                    at,
                    "not a part of the day",
                    Some("write \"06:00-20:00\", or \"20:00-06:00\" over midnight"),
                ),
            }
        }
        let s = |n| Span(Duration::from_secs(n));
        let length = reader.within(raw.length.as_ref(), &(s(1)..=s(36_000)));
        let per_hour = reader.within(raw.per_hour.as_ref(), &(Ratio(0.1)..=Ratio(90_000.0)));
        let fps = reader.within(raw.fps.as_ref(), &(1..=60));
        let height = reader.within(raw.height.as_ref(), &(64..=2160));
        let keep = reader.within(raw.keep.as_ref(), &(s(3600)..=Span(DAY * 7 * 520)));
        let catch_up = reader.within(raw.catch_up.as_ref(), &(s(0)..=Span(DAY * 31)));
        let at = raw.name?;
        let mut out = Self::new(name?, cameras);
        out.at = made_at;
        out.span = span;
        out.length = length.map_or(out.length, |d| d.0);
        out.per_hour = per_hour.map(|n| n.0);
        out.fps = fps.map_or(out.fps, |n| n as u32);
        out.height = height.map(|n| n as u32);
        out.keep = keep.map_or(out.keep, |d| d.0);
        out.catch_up = catch_up.map_or(out.catch_up, |d| d.0);
        zone.clone_into(&mut out.time_zone);
        Some(At {
            value: out,
            span: at.span,
            key: at.key,
            secret: at.secret,
            unknown: false,
        })
    }
}
