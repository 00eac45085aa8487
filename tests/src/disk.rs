//! Disks to mount, fill and take away. Mounting takes root; tests skip without it.
#![expect(
    clippy::print_stderr,
    reason = "tests say that they skip, and what a program complained of"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::proc::{Proc, Signal};

/// Runs a program; whether it succeeded. What it complains of goes to the log.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn run(program: &str, args: &[&str]) -> bool {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}"));
    if !out.status.success() {
        eprintln!("{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    out.status.success()
}

/// A path as text.
///
/// # Panics
/// When it is not UTF-8.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Whether this process may mount; says so if not.
///
/// # Panics
/// When it may not and `NVR_TESTS_MUST_RUN` is set: then no test may pass by being left out.
#[must_use]
pub fn may_mount() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skipped("mounting takes root");
    }
    is_root
}

/// Says that a test is left out.
///
/// # Panics
/// When `NVR_TESTS_MUST_RUN` is set.
pub fn skipped(why: &str) {
    assert!(
        std::env::var_os("NVR_TESTS_MUST_RUN").is_none(),
        "{why}, and NVR_TESTS_MUST_RUN allows no test to be left out"
    );
    eprintln!("skipped: {why}");
}

/// A mount point that is left empty.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts with these arguments of `mount`; `None` where mounting is not allowed.
    ///
    /// # Panics
    /// When it fails though it is allowed.
    #[must_use]
    pub fn new(at: &Path, args: &[&str]) -> Option<Self> {
        if !may_mount() {
            return None;
        }
        std::fs::create_dir_all(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
        let args: Vec<&str> = args.iter().copied().chain([text(at)]).collect();
        assert!(run("mount", &args), "root cannot mount {args:?}");
        Some(Self { at: at.to_owned() })
    }

    /// A disk in memory of so many mebibytes.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn memory(at: &Path, mebibytes: u64) -> Option<Self> {
        Self::new(at, &["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "none"])
    }

    /// Mounts again after [`Self::vanish`].
    ///
    /// # Panics
    /// When it fails.
    pub fn again(&self, args: &[&str]) {
        let args: Vec<&str> = args.iter().copied().chain([text(&self.at)]).collect();
        assert!(run("mount", &args), "cannot mount {args:?}");
    }

    /// Unmounts, also while files are open.
    ///
    /// # Panics
    /// When it fails.
    pub fn vanish(&self) {
        assert!(run("umount", &["-l", text(&self.at)]), "cannot unmount");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // There may be one on top of the other, or none.
        while Command::new("umount")
            .args(["-l", text(&self.at)])
            .output()
            .is_ok_and(|o| o.status.success())
        {}
    }
}

/// A disk that hangs when it is told to: a folder, passed through by a program that can be made to stand still.
#[derive(Debug)]
pub struct Hanging {
    program: Option<Proc>,
    folder: PathBuf,
    at: PathBuf,
}

impl Hanging {
    /// What lies in `folder` appears at a mount point; `None` where mounting is not allowed.
    ///
    /// # Panics
    /// When it fails though it is allowed: bindfs comes with `tools/install-deps.sh test`.
    #[must_use]
    pub fn new(folder: &Path, at: &Path) -> Option<Self> {
        if !may_mount() {
            return None;
        }
        for dir in [folder, at] {
            std::fs::create_dir_all(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        }
        let mut disk = Self {
            program: None,
            folder: folder.to_owned(),
            at: at.to_owned(),
        };
        disk.again();
        Some(disk)
    }

    /// Nothing of it is answered any more.
    ///
    /// # Panics
    /// When it is not there.
    pub fn hang(&self) {
        self.signal(Signal::Stop);
    }

    /// All that was asked is answered now.
    ///
    /// # Panics
    /// When it is not there.
    pub fn go_on(&self) {
        self.signal(Signal::Cont);
    }

    /// It is gone, also for who has files of it open; its mount point is empty.
    ///
    /// # Panics
    /// When it was gone already.
    pub fn vanish(&mut self) {
        let mut program = self.program.take().expect("it is there");
        program.kill().expect("it was running");
        assert!(run("umount", &["-l", text(&self.at)]), "cannot unmount");
    }

    /// It is there (again).
    ///
    /// # Panics
    /// When that fails.
    pub fn again(&mut self) {
        let mut command = Command::new("bindfs");
        // Nothing is remembered by the kernel, so that everything is asked.
        command.args(["-f", "-o", "attr_timeout=0,entry_timeout=0"]);
        command.arg(&self.folder).arg(&self.at);
        let program = Proc::spawn(command).expect("bindfs: run tools/install-deps.sh test");
        let device = |path: &Path| {
            let stat = std::fs::metadata(path).ok()?;
            Some(std::os::unix::fs::MetadataExt::dev(&stat))
        };
        crate::wait::until_true("the mount", crate::rig::LIMIT, || {
            device(&self.at).is_some_and(|d| device(&self.folder) != Some(d))
        })
        .unwrap_or_else(|e| panic!("{e}: {}", program.log()));
        self.program = Some(program);
    }

    fn signal(&self, signal: Signal) {
        let program = self.program.as_ref().expect("it is there");
        program.signal(signal).expect("it runs");
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // Killed it answers everything that waits, with an error.
        drop(self.program.take());
        let _ = Command::new("umount").args(["-l", text(&self.at)]).output();
    }
}

/// What a process may still write to the file system of a path, in bytes.
///
/// # Panics
/// When it cannot be asked.
#[must_use]
pub fn available(path: &Path) -> u64 {
    let s = rustix::fs::statvfs(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    s.f_bavail * s.f_frsize
}

/// A file that leaves so many bytes of the disk available; it grows or shrinks to do so.
///
/// # Panics
/// When it cannot be written.
pub fn leave(file: &Path, bytes: u64) {
    let disk = file.parent().unwrap_or(file);
    let so_far = std::fs::metadata(file).map_or(0, |m| m.len());
    let size = (so_far + available(disk)).saturating_sub(bytes);
    let result = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)
        .and_then(|f| {
            if size <= so_far {
                return f.set_len(size);
            }
            rustix::fs::fallocate(&f, rustix::fs::FallocateFlags::empty(), 0, size).map_err(Into::into)
        });
    result.unwrap_or_else(|e| panic!("{} of {size} bytes: {e}", file.display()));
}
