//! Whether a folder lies on a disk that should be mounted and is not. Pure but for two reads of `/proc` and `/etc`.
//!
//! On the first start nothing tells an empty disk from the empty folder under a disk that failed to mount.
//! `/etc/fstab` does: a mount point that stands there is meant to be one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The mount point above `root` that `/etc/fstab` declares and that is not mounted now, if there is one.
pub(super) fn unmounted_above(root: &Path) -> Option<PathBuf> {
    let read = |path| std::fs::read(path).unwrap_or_default();
    let absolute = std::path::absolute(root).ok()?;
    missing(&absolute, &read("/etc/fstab"), &read("/proc/self/mountinfo"))
}

/// What is mounted now.
#[derive(Debug)]
pub(super) struct Mounts(Vec<PathBuf>);

impl Mounts {
    pub(super) fn read() -> Self {
        Self::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    pub(super) fn parse(mountinfo: &[u8]) -> Self {
        Self(fields(mountinfo, 4).collect())
    }

    pub(super) fn has(&self, point: &Path) -> bool {
        // Without the trailing slash that people write.
        let point: PathBuf = point.components().collect();
        self.0.contains(&point)
    }

    /// The mount point that a path lies below. Symbolic links are followed as far as they are there.
    pub(super) fn above(&self, path: &Path) -> Option<PathBuf> {
        let real = path.ancestors().find_map(|a| {
            let rest = path.strip_prefix(a).ok()?;
            Some(a.canonicalize().ok()?.join(rest))
        });
        let real = real.as_deref().unwrap_or(path);
        self.0
            .iter()
            .filter(|p| real.starts_with(p))
            .max_by_key(|p| p.components().count())
            .cloned()
    }
}

fn missing(root: &Path, fstab: &[u8], mountinfo: &[u8]) -> Option<PathBuf> {
    // fstab(5): device, mount point, type, options; mountinfo, proc(5): the mount point is the fifth.
    let declared = fields(fstab, 1).filter(|p| p.is_absolute() && p != Path::new("/"));
    let innermost = declared
        .filter(|p| root.starts_with(p))
        .max_by_key(|p| p.components().count())?;
    let mounted = fields(mountinfo, 4).any(|p| p == innermost);
    (!mounted).then_some(innermost)
}

fn fields(text: &[u8], n: usize) -> impl Iterator<Item = PathBuf> + '_ {
    text.split(|&b| b == b'\n')
        .filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        .filter_map(move |line| {
            let mut parts = line.split(u8::is_ascii_whitespace).filter(|p| !p.is_empty());
            parts
                .nth(n)
                .map(|p| PathBuf::from(OsString::from_vec(unescape(p))))
        })
}

/// Both files write a space as `\040`, and so on.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|d| first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        let value = octal.map(|d| d.iter().fold(0u32, |n, b| n * 8 + u32::from(b - b'0')));
        match value.and_then(|v| u8::try_from(v).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &[u8] = b"# disks\nUUID=1 / ext4 defaults 0 1\n\
        /dev/sdb1  /srv/nvr  ext4 nofail 0 2\n/dev/sdc1 /srv/my\\040disk xfs nofail 0 2\nUUID=2 none swap sw 0 0\n";
    const MOUNTED: &[u8] =
        b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:33 / /srv/my\\040disk rw - xfs /dev/sdc1 rw\n";

    #[test]
    fn a_declared_disk_that_is_not_mounted_is_found() {
        let of = |root: &str| missing(Path::new(root), FSTAB, MOUNTED);
        assert_eq!(of("/srv/nvr"), Some("/srv/nvr".into()));
        assert_eq!(of("/srv/nvr/recordings"), Some("/srv/nvr".into()));
        assert_eq!(of("/srv/nvr2"), None, "a name that only begins the same");
        assert_eq!(of("/srv/my disk/a"), None, "mounted");
        assert_eq!(of("/home/me"), None, "the root disk is always there");
    }

    #[test]
    fn odd_files_are_no_trouble() {
        for text in [&b""[..], b"\\", b"x", b"a \\9 b", b"a \\777 b", b"\xff \xff \xff"] {
            assert_eq!(missing(Path::new("/srv"), text, text), None);
        }
    }
}
