//! Kind `export`: a stretch of footage as one file, however long it takes.
//!
//! The file grows under another name and gets its own when it is complete and synced. What is written is noted now and
//! then, so that an interrupted export goes on where it was, as long as the clip is still the same.

mod file;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

pub use self::file::open_file;
use self::file::{Copy, is_in_place};
pub(crate) use self::file::{daily_folder, daily_folders, has_file_of, is_full, remove_old};
pub(super) use self::file::{file_name, part_of, put_in_place};
use super::made::{check_place, completed, job_of, limits};
use super::{JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of};
use crate::archive::{Archive, ClipCodec, Export, ExportRequest};
use crate::clock::SharedClock;
use crate::config::JobsConfig;
use crate::convert::Converted;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{EXPORTS, Tree};
use crate::ids::CameraId;
use crate::media::clip::{Clip, Format};
use crate::nvr::blocking;
use crate::time::{TimeRange, Timestamp};

/// Name of the kind.
pub const KIND: &str = "export";

/// How long a turn to encode is waited for before it is looked whether to go on.
const TURN: Duration = Duration::from_millis(500);

/// What to export.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportParams {
    /// Camera.
    pub camera: CameraId,
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Packing: `mp4` (plays everywhere) or `fmp4` (as recorded).
    #[serde(default)]
    pub format: Packing,
    /// The file to write, an absolute path; by default one in the folder of exports, which is removed after a while.
    /// Not to be given over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Codec of the video: `as-recorded`, or `h264`, for which footage that is not that is encoded.
    #[serde(default, skip_serializing_if = "is_as_recorded")]
    pub codec: ClipCodec,
    /// Whether it is encoded, so that the camera's privacy masks are in every picture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

fn is_as_recorded(codec: &ClipCodec) -> bool {
    *codec == ClipCodec::AsRecorded
}

/// Packing of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// One index in front: plays everywhere, begins at the exact frame.
    #[default]
    Mp4,
    /// Fragments as recorded: begins at a keyframe.
    Fmp4,
}

impl Packing {
    const fn format(self) -> Format {
        match self {
            Self::Mp4 => Format::Mp4,
            Self::Fmp4 => Format::Fmp4,
        }
    }
}

impl ExportParams {
    /// The job: somebody waits for it, and asked for twice it is done once.
    ///
    /// # Errors
    /// `InvalidArgument` when the range is empty or the path not absolute.
    pub fn job(&self) -> Result<NewJob> {
        self.range()?;
        if self
            .path
            .as_ref()
            .is_some_and(|p| !p.is_absolute() || p.file_name().is_none())
        {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the path of an export is not that of a file, from the root on",
            ));
        }
        Ok(job_of(KIND, self)?.camera(self.camera.clone()))
    }

    fn range(&self) -> Result<TimeRange> {
        let range = TimeRange::new(self.from, self.to)?;
        if range.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the range of the export is empty",
            ));
        }
        Ok(range)
    }
}

/// The kind.
#[derive(Debug)]
pub(crate) struct ExportKind {
    archive: Archive,
    tree: Tree,
    clock: SharedClock,
    config: Arc<ArcSwap<JobsConfig>>,
}

/// How far an export is.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Written {
    etag: String,
    path: PathBuf,
    bytes: u64,
}

impl ExportKind {
    pub(crate) fn new(
        archive: Archive,
        tree: Tree,
        clock: SharedClock,
        config: Arc<ArcSwap<JobsConfig>>,
    ) -> Self {
        Self {
            archive,
            tree,
            clock,
            config,
        }
    }

    async fn export(&self, ctx: JobContext, params: Value) -> Result<JobOutcome, JobError> {
        let params: ExportParams = params_of(KIND, &params)?;
        ctx.progress(0.0, "planning");
        let request = ExportRequest::new(params.camera.clone(), params.range()?, params.format.format());
        let clip = match self
            .open(&ctx, request.codec(params.codec).masked(params.masked))
            .await?
        {
            Export::Clip(clip) => clip,
            Export::Converted(made) => return self.encode(ctx, params, made).await,
        };
        let folder = folder(&self.config.load(), self.tree.root().path());
        let path = match &params.path {
            Some(path) => path.clone(),
            None => folder.join(file_name(&params.camera, clip.range(), ctx.id())),
        };
        let checkpoint: Option<Written> = ctx
            .checkpoint()
            .and_then(|c| serde_json::from_value(c.clone()).ok())
            .filter(|w: &Written| w.etag == clip.etag() && w.path == path);
        let outcome = outcome_of(&clip, &path, params.path.is_some());
        if checkpoint
            .as_ref()
            .is_some_and(|w| w.bytes == clip.len() && is_in_place(&path, w.bytes))
        {
            // The recorder died between the file's getting its name and the note of it.
            return Ok(outcome);
        }
        let place = self.place(folder, &params);
        let part = part_of(&path);
        let mut copy = {
            let (path, part) = (path.clone(), part.clone());
            let resume = checkpoint.map_or(0, |w| w.bytes);
            blocking(move || {
                place.prepare(&path)?;
                Copy::open(clip, &part, resume)
            })
            .await?
        };
        loop {
            ctx.go_on()?;
            let ctx_copy = ctx.clone();
            copy = blocking(move || copy.some(&ctx_copy)).await?;
            let written = Written {
                etag: copy.clip.etag().to_owned(),
                path: path.clone(),
                bytes: copy.done,
            };
            ctx.save_checkpoint(json!(written)).await?;
            if copy.done == copy.clip.len() {
                break;
            }
        }
        ctx.commit()?;
        blocking(move || put_in_place(&part, &path)).await?;
        Ok(outcome)
    }
}

/// Where the file goes.
pub(super) struct Place {
    pub(super) tree: Tree,
    /// The folder of exports, if it goes there.
    pub(super) folder: Option<PathBuf>,
}

/// Whether a file of somebody's choice can be made.
fn may_be_made(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{} is there already", path.display()),
        )
        .with_hint("name another file, or move that one away"));
    }
    match path.parent() {
        Some(folder) if !folder.is_dir() => Err(Error::new(
            ErrorKind::NotFound,
            format!("{}: there is no folder {}", path.display(), folder.display()),
        )
        .with_hint("make it first")),
        _ => Ok(()),
    }
}

impl Place {
    pub(super) fn prepare(&self, path: &Path) -> Result<()> {
        let Some(folder) = &self.folder else {
            return may_be_made(path);
        };
        make_folder(folder, &self.tree)
    }
}

impl ExportKind {
    fn place(&self, folder: PathBuf, params: &ExportParams) -> Place {
        Place {
            tree: self.tree.clone(),
            folder: params.path.is_none().then_some(folder),
        }
    }

    /// Opens what is exported; footage that is to be encoded waits for its turn as long as it takes.
    async fn open(&self, ctx: &JobContext, request: ExportRequest) -> Result<Export, JobError> {
        loop {
            ctx.go_on()?;
            match self.archive.open_export_within(request.clone(), TURN).await {
                Err(e) if e.kind() == ErrorKind::Unavailable => ctx.progress(0.0, "waiting for its turn"),
                result => return Ok(result?),
            }
        }
    }

    /// Writes what is encoded. An interrupted one begins anew: nothing of it can be kept.
    async fn encode(
        &self,
        ctx: JobContext,
        params: ExportParams,
        made: Converted,
    ) -> Result<JobOutcome, JobError> {
        let folder = folder(&self.config.load(), self.tree.root().path());
        let path = match &params.path {
            Some(path) => path.clone(),
            None => folder.join(file_name(&params.camera, made.range(), ctx.id())),
        };
        let (range, duration_ns) = (made.range(), made.duration_ns());
        let (place, part) = (self.place(folder, &params), part_of(&path));
        let bytes = {
            let (ctx, part, path) = (ctx.clone(), part.clone(), path.clone());
            blocking(move || {
                place.prepare(&path)?;
                file::write_made(&ctx, made, params.format, &part)
            })
            .await?
        };
        ctx.go_on()?;
        ctx.commit()?;
        let outcome = outcome(&path, params.path.is_some(), bytes, duration_ns, range);
        blocking(move || put_in_place(&part, &path)).await?;
        Ok(outcome)
    }
}

impl JobKind for ExportKind {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        limits(&self.config.load())
    }

    fn check(&self, params: &Value, origin: Origin) -> Result<()> {
        let params: ExportParams = params_of(KIND, params)?;
        check_place(params.path.as_deref(), origin)?;
        params.job().map(drop)
    }

    fn complete(&self, new: NewJob) -> Result<NewJob> {
        let made = params_of::<ExportParams>(KIND, &new.params)?.job()?;
        Ok(completed(new, made))
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(self.export(ctx, params))
    }

    fn tidy(&self) {
        let config = self.config.load_full();
        let folder = folder(&config, self.tree.root().path());
        let before = self.clock.now() - config.exports_keep;
        match remove_old(&folder, before) {
            Ok(0) => {}
            Ok(n) => tracing::info!(files = n, folder = %folder.display(), "old exports were removed"),
            Err(e) => tracing::warn!(error = %e, "old exports were not removed"),
        }
    }
}

/// A file without a name in the folder of exports.
///
/// # Errors
/// `Storage` when it cannot be made, or the recordings root is not there and the folder lies in it.
pub(crate) fn scratch(config: &JobsConfig, tree: &Tree) -> Result<File> {
    let folder = folder(config, tree.root().path());
    make_folder(&folder, tree)?;
    Converted::scratch(&folder)
}

fn make_folder(folder: &Path, tree: &Tree) -> Result<()> {
    if folder.starts_with(tree.root().path()) {
        // Never into the mount point of a disk that is not there.
        tree.root().attach()?;
    }
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder.display(), e))
}

/// The folder of exports.
#[must_use]
pub fn folder(config: &JobsConfig, root: &Path) -> PathBuf {
    config.exports.clone().unwrap_or_else(|| root.join(EXPORTS))
}

fn outcome_of(clip: &Clip, path: &Path, elsewhere: bool) -> JobOutcome {
    outcome(path, elsewhere, clip.len(), clip.duration_ns(), clip.range())
}

fn outcome(path: &Path, elsewhere: bool, bytes: u64, duration_ns: i64, range: TimeRange) -> JobOutcome {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut result = json!({
        "size_bytes": bytes,
        "duration_ns": duration_ns,
        "from": range.start(),
        "to": range.end(),
    });
    let (key, value) = if elsewhere {
        ("path", path.to_string_lossy())
    } else {
        ("file", name.clone())
    };
    result[key] = value.into_owned().into();
    JobOutcome::new(result, format!("{name}, {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_made_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        assert!(may_be_made(&dir.path().join("clip.mp4")).is_ok());
        let there = may_be_made(dir.path()).unwrap_err();
        assert_eq!(there.kind(), ErrorKind::AlreadyExists);
        let away = may_be_made(&dir.path().join("none/clip.mp4")).unwrap_err();
        assert_eq!(away.kind(), ErrorKind::NotFound);
        assert!(there.hint().is_some() && away.hint().is_some());
    }

    #[test]
    fn parameters() {
        let good = json!({"camera": "a", "from": "2026-05-04T03:02:01Z", "to": "2026-05-04T03:02:02Z"});
        let params: ExportParams = params_of(KIND, &good).unwrap();
        let job = params.job().unwrap();
        assert_eq!(
            (job.priority, job.anytime, params.format),
            (100, true, Packing::Mp4)
        );
        assert_eq!(job.dedupe, params.job().unwrap().dedupe);
        for (key, bad) in [
            ("camera", json!("A/..")),
            ("to", json!("2026-05-04T03:02:01Z")),
            ("format", json!("avi")),
            ("path", json!("relative.mp4")),
            ("colour", json!("red")),
        ] {
            let mut params = good.clone();
            params[key] = bad;
            let wrong = params_of::<ExportParams>(KIND, &params).and_then(|p| p.job());
            assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidArgument, "{key}");
        }
    }
}
