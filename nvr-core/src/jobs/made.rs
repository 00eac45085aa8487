//! Jobs that make a file out of footage, picture by picture. Nothing of an interrupted one can be kept: it begins anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::json;

use super::export::{Place, file_name, folder, is_full, part_of, put_in_place};
use super::{JobContext, JobError, JobOutcome, KindLimits};
use crate::archive::Archive;
use crate::config::JobsConfig;
use crate::convert::{Composed, Watcher};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Tree;
use crate::ids::CameraId;
use crate::nvr::blocking;
use crate::time::TimeRange;

/// What such a kind works with.
#[derive(Debug)]
pub(crate) struct Maker {
    archive: Archive,
    tree: Tree,
    config: Arc<ArcSwap<JobsConfig>>,
}

/// Writes the file under a name that it is given.
pub(super) type Make = Box<dyn FnOnce(&Archive, &Path, Watcher<'_>) -> Result<Composed> + Send>;

impl Maker {
    pub(crate) fn new(archive: Archive, tree: Tree, config: Arc<ArcSwap<JobsConfig>>) -> Self {
        Self {
            archive,
            tree,
            config,
        }
    }

    /// As many at once as exports.
    pub(super) fn limits(&self) -> KindLimits {
        let config = self.config.load();
        let mut limits = KindLimits::new(config.max_exports);
        limits.most_attempts = Some(config.max_attempts);
        limits.minds_load = false;
        limits
    }

    /// Makes the file at `path`, or one in the folder of exports that is called after `name`.
    pub(super) async fn run(
        &self,
        ctx: JobContext,
        path: Option<PathBuf>,
        name: CameraId,
        range: TimeRange,
        make: Make,
    ) -> Result<JobOutcome, JobError> {
        ctx.go_on()?;
        ctx.progress(0.0, "planning");
        let folder = folder(&self.config.load(), self.tree.root().path());
        let elsewhere = path.is_some();
        let path = path.unwrap_or_else(|| folder.join(file_name(&name, range, ctx.id())));
        let place = Place {
            tree: self.tree.clone(),
            folder: (!elsewhere).then_some(folder),
        };
        let part = part_of(&path);
        let made = {
            let (ctx, part, path, archive) = (ctx.clone(), part.clone(), path.clone(), self.archive.clone());
            blocking(move || {
                place.prepare(&path)?;
                let made = write(&ctx, &archive, &part, make);
                if made.is_err() {
                    let _ = std::fs::remove_file(&part);
                }
                made
            })
            .await?
        };
        ctx.go_on()?;
        ctx.commit()?;
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut result = json!(made);
        result["from"] = json!(range.start());
        result["to"] = json!(range.end());
        if elsewhere {
            result["path"] = json!(path.to_string_lossy());
        } else {
            result["file"] = json!(file);
        }
        let mut message = format!("{file}, {} bytes", made.size_bytes);
        if !made.warnings.is_empty() {
            message = format!("{message}; {}", made.warnings.join("; "));
        }
        blocking(move || put_in_place(&part, &path)).await?;
        Ok(JobOutcome::new(result, message))
    }
}

fn write(ctx: &JobContext, archive: &Archive, part: &Path, make: Make) -> Result<Composed> {
    let disk = std::fs::File::create(part).map_err(|e| Error::io(part.display(), e))?;
    let full = std::cell::Cell::new(false);
    let mut asked = 0u32;
    let mut progress = |done: f64, what: &str| {
        asked = asked.wrapping_add(1);
        if asked % 64 == 1 && is_full(&disk) {
            full.set(true);
        }
        ctx.progress(done, what);
    };
    let stop = || full.get() || ctx.stopped();
    let made = make(
        archive,
        part,
        Watcher {
            progress: &mut progress,
            stop: &stop,
        },
    );
    if full.get() {
        return Err(
            Error::new(ErrorKind::Storage, "the disk has no room for the file")
                .with_hint("free some space, or let `jobs.exports` name a folder on another disk"),
        );
    }
    made
}
