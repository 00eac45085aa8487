//! Where things lie: the recordings roots and their disks, the index, the folder of the configuration.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{self, Create, Root, RootOptions};
use nvr_core::store::{OpenMode, Store};
use nvr_core::{Archive, Result};

use super::Finding;
use crate::output;

/// What is written to measure a disk, at most.
const MOST_BYTES: u64 = 64 << 20;
/// How long is written, at most.
const MOST_NS: i64 = 2_000_000_000;
/// Below this much free space nothing is written.
const LEAST_FREE: u64 = 1 << 30;
/// Bits a second of a camera of which there is no footage yet.
const ASSUMED_BPS: f64 = 6e6;

/// Whether the settings page can write the configuration.
pub fn settings(config: &Config) -> Finding {
    let Some(folder) = config.path.as_deref().and_then(Path::parent) else {
        return Finding::ok("settings", "no file");
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match Probe::new(folder) {
        Ok(_) => Finding::ok("settings", format!("{} can be written", folder.display())),
        Err(e) => Finding::warn(
            "settings",
            format!("{} cannot be written by this user: {e}", folder.display()),
            "settings cannot be changed by page or API; for the service: chown root:nvr and chmod 2770 on it",
        ),
    }
}

/// Looks at the roots and the index.
pub async fn look(config: &Config, running: bool, write: bool, findings: &mut Vec<Finding>) {
    let needed = needed(config).await;
    let roots = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            let mut findings = Vec::new();
            root(&config, running, write, needed, &mut findings);
            second(&config, write, &mut findings);
            findings.push(index(&config.recorder.database));
            findings.push(accounts(&config.recorder.accounts()));
            findings
        })
    };
    match roots.await {
        Ok(found) => findings.extend(found),
        Err(e) => {
            let e = Error::new(ErrorKind::Internal, "the places could not be looked at").with_source(e);
            findings.push(Finding::of("root", &e));
        }
    }
}

/// Bytes a second that all cameras need, and of how many of them that is a guess.
async fn needed(config: &Config) -> (f64, usize) {
    let stats = match Archive::open(config).await {
        Ok(archive) => archive.stats().await.ok(),
        Err(_) => None,
    };
    let mut rate = 0.0;
    let mut guessed = 0;
    for camera in config.cameras.iter().filter(|c| c.enabled) {
        let known = stats
            .iter()
            .flat_map(|s| &s.cameras)
            .find(|s| s.camera == camera.id && s.duration_ns > 0);
        match known {
            // What it sends while it is recorded, not averaged over the time when it is not.
            Some(s) => rate += s.size_bytes as f64 / (s.duration_ns as f64 / 1e9),
            None => {
                guessed += 1;
                rate += ASSUMED_BPS / 8.0;
            }
        }
    }
    (rate, guessed)
}

fn root(config: &Config, running: bool, write: bool, needed: (f64, usize), findings: &mut Vec<Finding>) {
    let path = &config.recorder.root;
    if let Err(e) = files::require_disk(path, config.recorder.root_mount.as_deref(), None) {
        findings.push(Finding::of("root", &e));
        return;
    }
    if !path.exists() {
        let parent = path.ancestors().skip(1).find(|p| p.exists());
        findings.push(match parent.map(Probe::new) {
            Some(Err(e)) => Finding::fail(
                "root",
                ErrorKind::Storage,
                format!("{} is not there, and cannot be made: {e}", path.display()),
                format!(
                    "make it for the recorder's user: install -d -o nvr -g nvr {}",
                    path.display()
                ),
            ),
            _ => Finding::ok(
                "root",
                format!("{} will be made at the first start", path.display()),
            ),
        });
        return;
    }
    let options = RootOptions {
        create: Create::Never,
        expected: None,
        exclusive: false,
    };
    let opened = Root::open(path, options, SystemClock::shared()).and_then(|root| root.attach());
    let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    match opened {
        Ok(_) => {
            let by = if running { ", a recorder writes to it" } else { "" };
            findings.push(Finding::ok("root", format!("{}{by}", path.display())));
        }
        Err(_) if is_empty => {
            findings.push(Finding::ok(
                "root",
                format!("{} is empty: a new one", path.display()),
            ));
        }
        Err(e) => findings.push(Finding::of("root", &e)),
    }
    disk(path, write, needed, findings);
}

fn second(config: &Config, write: bool, findings: &mut Vec<Finding>) {
    let Some(tier) = &config.tier else { return };
    match files::require_disk(&tier.root, tier.root_mount.as_deref(), None) {
        Ok(()) if tier.root.exists() => disk(&tier.root, write, (0.0, 0), findings),
        Ok(()) => findings.push(Finding::ok(
            "second root",
            format!("{} will be made", tier.root.display()),
        )),
        // Recording goes on without it.
        Err(e) => findings.push(Finding::warn(
            "second root",
            e.to_string(),
            e.hint().unwrap_or("mount its disk").to_owned(),
        )),
    }
}

/// Space, and how fast it is.
fn disk(path: &Path, write: bool, (needed, guessed): (f64, usize), findings: &mut Vec<Finding>) {
    let Some((total, free)) = nvr_core::machine::disk(path) else {
        return;
    };
    let space = format!(
        "{}: {} of {} free",
        path.display(),
        output::bytes(free),
        output::bytes(total)
    );
    // Retention keeps 2 % free by default.
    let is_full = free < total / 100;
    findings.push(if is_full {
        Finding::warn(
            "space",
            space,
            "see `nvr stats`; less than retention keeps free by default",
        )
    } else {
        Finding::ok("space", space)
    });
    if !write || free < LEAST_FREE {
        return;
    }
    match measure(path) {
        Ok(speed) => findings.push(judge_speed(path, &speed, needed, guessed)),
        Err(e) => findings.push(Finding::fail(
            "disk speed",
            ErrorKind::Storage,
            format!("{} cannot be written by this user: {e}", path.display()),
            "give it to the recorder's user, and run this as that user: sudo -u nvr nvr doctor",
        )),
    }
}

/// What writing brought.
#[derive(Debug)]
struct Speed {
    bytes: u64,
    ns: i64,
    /// The longest that one piece took to be on the disk.
    slowest_ns: i64,
}

impl Speed {
    fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / (self.ns.max(1) as f64 / 1e9)
    }
}

/// Writes pieces as large as those of some seconds of video, each until it is on the disk.
fn measure(folder: &Path) -> std::io::Result<Speed> {
    let mut probe = Probe::new(folder)?;
    let clock = SystemClock::new();
    // Not zeroes: some file systems compress or leave holes.
    let mut block = vec![0u8; 4 << 20];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for word in block.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    let start = clock.steady_ns();
    let (mut bytes, mut slowest_ns, mut now) = (0, 0, start);
    while bytes < MOST_BYTES && now - start < MOST_NS {
        probe.file.write_all(&block)?;
        probe.file.sync_data()?;
        let after = clock.steady_ns();
        slowest_ns = slowest_ns.max(after - now);
        now = after;
        bytes += block.len() as u64;
    }
    Ok(Speed {
        bytes,
        ns: now - start,
        slowest_ns,
    })
}

fn judge_speed(path: &Path, speed: &Speed, needed: f64, guessed: usize) -> Finding {
    let rate = speed.bytes_per_second();
    let mut text = format!(
        "{}: {}/s (wrote {} in {:.1} s, the slowest piece in {:.0} ms)",
        path.display(),
        output::bytes(rate as u64),
        output::bytes(speed.bytes),
        speed.ns as f64 / 1e9,
        speed.slowest_ns as f64 / 1e6,
    );
    if needed > 0.0 {
        text += &format!("; the cameras need {}/s", output::bytes(needed as u64));
        if guessed > 0 {
            text += &format!(" ({guessed} of them guessed at 6 Mbit/s)");
        }
    }
    let advice = "a faster disk, lower bit rates at the cameras, or fewer cameras on it";
    if rate < needed * 1.25 {
        Finding::fail("disk speed", ErrorKind::Storage, text, advice)
    } else if rate < needed * 4.0 {
        Finding::warn("disk speed", text, advice)
    } else {
        Finding::ok("disk speed", text)
    }
}

/// Whether the index is sound, asked of SQLite.
fn index(path: &Path) -> Finding {
    if !path.exists() {
        return Finding::ok(
            "index",
            format!("{} will be made at the first start", path.display()),
        );
    }
    let checked: Result<Vec<String>> =
        Store::open(path, OpenMode::ReadOnly).and_then(|store| store.quick_check());
    match checked {
        Ok(problems) if problems.is_empty() => Finding::ok("index", format!("{} is sound", path.display())),
        Ok(problems) => Finding::fail(
            "index",
            ErrorKind::Corrupt,
            format!("{}: {}", path.display(), problems.join("; ")),
            "stop the recorder, then `nvr check --rebuild` makes a new one from the files",
        ),
        Err(e) if e.kind() == ErrorKind::Corrupt => Finding::fail(
            "index",
            ErrorKind::Corrupt,
            e.to_string(),
            "stop the recorder, then `nvr check --rebuild` makes a new one from the files",
        ),
        Err(e) => Finding::of("index", &e),
    }
}

/// Whether the accounts can be read and are sound.
fn accounts(path: &Path) -> Finding {
    if !path.exists() {
        return Finding::ok(
            "accounts",
            format!("{} will be made at the first start", path.display()),
        );
    }
    match nvr_core::accounts::check(path) {
        Ok(()) => Finding::ok("accounts", format!("{} is sound", path.display())),
        Err(e) if e.kind() == ErrorKind::Corrupt => Finding::fail(
            "accounts",
            ErrorKind::Corrupt,
            e.to_string(),
            "stop the recorder, then `nvr restore-backup` puts those of a backup back; without one move the file away and make new accounts",
        ),
        Err(e) => Finding::of("accounts", &e),
    }
}

/// A file of ours that goes when it is dropped.
struct Probe {
    path: PathBuf,
    file: File,
}

impl Probe {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join(format!(".nvr-doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;

    #[test]
    fn a_disk_is_judged_by_what_the_cameras_need() {
        let speed = Speed {
            bytes: 8_000_000,
            ns: 1_000_000_000,
            slowest_ns: 1_000_000,
        };
        let of = |needed| judge_speed(Path::new("/x"), &speed, needed, 1);
        assert_eq!(of(0.0).verdict, Verdict::Ok);
        assert_eq!(of(1.9e6).verdict, Verdict::Ok);
        assert_eq!(of(2.1e6).verdict, Verdict::Warn);
        assert_eq!(of(7e6).verdict, Verdict::Fail);
        assert!(of(7e6).text.contains("1 of them guessed"));
    }

    #[test]
    fn measuring_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let speed = measure(dir.path()).unwrap();
        assert!(speed.bytes >= 4 << 20 && speed.ns > 0 && speed.slowest_ns > 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(measure(&dir.path().join("nowhere")).is_err());
    }
}
