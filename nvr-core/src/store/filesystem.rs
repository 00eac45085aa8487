//! Refuses network file systems for the index.
//!
//! WAL needs memory shared between processes and locks that work; across a network neither is given, and
//! SQLite then corrupts its file. The recordings themselves may lie anywhere.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Name of a file system that cannot hold the index, by the magic number of `statfs(2)`
/// (`linux/magic.h` and the file systems' own sources); `None` when it can.
pub(super) const fn unfit(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B | 0xFE53_4D42 => "SMB",
        0xFF53_4D42 => "CIFS",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE (sshfs, rclone and the like)",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        0x564C => "NCP",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x2003_0528 => "OrangeFS",
        0xAAD7_AAEA => "PanFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x786F_4256 => "a VirtualBox shared folder",
        _ => return None,
    })
}

/// Checks the file system below the database (its folder, for it may not exist yet).
pub(super) fn check(database: &Path) -> Result<()> {
    let folder = match database.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    // The file may be a symbolic link to another file system, so it is asked first.
    let target = if database.exists() { database } else { folder };
    let stat = rustix::fs::statfs(target).map_err(|e| {
        let error = Error::io(format_args!("index folder {}", folder.display()), e.into());
        if e == rustix::io::Errno::NOENT {
            error.with_hint("nothing was recorded there yet, or the disk is not mounted")
        } else {
            error
        }
    })?;
    // Magic numbers have 32 bits; the C type that holds them differs between targets.
    let magic = stat.f_type as u32;
    match unfit(magic) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "index {}: lies on {name}, where SQLite cannot lock and share memory and would break its file",
                database.display()
            ),
        )
        .with_hint("put the index on a local disk; the recordings may stay on the network")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_not() {
        for network in [
            0x6969,
            0xFF53_4D42,
            0xFE53_4D42,
            0x0102_1997,
            0x6573_5546,
            0x5346_414F,
            0x00C3_6400,
        ] {
            assert!(unfit(network).is_some(), "{network:x}");
        }
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs, f2fs
        for local in [
            0xEF53,
            0x5846_5342,
            0x9123_683E,
            0x0102_1994,
            0x794C_7630,
            0x2FC1_2FC1,
            0xF2F5_2010,
        ] {
            assert_eq!(unfit(local), None, "{local:x}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_so() {
        let e = check(Path::new("/nonexistent-folder/index.db")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains("/nonexistent-folder"), "{e}");
    }
}
