//! `[tier]`: a second, slower root that old segments move to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Reader, Section, section};
use super::retention::{Room, most_bytes};
use super::values::{Bytes, Span, Text};
use crate::window::Windows;

/// A second root.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct TierConfig {
    /// Folder of the recordings that moved.
    pub root: PathBuf,
    /// Mount point of the disk that it must lie on; with nothing mounted there it counts as away.
    pub root_mount: Option<PathBuf>,
    /// Segments older than this move (0 to 520 weeks; `None`: none for its age).
    pub after: Option<Duration>,
    /// The oldest move while the recordings root has more footage than this (`None`: none for that).
    pub above_bytes: Option<u64>,
    /// Most bytes of footage below this root: the oldest is deleted (`None`: no limit).
    pub max_bytes: Option<u64>,
    /// What of its disk stays free: the oldest is deleted (default 2 %).
    pub min_free: Room,
    /// Most bytes per second that are copied; 0: no limit.
    pub bandwidth_bytes_per_s: u64,
    /// When segments move for their age (default: always). For want of room they do at any time.
    pub window: Windows,
}

impl TierConfig {
    /// Defaults with a root: segments move when the recordings root has not enough free.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            root_mount: None,
            after: None,
            above_bytes: None,
            max_bytes: None,
            min_free: Room::Share(200),
            bandwidth_bytes_per_s: 0,
            window: Windows::always(),
        }
    }
}

section! {
    /// A second root, on a larger and slower disk, that old segments move to. They stay on the timeline and play from
    /// there. With one, `retention.min_free` makes the oldest move instead of go, as long as the second root has room.
    RawTier requires ["root"] {
        /// Folder of what moved. It is made if it is not there, and marked as belonging to the recorder.
        root: Text,
        /// Mount point of the disk that it lies on. With nothing mounted there the second root counts as away.
        root_mount: Text,
        /// Segments older than this move, 0 s to 520 weeks. Without it they move only for want of room.
        after: Span,
        /// The oldest segments move while the recordings root has more bytes of footage than this. No limit by default.
        above: Bytes,
        /// Most bytes of footage below the second root: beyond it the oldest is deleted. No limit by default.
        max_bytes: Bytes,
        /// The oldest footage of the second root is deleted to keep so much of its disk free: a size or a percentage.
        min_free: Room = "2%",
        /// Most bytes per second that are copied; 0: no limit.
        bandwidth: Bytes = "0B",
        /// When segments move for their age: `"01:00-05:00"`, several with commas, in `recorder.time_zone`; at any time
        /// by default. For want of room they move at any time.
        window: Text,
    }
}

impl TierConfig {
    /// Reads the section, if it is there.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        zone: &str,
        first: &Path,
    ) -> Option<Self> {
        section.table?;
        let raw = RawTier::read(reader, section);
        let absolute = |text: &str| base.map_or_else(|| PathBuf::from(text), |base| base.join(text));
        let Some(root) = &raw.root else {
            if !section.table.is_some_and(|t| t.contains_key("root")) {
                reader.missing(
                    section,
                    "root",
                    "say where segments move to: [tier] root = \"/mnt/archive/nvr\"",
                );
            }
            return None;
        };
        let mut out = Self::new(absolute(root.value.as_str()));
        let unusable = root.value.as_str().trim().is_empty() || root.value.as_str().contains('\0');
        let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (one, other) = (full(&out.root), full(first));
        if unusable {
            reader
                .problems
                .error(&root.span, &root.key, "the path is empty or unusable", None);
        } else if one.starts_with(&other) || other.starts_with(&one) {
            reader.problems.error(
                &root.span,
                &root.key,
                "the second root and the recordings root lie one in the other",
                Some("choose a folder on another disk".into()),
            );
        }
        if let Some(at) = &raw.root_mount {
            let mount = absolute(at.value.as_str());
            if mount.is_absolute() && one.starts_with(&mount) {
                out.root_mount = Some(mount);
            } else {
                let why = "`root` does not lie below this mount point";
                reader.problems.error(&at.span, &at.key, why, None);
            }
        }
        let longest = Span(Duration::from_secs(520 * 7 * 86_400));
        if let Some(d) = reader.within(raw.after.as_ref(), &(Span(Duration::ZERO)..=longest)) {
            out.after = Some(d.0);
        }
        out.above_bytes = most_bytes(reader, raw.above.as_ref());
        out.max_bytes = most_bytes(reader, raw.max_bytes.as_ref());
        if let Some(at) = &raw.min_free {
            out.min_free = at.value;
        }
        if let Some(at) = &raw.bandwidth {
            out.bandwidth_bytes_per_s = at.value.0;
        }
        if let Some(windows) = super::jobs::windows(reader, raw.window.as_ref(), zone) {
            out.window = windows;
        }
        Some(out)
    }
}
