//! Deleting: one segment file at a time, and the day folder that it leaves empty.

use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::dirs;
use super::naming::SegmentName;
use super::root::Root;
use super::tree::segment_name;
use crate::error::Result;
use crate::fault::storage;

/// Deletes a segment file. True when it was there; a file that is gone already is no error.
///
/// # Errors
/// `InvalidArgument` for a path that is no segment's (nothing else is ever deleted), `Storage` when the root
/// is not there or does not allow it.
pub fn delete(root: &Root, path: &Path) -> Result<bool> {
    remove_file(root, &segment_name(path)?)
}

pub(super) fn remove_file(root: &Root, name: &SegmentName) -> Result<bool> {
    let failed = |e: Errno| storage(format!("delete {}", root.path().join(name.path()).display()), e);
    let dir = root.dir_for_writing()?;
    let camera = match dirs::open_dir(&dir, name.camera.as_str()) {
        Err(Errno::NOENT) => return Ok(false),
        other => other.map_err(failed)?,
    };
    let day_name = name.day().to_string();
    let day = match dirs::open_dir(&camera, &day_name) {
        Err(Errno::NOENT) => return Ok(false),
        other => other.map_err(failed)?,
    };
    let existed = match rustix::fs::unlinkat(&day, name.file_name(), AtFlags::empty()) {
        Ok(()) => true,
        Err(Errno::NOENT) => false,
        Err(e) => return Err(failed(e)),
    };
    drop(day);
    match rustix::fs::unlinkat(&camera, &*day_name, AtFlags::REMOVEDIR) {
        // Not empty, or gone.
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::BUSY) => {}
        Err(e) => {
            tracing::debug!(folder = %day_name, camera = %name.camera, error = %e, "cannot remove a folder");
        }
    }
    Ok(existed)
}
