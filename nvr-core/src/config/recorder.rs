//! `[recorder]`: where things are kept and the limits of the whole.

use std::path::PathBuf;
use std::time::Duration;

/// Where things are kept and the limits of the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// Folder of the recordings.
    pub root: PathBuf,
    /// The index; `{root}/nvr.db` by default. Must be on a local file system.
    pub database: PathBuf,
    /// How many cameras may be opening their source at once (1 to 64; default 4).
    pub max_starting: usize,
    /// How many recordings by hand may run at once (1 to 1000; default 3).
    pub max_manual: usize,
    /// How long an orderly stop may take (1 s to 10 min; default 10 s).
    pub shutdown_deadline: Duration,
    /// Time zone of days: `UTC` or an IANA name; the system's by default.
    pub time_zone: String,
    /// Whether a root that holds footage but no marker is taken over (default: no).
    pub adopt_root: bool,
    /// How long events are kept in the index (1 h to 10 years; default 90 days).
    pub events_keep: Duration,
}

impl RecorderConfig {
    /// Defaults with recordings below `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            database: root.join("nvr.db"),
            root,
            max_starting: 4,
            max_manual: 3,
            shutdown_deadline: Duration::from_secs(10),
            time_zone: system_time_zone(),
            adopt_root: false,
            events_keep: Duration::from_secs(90 * 86_400),
        }
    }
}

/// The system's time zone, or `UTC` when it has no name.
fn system_time_zone() -> String {
    jiff::tz::TimeZone::try_system()
        .ok()
        .and_then(|zone| zone.iana_name().map(str::to_owned))
        .unwrap_or_else(|| "UTC".into())
}
