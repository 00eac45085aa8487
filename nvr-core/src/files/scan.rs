//! Walking the tree in the order of paths, one folder in memory at a time.
//!
//! Only names that parse are segments; everything else is told as foreign and left alone. Symbolic links
//! are not followed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::dirs;
use super::marker::{EXPORTS, LOCK, MARKER, PROBE, STILLS};
use super::naming::{Day, SegmentName};
use super::root::Root;
use crate::error::Result;
use crate::fault::storage;
use crate::ids::CameraId;

/// Something in the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A file that bears a segment's name.
    Segment {
        /// Its name.
        name: SegmentName,
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// Something that is not ours: its path relative to the root.
    Foreign(PathBuf),
}

/// The names in a folder: those that `wanted` takes, and the rest as foreign ones.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    pub(crate) ours: Vec<T>,
    pub(crate) foreign: Vec<PathBuf>,
}

pub(super) fn list<T>(
    dir: &OwnedFd,
    prefix: &str,
    wanted: impl Fn(&str, FileType) -> Option<T>,
) -> Result<Listing<T>, Errno> {
    let mut listing = Listing {
        ours: Vec::new(),
        foreign: Vec::new(),
    };
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => {
                match rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(s) => FileType::from_raw_mode(s.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(e),
                }
            }
            kind => kind,
        };
        match entry.file_name().to_str().ok().and_then(|n| wanted(n, kind)) {
            Some(ours) => listing.ours.push(ours),
            None => {
                let name = String::from_utf8_lossy(bytes);
                listing.foreign.push(PathBuf::from(format!("{prefix}{name}")));
            }
        }
    }
    listing.foreign.sort();
    Ok(listing)
}

/// The cameras that have a folder, in the order of their paths.
pub(crate) fn cameras(root: &OwnedFd) -> Result<Listing<CameraId>, Errno> {
    let mut found = list(root, "", |name, kind| {
        CameraId::new(name).ok().filter(|_| kind.is_dir())
    })?;
    // As paths compare: `cam-2/…` before `cam/…`.
    found.ours.sort_by_cached_key(|c| format!("{c}/"));
    found.foreign.retain(|p| {
        let name = p.to_string_lossy();
        ![
            MARKER,
            LOCK,
            PROBE,
            EXPORTS,
            STILLS,
            super::replace::FOLDER,
            "lost+found",
        ]
        .contains(&&*name)
    });
    Ok(found)
}

/// The days of a camera that have a folder.
pub(crate) fn days(root: &OwnedFd, camera: &CameraId) -> Result<Listing<Day>, Errno> {
    let dir = dirs::open_dir(root, camera.as_str())?;
    let mut found = list(&dir, &format!("{camera}/"), |name, kind| {
        Day::parse(name).filter(|_| kind.is_dir())
    })?;
    found.ours.sort_unstable();
    Ok(found)
}

/// The segments of a day with their sizes.
pub(crate) fn segments(
    root: &OwnedFd,
    camera: &CameraId,
    day: Day,
) -> Result<Listing<(SegmentName, u64)>, Errno> {
    let dir = dirs::open_dir(dirs::open_dir(root, camera.as_str())?, &day.to_string())?;
    let found = list(&dir, &format!("{camera}/{day}/"), |name, kind| {
        SegmentName::parse_file(camera, day, name).filter(|_| kind.is_file())
    })?;
    let mut ours = Vec::with_capacity(found.ours.len());
    for name in found.ours {
        match rustix::fs::statat(&dir, name.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => ours.push((name, u64::try_from(s.st_size).unwrap_or(0))),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
    }
    ours.sort_by_cached_key(|(n, _)| n.file_name());
    Ok(Listing {
        ours,
        foreign: found.foreign,
    })
}

/// Walks all of a tree.
///
/// Segments come in the order of their paths (compared as bytes), so that the walk can be merged with the
/// index. Folders that vanish meanwhile are passed over.
pub struct Walk {
    root: Arc<OwnedFd>,
    path: PathBuf,
    cameras: std::vec::IntoIter<CameraId>,
    days: std::vec::IntoIter<(CameraId, Day)>,
    /// Reversed: the next is at the end.
    pending: Vec<Entry>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Walk {
    /// Begins a walk.
    ///
    /// # Errors
    /// `Storage` when the root is not there or cannot be read.
    pub fn new(root: &Root) -> Result<Self> {
        let dir = root.dir()?;
        let found = cameras(&dir).map_err(|e| storage(format!("read {}", root.path().display()), e))?;
        Ok(Self {
            root: dir,
            path: root.path().to_owned(),
            cameras: found.ours.into_iter(),
            days: Vec::new().into_iter(),
            pending: found.foreign.into_iter().rev().map(Entry::Foreign).collect(),
        })
    }

    fn step(&mut self) -> Option<Result<Entry>> {
        loop {
            if let Some(entry) = self.pending.pop() {
                return Some(Ok(entry));
            }
            let listed = if let Some((camera, day)) = self.days.next() {
                segments(&self.root, &camera, day).map(|found| {
                    let foreign = found.foreign.into_iter().map(Entry::Foreign);
                    let ours = found
                        .ours
                        .into_iter()
                        .map(|(name, size_bytes)| Entry::Segment { name, size_bytes });
                    self.pending = foreign.chain(ours).collect();
                })
            } else {
                let camera = self.cameras.next()?;
                days(&self.root, &camera).map(|found| {
                    self.pending = found.foreign.into_iter().map(Entry::Foreign).collect();
                    let days: Vec<_> = found.ours.into_iter().map(|d| (camera.clone(), d)).collect();
                    self.days = days.into_iter();
                })
            };
            match listed {
                Ok(()) | Err(Errno::NOENT) => self.pending.reverse(),
                Err(e) => return Some(Err(storage(format!("read {}", self.path.display()), e))),
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step()
    }
}
