//! `--from`, `--to` and `--last`: which stretch of time is meant.

use clap::Args;
use jiff::tz::TimeZone;
use nvr_core::error::{Error, ErrorKind, Result};
use nvr_core::{TimeRange, Timestamp};

use crate::times;

/// A stretch of time on the command line.
#[derive(Args, Debug, Clone)]
pub struct Window {
    /// Begin (such as 2026-05-04T03:02:01Z, "2026-05-04 03:02", 03:02, -2h).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End; now if absent.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// So long before the end (such as 90s, 15m, 2h, 1d), in place of --from.
    #[arg(long, value_name = "LENGTH", conflicts_with = "from")]
    last: Option<String>,
}

impl Window {
    /// As a range; `default_ns` is its length where neither `--from` nor `--last` is given.
    ///
    /// # Errors
    /// `InvalidArgument` when something cannot be read, or nothing says where it begins.
    pub fn range(&self, now: Timestamp, zone: &TimeZone, default_ns: Option<i64>) -> Result<TimeRange> {
        let to = match &self.to {
            Some(text) => times::parse(text, now, zone)?,
            None => now,
        };
        let from = match (&self.from, &self.last) {
            (Some(text), _) => times::parse(text, now, zone)?,
            (None, Some(text)) => to.add_ns(-times::length(text)?),
            (None, None) => {
                let missing = || {
                    Error::new(ErrorKind::InvalidArgument, "nothing says where to begin")
                        .with_hint("add --from TIME or --last LENGTH")
                };
                to.add_ns(-default_ns.ok_or_else(missing)?)
            }
        };
        TimeRange::new(from, to)
    }
}
