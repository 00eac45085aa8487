//! What is left of the story: every segment found and hashed, every frame counted, nothing left to do or lying about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nvr_core::config::Config;
use nvr_core::event::{CauseKind, JobState};
use nvr_core::store::{
    EventQuery, JobQuery, MAX_PAGE, OpenMode, Order, SegmentQuery, SegmentRow, SegmentState, Store,
    TranscodeTotals, UploadRow, UploadState,
};
use nvr_core::time::NS_PER_S;
use nvr_core::track::VideoCodec;
use nvr_core::{Archive, Event, EventKind, RunId, TimeRange};
use nvr_tests::rig::{checked, id, judge_timeline, rows, whole};
use nvr_tests::s3::S3;
use nvr_tests::{judge, picture};

use crate::Told;
use crate::setting::{CAMS, PREFIX, TARGET};

/// What a kill may cost.
const MOST_LOST_MS: i64 = 500;

/// How segments ended, and what was not as it should be.
#[derive(Default)]
pub struct Verdict {
    pub wrong: Vec<String>,
    pub segments: usize,
    pub recorded_bytes: u64,
    pub local: usize,
    pub local_bytes: u64,
    pub remote: usize,
    pub remote_bytes: u64,
    pub objects: usize,
    pub h265: usize,
    pub originals_kept: usize,
    pub frames: BTreeMap<&'static str, usize>,
    /// What the kill cost each camera, milliseconds.
    pub lost_ms: BTreeMap<&'static str, i64>,
    pub totals: Vec<TranscodeTotals>,
}

impl Verdict {
    fn check(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(wrong());
        }
    }
}

async fn with_store<T: Send + 'static>(
    config: &Config,
    ask: impl FnOnce(&Store) -> nvr_core::error::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let path = config.recorder.database.clone();
    Ok(tokio::task::spawn_blocking(move || ask(&Store::open(path, OpenMode::ReadOnly)?)).await??)
}

/// The first complete segment of a camera.
pub async fn first_segment(config: &Config, camera: &str) -> Option<SegmentRow> {
    let mut query = SegmentQuery::new([id(camera)], TimeRange::ALL);
    query.order = Order::Asc;
    query.states = SegmentState::PLAYABLE.to_vec();
    query.limit = 1;
    with_store(config, move |s| s.segments(&query))
        .await
        .ok()?
        .items
        .pop()
}

/// Segments that still grow or wait for an upload, and jobs that are not over.
pub async fn waits_for(config: &Config) -> anyhow::Result<Vec<String>> {
    let rows = rows(config).await?;
    with_store(config, move |store| {
        let mut waits = Vec::new();
        for row in &rows {
            let name = row.path.display();
            if row.state == SegmentState::Open {
                waits.push(format!("{name} grows"));
            }
            let uploads = store.uploads_of(row.id)?;
            if uploads.is_empty() || uploads.iter().any(|u| u.state != UploadState::Done) {
                waits.push(format!("{name} is to be uploaded: {uploads:?}"));
            }
        }
        for state in [JobState::Queued, JobState::Running] {
            let query = JobQuery {
                states: vec![state],
                ..JobQuery::default()
            };
            let jobs = store.jobs(&query)?;
            waits.extend(jobs.items.iter().map(|j| format!("job {j:?}")));
        }
        Ok(waits)
    })
    .await
}

/// Segments here that may yet be encoded again.
pub async fn untried(config: &Config) -> anyhow::Result<usize> {
    let rows = rows(config).await?;
    let least = config.transcode.min_bytes;
    with_store(config, move |store| {
        let mut n = 0;
        for row in rows.iter().filter(|r| SegmentState::PLAYABLE.contains(&r.state)) {
            let raw = row.tracks.video.codec == VideoCodec::H264 && row.size_bytes >= least;
            n += usize::from(raw && store.transcode_of(row.id)?.is_none());
        }
        Ok(n)
    })
    .await
}

/// How many these are.
pub async fn left_to_do(config: &Config) -> anyhow::Result<usize> {
    Ok(waits_for(config).await?.len())
}

/// Judges a recorder that ended.
pub async fn judge(told: &Told, s3: &S3) -> anyhow::Result<Verdict> {
    println!("\njudging");
    let mut v = Verdict::default();
    let config = &told.config;
    let all = rows(config).await?;
    let events = events(config).await?;
    v.segments = all.len();
    footage(told, s3, &all, &mut v).await?;
    timelines(told, &mut v).await?;
    trouble(&events, &all, &mut v);
    leftovers(config, s3, &all, &mut v).await?;
    let critical = told.watch.least() > 0;
    v.check(critical, || "the disk was full".into());
    v.totals = with_store(config, Store::transcode_totals).await?;
    for t in &v.totals {
        let good = t.worst_ssim.is_none_or(|s| s >= config.transcode.min_ssim);
        if !good {
            v.wrong
                .push(format!("the SSIM of {} is too low: {t:?}", t.camera));
        }
    }
    v.check(v.h265 > 0, || "nothing was encoded again".into());
    v.check(v.remote > 0, || {
        "the disk was large enough: nothing is only remote".into()
    });
    Ok(v)
}

/// Every segment is here or there as it was hashed, decodes, and no frame is missing in a run.
async fn footage(told: &Told, s3: &S3, all: &[SegmentRow], v: &mut Verdict) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut runs: BTreeMap<(&str, RunId), Vec<u32>> = BTreeMap::new();
    let mut last_marks: BTreeMap<(&str, RunId), u32> = BTreeMap::new();
    for row in all {
        let result = one(told, s3, row, dir.path(), v).await;
        let marks = match result {
            Ok(marks) => marks,
            Err(e) => {
                v.wrong.push(format!("{}: {e:#}", row.path.display()));
                continue;
            }
        };
        let key = (row.camera.as_str(), row.run);
        for m in &marks {
            match m.number {
                Some(n) => runs.entry(key).or_default().push(n),
                None => v
                    .wrong
                    .push(format!("{}: a frame cannot be read", row.path.display())),
            }
            if let Some(clock) = m.clock_low {
                last_marks.insert(key, clock);
            }
        }
    }
    for cam in &CAMS {
        let of_cam: Vec<_> = runs.iter().filter(|((c, _), _)| *c == cam.id).collect();
        v.frames.insert(cam.id, of_cam.iter().map(|(_, n)| n.len()).sum());
        for ((camera, run), numbers) in &of_cam {
            if let Err(e) = whole(numbers) {
                v.wrong.push(format!("{camera}, run {run}: {e:#}"));
            }
        }
        if of_cam.len() != 2 {
            v.wrong
                .push(format!("{} has {} runs instead of two", cam.id, of_cam.len()));
        }
        // The run before the kill is the one of the camera's first segment.
        let Some(first) = all.iter().find(|r| r.camera.as_str() == cam.id) else {
            continue;
        };
        let killed_ms = told.killed.as_ns() / (NS_PER_S / 1000);
        let Some(low) = last_marks.get(&(cam.id, first.run)) else {
            continue;
        };
        let frame_ms = 1000 / i64::from(cam.fps);
        let lost = killed_ms - picture::full_clock(*low, killed_ms) - frame_ms;
        v.lost_ms.insert(cam.id, lost);
        // A frame more: the last one may have been on its way.
        if lost > MOST_LOST_MS + frame_ms {
            v.wrong.push(format!("the kill cost {} {lost} ms", cam.id));
        }
    }
    Ok(())
}

async fn one(
    told: &Told,
    s3: &S3,
    row: &SegmentRow,
    dir: &Path,
    v: &mut Verdict,
) -> anyhow::Result<Vec<judge::Marks>> {
    let (id, h265) = (row.id, row.tracks.video.codec == VideoCodec::H265);
    let (copies, tried) = with_store(&told.config, move |s| {
        Ok((s.uploads_of(id)?, s.transcode_of(id)?))
    })
    .await?;
    v.recorded_bytes += tried
        .as_ref()
        .map_or(row.size_bytes, |t| t.before_bytes.max(row.size_bytes));
    if h265 {
        v.h265 += 1;
    } else if tried.is_some() {
        v.originals_kept += 1;
    }
    // What a crash cut off is hashed when it is uploaded.
    let of_copy = copies.iter().find_map(|u| u.hash);
    let hash = row.hash.or(of_copy).context("it has no hash")?;
    let copy = object(s3, &copies, dir).await?;
    if let Some(copy) = &copy {
        v.objects += 1;
        ensure!(hash_of(copy).await? == hash, "the copy is not what was recorded");
    }
    let file = match (row.state, copy) {
        (SegmentState::Closed | SegmentState::Recovered, _) => {
            v.local += 1;
            v.local_bytes += row.size_bytes;
            let file = told.config.recorder.root.join(&row.path);
            ensure!(hash_of(&file).await? == hash, "the file is not what was recorded");
            file
        }
        (SegmentState::Remote, Some(copy)) => {
            v.remote += 1;
            v.remote_bytes += row.size_bytes;
            copy
        }
        (state, _) => anyhow::bail!("it is {state:?}, and there is no copy"),
    };
    tokio::task::spawn_blocking(move || {
        judge::decode_all(&file)?;
        let codec = judge::streams(&file.to_string_lossy())?[0]["codec_name"].clone();
        let said = if h265 { "hevc" } else { "h264" };
        ensure!(codec == said, "it is {codec}, not {said}");
        judge::frame_marks(&file)
    })
    .await?
}

/// The copy in the bucket as a file, if there is to be one.
async fn object(s3: &S3, copies: &[UploadRow], dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(copy) = copies
        .iter()
        .find(|u| u.target == TARGET && u.state == UploadState::Done)
    else {
        return Ok(None);
    };
    let (content, told) = s3
        .object(&format!("{PREFIX}/{}", copy.key))
        .await?
        .context("the copy is not there")?;
    ensure!(
        told == blake3::hash(&content).to_hex().to_string(),
        "the copy tells another hash than it has"
    );
    let file = dir.join("copy.mp4");
    std::fs::write(&file, content)?;
    Ok(Some(file))
}

async fn hash_of(file: &Path) -> anyhow::Result<[u8; 32]> {
    let file = std::fs::File::open(file)?;
    tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file)?;
        Ok(*hasher.finalize().as_bytes())
    })
    .await?
}

/// Two stretches, between them the kill, and nothing else missing until the cameras were switched off.
async fn timelines(told: &Told, v: &mut Verdict) -> anyhow::Result<()> {
    let archive = Archive::open(&told.config).await?;
    for cam in &CAMS {
        let timeline = archive.timeline(&id(cam.id), TimeRange::ALL).await?;
        judge_timeline(&timeline)?;
        println!("  {}", cam.id);
        for r in &timeline.ranges {
            println!(
                "    recorded {:8.1} s from {}",
                r.range.len_ns() as f64 / NS_PER_S as f64,
                r.range.start()
            );
        }
        for g in &timeline.gaps {
            println!(
                "    missing  {:8.1} s from {}: {}",
                g.range.len_ns() as f64 / NS_PER_S as f64,
                g.range.start(),
                g.cause.message
            );
        }
        v.check(timeline.ranges.len() == 2, || {
            format!("{}: not two stretches", cam.id)
        });
        let end = timeline.ranges.last().map(|r| r.range.end());
        let inside: Vec<_> = timeline
            .gaps
            .iter()
            .filter(|g| Some(g.range.start()) < end)
            .collect();
        v.check(
            matches!(inside[..], [g] if g.cause.kind == CauseKind::Crash),
            || format!("{}: other gaps than that of the kill: {inside:#?}", cam.id),
        );
    }
    Ok(())
}

async fn events(config: &Config) -> anyhow::Result<Vec<Event>> {
    with_store(config, |store| {
        let mut query = EventQuery::new(TimeRange::ALL);
        (query.limit, query.order) = (MAX_PAGE, Order::Asc);
        let mut all = Vec::new();
        loop {
            let page = store.events(&query)?;
            all.extend(page.items.into_iter().map(|e| e.event));
            query.cursor = page.next;
            if query.cursor.is_none() {
                return Ok(all);
            }
        }
    })
    .await
}

/// What was told: no write failed, nothing was dropped, the service's absence was said, once.
fn trouble(events: &[Event], all: &[SegmentRow], v: &mut Verdict) {
    let (mut away, mut back) = (0, 0);
    for event in events {
        match &event.kind {
            EventKind::StorageFault { .. }
            | EventKind::SpaceLow { .. }
            | EventKind::FramesDropped { .. }
            | EventKind::SegmentDamaged { .. } => v.wrong.push(format!("{event:?}")),
            EventKind::UploadTrouble { .. } => away += 1,
            EventKind::UploadRecovered { .. } => back += 1,
            EventKind::SegmentClosed { path, .. } | EventKind::SegmentRecovered { path, .. } => {
                let known = all.iter().any(|r| r.path.as_path() == Path::new(path));
                v.check(known, || format!("{path} is nowhere"));
            }
            _ => {}
        }
    }
    v.check((away, back) == (1, 1), || {
        format!("the service was told to be away {away} times and back {back} times")
    });
}

/// Nothing waits, nothing lies about, and index and files agree.
async fn leftovers(config: &Config, s3: &S3, all: &[SegmentRow], v: &mut Verdict) -> anyhow::Result<()> {
    let report = checked(config).await?;
    v.check(report.problems.is_empty(), || {
        format!("check: {:#?}", report.problems)
    });
    let waits = waits_for(config).await?;
    v.check(waits.is_empty(), || format!("not done: {waits:#?}"));
    let unfinished = s3.unfinished().await?;
    v.check(unfinished == 0, || {
        format!("{unfinished} uploads in parts are unfinished")
    });
    let keys = s3.keys().await?;
    v.check(keys.len() == all.len(), || {
        format!("{} objects of {} segments", keys.len(), all.len())
    });
    let work = config.recorder.root.join(".nvr-transcode");
    let left: Vec<_> = std::fs::read_dir(&work)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file() && p.extension().is_some())
        .collect();
    v.check(left.is_empty(), || format!("left behind: {left:?}"));
    let failed = with_store(config, |store| {
        let query = JobQuery {
            states: vec![JobState::Failed, JobState::Cancelled],
            ..JobQuery::default()
        };
        store.jobs(&query)
    })
    .await?;
    v.check(failed.items.is_empty(), || format!("failed: {:#?}", failed.items));
    Ok(())
}
