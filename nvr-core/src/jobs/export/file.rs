//! The file of an export: its name, how it grows, when it is removed.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{KIND, Packing};
use crate::convert::Converted;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, JobId};
use crate::jobs::{JobContext, JobRow, JobState};
use crate::media::clip::Clip;
use crate::time::{TimeRange, Timestamp};

/// Folder of daily time-lapses among the exports.
const DAILY: &str = "daily";
/// Bytes read and written at once.
const PIECE: usize = 1 << 20;
/// After so many bytes what was written is synced and noted.
const NOTE_BYTES: u64 = 128 << 20;
/// Of the file system, so many bytes (or a hundredth of it, if that is more) are left to the recorder.
const LEAVE_BYTES: u64 = 256 << 20;

/// Opens the file of a finished export that lies in the folder of exports; with its name and length.
///
/// # Errors
/// `Conflict` when the job is no finished export, `NotFound` when the file is gone or was written elsewhere.
pub fn open_file(folder: &Path, job: &JobRow) -> Result<(String, File, u64)> {
    let makes_files = [KIND, crate::jobs::merge::KIND, crate::jobs::timelapse::KIND];
    if !makes_files.contains(&job.kind.as_str()) || job.state != JobState::Done {
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
    let daily = job.result.as_ref().and_then(|r| r["daily"].as_str());
    let folder = match daily {
        Some(daily) => daily_folder(folder, &CameraId::new(daily).map_err(|_| gone())?),
        None => folder.to_owned(),
    };
    let file = File::open(folder.join(name)).map_err(|_| gone())?;
    let len = file.metadata().map_err(|e| Error::io(name, e))?.len();
    Ok((name.to_owned(), file, len))
}

/// `front_2026-05-04T03-02-01Z_600s_job7.mp4`
pub(in crate::jobs) fn file_name(camera: &CameraId, range: TimeRange, id: JobId) -> String {
    let start = range.start().to_jiff().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    format!("{camera}_{start}_{}s_job{id}.mp4", range.len_ns() / 1_000_000_000)
}

/// Where the files of a daily time-lapse go.
pub(crate) fn daily_folder(folder: &Path, name: &CameraId) -> PathBuf {
    folder.join(DAILY).join(name.as_str())
}

/// The folders of daily time-lapses that are there.
pub(crate) fn daily_folders(folder: &Path) -> Result<Vec<(CameraId, PathBuf)>> {
    let folder = folder.join(DAILY);
    let failed = |e| Error::io(folder.display(), e);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_str().and_then(|n| CameraId::new(n).ok());
        if let Some(name) = name.filter(|_| entry.file_type().is_ok_and(|t| t.is_dir())) {
            all.push((name, entry.path()));
        }
    }
    Ok(all)
}

/// Whether there is a whole file of a camera in a folder that begins with a range, whatever job made it.
pub(crate) fn has_file_of(folder: &Path, camera: &CameraId, range: TimeRange) -> Result<bool> {
    let failed = |e| Error::io(folder.display(), e);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(failed(e)),
    };
    let of_range = file_name(camera, range, JobId(0));
    let start = of_range.trim_end_matches("0.mp4");
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if name
            .to_str()
            .is_some_and(|n| n.starts_with(start) && is_export_name(n))
        {
            return Ok(true);
        }
    }
    Ok(false)
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
pub(super) fn is_in_place(path: &Path, len: u64) -> bool {
    !part_of(path).exists() && std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == len)
}

/// The name under which a file grows.
pub(in crate::jobs) fn part_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

/// A clip on its way into a file.
pub(super) struct Copy {
    pub(super) clip: Clip,
    file: File,
    part: PathBuf,
    pub(super) done: u64,
}

impl Copy {
    /// Begins, or goes on behind `resume` bytes that are known to be written.
    pub(super) fn open(clip: Clip, part: &Path, resume: u64) -> Result<Self> {
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
    pub(super) fn some(mut self, ctx: &JobContext) -> Result<Self> {
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

/// Writes a clip that is encoded meanwhile; gives its size. When the job is to stop, what is there stays as it is.
pub(super) fn write_made(ctx: &JobContext, made: Converted, format: Packing, part: &Path) -> Result<u64> {
    let failed = |e| Error::io(part.display(), e);
    let file = File::create(part).map_err(failed)?;
    let mut full = false;
    let progress = |done: f64| {
        ctx.progress(done, "encoding");
        full = is_full(&file);
        !full && !ctx.stopped()
    };
    let mut out = &file;
    let written = match format {
        Packing::Fmp4 => made.write_to(&mut out, progress),
        Packing::Mp4 => {
            let folder = part.parent().unwrap_or_else(|| Path::new("."));
            made.write_mp4(Converted::scratch(folder)?, &mut out, progress)
        }
    };
    if full {
        let _ = std::fs::remove_file(part);
        return Err(
            Error::new(ErrorKind::Storage, "the disk has no room for the export")
                .with_hint("free some space, or let `jobs.exports` name a folder on another disk"),
        );
    }
    let written = written?;
    file.sync_data().map_err(failed)?;
    Ok(written)
}

/// Whether the recorder needs what room there is.
pub(crate) fn is_full(file: &File) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|space| {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let total = space.f_blocks.saturating_mul(space.f_frsize);
        free < LEAVE_BYTES.max(total / 100)
    })
}

pub(in crate::jobs) fn put_in_place(part: &Path, path: &Path) -> Result<()> {
    let failed = |e| Error::io(path.display(), e);
    File::open(part).and_then(|f| f.sync_all()).map_err(failed)?;
    std::fs::rename(part, path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Removes exports (and parts of them) that were last written before a moment; everything else is left alone.
pub(crate) fn remove_old(folder: &Path, before: Timestamp) -> std::io::Result<u64> {
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
    fn the_file_of_a_day_is_found_whatever_job_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let (camera, name) = (CameraId::new("yard").unwrap(), CameraId::new("garden").unwrap());
        let day = |d: i64| {
            TimeRange::new(
                Timestamp::from_secs(d * 86_400),
                Timestamp::from_secs(d * 86_400 + 86_400),
            )
            .unwrap()
        };
        let folder = daily_folder(dir.path(), &name);
        assert!(!has_file_of(&folder, &camera, day(1)).unwrap());
        assert!(daily_folders(dir.path()).unwrap().is_empty());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join(format!(".{}.part", file_name(&camera, day(1), JobId(7)))),
            "x",
        )
        .unwrap();
        assert!(!has_file_of(&folder, &camera, day(1)).unwrap(), "half a file");
        std::fs::write(folder.join(file_name(&camera, day(1), JobId(70))), "x").unwrap();
        assert!(has_file_of(&folder, &camera, day(1)).unwrap());
        assert!(!has_file_of(&folder, &camera, day(2)).unwrap());
        assert_eq!(daily_folders(dir.path()).unwrap(), [(name, folder)]);
        assert_eq!(
            remove_old(dir.path(), Timestamp::MAX).unwrap(),
            0,
            "they are no other exports"
        );
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
}
