//! The job: one segment to one target.

use std::sync::Arc;

use serde_json::Value;

use super::Shared;
use super::send::{self, At, Checkpoint, Source, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::ids::SegmentId;
use crate::jobs::{JobContext, JobError, JobFuture, JobKind, JobOutcome, KindLimits, Origin, params_of};
use crate::nvr::blocking;
use crate::store::{NewJob, SegmentRow, SegmentState, UploadRow, UploadState, UploadedCopy};
use crate::time::Timestamp;

/// Name of the kind.
pub(super) const UPLOAD: &str = "upload";
/// How long a target that asked for patience gets it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Uploads segments.
#[derive(Clone, Debug)]
pub(crate) struct Upload(pub(super) Arc<Shared>);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    segment: i64,
    target: String,
    key: String,
    /// When the segment was recorded, for whoever looks at the job.
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    to: Option<Timestamp>,
}

/// The job for an upload that waits.
pub(super) fn job_of(upload: &UploadRow, segment: Option<&SegmentRow>) -> NewJob {
    let params = Params {
        segment: upload.segment.0,
        target: upload.target.clone(),
        key: upload.key.clone(),
        from: segment.map(|row| row.start),
        to: segment.map(SegmentRow::end),
    };
    let job = NewJob::new(UPLOAD, serde_json::to_value(params).unwrap_or_default())
        .dedupe(format!("{UPLOAD}:{}:{}", upload.target, upload.segment))
        .input_bytes(upload.size_bytes);
    // When it may start was decided before it got a job.
    let job = job.anytime();
    match segment {
        Some(row) => job.camera(row.camera.clone()),
        None => job,
    }
}

impl JobKind for Upload {
    fn name(&self) -> &'static str {
        UPLOAD
    }

    fn limits(&self) -> KindLimits {
        let most = self.0.targets.configs().iter().map(|t| t.max_concurrent).sum();
        KindLimits {
            enabled: most > 0,
            finish_started: true,
            // Reading and sending cost little.
            yields: false,
            most_attempts: None,
            ..KindLimits::new(most)
        }
    }

    fn check(&self, params: &Value, _: Origin) -> Result<()> {
        // Without an entry in the table of uploads there is nothing to do: these come from there.
        params_of::<Params>(UPLOAD, params).map(drop)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let params: Params = params_of(UPLOAD, &params)?;
            let ended = self.upload(&ctx, &params, &|_| {}).await;
            self.0.wake.notify_one();
            ended
        })
    }
}

impl Upload {
    pub(super) async fn upload(
        &self,
        ctx: &JobContext,
        params: &Params,
        at: At<'_>,
    ) -> Result<JobOutcome, JobError> {
        let shared = &self.0;
        let id = SegmentId(params.segment);
        let (targets, store, name) = (
            Arc::clone(&shared.targets),
            shared.store.clone(),
            params.target.clone(),
        );
        let (target, row, upload) = blocking(move || {
            let target = targets.get(&name)?;
            let upload = store.uploads_of(id)?.into_iter().find(|u| u.target == name);
            Ok((target, store.segment(id)?, upload))
        })
        .await?;
        let wanted = upload.filter(|u| !matches!(u.state, UploadState::Done | UploadState::Cancelled));
        let (Some(row), Some(upload)) = (row, wanted) else {
            // Deleted, or done by an attempt that could not say so.
            let begun = ctx
                .checkpoint()
                .and_then(|c| <Checkpoint as serde::Deserialize>::deserialize(c).ok())
                .map(|c| c.upload)
                .filter(|id| !id.is_empty());
            if begun.is_some() || target.leaves_parts() {
                target.clean(&params.key, begun.as_deref()).await?;
            }
            return Ok(JobOutcome::new(Value::Null, "there is nothing left to upload"));
        };
        if !SegmentState::PLAYABLE.contains(&row.state) {
            let error = Error::new(
                ErrorKind::NotFound,
                format!("segment {id} is {}", row.state.as_str()),
            );
            return Err(JobError::lasting(error));
        }
        let now = shared.clock.now();
        if !upload.by_hand && !target.config.windows.contains(now) {
            let opens = target.config.windows.next_change(now).unwrap_or(now);
            let wait = u64::try_from(opens.since(now)).unwrap_or(0);
            let error = Error::new(ErrorKind::Unavailable, "the window for uploads is closed");
            return Err(JobError::passing(error).after(std::time::Duration::from_nanos(wait)));
        }
        let began_ns = shared.clock.steady_ns();
        let ended = self.send(ctx, &target, &row, &upload, at).await;
        let took_s = shared.clock.steady_ns().saturating_sub(began_ns) as f64 / 1e9;
        let sent = match ended {
            Ok(sent) => sent,
            Err(e) => {
                if !ctx.stopped() {
                    shared.figures().failed(&row.camera);
                    let cause = Cause::new(cause_of(e.error.kind()), e.error.to_string());
                    shared.failed(&params.target, cause).await;
                }
                return Err(e);
            }
        };
        let copy = UploadedCopy {
            segment: id,
            target: params.target.clone(),
            size_bytes: sent.size_bytes,
            hash: sent.hash,
            etag: sent.etag,
        };
        ctx.commit()?;
        shared.store.upload_done(copy, shared.clock.now()).await?;
        at(Step::RowWritten);
        shared.figures().uploaded(&row.camera, sent.size_bytes, took_s);
        shared.succeeded(&params.target).await;
        let words = if sent.was_there {
            "was there already"
        } else {
            "uploaded"
        };
        let result = serde_json::json!({
            "key": params.key, "size_bytes": sent.size_bytes, "seconds": took_s, "was_there": sent.was_there,
        });
        Ok(JobOutcome::new(result, format!("{}: {words}", params.key)))
    }

    async fn send(
        &self,
        ctx: &JobContext,
        target: &super::target::Target,
        row: &SegmentRow,
        upload: &UploadRow,
        at: At<'_>,
    ) -> Result<send::Sent, JobError> {
        let (tree, tier, path) = (self.0.tree.clone(), row.tier, row.path.clone());
        let file = blocking(move || tree.open_file(tier, &path)).await?;
        let source = Source {
            file: Arc::new(file),
            hash: row.hash,
            content_type: match row.container.extension() {
                "mkv" => "video/x-matroska",
                _ => "video/mp4",
            },
        };
        let sent = send::send(ctx, target, &upload.key, &source, at).await;
        sent.map_err(|e| match e.error.kind() {
            ErrorKind::Busy => e.after(PATIENCE),
            _ => e,
        })
    }
}

const fn cause_of(kind: ErrorKind) -> CauseKind {
    match kind {
        ErrorKind::Unauthorized => CauseKind::Unauthorized,
        ErrorKind::Storage => CauseKind::DiskFull,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Busy => CauseKind::Unreachable,
        _ => CauseKind::Unknown,
    }
}
