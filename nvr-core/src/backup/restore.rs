//! From an archive back to the files.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::exchange::{self, Before, Plan, Step, free, with_suffix};
use super::folder::{WorkFolder, create_private, folder_of};
use super::manifest::Manifest;
use super::{ACCOUNTS, CONFIG, INDEX, PUSHES, archive};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Create, Root, RootMemory, RootOptions, require_disk};
use crate::store::backup::{Database, examine_copy};
use crate::time::Timestamp;

/// What to restore.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Where the configuration belongs. The other files go where it says.
    pub config: PathBuf,
    /// Whether the index is restored (default). Without it the one that is there stays, or is made from the files.
    pub index: bool,
}

/// What was restored.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// When the backup was made.
    pub made: Timestamp,
    /// Version of the program that made it.
    pub program: String,
    /// The files that are now as they were then.
    pub restored: Vec<PathBuf>,
    /// Where the files are that were in their places.
    pub kept: Vec<PathBuf>,
}

impl Restore {
    /// Everything, for a configuration file.
    #[must_use]
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            index: true,
        }
    }

    /// Reads the archive, looks at all of it, and puts its files in their places; those that are there are kept beside. Until
    /// the whole archive was found to be in order nothing is touched. Should it be cut off later, then
    /// [`finish_restore`](super::finish_restore) does the rest. Compare the index with the files afterwards: it does not know
    /// what was recorded since ([`check`](crate::check)). Blocks.
    ///
    /// # Errors
    /// `Conflict` while a recorder uses the root, or when the index belongs to another tree; `Unsupported` for a backup of a
    /// newer program; `Corrupt` for one that was cut off or changed; `Config` for mistakes in its configuration; `Storage` when
    /// the root is not there or something cannot be written.
    pub fn run(&self, input: impl Read, clock: &SharedClock) -> Result<RestoreReport> {
        self.run_with(input, clock, &mut || Ok(()))
    }

    pub(super) fn run_with(
        &self,
        input: impl Read,
        clock: &SharedClock,
        before: Before<'_>,
    ) -> Result<RestoreReport> {
        let path = std::path::absolute(&self.config).map_err(|e| Error::io(self.config.display(), e))?;
        exchange::finish_restore(&path, clock)?;
        self.refuse_while_it_runs(&path, clock)?;
        let folder = WorkFolder::new(folder_of(&path))?;
        let manifest = archive::read(input, folder.path())?;
        let tree = self.examine(&manifest, folder.path())?;
        let text = Config::read_text(&folder.path().join(CONFIG))?;
        let config = Config::parse_without_secrets(&text, Some(&path))?;
        // Held until all is in its place.
        let _root = open_root(&config, &path, tree.as_deref(), clock)?;
        let mut staged = Staged::default();
        let report = self.put(&manifest, &folder, &config, &path, &mut staged, clock, before);
        if exchange::is_cut_off(&path) {
            // Noted: what is staged is still needed.
            staged.0.clear();
        }
        report
    }

    /// The present configuration may name another root than the one in the archive.
    fn refuse_while_it_runs(&self, path: &Path, clock: &SharedClock) -> Result<()> {
        let Ok(now) = Config::load_without_secrets(path) else {
            return Ok(());
        };
        let root = Root::new(&now.recorder.root, RootOptions::default(), clock.clone());
        if root.is_in_use().unwrap_or(false) {
            let message = format!("a recorder is running on {}", now.recorder.root.display());
            return Err(Error::new(ErrorKind::Conflict, message).with_hint("stop it first"));
        }
        Ok(())
    }

    /// Looks at the databases of an archive; which tree its index belongs to.
    fn examine(&self, manifest: &Manifest, folder: &Path) -> Result<Option<String>> {
        let mut tree = None;
        for (name, of) in [(INDEX, Database::Index), (ACCOUNTS, Database::Accounts)] {
            if manifest.member(name).is_none() || (of == Database::Index && !self.index) {
                continue;
            }
            let facts = examine_copy(of, &folder.join(name)).map_err(|e| e.context("backup"))?;
            tree = tree.or(facts.tree);
        }
        Ok(tree)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a longer one, not to be called elsewhere"
    )]
    fn put(
        &self,
        manifest: &Manifest,
        folder: &WorkFolder,
        config: &Config,
        path: &Path,
        staged: &mut Staged,
        clock: &SharedClock,
        before: Before<'_>,
    ) -> Result<RestoreReport> {
        let recorder = &config.recorder;
        let stamp = clock.now().to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut plan = Plan {
            root: absolute(&recorder.root)?,
            steps: Vec::new(),
        };
        let mut report = RestoreReport {
            made: manifest.made,
            program: manifest.program.clone(),
            restored: Vec::new(),
            kept: Vec::new(),
        };
        // The configuration last: it says where the others lie.
        for (name, target) in [
            (INDEX, recorder.database.clone()),
            (ACCOUNTS, recorder.accounts()),
            (PUSHES, recorder.pushes()),
            (CONFIG, path.to_owned()),
        ] {
            if name == INDEX && !self.index {
                continue;
            }
            let target = absolute(&target)?;
            let there = target.exists();
            let is_member = manifest.member(name).is_some();
            if !there && !is_member {
                continue;
            }
            let kept = free(&with_suffix(&target, &format!(".before-{stamp}")));
            let new = if is_member {
                let new = stage(&folder.path().join(name), &target)?;
                staged.0.push(new.clone());
                report.restored.push(target.clone());
                Some(new)
            } else {
                None
            };
            if there {
                report.kept.push(kept.clone());
            }
            plan.steps.push(Step { new, target, kept });
        }
        exchange::commit(path, &plan, before)?;
        staged.0.clear();
        Ok(report)
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(path.display(), e))
}

/// New files beside their places; they go when this is dropped.
#[derive(Default)]
struct Staged(Vec<PathBuf>);

impl Drop for Staged {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Copies a file beside the place that it is for, with the owner and mode that belong there.
fn stage(from: &Path, target: &Path) -> Result<PathBuf> {
    let new = with_suffix(target, ".restoring");
    let failed = |e: std::io::Error| Error::io(new.display(), e);
    let folder = folder_of(target);
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder.display(), e))?;
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let mut file = create_private(&new)?;
    let copied = (|| {
        std::io::copy(&mut File::open(from)?, &mut file)?;
        let there = std::fs::metadata(target);
        if let Ok(there) = &there {
            file.set_permissions(std::fs::Permissions::from_mode(there.mode() & 0o777))?;
        }
        // By the administrator, for the user that the recorder runs as.
        if rustix::process::geteuid().is_root() {
            let like = there.or_else(|_| std::fs::metadata(folder))?;
            std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.sync_all()
    })();
    copied.map_err(|e| {
        let _ = std::fs::remove_file(&new);
        failed(e)
    })?;
    Ok(new)
}

/// The recordings root of a configuration, held; made, or marked, where a new disk is in its place.
fn open_root(config: &Config, path: &Path, tree: Option<&str>, clock: &SharedClock) -> Result<Root> {
    let recorder = &config.recorder;
    let remembered = RootMemory::load(&RootMemory::path_for(path));
    require_disk(
        &recorder.root,
        recorder.root_mount.as_deref(),
        remembered.as_ref(),
    )?;
    let expected = tree.map(str::parse).transpose()?;
    let is_new = !recorder.root.exists();
    std::fs::create_dir_all(&recorder.root).map_err(|e| Error::io(recorder.root.display(), e))?;
    if is_new && rustix::process::geteuid().is_root() {
        let above = folder_of(&recorder.root);
        let owned = std::fs::metadata(above)
            .and_then(|m| std::os::unix::fs::chown(&recorder.root, Some(m.uid()), Some(m.gid())));
        owned.map_err(|e| Error::io(recorder.root.display(), e))?;
    }
    let options = RootOptions {
        create: if expected.is_some() {
            Create::Adopt
        } else {
            Create::IfEmpty
        },
        expected,
        exclusive: true,
    };
    Root::open(&recorder.root, options, clock.clone()).map_err(|e| match e.kind() {
        ErrorKind::Storage if expected.is_some() => e.with_hint(
            "if other recordings are there now, restore the rest with --without-index; the index is made by `nvr check --rebuild`",
        ),
        _ => e,
    })
}
