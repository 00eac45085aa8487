//! Backups and their restoration, with databases of real recorders' make.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::*;
use crate::accounts::{Accounts, NewAccount, Role, UserName};
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::files::{Create, Root, RootOptions};
use crate::secret::Secret;
use crate::store::{OpenMode, Store};

/// A recorder's files, without a recorder.
struct Place {
    dir: tempfile::TempDir,
    clock: SharedClock,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            clock: SystemClock::shared(),
        };
        std::fs::write(place.config(), "[recorder]\nroot = \"rec\"\n# ours\n").unwrap();
        let root = place.open_root(Create::IfEmpty);
        let store = Store::open(place.path("rec/nvr.db"), OpenMode::ReadWrite).unwrap();
        let id = root.attach().unwrap().to_string();
        store.set_tree_id_blocking(&id).unwrap();
        store.set_meta_blocking("state", "then").unwrap();
        store.shutdown_blocking().unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("nvr.toml")
    }

    fn open_root(&self, create: Create) -> Root {
        let options = RootOptions {
            create,
            expected: None,
            exclusive: true,
        };
        Root::open(self.path("rec"), options, self.clock.clone()).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(self.path("rec/nvr.db"), OpenMode::ReadWrite).unwrap()
    }

    fn add_user(&self, name: &str) {
        let accounts = Accounts::new(self.path("rec/nvr.accounts.db"), self.clock.clone());
        let account = NewAccount {
            name: UserName::new(name).unwrap(),
            role: Role::Admin,
            cameras: crate::accounts::CameraSet::all(),
            password: Secret::new("correct horse battery"),
        };
        wait(accounts.add_user(account)).unwrap();
        drop(accounts);
        self.settled();
    }

    /// The last connection closes in a thread of its own, and takes its log with it.
    fn settled(&self) {
        let log = self.path("rec/nvr.accounts.db-wal");
        for _ in 0..1000 {
            if std::fs::metadata(&log).map_or(true, |m| m.len() == 0) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{} stays", log.display());
    }

    fn users(&self) -> Vec<String> {
        let accounts = Accounts::new(self.path("rec/nvr.accounts.db"), self.clock.clone());
        let users = wait(accounts.users()).unwrap();
        drop(accounts);
        self.settled();
        users.into_iter().map(|u| u.name.to_string()).collect()
    }

    fn archive(&self) -> Vec<u8> {
        let config = Config::load(self.config()).unwrap();
        let sources = Sources::of(&config).unwrap();
        let backup = Backup::take(&sources, self.dir.path(), &self.clock).unwrap();
        let mut bytes = Vec::new();
        backup.write(&mut bytes).unwrap();
        bytes
    }

    fn restore(&self, archive: &[u8]) -> crate::Result<RestoreReport> {
        Restore::new(self.config()).run(archive, &self.clock)
    }

    /// All files but those that SQLite and locks leave, with what is in them.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for folder in ["", "rec"] {
            for entry in std::fs::read_dir(self.path(folder)).unwrap().flatten() {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if entry.file_type().unwrap().is_file() && !name.ends_with("-shm") && !name.ends_with("lock")
                {
                    // Gone since: the log of a connection that was closed.
                    let Ok(bytes) = std::fs::read(entry.path()) else {
                        continue;
                    };
                    // Who only reads leaves an empty log.
                    if !(name.ends_with("-wal") && bytes.is_empty()) {
                        all.push((name, bytes));
                    }
                }
            }
        }
        all.sort();
        all
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

fn state(store: &Store) -> String {
    store.meta("state").unwrap().unwrap()
}

#[test]
fn all_is_as_it_was_and_what_was_there_is_kept() {
    let place = Place::new();
    place.add_user("ann");
    std::fs::write(place.path("rec/nvr.pushes.json"), "[]\n").unwrap();
    let archive = place.archive();
    assert_eq!(
        std::fs::read_dir(place.dir.path()).unwrap().count(),
        2,
        "nothing is left"
    );

    // Later.
    place.add_user("bob");
    let store = place.store();
    store.set_meta_blocking("state", "later").unwrap();
    store.shutdown_blocking().unwrap();
    std::fs::write(place.config(), "[recorder]\nroot = \"rec\"\n").unwrap();
    std::fs::write(place.path("rec/nvr.pushes.json"), "[ ]").unwrap();

    let report = place.restore(&archive).unwrap();
    assert_eq!((report.restored.len(), report.kept.len()), (4, 4), "{report:?}");
    assert_eq!(place.users(), ["ann"]);
    assert_eq!(state(&place.store()), "then");
    assert!(
        std::fs::read_to_string(place.config())
            .unwrap()
            .contains("# ours")
    );
    assert_eq!(
        std::fs::read_to_string(place.path("rec/nvr.pushes.json")).unwrap(),
        "[]\n"
    );
    // What was there can be opened.
    let old = Store::open(&report.kept[0], OpenMode::ReadWrite).unwrap();
    assert_eq!(state(&old), "later");
    let left: Vec<_> = place.files().into_iter().map(|(name, _)| name).collect();
    assert!(
        !left
            .iter()
            .any(|n| n.ends_with("restoring") || n.ends_with(".restore")),
        "{left:?}"
    );
}

#[test]
fn what_is_not_in_the_backup_is_set_aside() {
    let place = Place::new();
    let archive = place.archive();
    std::fs::write(place.path("rec/nvr.pushes.json"), "[]").unwrap();
    let report = place.restore(&archive).unwrap();
    assert!(!place.path("rec/nvr.pushes.json").exists());
    assert_eq!((report.restored.len(), report.kept.len()), (2, 3));
}

#[test]
fn a_new_disk_becomes_the_tree_that_the_index_knows() {
    let place = Place::new();
    let archive = place.archive();
    let id = place.store().tree_id().unwrap();
    std::fs::remove_dir_all(place.path("rec")).unwrap();
    std::fs::remove_file(place.config()).unwrap();
    place.restore(&archive).unwrap();
    assert_eq!(place.store().tree_id().unwrap(), id);
    assert_eq!(
        place.open_root(Create::Never).attach().unwrap().to_string(),
        id.unwrap()
    );
}

#[test]
fn another_tree_keeps_its_index() {
    let place = Place::new();
    let archive = place.archive();
    let other = Place::new();
    let before = other.files();
    let error = other.restore(&archive).unwrap_err();
    assert!(error.hint().unwrap().contains("--without-index"), "{error:?}");
    assert_eq!(other.files(), before);
    let mut restore = Restore::new(other.config());
    restore.index = false;
    restore.run(archive.as_slice(), &other.clock).unwrap();
    assert_eq!(state(&other.store()), "then");
}

#[test]
fn nothing_is_restored_while_a_recorder_runs() {
    let place = Place::new();
    let archive = place.archive();
    let _recorder = place.open_root(Create::Never);
    let before = place.files();
    assert_eq!(place.restore(&archive).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(place.files(), before);
}

/// As a crash at any change would leave it: before the note nothing has changed, behind it all is finished later.
#[test]
fn a_crash_leaves_all_or_nothing() {
    let mut finished = 0;
    for survives in 0.. {
        let place = Place::new();
        let archive = place.archive();
        let store = place.store();
        store.set_meta_blocking("state", "later").unwrap();
        let wal = std::fs::read(place.path("rec/nvr.db-wal")).unwrap();
        store.shutdown_blocking().unwrap();
        // As one that was killed leaves it.
        std::fs::write(place.path("rec/nvr.db-wal"), wal).unwrap();
        std::fs::write(place.path("rec/nvr.pushes.json"), "[]").unwrap();
        let before = place.files();
        let mut left = survives;
        let result = Restore::new(place.config()).run_with(archive.as_slice(), &place.clock, &mut || {
            if left == 0 {
                return Err(Error::new(ErrorKind::Internal, "killed"));
            }
            left -= 1;
            Ok(())
        });
        if result.is_ok() {
            assert!(survives >= 6, "{survives} changes");
            break;
        }
        if !is_cut_off(&place.config()) {
            let after: Vec<_> = place
                .files()
                .into_iter()
                .filter(|(n, _)| !n.ends_with(".new"))
                .collect();
            assert_eq!(after, before, "{survives}");
            continue;
        }
        finished += 1;
        assert!(finish_restore(&place.config(), &place.clock).unwrap());
        assert!(!finish_restore(&place.config(), &place.clock).unwrap());
        assert_eq!(state(&place.store()), "then", "{survives}");
        assert!(
            std::fs::read_to_string(place.config())
                .unwrap()
                .contains("# ours")
        );
        let names: Vec<_> = place.files().into_iter().map(|(n, _)| n).collect();
        assert!(
            names
                .iter()
                .any(|n| n.starts_with("rec/nvr.db.before-") && !n.ends_with("-wal")),
            "{names:?}"
        );
        assert!(!place.path("rec/nvr.pushes.json").exists());
        assert!(!names.iter().any(|n| n.ends_with("restoring")), "{names:?}");
    }
    assert!(finished > 3, "{finished}");
}

type Parts = Vec<(tar::Header, Vec<u8>)>;

/// The members of an archive, to be changed.
fn members(archive: &[u8]) -> Parts {
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    let mut all = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        all.push((entry.header().clone(), bytes));
    }
    all
}

fn packed(members: &[(tar::Header, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (header, bytes) in members {
        let mut header = header.clone();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// A header whose name nobody looked at.
fn named(name: &str, kind: tar::EntryType, link: &str) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header
}

/// With one bit flipped, from the middle on, that changes what is in it. Not each does (6 % of them do not): a match within a
/// run of zeroes may begin a byte earlier and means the same (RFC 1951, 3.2.5).
fn damaged(archive: &[u8]) -> Vec<u8> {
    let unpacked = |archive: &[u8]| {
        let mut bytes = Vec::new();
        GzDecoder::new(archive).read_to_end(&mut bytes).map(|_| bytes)
    };
    let whole = unpacked(archive).unwrap();
    (archive.len() / 2..archive.len())
        .map(|at| {
            let mut flipped = archive.to_vec();
            flipped[at] ^= 0x40;
            flipped
        })
        .find(|flipped| !unpacked(flipped).is_ok_and(|bytes| bytes == whole))
        .unwrap()
}

#[test]
fn what_is_no_whole_backup_of_ours_is_refused_and_nothing_touched() {
    let place = Place::new();
    let good = place.archive();
    let parts = members(&good);
    let with = |change: &dyn Fn(&mut Parts)| {
        let mut parts = parts.clone();
        change(&mut parts);
        packed(&parts)
    };
    let manifest = |change: &dyn Fn(&mut serde_json::Value)| {
        with(&|parts| {
            let mut value: serde_json::Value = serde_json::from_slice(&parts[0].1).unwrap();
            change(&mut value);
            parts[0].1 = serde_json::to_vec(&value).unwrap();
        })
    };
    let regular = tar::EntryType::Regular;
    let extra = |header: tar::Header| with(&|parts| parts.push((header.clone(), b"x".to_vec())));
    let first = |header: tar::Header| with(&|parts| parts.insert(0, (header.clone(), b"{}".to_vec())));
    let mut trailing = good.clone();
    trailing.extend_from_slice(b"more");
    let flipped = damaged(&good);
    let cases: Vec<(&str, Vec<u8>, ErrorKind)> = vec![
        ("nothing", Vec::new(), ErrorKind::Corrupt),
        ("text", b"hello".to_vec(), ErrorKind::Corrupt),
        ("a flipped bit", flipped, ErrorKind::Corrupt),
        ("bytes behind it", trailing, ErrorKind::Corrupt),
        (
            "a changed member",
            with(&|p| p[1].1.push(b'\n')),
            ErrorKind::Corrupt,
        ),
        (
            "a member of the same size",
            with(&|p| p[1].1[0] ^= 1),
            ErrorKind::Corrupt,
        ),
        ("a member less", with(&|p| drop(p.pop())), ErrorKind::Corrupt),
        (
            "a member twice",
            with(&|p| p.push(p[1].clone())),
            ErrorKind::Corrupt,
        ),
        ("another order", with(&|p| p.swap(1, 2)), ErrorKind::Corrupt),
        ("no manifest", with(&|p| drop(p.remove(0))), ErrorKind::Corrupt),
        (
            "out of the folder",
            extra(named("../../evil", regular, "")),
            ErrorKind::Corrupt,
        ),
        (
            "absolute",
            extra(named("/etc/evil", regular, "")),
            ErrorKind::Corrupt,
        ),
        (
            "first out of the folder",
            first(named("../manifest.json", regular, "")),
            ErrorKind::Corrupt,
        ),
        (
            "a symbolic link",
            extra(named("accounts.db", tar::EntryType::Symlink, "/etc/passwd")),
            ErrorKind::Corrupt,
        ),
        (
            "a hard link",
            extra(named("x", tar::EntryType::Link, "/etc/passwd")),
            ErrorKind::Corrupt,
        ),
        (
            "a device",
            extra(named("x", tar::EntryType::Char, "")),
            ErrorKind::Corrupt,
        ),
        (
            "a long name",
            extra(named("././@LongLink", tar::EntryType::GNULongName, "")),
            ErrorKind::Corrupt,
        ),
        (
            "a foreign name in the manifest",
            manifest(&|m| m["members"][0]["name"] = "../nvr.toml".into()),
            ErrorKind::Corrupt,
        ),
        (
            "a newer form",
            manifest(&|m| m["format"] = 2.into()),
            ErrorKind::Unsupported,
        ),
    ];
    let before = place.files();
    for (what, archive, kind) in cases {
        let error = place.restore(&archive).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert_eq!(place.files(), before, "{what}");
    }
    for cut in (0..good.len())
        .step_by(97)
        .chain([good.len() - 1, good.len() - 9])
    {
        let error = place.restore(&good[..cut]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {cut}: {error}");
    }
    assert_eq!(place.files(), before);
    place.restore(&packed(&parts)).unwrap();
}

/// An archive whose manifest is in order may still hold what is no good: databases and configuration are looked at.
#[test]
fn members_that_are_no_good_are_refused() {
    let place = Place::new();
    let before = place.files();
    let take = |change: &dyn Fn(&Path)| {
        let other = Place::new();
        change(other.dir.path());
        let mut sources = Sources::of(&Config::load(place.config()).unwrap()).unwrap();
        sources.config = other.config();
        sources.index = other.path("rec/nvr.db");
        let backup = Backup::take(&sources, other.dir.path(), &place.clock).unwrap();
        let mut bytes = Vec::new();
        backup.write(&mut bytes).unwrap();
        bytes
    };
    let mistakes = take(&|dir| std::fs::write(dir.join("nvr.toml"), "[recorder]\nrot = 1\n").unwrap());
    assert_eq!(place.restore(&mistakes).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(place.files(), before);

    // Of a newer program: its own manifest is in order.
    let folder = folder::WorkFolder::new(place.dir.path()).unwrap();
    let good = place.archive();
    let manifest = archive::read(good.as_slice(), folder.path()).unwrap();
    let index = folder.path().join(INDEX);
    let mut bytes = std::fs::read(&index).unwrap();
    // `user_version`, in the header of the file.
    bytes[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    std::fs::File::create(&index).unwrap().write_all(&bytes).unwrap();
    let mut newer = manifest.clone();
    for member in &mut newer.members {
        if member.name == INDEX {
            member.blake3 = blake3::hash(&bytes).to_hex().to_string();
        }
    }
    let mut out = Vec::new();
    archive::write(&newer, folder.path(), &mut out).unwrap();
    drop(folder);
    let error = place.restore(&out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(place.files(), before);
}

#[test]
fn a_saved_archive_is_its_owners_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let sources = Sources::of(&Config::load(place.config()).unwrap()).unwrap();
    let path = place.path("backup.tar.gz");
    let backup = Backup::take(&sources, place.dir.path(), &place.clock).unwrap();
    let size = backup.save(&path).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (size, 0o600));
    let again = Backup::take(&sources, place.dir.path(), &place.clock).unwrap();
    assert_eq!(again.save(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    drop((backup, again));
    let (mut file, size) = Backup::take(&sources, place.dir.path(), &place.clock)
        .unwrap()
        .into_file()
        .unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, size);
    place.restore(&bytes).unwrap();
}

#[test]
fn what_a_crash_left_goes_with_the_next_backup() {
    let place = Place::new();
    let left = place.path(".nvr-backup-0123456789abcdef");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("index.db"), "half").unwrap();
    let other = place.path(".nvr-backup-mine");
    std::fs::create_dir(&other).unwrap();
    place.archive();
    assert!(!left.exists() && other.exists());
}
