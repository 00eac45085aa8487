//! `[jobs]`: the queue of slow work, and long exports and verification in it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{At, Reader, Section, section};
use super::values::{Bytes, Span, Text};
use crate::window::Windows;

/// The queue of slow work.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct JobsConfig {
    /// Jobs of all kinds at once (1 to 64; default 4).
    pub max_running: usize,
    /// Queued and running jobs together; more are refused (100 to 1000000; default 100000).
    pub max_queued: u64,
    /// Attempts before a job of a kind without another rule fails for good (1 to 1000; default 5).
    pub max_attempts: NonZeroU32,
    /// The longest pause between two attempts (1 s to 1 day; default 10 min).
    pub retry_ceiling: Duration,
    /// How long finished jobs are kept in the queue (1 h to 10 years; default 30 days).
    pub keep: Duration,
    /// How many finished jobs are kept at most (0 to 1000000; default 10000).
    pub max_finished: u64,
    /// Load average for each core, in percent, above which heavy jobs make way (0: never; default 300).
    pub max_load_percent: u32,
    /// Bytes of one camera that wait for the disk above which heavy jobs make way (0: never; default 8 MiB).
    pub max_backlog_bytes: u64,
    /// Folder of exports that are made as jobs; `None`: `_exports` in the recordings root.
    pub exports: Option<PathBuf>,
    /// How long such an export is kept (1 h to 10 years; default 7 days).
    pub exports_keep: Duration,
    /// Such exports at once (1 to 16; default 1).
    pub max_exports: usize,
    /// Cameras whose cards are read at once, to fill gaps (1 to 16; default 1).
    pub max_fills: usize,
    /// When segments are verified, unless somebody waits for it.
    pub verify_window: Windows,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            max_running: 4,
            max_queued: 100_000,
            max_attempts: NonZeroU32::MIN.saturating_add(4),
            retry_ceiling: Duration::from_secs(600),
            keep: Duration::from_secs(30 * 86_400),
            max_finished: 10_000,
            max_load_percent: 300,
            max_backlog_bytes: 8 << 20,
            exports: None,
            exports_keep: Duration::from_secs(7 * 86_400),
            max_exports: 1,
            max_fills: 1,
            verify_window: Windows::always(),
        }
    }
}

section! {
    /// The queue of slow work (long exports, verification), and when it makes way for recording.
    RawJobs requires [] {
        /// Jobs of all kinds at once, 1 to 64.
        max_running: u64 = 4,
        /// Queued and running jobs together, 100 to 1000000; more are refused.
        max_queued: u64 = 100_000,
        /// Attempts before a job fails for good, 1 to 1000.
        max_attempts: u64 = 5,
        /// The longest pause between two attempts, 1 s to 1 day: failed jobs wait 5, 10, 20, 40 and 80 s, then so long.
        retry_ceiling: Span = "10m",
        /// How long finished jobs are listed, 1 h to 520 weeks.
        keep: Span = "30d",
        /// How many finished jobs are listed at most, 0 to 1000000.
        max_finished: u64 = 10_000,
        /// Load average for each core, in percent, above which jobs that keep the processors busy make way; 0: never.
        max_load_percent: u64 = 300,
        /// Bytes of one camera that wait for the disk above which jobs make way for recording; 0: never.
        max_backlog: Bytes = "8MiB",
        /// Folder of exports that are made as jobs; `_exports` in the recordings root by default.
        exports: Text,
        /// How long such exports are kept, 1 h to 520 weeks.
        exports_keep: Span = "7d",
        /// Such exports at once, 1 to 16.
        max_exports: u64 = 1,
        /// Cameras whose cards are read at once, to fill gaps, 1 to 16.
        max_fills: u64 = 1,
        /// When segments are verified, unless somebody waits for it: `"02:00-06:00"`, also over midnight, several
        /// with commas, in `recorder.time_zone`; at any time by default.
        verify_window: Text,
    }
}

impl JobsConfig {
    /// Reads the section; `base` is the folder that relative paths start from, `zone` the recorder's time zone.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        zone: &str,
    ) -> Self {
        let raw = RawJobs::read(reader, section);
        let seconds = |s: u64| Span(Duration::from_secs(s));
        let years = seconds(520 * 7 * 86_400);
        let mut out = Self::default();
        if let Some(n) = reader.within(raw.max_running.as_ref(), &(1..=64)) {
            out.max_running = n as usize;
        }
        if let Some(n) = reader.within(raw.max_queued.as_ref(), &(100..=1_000_000)) {
            out.max_queued = n;
        }
        if let Some(n) = reader.within(raw.max_attempts.as_ref(), &(1..=1000)) {
            out.max_attempts = NonZeroU32::new(n as u32).unwrap_or(out.max_attempts);
        }
        if let Some(d) = reader.within(raw.retry_ceiling.as_ref(), &(seconds(1)..=seconds(86_400))) {
            out.retry_ceiling = d.0;
        }
        if let Some(d) = reader.within(raw.keep.as_ref(), &(seconds(3600)..=years)) {
            out.keep = d.0;
        }
        if let Some(n) = reader.within(raw.max_finished.as_ref(), &(0..=1_000_000)) {
            out.max_finished = n;
        }
        if let Some(n) = reader.within(raw.max_load_percent.as_ref(), &(0..=100_000)) {
            out.max_load_percent = n as u32;
        }
        if let Some(n) = reader.within(raw.max_backlog.as_ref(), &(Bytes(0)..=Bytes(1 << 30))) {
            out.max_backlog_bytes = n.0;
        }
        if let Some(at) = &raw.exports {
            out.exports = folder(reader, at, base);
        }
        if let Some(d) = reader.within(raw.exports_keep.as_ref(), &(seconds(3600)..=years)) {
            out.exports_keep = d.0;
        }
        if let Some(n) = reader.within(raw.max_fills.as_ref(), &(1..=16)) {
            out.max_fills = n as usize;
        }
        if let Some(n) = reader.within(raw.max_exports.as_ref(), &(1..=16)) {
            out.max_exports = n as usize;
        }
        if let Some(windows) = windows(reader, raw.verify_window.as_ref(), zone) {
            out.verify_window = windows;
        }
        out
    }
}

fn folder(reader: &mut Reader<'_, '_>, at: &At<Text>, base: Option<&Path>) -> Option<PathBuf> {
    let text = at.value.as_str();
    if text.trim().is_empty() || text.contains('\0') {
        reader
            .problems
            .error(&at.span, &at.key, "the path is empty or unusable", None);
        return None;
    }
    Some(base.map_or_else(|| PathBuf::from(text), |base| base.join(text)))
}

/// Reads windows of the day.
pub(super) fn windows(reader: &mut Reader<'_, '_>, at: Option<&At<Text>>, zone: &str) -> Option<Windows> {
    let at = at?;
    match Windows::parse(at.value.as_str(), zone) {
        Ok(windows) => Some(windows),
        Err(e) => {
            let name = at.key.rsplit('.').next().unwrap_or_default();
            let message = format!("`{name}`: {} is not a list of windows", at.value.shown());
            reader
                .problems
                .error(&at.span, &at.key, message, e.hint().map(str::to_owned));
            None
        }
    }
}
