//! Copies of everything, taken at one moment.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::folder::{WorkFolder, create_private, folder_of, hashed_copy, sync_folder};
use super::manifest::{Manifest, Member};
use super::{ACCOUNTS, CONFIG, INDEX, PUSHES, archive};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::store::backup::{Database, Frozen};

/// Largest file of pushes.
const MOST_PUSHES: u64 = 1 << 20;

/// Where the things lie that a backup is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sources {
    /// The configuration file.
    pub config: PathBuf,
    /// The index.
    pub index: PathBuf,
    /// Users, tokens, shares.
    pub accounts: PathBuf,
    /// Pushes that are kept over a restart.
    pub pushes: PathBuf,
}

impl Sources {
    /// Those of a configuration.
    ///
    /// # Errors
    /// `Conflict` when it was read from no file.
    pub fn of(config: &Config) -> Result<Self> {
        let path = config.path.clone().ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                "this recorder was started without a configuration file",
            )
            .with_hint("a backup is of one that has a file, as `nvr run` does")
        })?;
        Ok(Self {
            config: path,
            index: config.recorder.database.clone(),
            accounts: config.recorder.accounts(),
            pushes: config.recorder.pushes(),
        })
    }
}

/// A backup that was taken and is to be written somewhere. Its copies go when it is dropped.
#[derive(Debug)]
pub struct Backup {
    folder: WorkFolder,
    manifest: Manifest,
}

impl Backup {
    /// Takes it, also while a recorder runs in this process or another: both databases as they are at one moment, and the
    /// files of that moment. The copies lie in a folder of their own in `place` meanwhile. Blocks.
    ///
    /// # Errors
    /// `NotFound` or `Storage` when something cannot be read or written, `Corrupt` when a database is damaged, `Config` when the
    /// configuration is no text.
    pub fn take(sources: &Sources, place: &Path, clock: &SharedClock) -> Result<Self> {
        let folder = WorkFolder::new(place)?;
        // Frozen one right after the other, and the small files read while they are: what a moment may change in between is in
        // neither, or in the one that can do without the other.
        let accounts = freeze(Database::Accounts, &sources.accounts)?;
        let index = freeze(Database::Index, &sources.index)?;
        let made = clock.now();
        let config = Config::read_text(&sources.config)?;
        let pushes = read_if_there(&sources.pushes, MOST_PUSHES)?;

        let mut members = Vec::new();
        members.push(keep(&folder, CONFIG, config.as_bytes())?);
        for (name, frozen) in [(INDEX, index), (ACCOUNTS, accounts)] {
            let Some(frozen) = frozen else { continue };
            let path = folder.path().join(name);
            drop(create_private(&path)?);
            frozen.copy_to(&path)?;
            let mut member = measure(&path, name)?;
            member.version = Some(frozen.version()?);
            members.push(member);
        }
        if let Some(pushes) = pushes {
            members.push(keep(&folder, PUSHES, &pushes)?);
        }
        Ok(Self {
            manifest: Manifest::new(made, members),
            folder,
        })
    }

    /// What is in it.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes the archive. Blocks.
    ///
    /// # Errors
    /// `Storage` when it cannot be written.
    pub fn write(&self, out: impl Write) -> Result<()> {
        archive::write(&self.manifest, self.folder.path(), out)
    }

    /// Writes the archive to a new file that only its owner may read, which gets its name when it is whole and on the disk;
    /// its size in bytes. Blocks.
    ///
    /// # Errors
    /// `AlreadyExists` when there is such a file, `Storage` when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<u64> {
        let failed = |e| Error::io(path.display(), e);
        let part = self.folder.path().join("archive");
        let mut file = create_private(&part)?;
        self.write(&mut file)?;
        file.sync_all().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        // Unlike a rename it replaces nothing.
        let linked = std::fs::hard_link(&part, path);
        match linked {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there already", path.display());
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
            // File systems without hard links.
            Err(_) if !path.exists() => std::fs::rename(&part, path).map_err(failed)?,
            other => other.map_err(failed)?,
        }
        sync_folder(folder_of(path))?;
        Ok(size)
    }

    /// The same, in the place of a file that may be there.
    ///
    /// # Errors
    /// `Storage` when it cannot be written.
    pub fn save_over(&self, path: &Path) -> Result<u64> {
        let failed = |e| Error::io(path.display(), e);
        let part = self.folder.path().join("archive");
        let mut file = create_private(&part)?;
        self.write(&mut file)?;
        file.sync_all().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        std::fs::rename(&part, path).map_err(failed)?;
        sync_folder(folder_of(path))?;
        Ok(size)
    }

    /// The archive as a file without a name, to be read from its beginning, and its size in bytes. Blocks.
    ///
    /// # Errors
    /// `Storage` when it cannot be written.
    pub fn into_file(self) -> Result<(File, u64)> {
        let path = self.folder.path().join("archive");
        drop(create_private(&path)?);
        let failed = |e| Error::io(path.display(), e);
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        self.write(&mut file)?;
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok((file, size))
    }
}

/// A database as it is now; `None` where there is none.
fn freeze(of: Database, path: &Path) -> Result<Option<Frozen>> {
    if !path.exists() {
        return Ok(None);
    }
    Frozen::new(of, path).map(Some)
}

fn read_if_there(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let failed = |e| Error::io(path.display(), e);
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    if bytes.len() as u64 > most {
        let message = format!("{} is larger than {most} bytes", path.display());
        return Err(Error::new(ErrorKind::Corrupt, message));
    }
    Ok(Some(bytes))
}

fn keep(folder: &WorkFolder, name: &str, bytes: &[u8]) -> Result<Member> {
    let path = folder.path().join(name);
    create_private(&path)?
        .write_all(bytes)
        .map_err(|e| Error::io(path.display(), e))?;
    measure(&path, name)
}

fn measure(path: &Path, name: &str) -> Result<Member> {
    let failed = |e| Error::io(path.display(), e);
    let mut file = File::open(path).map_err(failed)?;
    let (size_bytes, blake3) = hashed_copy(&mut file, &mut std::io::sink()).map_err(|e| match e {
        archive::Copying::Read(e) | archive::Copying::Write(e) => failed(e),
    })?;
    Ok(Member {
        name: name.to_owned(),
        size_bytes,
        blake3,
        version: None,
    })
}
