//! `[backup]`: backups of what is not footage, made by themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Reader, Section, section};
use super::values::{Span, Text};

/// Backups that are made by themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackupConfig {
    /// Folder that they go to.
    pub dir: PathBuf,
    /// How often (1 h to 52 weeks; default 24 h).
    pub every: Duration,
    /// How many stay (1 to 1000; default 7).
    pub keep: usize,
}

section! {
    /// Backups of configuration, index, accounts and kept pushes, made while it records. There are none unless `dir` is set.
    RawBackup requires [] {
        /// Folder that they go to, made if it is not there, outside of the recordings; best on another disk. They hold passwords
        /// of cameras, as the configuration does, and are readable by the recorder's user only.
        dir: Text,
        /// How often one is made, 1 h to 52 weeks.
        every: Span = "24h",
        /// How many stay; older ones are deleted. 1 to 1000.
        keep: u64 = 7,
    }
}

impl BackupConfig {
    /// Reads the section; none without `dir`. `base` is the folder that relative paths start from.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        root: &Path,
    ) -> Option<Self> {
        let raw = RawBackup::read(reader, section);
        let hour = Duration::from_secs(3600);
        let every = reader.within(raw.every.as_ref(), &(Span(hour)..=Span(hour * 24 * 7 * 52)));
        let keep = reader.within(raw.keep.as_ref(), &(1..=1000));
        let at = raw.dir.as_ref()?;
        let text = at.value.as_str();
        let dir = base.map_or_else(|| PathBuf::from(text), |base| base.join(text));
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if text.trim().is_empty() || text.contains('\0') {
            reader
                .problems
                .error(&at.span, &at.key, "the path is empty or unusable", None);
        } else if absolute(&dir).starts_with(absolute(root)) {
            reader.problems.error(
                &at.span,
                &at.key,
                format!("`dir`: {} is within the recordings", dir.display()),
                Some("choose a folder outside, best on another disk".into()),
            );
        }
        Some(Self {
            dir,
            every: every.map_or(hour * 24, |d| d.0),
            keep: keep.map_or(7, |n| n as usize),
        })
    }
}
