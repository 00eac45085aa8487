//! How much footage there is of each day.

use super::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::{TimeRange, Timestamp};

/// Footage of one day.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DayBytes {
    /// Day in the recorder's time zone (`2026-05-04`).
    pub date: String,
    /// Bytes on disk of segments that began on it, by camera, removed ones included.
    pub cameras: Vec<(CameraId, u64)>,
}

/// Most days that are asked for at once.
const MOST_DAYS: u32 = 366;

impl Archive {
    /// Bytes of the last days, today last. Of segments that are still growing as much as the index knows.
    ///
    /// # Errors
    /// `InvalidArgument` for no day, or more than 366.
    pub async fn history(&self, days: u32) -> Result<Vec<DayBytes>> {
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Error::new(ErrorKind::InvalidArgument, "days: want 1 to 366"));
        }
        let (now, name) = (self.0.clock.now(), self.0.time_zone.clone());
        self.read(move |store| {
            let zone = jiff::tz::TimeZone::get(&name).unwrap_or(jiff::tz::TimeZone::UTC);
            let today = zone.to_datetime(now.to_jiff()).date();
            let wrong =
                |e: jiff::Error| Error::new(ErrorKind::Internal, "history: no such day").with_source(e);
            let mut out = Vec::new();
            for back in (0..i64::from(days)).rev() {
                let date = today.checked_sub(jiff::Span::new().days(back)).map_err(wrong)?;
                let start = |date: jiff::civil::Date| {
                    let moment = date.to_zoned(zone.clone()).map_err(wrong)?;
                    Ok::<_, Error>(Timestamp::from_jiff(moment.timestamp()))
                };
                let range = TimeRange::new(start(date)?, start(date.tomorrow().map_err(wrong)?)?)?;
                let cameras = store.bytes_begun(range)?;
                out.push(DayBytes {
                    date: date.to_string(),
                    cameras: cameras.into_iter().filter(|(_, bytes)| *bytes > 0).collect(),
                });
            }
            Ok(out)
        })
        .await
    }
}
