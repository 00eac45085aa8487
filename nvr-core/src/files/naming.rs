//! Names of segment files: `{camera}/{YYYY-MM-DD}/{HH-MM-SS.mmm}Z-{run}.mp4|mkv`, UTC of the first frame.
//!
//! A name is a convenience for people and for walking by time; the exact start stands in the file. Only
//! for the plain containers is the name all there is, so it parses strictly: what [`SegmentName::parse`]
//! accepts is exactly what [`SegmentName`] prints, and nothing else in the tree is taken for ours.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::ids::{CameraId, RunId};
use crate::segment::SegmentStart;
use crate::time::Timestamp;

const MS_PER_DAY: i64 = 86_400_000;
const NS_PER_MS: i64 = 1_000_000;

/// Days since 1970-01-01, written `YYYY-MM-DD`: the name of a day's folder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(i64);

impl Day {
    /// The UTC day of an instant.
    #[must_use]
    pub const fn of(t: Timestamp) -> Self {
        Self(t.as_ns().div_euclid(NS_PER_MS * MS_PER_DAY))
    }

    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp::from_ns(self.0.saturating_mul(NS_PER_MS * MS_PER_DAY))
    }

    /// Parses exactly `YYYY-MM-DD` of a real date.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        let b = s.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return None;
        }
        let (y, m, d) = (digits(&b[..4])?, digits(&b[5..7])?, digits(&b[8..])?);
        let day = Self(days_from_civil(y, m, d));
        // Also refuses the 31st of June and month 13: they print as another date.
        (civil_from_days(day.0) == (y, m, d) && Self::in_range(day.0)).then_some(day)
    }

    /// Whether every instant of the day is a [`Timestamp`].
    const fn in_range(days: i64) -> bool {
        days > i64::MIN / (NS_PER_MS * MS_PER_DAY) && days < i64::MAX / (NS_PER_MS * MS_PER_DAY)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = civil_from_days(self.0);
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

/// The time of the day of milliseconds since the Unix epoch, as it stands in names: `03-02-01.250Z`.
pub(super) fn time_of_day(ms: i64) -> String {
    let ms = ms.rem_euclid(MS_PER_DAY);
    let (s, ms) = (ms / 1000, ms % 1000);
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    format!("{h:02}-{m:02}-{s:02}.{ms:03}Z")
}

/// Milliseconds since the Unix epoch of exactly such a time on a day.
pub(super) fn time_on(day: Day, b: &[u8]) -> Option<i64> {
    if b.len() != 13 || (b[2], b[5], b[8], b[12]) != (b'-', b'-', b'.', b'Z') {
        return None;
    }
    let (h, m, s) = (digits(&b[..2])?, digits(&b[3..5])?, digits(&b[6..8])?);
    let ms = digits(&b[9..12])?;
    let is_time = h <= 23 && m <= 59 && s <= 59;
    is_time.then(|| day.0 * MS_PER_DAY + ((h * 60 + m) * 60 + s) * 1000 + ms)
}

/// What the path of a segment file says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentName {
    /// Camera: the first folder.
    pub camera: CameraId,
    /// Start in milliseconds since the Unix epoch.
    start_ms: i64,
    /// Run.
    pub run: RunId,
    /// Whether it ends in `.mkv` rather than `.mp4`.
    pub matroska: bool,
}

impl SegmentName {
    /// The first choice of a name for a segment; its start is cut to the millisecond.
    #[must_use]
    pub fn of(start: &SegmentStart) -> Self {
        Self {
            camera: start.camera.clone(),
            start_ms: start.start.as_ns().div_euclid(NS_PER_MS),
            run: start.run,
            matroska: start.container.extension() == "mkv",
        }
    }

    /// The next choice, one millisecond later: how a taken name is got around.
    #[must_use]
    pub fn next(&self) -> Self {
        self.at_ms(self.start_ms.saturating_add(1))
    }

    /// The same with another start.
    #[must_use]
    pub(super) fn at_ms(&self, start_ms: i64) -> Self {
        Self {
            start_ms,
            ..self.clone()
        }
    }

    /// The start as the name tells it (whole milliseconds).
    #[must_use]
    pub const fn start(&self) -> Timestamp {
        Timestamp::from_ns(self.start_ms.saturating_mul(NS_PER_MS))
    }

    /// The start in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// The day folder that it lies in.
    #[must_use]
    pub const fn day(&self) -> Day {
        Day(self.start_ms.div_euclid(MS_PER_DAY))
    }

    /// The name within its day folder (`03-02-01.250Z-0123abcd.mp4`).
    #[must_use]
    pub fn file_name(&self) -> String {
        let ext = if self.matroska { "mkv" } else { "mp4" };
        format!("{}-{}.{ext}", time_of_day(self.start_ms), self.run)
    }

    /// The path relative to the recordings root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(self.to_string())
    }

    /// Parses a path relative to the root; `None` for whatever is not exactly such a name.
    #[must_use]
    pub fn parse(path: &Path) -> Option<Self> {
        let mut parts = path.components().map(|c| match c {
            Component::Normal(s) => s.to_str(),
            _ => None,
        });
        let (camera, day, file) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() {
            return None;
        }
        let name = Self::parse_file(&CameraId::new(camera).ok()?, Day::parse(day)?, file)?;
        // `components` forgives `a//b` and `a/./b`; those are not names that we wrote.
        (path.as_os_str() == name.to_string().as_str()).then_some(name)
    }

    /// Parses a file name found in the folder of a camera's day.
    #[must_use]
    pub fn parse_file(camera: &CameraId, day: Day, file: &str) -> Option<Self> {
        let b = file.as_bytes();
        // HH-MM-SS.mmmZ-rrrrrrrr.ext
        if b.len() != 26 || !file.is_ascii() || (b[13], b[22]) != (b'-', b'.') {
            return None;
        }
        Some(Self {
            camera: camera.clone(),
            start_ms: time_on(day, &b[..13])?,
            run: file[14..22].parse().ok()?,
            matroska: match &file[23..] {
                "mp4" => false,
                "mkv" => true,
                _ => return None,
            },
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.camera, self.day(), self.file_name())
    }
}

fn digits(b: &[u8]) -> Option<i64> {
    b.iter().try_fold(0, |n, &c| {
        c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0'))
    })
}

/// Proleptic Gregorian date to days since 1970-01-01 (the usual era arithmetic, March-based years).
const fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    let y = yoe + era * 400;
    (if m <= 2 { y + 1 } else { y }, m, d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(ms: i64, run: u64, matroska: bool) -> SegmentName {
        SegmentName {
            camera: CameraId::new("front-door").unwrap(),
            start_ms: ms,
            run: RunId::from_u64(run),
            matroska,
        }
    }

    #[test]
    fn a_known_instant() {
        let t: Timestamp = "2026-05-04T03:02:01.25Z".parse().unwrap();
        let n = name(t.as_ns() / NS_PER_MS, 0, false);
        assert_eq!(n.to_string(), "front-door/2026-05-04/03-02-01.250Z-00000000.mp4");
        assert_eq!(n.start(), t);
        let last = name(n.day().start().as_ns() / NS_PER_MS + MS_PER_DAY - 1, 0, true);
        assert_eq!(
            last.next().to_string(),
            "front-door/2026-05-05/00-00-00.000Z-00000000.mkv"
        );
    }

    #[test]
    fn nothing_else_parses() {
        let good = "cam/2026-05-04/03-02-01.250Z-0123abcd.mp4";
        assert!(SegmentName::parse(Path::new(good)).is_some());
        for bad in [
            "cam/2026-05-04/03-02-01.250Z-0123abcd.mp4.part",
            "cam/2026-05-04/03-02-01.250Z-0123abcd.MP4",
            "cam/2026-05-04/03-02-01.250Z-0123ABCD.mp4",
            "cam/2026-05-04/03-02-01.250Z-0123abci.mp4",
            "cam/2026-05-04/24-02-01.250Z-0123abcd.mp4",
            "cam/2026-05-04/03-60-01.250Z-0123abcd.mp4",
            "cam/2026-05-04/03-02-60.250Z-0123abcd.mp4",
            "cam/2026-05-04/+3-02-01.250Z-0123abcd.mp4",
            "cam/2026-02-30/03-02-01.250Z-0123abcd.mp4",
            "cam/2026-13-01/03-02-01.250Z-0123abcd.mp4",
            "cam/0000-01-01/03-02-01.250Z-0123abcd.mp4",
            "Cam/2026-05-04/03-02-01.250Z-0123abcd.mp4",
            "cam//2026-05-04/03-02-01.250Z-0123abcd.mp4",
            "./cam/2026-05-04/03-02-01.250Z-0123abcd.mp4",
            "/cam/2026-05-04/03-02-01.250Z-0123abcd.mp4",
            "../cam/2026-05-04/03-02-01.250Z-0123abcd.mp4",
            "x/cam/2026-05-04/03-02-01.250Z-0123abcd.mp4",
            "cam/2026-05-04",
            "",
        ] {
            assert!(SegmentName::parse(Path::new(bad)).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(ms in -9_200_000_000_000i64..9_200_000_000_000, run in 0..RunId::LIMIT, mkv: bool) {
            let n = name(ms, run, mkv);
            prop_assert_eq!(SegmentName::parse(&n.path()), Some(n.clone()));
            let jiff = n.start().to_jiff().strftime("%Y-%m-%d/%H-%M-%S.%3fZ").to_string();
            prop_assert!(n.to_string().starts_with(&format!("front-door/{jiff}")), "{} {}", n, jiff);
        }

        #[test]
        fn names_sort_by_time(a in 0i64..4_000_000_000_000, b in 0i64..4_000_000_000_000) {
            prop_assert_eq!(a.cmp(&b), name(a, 1, false).to_string().cmp(&name(b, 1, false).to_string()));
        }

        #[test]
        fn parsing_never_panics_and_is_strict(s in "[a-c]/[0-9-]{9,11}/[0-9.Z:-]{13,15}[0-9a-zé]{7,9}.m[pk][4v]") {
            if let Some(n) = SegmentName::parse(Path::new(&s)) {
                prop_assert_eq!(n.to_string(), s);
            }
        }
    }
}
