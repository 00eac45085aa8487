//! `[recorder]`: where things are kept and the limits of the whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Reader, Section, section};
use super::values::{Span, Text};

/// Where things are kept and the limits of the whole.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// Folder of the recordings.
    pub root: PathBuf,
    /// Mount point of the disk that the root must lie on; without one mounted there the recorder does not start.
    pub root_mount: Option<PathBuf>,
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
            root_mount: None,
            max_starting: 4,
            max_manual: 3,
            shutdown_deadline: Duration::from_secs(10),
            time_zone: system_time_zone(),
            adopt_root: false,
            events_keep: Duration::from_secs(90 * 86_400),
        }
    }

    /// The file of the accounts, beside the index: `nvr.accounts.db` for `nvr.db`.
    #[must_use]
    pub fn accounts(&self) -> PathBuf {
        self.database.with_extension("accounts.db")
    }

    /// The file of the pushes that are kept over a restart, beside the index: `nvr.pushes.json` for `nvr.db`.
    #[must_use]
    pub fn pushes(&self) -> PathBuf {
        self.database.with_extension("pushes.json")
    }
}

section! {
    /// Where things are kept and the limits of the whole.
    RawRecorder requires ["root"] {
        /// Folder of the recordings. It is made if it is not there, and marked as belonging to the recorder.
        root: Text,
        /// Mount point of the disk that the root lies on, such as `/mnt/disk`. With nothing mounted there the recorder
        /// refuses to start, also for the first time.
        root_mount: Text,
        /// File of the index, `nvr.db` in the root by default. It must be on a local file system.
        database: Text,
        /// How many cameras may be opening their source at once, 1 to 64.
        max_starting: u64 = 4,
        /// How many recordings by hand may run at once, 1 to 1000.
        max_manual: u64 = 3,
        /// How long an orderly stop may take, 1 s to 10 min.
        shutdown_deadline: Span = "10s",
        /// Time zone of days: `UTC` or an IANA name such as `Europe/Berlin`; the system's by default.
        /// Files and the index are in UTC in any case.
        time_zone: Text,
        /// Whether a root that holds footage but no marker is taken over.
        adopt_root: bool = false,
        /// How long events are kept in the index, 1 h to 520 weeks.
        events_keep: Span = "90d",
    }
}

impl RecorderConfig {
    /// Reads the section; `base` is the folder that relative paths start from.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>, base: Option<&Path>) -> Self {
        let raw = RawRecorder::read(reader, section);
        let absolute = |text: &str| base.map_or_else(|| PathBuf::from(text), |base| base.join(text));
        let seconds = |s: u64| Span(Duration::from_secs(s));
        let mut out = Self::new(
            raw.root
                .as_ref()
                .map_or_else(PathBuf::new, |r| absolute(r.value.as_str())),
        );
        for at in [&raw.root, &raw.root_mount, &raw.database].into_iter().flatten() {
            if at.value.as_str().trim().is_empty() || at.value.as_str().contains('\0') {
                reader
                    .problems
                    .error(&at.span, &at.key, "the path is empty or unusable", None);
            }
        }
        let is_there = section.table.is_some_and(|t| t.contains_key("root"));
        if !is_there {
            reader.missing(
                section,
                "root",
                "say where recordings go: [recorder] root = \"/srv/nvr\"",
            );
        }
        if let Some(at) = &raw.root_mount {
            let mount = absolute(at.value.as_str());
            let inside = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if !mount.is_absolute() || !inside(&out.root).starts_with(&mount) {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!(
                        "`root_mount`: {} is no folder above the root {}",
                        mount.display(),
                        out.root.display()
                    ),
                    Some("name the mount point of the disk that `root` lies on, or leave it out".into()),
                );
            }
            out.root_mount = Some(mount);
        }
        if let Some(at) = &raw.database {
            out.database = absolute(at.value.as_str());
        }
        if let Some(n) = reader.within(raw.max_starting.as_ref(), &(1..=64)) {
            out.max_starting = n as usize;
        }
        if let Some(n) = reader.within(raw.max_manual.as_ref(), &(1..=1000)) {
            out.max_manual = n as usize;
        }
        if let Some(d) = reader.within(raw.shutdown_deadline.as_ref(), &(seconds(1)..=seconds(600))) {
            out.shutdown_deadline = d.0;
        }
        if let Some(d) = reader.within(
            raw.events_keep.as_ref(),
            &(seconds(3600)..=seconds(520 * 7 * 86_400)),
        ) {
            out.events_keep = d.0;
        }
        if let Some(at) = &raw.time_zone {
            match jiff::tz::TimeZone::get(at.value.as_str()) {
                Ok(_) => at.value.as_str().clone_into(&mut out.time_zone),
                Err(_) => reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`time_zone`: {} is not a known time zone", at.value.shown()),
                    Some(
                        "write UTC or an IANA name such as Europe/Berlin; the package tzdata knows them"
                            .into(),
                    ),
                ),
            }
        }
        if let Some(at) = &raw.adopt_root {
            out.adopt_root = at.value;
        }
        out
    }
}

/// The system's time zone, or `UTC` when it has no name.
fn system_time_zone() -> String {
    jiff::tz::TimeZone::try_system()
        .ok()
        .and_then(|zone| zone.iana_name().map(str::to_owned))
        .unwrap_or_else(|| "UTC".into())
}
