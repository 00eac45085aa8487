//! Whether the disk that a root belongs on is there, before anything is made in its place.
//!
//! The marker proves a root that was made; where there is none yet, or the index went with its disk, two things can
//! tell: the configuration (`recorder.root_mount`), and what was remembered beside the configuration when the
//! root was last used.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::marker::MARKER;
use super::mounts::Mounts;
use crate::error::{Error, Result};
use crate::event::CauseKind;
use crate::fault::fault;

/// Where a root lay when it was last used.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct RootMemory {
    /// The root, absolute.
    root: PathBuf,
    /// The mount point that it lay below.
    mount: PathBuf,
    note: String,
}

impl RootMemory {
    /// The file that goes with a configuration: `nvr.toml.root` beside `nvr.toml`.
    #[must_use]
    pub fn path_for(config: &Path) -> PathBuf {
        let mut name = config.as_os_str().to_owned();
        name.push(".root");
        name.into()
    }

    /// What was remembered; nothing when there is no such file, or one that cannot be read.
    #[must_use]
    pub fn load(file: &Path) -> Option<Self> {
        /// Two paths and a sentence.
        const MOST_BYTES: u64 = 64 << 10;
        let size = std::fs::metadata(file).ok()?.len();
        let text = (size <= MOST_BYTES).then(|| std::fs::read(file))?.ok()?;
        match serde_json::from_slice(&text) {
            Ok(memory) => Some(memory),
            Err(e) => {
                tracing::warn!(file = %file.display(), error = %e, "what was remembered of the recordings root cannot be read");
                None
            }
        }
    }

    /// What there is to remember of a root that is open.
    ///
    /// # Errors
    /// An error of reading the mounts.
    pub fn of(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).map_err(|e| Error::io(root.display(), e))?;
        let mount = Mounts::read().above(&root).unwrap_or_else(|| "/".into());
        Ok(Self {
            root,
            mount,
            note: "where the recordings lay when nvr last ran; remove this file if they belong elsewhere now"
                .into(),
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// `Storage` or `Io` when the folder cannot be written.
    pub fn save(&self, file: &Path) -> Result<()> {
        let mut temporary = file.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        let written = (|| {
            let mut out = std::fs::File::create(&temporary)?;
            out.write_all(&text)?;
            out.write_all(b"\n")?;
            out.sync_all()?;
            std::fs::rename(&temporary, file)
        })();
        written.map_err(|e| Error::io(file.display(), e))
    }
}

/// The mount point of a folder, where that is a disk of its own and not the root disk; for `recorder.root_mount`.
#[must_use]
pub fn disk_of(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    Mounts::read().above(&absolute).filter(|m| m != Path::new("/"))
}

/// Refuses a root whose disk is not there: `required` says where one must be mounted, `memory` where one was.
///
/// # Errors
/// `Storage` with the cause `StorageMissing`.
pub fn require_disk(root: &Path, required: Option<&Path>, memory: Option<&RootMemory>) -> Result<()> {
    let absolute = std::path::absolute(root).map_err(|e| Error::io(root.display(), e))?;
    let has_marker = root.join(MARKER).exists();
    judge(&absolute, required, memory, has_marker, &Mounts::read())
}

fn judge(
    root: &Path,
    required: Option<&Path>,
    memory: Option<&RootMemory>,
    has_marker: bool,
    mounts: &Mounts,
) -> Result<()> {
    if let Some(mount) = required {
        if !mounts.has(mount) {
            return Err(fault(
                CauseKind::StorageMissing,
                format!("nothing is mounted at {} (recorder.root_mount)", mount.display()),
            )
            .with_hint("mount the disk, or take root_mount out of the configuration"));
        }
        return Ok(());
    }
    if let Some(memory) = memory
        && !has_marker
        && memory.root == root
        && memory.mount != Path::new("/")
        && !mounts.has(&memory.mount)
    {
        return Err(fault(
            CauseKind::StorageMissing,
            format!(
                "{}: when it was last used it lay on the disk mounted at {}, and nothing is mounted there now",
                root.display(),
                memory.mount.display()
            ),
        )
        .with_hint(
            "mount the disk; only if recordings belong on the root disk from now on, remove the file \
             *.root beside the configuration",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(points: &[&str]) -> Mounts {
        let line = |p: &&str| format!("30 22 8:33 / {p} rw - ext4 /dev/x rw\n");
        Mounts::parse(points.iter().map(line).collect::<String>().as_bytes())
    }

    fn memory(root: &str, mount: &str) -> RootMemory {
        RootMemory {
            root: root.into(),
            mount: mount.into(),
            note: String::new(),
        }
    }

    #[test]
    fn a_disk_that_was_there_and_is_not_is_missed() {
        let root = Path::new("/mnt/disk/rec");
        let was = memory("/mnt/disk/rec", "/mnt/disk");
        let here = mounts(&["/", "/mnt/disk"]);
        let gone = mounts(&["/", "/mnt"]);
        let ok = |memory: Option<&RootMemory>, marker: bool, mounts: &Mounts| {
            judge(root, None, memory, marker, mounts).is_ok()
        };
        assert!(ok(None, false, &gone), "the first start ever");
        assert!(ok(Some(&was), true, &gone), "the marker is there: it was moved");
        assert!(ok(Some(&was), false, &here), "an empty disk in its place");
        assert!(!ok(Some(&was), false, &gone));
        // What lay on the root disk and was removed, was removed.
        assert!(ok(Some(&memory("/mnt/disk/rec", "/")), false, &gone));
        assert!(ok(Some(&memory("/other", "/mnt/disk")), false, &gone));
        let e = judge(root, None, Some(&was), false, &gone).unwrap_err();
        assert_eq!(
            super::super::cause_of(&e).unwrap().kind,
            CauseKind::StorageMissing
        );
        assert!(e.to_string().contains("/mnt/disk") && e.hint().is_some());
    }

    #[test]
    fn a_disk_that_must_be_there_is_asked_for_at_the_first_start() {
        let root = Path::new("/mnt/disk/rec");
        let required = Some(Path::new("/mnt/disk"));
        for marker in [false, true] {
            assert!(judge(root, required, None, marker, &mounts(&["/"])).is_err());
            assert!(judge(root, required, None, marker, &mounts(&["/", "/mnt/disk"])).is_ok());
        }
    }

    #[test]
    fn it_is_remembered_and_nonsense_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = RootMemory::path_for(&dir.path().join("nvr.toml"));
        assert!(file.ends_with("nvr.toml.root"));
        assert_eq!(RootMemory::load(&file), None);
        let here = RootMemory::of(dir.path()).unwrap();
        here.save(&file).unwrap();
        assert_eq!(RootMemory::load(&file), Some(here));
        for text in [&b"{"[..], b"\xff", b"[]", &[b' '; 100_000]] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(RootMemory::load(&file), None);
        }
    }
}
