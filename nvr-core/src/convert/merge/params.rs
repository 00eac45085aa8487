//! What is put together, and whether it can be.

use std::path::{Path, PathBuf};

use super::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::time::{NS_PER_S, TimeRange, Timestamp};

/// Most cameras in one file.
pub const MOST_CAMERAS: usize = 16;
/// Longest range: a week.
const LONGEST_NS: i64 = 7 * 86_400 * NS_PER_S;

/// Which cameras are put into one file, and how.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergeParams {
    /// The cameras in the order in which they are laid out, 2 to 16, none twice.
    pub cameras: Vec<CameraId>,
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// How they are put together.
    #[serde(default)]
    pub layout: Layout,
    /// Height of one picture, pixels (64 to 2160); that of the smallest camera by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Pictures a second (1 to 120); those of the quickest camera by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
    /// Whose sound is heard; nobody's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<CameraId>,
    /// Preset of an encoder that has one of this name; `ultrafast` by default.
    #[serde(default = "ultrafast")]
    pub preset: String,
    /// The file to write, an absolute path; by default one in the folder of exports. Not to be given over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

pub(super) fn ultrafast() -> String {
    "ultrafast".into()
}

pub(super) fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, what)
}

pub(super) fn check_common(
    range: TimeRange,
    height: Option<u32>,
    preset: &str,
    path: Option<&Path>,
) -> Result<()> {
    if range.is_empty() {
        return Err(invalid("the range is empty"));
    }
    if height.is_some_and(|h| !(64..=2160).contains(&h)) {
        return Err(invalid("height: want 64 to 2160 pixels"));
    }
    if preset.len() > 32 || !preset.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(invalid("preset: that is no name of one"));
    }
    if path.is_some_and(|p| !p.is_absolute() || p.file_name().is_none()) {
        return Err(invalid("the path is not that of a file, from the root on"));
    }
    Ok(())
}

impl MergeParams {
    /// So many cameras beside each other, without sound.
    #[must_use]
    pub fn new(cameras: Vec<CameraId>, range: TimeRange) -> Self {
        Self {
            cameras,
            from: range.start(),
            to: range.end(),
            layout: Layout::default(),
            height: None,
            fps: None,
            sound: None,
            preset: ultrafast(),
            path: None,
        }
    }

    /// The range, once all is in order.
    ///
    /// # Errors
    /// `InvalidArgument` with what is wrong.
    pub fn check(&self) -> Result<TimeRange> {
        let range = TimeRange::new(self.from, self.to)?;
        check_common(range, self.height, &self.preset, self.path.as_deref())?;
        if range.len_ns() > LONGEST_NS {
            return Err(invalid("the range is longer than a week"));
        }
        let count = self.cameras.len();
        if !(2..=MOST_CAMERAS).contains(&count) {
            return Err(invalid(format!(
                "cameras: want 2 to {MOST_CAMERAS}, there are {count}"
            )));
        }
        let mut names: Vec<&CameraId> = self.cameras.iter().collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != count {
            return Err(invalid("cameras: one is there twice"));
        }
        if let Some(sound) = self.sound.as_ref().filter(|s| !self.cameras.contains(s)) {
            return Err(invalid(format!("sound: {sound} is not among the cameras")));
        }
        if self.fps.is_some_and(|n| !(1..=120).contains(&n)) {
            return Err(invalid("fps: want 1 to 120"));
        }
        Ok(range)
    }
}
