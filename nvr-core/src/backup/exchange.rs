//! Restored files put in their places: all of them, or after a crash the rest of them later.
//!
//! What is to be done is noted beside the configuration before the first file is touched; from then on it is carried to its
//! end, by whoever comes next. Before it, nothing has changed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::folder::{create_private, folder_of, sync_folder};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Create, Root, RootOptions};

/// What is to be done, noted.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Plan {
    /// The recordings root that is held meanwhile.
    pub(super) root: PathBuf,
    pub(super) steps: Vec<Step>,
}

/// One file: what is there is set aside, and the new one, if there is one, gets its place.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Step {
    pub(super) new: Option<PathBuf>,
    pub(super) target: PathBuf,
    pub(super) kept: PathBuf,
}

/// Asked before each change: an error stops there, as a crash would.
pub(super) type Before<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Where it is noted that the files of a configuration are being replaced.
fn note_of(config: &Path) -> PathBuf {
    with_suffix(config, ".restore")
}

/// Whether a restoration of this configuration's files was cut off and waits to be finished.
#[must_use]
pub fn is_cut_off(config: &Path) -> bool {
    note_of(config).exists()
}

/// Finishes a restoration that was cut off; whether there was one. To be called before the configuration is read. Blocks.
///
/// # Errors
/// `Conflict` while a recorder uses the root, `Storage` when files cannot be moved, `Corrupt` when the note cannot be read.
pub fn finish_restore(config: &Path, clock: &SharedClock) -> Result<bool> {
    let note = note_of(config);
    let bytes = match std::fs::read(&note) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io(note.display(), e)),
    };
    let plan: Plan = serde_json::from_slice(&bytes).map_err(|e| {
        Error::new(ErrorKind::Corrupt, format!("{}: {e}", note.display()))
            .with_hint("restore the backup again after removing this file")
    })?;
    let options = RootOptions {
        create: Create::Never,
        expected: None,
        exclusive: true,
    };
    let _held = Root::open(&plan.root, options, clock.clone())?;
    carry_out(config, &plan, &mut || Ok(()))?;
    tracing::warn!("a restoration that was cut off is finished");
    Ok(true)
}

/// Notes the plan and carries it out. The root must be held.
pub(super) fn commit(config: &Path, plan: &Plan, before: Before<'_>) -> Result<()> {
    let note = note_of(config);
    let new = with_suffix(&note, ".new");
    let failed = |e| Error::io(note.display(), e);
    let _ = std::fs::remove_file(&new);
    let text = serde_json::to_vec_pretty(plan)
        .map_err(|e| Error::new(ErrorKind::Internal, "a plan cannot be written down").with_source(e))?;
    let mut file = create_private(&new)?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    before()?;
    std::fs::rename(&new, &note).map_err(failed)?;
    sync_folder(folder_of(&note))?;
    carry_out(config, plan, before)
}

fn carry_out(config: &Path, plan: &Plan, before: Before<'_>) -> Result<()> {
    for step in &plan.steps {
        let waits = match &step.new {
            Some(new) => new.exists(),
            None => !step.kept.exists(),
        };
        if !waits {
            continue;
        }
        set_aside(&step.target, &step.kept, before)?;
        if let Some(new) = &step.new {
            before()?;
            std::fs::rename(new, &step.target).map_err(|e| Error::io(step.target.display(), e))?;
        }
        sync_folder(folder_of(&step.target))?;
    }
    before()?;
    let note = note_of(config);
    std::fs::remove_file(&note).map_err(|e| Error::io(note.display(), e))?;
    sync_folder(folder_of(&note))
}

/// Gives a file its other name, a database's log first: beside another database it would be taken for that one's.
fn set_aside(target: &Path, kept: &Path, before: Before<'_>) -> Result<()> {
    let failed = |path: &Path, e| Error::io(path.display(), e);
    let shm = with_suffix(target, "-shm");
    if shm.exists() {
        before()?;
        std::fs::remove_file(&shm).map_err(|e| failed(&shm, e))?;
    }
    for suffix in ["-wal", ""] {
        let from = with_suffix(target, suffix);
        if from.exists() {
            before()?;
            let to = free(&with_suffix(kept, suffix));
            std::fs::rename(&from, to).map_err(|e| failed(&from, e))?;
        }
    }
    Ok(())
}

/// This name, or one like it that nothing has.
pub(super) fn free(path: &Path) -> PathBuf {
    std::iter::once(path.to_owned())
        .chain((2_u32..).map(|n| with_suffix(path, &format!(".{n}"))))
        .find(|p| !p.exists())
        .unwrap_or_else(|| path.to_owned())
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
