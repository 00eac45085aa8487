//! The job that brings files back of which there are only copies.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Shared;
use super::target::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::jobs::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, NewJob, Origin, params_of,
};
use crate::nvr::blocking;
use crate::store::{SegmentQuery, SegmentRow, SegmentState, UploadRow, UploadState};
use crate::time::{TimeRange, Timestamp};

const RESTORE: &str = "restore";
/// Bytes that are fetched at once.
const PIECE: usize = 4 << 20;
/// What stays free on the disk.
const SPARE_BYTES: u64 = 256 << 20;

/// Brings files back.
#[derive(Clone, Debug)]
pub(crate) struct Restore(pub(super) Arc<Shared>);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    camera: CameraId,
    from: Timestamp,
    to: Timestamp,
}

/// The job for a range of a camera's footage.
pub(crate) fn job_of(camera: &CameraId, range: TimeRange) -> NewJob {
    let params = Params {
        camera: camera.clone(),
        from: range.start(),
        to: range.end(),
    };
    NewJob::new(RESTORE, serde_json::to_value(params).unwrap_or_default())
        .camera(camera.clone())
        .dedupe(format!("{RESTORE}:{camera}:{}:{}", range.start(), range.end()))
        .anytime()
}

impl JobKind for Restore {
    fn name(&self) -> &'static str {
        RESTORE
    }

    fn limits(&self) -> KindLimits {
        KindLimits {
            yields: false,
            ..KindLimits::new(1)
        }
    }

    fn check(&self, params: &Value, _: Origin) -> Result<()> {
        let params: Params = params_of(RESTORE, params)?;
        TimeRange::new(params.from, params.to).map(drop)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let params: Params = params_of(RESTORE, &params)?;
            self.restore(&ctx, params).await
        })
    }
}

impl Restore {
    async fn restore(&self, ctx: &JobContext, params: Params) -> Result<JobOutcome, JobError> {
        let range = TimeRange::new(params.from, params.to)?;
        let mut query = SegmentQuery::new([params.camera], range);
        query.states = vec![SegmentState::Remote];
        let store = self.0.store.clone();
        let rows = blocking(move || store.all_segments(&query)).await?;
        let (total, mut bytes) = (rows.len(), 0);
        for (n, row) in rows.into_iter().enumerate() {
            ctx.go_on()?;
            ctx.progress(
                n as f64 / total as f64,
                format!("fetches segment {} of {total}", n + 1),
            );
            bytes += row.size_bytes;
            self.fetch(ctx, row).await?;
        }
        let result = serde_json::json!({ "segments": total, "size_bytes": bytes });
        Ok(JobOutcome::new(
            result,
            format!("{total} segment(s) are back, and protected"),
        ))
    }

    async fn fetch(&self, ctx: &JobContext, row: SegmentRow) -> Result<(), JobError> {
        let (store, targets, id) = (self.0.store.clone(), Arc::clone(&self.0.targets), row.id);
        let copies: Vec<(UploadRow, Arc<Target>)> = blocking(move || {
            let copies = store.uploads_of(id)?.into_iter();
            let there = copies.filter(|u| u.state == UploadState::Done);
            Ok(there
                .filter_map(|u| targets.get(&u.target).ok().map(|t| (u, t)))
                .collect())
        })
        .await?;
        let mut failure = JobError::lasting(Error::new(
            ErrorKind::NotFound,
            format!("no target that is configured has a copy of segment {id}"),
        ));
        for (copy, target) in copies {
            match self.fetch_from(ctx, &row, &copy, &target).await {
                Ok(()) => return Ok(()),
                Err(e) if ctx.stopped() => return Err(e),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    async fn fetch_from(
        &self,
        ctx: &JobContext,
        row: &SegmentRow,
        copy: &UploadRow,
        target: &Target,
    ) -> Result<(), JobError> {
        let (tree, size, relative) = (self.0.tree.clone(), copy.size_bytes, row.path.clone());
        let (path, growing, file) = blocking(move || {
            // Never to a disk that is not ours, or not there.
            tree.root().attach()?;
            let free = tree.usage()?.available_bytes;
            if free < size.saturating_add(SPARE_BYTES) {
                let what = format!("{free} bytes are free; the segment has {size}");
                return Err(Error::new(ErrorKind::Storage, what).with_hint("make room, or restore less"));
            }
            let path = tree.root().path().join(relative);
            let (growing, file) = begin(&path)?;
            Ok((path, growing, Arc::new(file)))
        })
        .await?;
        let (mut hasher, mut at) = (blake3::Hasher::new(), 0u64);
        while at < size {
            ctx.go_on()?;
            let length = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
            let bytes = target.read(&copy.key, at, length).await?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
            hasher.update(&bytes);
            let (file, growing) = (Arc::clone(&file), growing.clone());
            blocking(move || {
                (&*file)
                    .write_all(&bytes)
                    .map_err(|e| Error::io(growing.display(), e))
            })
            .await?;
        }
        if at != size
            || copy
                .hash
                .is_some_and(|hash| hash != *hasher.finalize().as_bytes())
        {
            let what = format!("{} is not what was uploaded", copy.key);
            let error = target.named(Error::new(ErrorKind::Corrupt, what));
            return blocking(move || {
                fs::remove_file(&growing).map_err(|e| Error::io(growing.display(), e))?;
                Err(error)
            })
            .await
            .map_err(JobError::lasting);
        }
        ctx.commit()?;
        blocking(move || finish(&path, &growing, &file)).await?;
        self.0.store.segment_restored(row.id).await?;
        Ok(())
    }
}

/// A file beside the place of the segment, which is not mistaken for one.
fn begin(path: &Path) -> Result<(PathBuf, File)> {
    let failed = |e| Error::io(path.display(), e);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let growing = path.with_file_name(format!(".{name}.restore"));
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(&growing)
        .map_err(failed)?;
    Ok((growing, file))
}

fn finish(path: &Path, growing: &Path, file: &File) -> Result<()> {
    let failed = |e| Error::io(path.display(), e);
    file.sync_all().map_err(failed)?;
    fs::rename(growing, path).map_err(failed)?;
    if let Some(parent) = path.parent() {
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed)?;
    }
    Ok(())
}
