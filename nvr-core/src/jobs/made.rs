//! Jobs that make a file: what all of them have in common, and those that make it picture by picture.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::export::{Place, daily_folder, file_name, folder, is_full, part_of, put_in_place};
use super::{JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of};
use crate::archive::Archive;
use crate::config::JobsConfig;
use crate::convert::{Composed, Watcher};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Tree;
use crate::ids::CameraId;
use crate::nvr::blocking;
use crate::time::TimeRange;

/// A job that makes a file: somebody waits for it, and asked for twice it is done once.
pub(super) fn job_of(kind: &'static str, params: &impl serde::Serialize) -> Result<NewJob> {
    let params = serde_json::to_value(params)
        .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("{kind}: {e}")))?;
    let key = format!("{kind} {params}");
    let job = NewJob::new(kind, params).priority(100).anytime();
    Ok(if key.len() <= 500 { job.dedupe(key) } else { job })
}

/// What a job was entered without, of the one that its parameters make.
pub(super) fn completed(mut new: NewJob, made: NewJob) -> NewJob {
    new.camera = new.camera.or(made.camera);
    new.dedupe = new.dedupe.or(made.dedupe);
    new
}

/// Only who is at the machine says where a file goes.
pub(super) fn check_place(path: Option<&Path>, origin: Origin) -> Result<()> {
    if origin == Origin::Remote && path.is_some() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "the path of the file is not chosen over HTTP",
        )
        .with_hint("leave it out and fetch the file from the job"));
    }
    Ok(())
}

/// Of all kinds that make files.
pub(super) fn limits(config: &JobsConfig) -> KindLimits {
    let mut limits = KindLimits::new(config.max_exports);
    limits.most_attempts = Some(config.max_attempts);
    limits.minds_load = false;
    limits
}

/// Parameters of a file that is made picture by picture.
pub(crate) trait Recipe:
    serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static
{
    /// Name of the kind.
    const KIND: &'static str;
    /// What the file is called after, where no path is given.
    fn name(&self) -> Result<CameraId>;
    /// Of which daily time-lapse it is.
    fn daily(&self) -> Option<&CameraId> {
        None
    }
    /// Where it goes, if not among the exports.
    fn path(&self) -> Option<&Path>;
    /// The range, once all is in order.
    fn range(&self) -> Result<TimeRange>;
    /// The job.
    fn job(&self) -> Result<NewJob>;
    /// Writes the file.
    fn make(&self, archive: &Archive, file: &Path, watcher: Watcher<'_>) -> Result<Composed>;
}

/// A kind that makes such files. Nothing of an interrupted one can be kept: it begins anew.
pub(crate) struct Maker<R> {
    archive: Archive,
    tree: Tree,
    config: Arc<ArcSwap<JobsConfig>>,
    recipe: PhantomData<fn() -> R>,
}

impl<R> std::fmt::Debug for Maker<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").finish_non_exhaustive()
    }
}

impl<R: Recipe> JobKind for Maker<R> {
    fn name(&self) -> &'static str {
        R::KIND
    }

    fn limits(&self) -> KindLimits {
        limits(&self.config.load())
    }

    fn check(&self, params: &Value, origin: Origin) -> Result<()> {
        let recipe: R = params_of(R::KIND, params)?;
        check_place(recipe.path(), origin)?;
        if origin == Origin::Remote && recipe.daily().is_some() {
            let message = "which daily time-lapse it belongs to is not chosen over HTTP";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        recipe.job().map(drop)
    }

    fn complete(&self, new: NewJob) -> Result<NewJob> {
        let made = params_of::<R>(R::KIND, &new.params)?.job()?;
        Ok(completed(new, made))
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(self.work(ctx, params))
    }
}

impl<R: Recipe> Maker<R> {
    pub(crate) fn new(archive: Archive, tree: Tree, config: Arc<ArcSwap<JobsConfig>>) -> Self {
        Self {
            archive,
            tree,
            config,
            recipe: PhantomData,
        }
    }

    async fn work(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
        let recipe: R = params_of(R::KIND, &params)?;
        let range = recipe.range()?;
        ctx.go_on()?;
        ctx.progress(0.0, "planning");
        let mut folder = folder(&self.config.load(), self.tree.root().path());
        if let Some(daily) = recipe.daily() {
            folder = daily_folder(&folder, daily);
        }
        let elsewhere = recipe.path().is_some();
        let daily = recipe.daily().cloned();
        let path = match recipe.path() {
            Some(path) => path.to_path_buf(),
            None => folder.join(file_name(&recipe.name()?, range, ctx.id())),
        };
        let place = Place {
            tree: self.tree.clone(),
            folder: (!elsewhere).then_some(folder),
        };
        let part = part_of(&path);
        let made = {
            let (ctx, part, path, archive) = (ctx.clone(), part.clone(), path.clone(), self.archive.clone());
            blocking(move || {
                place.prepare(&path)?;
                let made = write(&ctx, &archive, &part, &recipe);
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
            if let Some(daily) = daily {
                result["daily"] = json!(daily);
            }
        }
        let mut message = format!("{file}, {} bytes", made.size_bytes);
        if !made.warnings.is_empty() {
            message = format!("{message}; {}", made.warnings.join("; "));
        }
        blocking(move || put_in_place(&part, &path)).await?;
        Ok(JobOutcome::new(result, message))
    }
}

fn write(ctx: &JobContext, archive: &Archive, part: &Path, recipe: &impl Recipe) -> Result<Composed> {
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
    let made = recipe.make(
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
