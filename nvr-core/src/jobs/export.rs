//! Kind `export`: a stretch of footage as one file, however long it takes.
//!
//! The file grows under another name and gets its own when it is complete and synced. What is written is noted now and
//! then, so that an interrupted export goes on where it was, as long as the clip is still the same.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};

use super::{
    JobContext, JobError, JobFuture, JobKind, JobOutcome, JobRow, JobState, KindLimits, NewJob, Origin,
    params_of,
};
use crate::archive::{Archive, ExportRequest};
use crate::clock::SharedClock;
use crate::config::JobsConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{EXPORTS, Tree};
use crate::ids::{CameraId, JobId};
use crate::media::clip::{Clip, Format};
use crate::nvr::blocking;
use crate::time::{TimeRange, Timestamp};

/// Name of the kind.
pub const KIND: &str = "export";

/// Bytes read and written at once.
const PIECE: usize = 1 << 20;
/// After so many bytes what was written is synced and noted.
const NOTE_BYTES: u64 = 128 << 20;
/// Of the file system, so many bytes (or a hundredth of it, if that is more) are left to the recorder.
const LEAVE_BYTES: u64 = 256 << 20;

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
        let params = serde_json::to_value(self)
            .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("export: {e}")))?;
        let key = format!("export {params}");
        let job = NewJob::new(KIND, params)
            .camera(self.camera.clone())
            .priority(100)
            .anytime();
        Ok(if key.len() <= 500 { job.dedupe(key) } else { job })
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
pub(crate) struct Export {
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

impl Export {
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
        let clip = self.archive.export(request).await?;
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
        let (tree, in_root) = (self.tree.clone(), folder.starts_with(self.tree.root().path()));
        let is_ours = params.path.is_none();
        let part = part_of(&path);
        let mut copy = {
            let (path, part) = (path.clone(), part.clone());
            let resume = checkpoint.map_or(0, |w| w.bytes);
            blocking(move || {
                if is_ours {
                    if in_root {
                        // Never into the mount point of a disk that is not there.
                        tree.root().attach()?;
                    }
                    std::fs::create_dir_all(&folder).map_err(|e| Error::io(folder.display(), e))?;
                } else if path.exists() {
                    return Err(Error::new(
                        ErrorKind::AlreadyExists,
                        format!("{} is there already", path.display()),
                    ));
                }
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

impl JobKind for Export {
    fn name(&self) -> &'static str {
        KIND
    }

    fn limits(&self) -> KindLimits {
        let config = self.config.load();
        let mut limits = KindLimits::new(config.max_exports);
        limits.most_attempts = Some(config.max_attempts);
        limits
    }

    fn check(&self, params: &Value, origin: Origin) -> Result<()> {
        let params: ExportParams = params_of(KIND, params)?;
        if origin == Origin::Remote && params.path.is_some() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the path of an export is not chosen over HTTP",
            )
            .with_hint("leave it out and fetch the file from the job"));
        }
        params.job().map(drop)
    }

    fn complete(&self, mut new: NewJob) -> Result<NewJob> {
        let made = params_of::<ExportParams>(KIND, &new.params)?.job()?;
        new.camera = new.camera.or(made.camera);
        new.dedupe = new.dedupe.or(made.dedupe);
        Ok(new)
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

/// The folder of exports.
#[must_use]
pub fn folder(config: &JobsConfig, root: &Path) -> PathBuf {
    config.exports.clone().unwrap_or_else(|| root.join(EXPORTS))
}

/// Opens the file of a finished export that lies in the folder of exports; with its name and length.
///
/// # Errors
/// `Conflict` when the job is no finished export, `NotFound` when the file is gone or was written elsewhere.
pub fn open_file(folder: &Path, job: &JobRow) -> Result<(String, File, u64)> {
    if job.kind != KIND || job.state != JobState::Done {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("job {} is no finished export", job.id),
        ));
    }
    let gone = || {
        Error::new(
            ErrorKind::NotFound,
            format!("the file of job {} is not there any more", job.id),
        )
    };
    let name = job
        .result
        .as_ref()
        .and_then(|r| r["file"].as_str())
        .ok_or_else(gone)?;
    if !is_export_name(name) {
        return Err(gone());
    }
    let file = File::open(folder.join(name)).map_err(|_| gone())?;
    let len = file.metadata().map_err(|e| Error::io(name, e))?.len();
    Ok((name.to_owned(), file, len))
}

fn outcome_of(clip: &Clip, path: &Path, elsewhere: bool) -> JobOutcome {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut result = json!({
        "size_bytes": clip.len(),
        "duration_ns": clip.duration_ns(),
        "from": clip.range().start(),
        "to": clip.range().end(),
    });
    let (key, value) = if elsewhere {
        ("path", path.to_string_lossy())
    } else {
        ("file", name.clone())
    };
    result[key] = value.into_owned().into();
    JobOutcome::new(result, format!("{name}, {} bytes", clip.len()))
}

/// `front_2026-05-04T03-02-01Z_600s_job7.mp4`
fn file_name(camera: &CameraId, range: TimeRange, id: JobId) -> String {
    let start = range.start().to_jiff().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    format!("{camera}_{start}_{}s_job{id}.mp4", range.len_ns() / 1_000_000_000)
}

/// Whether a name is one of [`file_name`]'s.
fn is_export_name(name: &str) -> bool {
    let Some((rest, id)) = name.strip_suffix(".mp4").and_then(|n| n.rsplit_once("_job")) else {
        return false;
    };
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mut parts = rest.rsplitn(3, '_');
    let length = parts.next().and_then(|l| l.strip_suffix('s')).is_some_and(plain);
    let start = parts
        .next()
        .is_some_and(|s| s.len() == 20 && s.ends_with('Z') && s.as_bytes()[10] == b'T');
    plain(id) && length && start && parts.next().is_some_and(|c| CameraId::new(c).is_ok())
}

/// Whether a whole file of that length has its name already.
fn is_in_place(path: &Path, len: u64) -> bool {
    !part_of(path).exists() && std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == len)
}

/// The name under which a file grows.
fn part_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

/// A clip on its way into a file.
struct Copy {
    clip: Clip,
    file: File,
    part: PathBuf,
    done: u64,
}

impl Copy {
    /// Begins, or goes on behind `resume` bytes that are known to be written.
    fn open(clip: Clip, part: &Path, resume: u64) -> Result<Self> {
        let failed = |e| Error::io(part.display(), e);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)
            .map_err(failed)?;
        let there = file.metadata().map_err(failed)?.len();
        // The file may have been lost, and the job not.
        let done = if there >= resume { resume } else { 0 };
        file.set_len(done).map_err(failed)?;
        file.seek(SeekFrom::Start(done)).map_err(failed)?;
        let space = rustix::fs::fstatvfs(&file).map_err(|e| failed(e.into()))?;
        let (free, total) = (
            space.f_bavail.saturating_mul(space.f_frsize),
            space.f_blocks.saturating_mul(space.f_frsize),
        );
        let needed = clip.len().saturating_sub(done);
        if free.saturating_sub(LEAVE_BYTES.max(total / 100)) < needed {
            let _ = std::fs::remove_file(part);
            return Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "{needed} bytes are to be written and {free} are free, some of which the recorder needs"
                ),
            )
            .with_hint("free some space, or let `jobs.exports` name a folder on another disk"));
        }
        Ok(Self {
            clip,
            file,
            part: part.to_owned(),
            done,
        })
    }

    /// Copies for a while, and syncs.
    fn some(mut self, ctx: &JobContext) -> Result<Self> {
        let failed = |part: &Path, e| Error::io(part.display(), e);
        let mut buf = vec![0; PIECE];
        let end = self.done.saturating_add(NOTE_BYTES);
        while self.done < end && !ctx.stopped() {
            let n = self.clip.read_at(self.done, &mut buf)?;
            if n == 0 {
                break;
            }
            self.file
                .write_all(&buf[..n])
                .map_err(|e| failed(&self.part, e))?;
            self.done += n as u64;
            let share = self.done as f64 / self.clip.len().max(1) as f64;
            ctx.progress(share, "writing");
        }
        self.file.sync_data().map_err(|e| failed(&self.part, e))?;
        Ok(self)
    }
}

fn put_in_place(part: &Path, path: &Path) -> Result<()> {
    let failed = |e| Error::io(path.display(), e);
    File::open(part).and_then(|f| f.sync_all()).map_err(failed)?;
    std::fs::rename(part, path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Removes exports (and parts of them) that were last written before a moment; everything else is left alone.
fn remove_old(folder: &Path, before: Timestamp) -> std::io::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let whole = name
            .strip_prefix('.')
            .and_then(|n| n.strip_suffix(".part"))
            .unwrap_or(name);
        let about = entry.metadata()?;
        if !is_export_name(whole) || !about.is_file() {
            continue;
        }
        let written = about
            .modified()?
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        if Timestamp::from_ns(crate::time::duration_ns(written)) < before {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let range = TimeRange::new(
            "2026-05-04T03:02:01.5Z".parse().unwrap(),
            "2026-05-04T04:02:01Z".parse().unwrap(),
        );
        let name = file_name(&CameraId::new("front_2").unwrap(), range.unwrap(), JobId(7));
        assert_eq!(name, "front_2_2026-05-04T03-02-01Z_3599s_job7.mp4");
        assert!(is_export_name(&name));
        for bad in [
            "clip.mp4",
            "_job7.mp4",
            "front_2026-05-04T03-02-01Z_3599s_job.mp4",
            "../x_2026-05-04T03-02-01Z_1s_job7.mp4",
            "front_2026-05-04T03-02-01Z_3599s_job7.mp4.bak",
            "front_3599s_job7.mp4",
            "nvr.db",
            "",
        ] {
            assert!(!is_export_name(bad), "{bad}");
        }
    }

    #[test]
    fn only_old_files_of_ours_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let ours = "front_2026-05-04T03-02-01Z_3599s_job7.mp4";
        for name in [ours, &format!(".{ours}.part"), "holiday.mp4", "nvr.db"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(remove_old(dir.path(), Timestamp::from_secs(1000)).unwrap(), 0);
        assert_eq!(remove_old(dir.path(), Timestamp::MAX).unwrap(), 2);
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 2, "what is not ours stays");
        assert_eq!(remove_old(&dir.path().join("none"), Timestamp::MAX).unwrap(), 0);
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
