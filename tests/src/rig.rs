//! A real recorder under test: made of a configuration, watched by its events, judged by its files.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_core::Stream as _;
use nvr_core::clock::{Clock as _, SharedClock, SystemClock};
use nvr_core::config::{CameraConfig, Config, RetentionConfig};
use nvr_core::event::{CameraPhase, Cause, CauseKind};
use nvr_core::files::{Root, RootOptions};
use nvr_core::nvr::ShutdownReport;
use nvr_core::segment::Tier;
use nvr_core::source::Ingest;
use nvr_core::store::{OpenMode, Order, SegmentQuery, SegmentRow, SegmentState, Store};
use nvr_core::testing::undivided;
use nvr_core::timeline::Timeline;
use nvr_core::{
    Archive, Camera, CameraId, Event, EventKind, ExportFormat, ExportRequest, Nvr, SourceSpec, TimeRange,
    check,
};

use crate::{TestCamOptions, judge, wait};

/// For anything that happens soon on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Id of the camera that most tests have.
pub const CAM: &str = "cam";

/// A small, cheap camera: 320x240 at 10 frames a second, a keyframe every second.
#[must_use]
pub fn small() -> TestCamOptions {
    TestCamOptions {
        width: 320,
        height: 240,
        fps: 10,
        gop: 10,
        bitrate_bps: 150_000,
        ..TestCamOptions::default()
    }
}

/// A camera id.
///
/// # Panics
/// When the name is not one.
#[must_use]
pub fn id(name: &str) -> CameraId {
    CameraId::new(name).expect("a camera id")
}

/// A source, read by the client of RTSP that `NVR_TEST_INGEST` names (`lean`, `rtspsrc`), or by the one that `auto`
/// chooses: so each test of recording can be run with both.
///
/// # Errors
/// When it is not one.
pub fn source_of(text: &str) -> anyhow::Result<SourceSpec> {
    let mut spec = SourceSpec::parse(text)?;
    if let SourceSpec::Rtsp(s) = &mut spec {
        s.ingest = match std::env::var("NVR_TEST_INGEST").as_deref() {
            Ok("lean") => Ingest::Lean,
            Ok("rtspsrc") => Ingest::Rtspsrc,
            _ => Ingest::Auto,
        };
    }
    Ok(spec)
}

/// A recorder and its folder, removed when dropped.
#[derive(Debug)]
pub struct Rig {
    /// What the next start takes.
    pub config: Config,
    /// The clock of the recorder, to be turned.
    pub clock: Arc<SystemClock>,
    /// A clock in place of that one.
    pub other_clock: Option<SharedClock>,
    nvr: Option<Nvr>,
    events: Arc<Mutex<Vec<Event>>>,
    _dir: Option<tempfile::TempDir>,
}

impl Rig {
    /// A recorder in a new folder, not started. With `NVR_TEST_KEEP` set the folder stays for a look at it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let mut dir = tempfile::tempdir()?;
        if std::env::var_os("NVR_TEST_KEEP").is_some() {
            tracing::info!(dir = %dir.path().display(), "kept");
            dir.disable_cleanup(true);
        }
        let mut rig = Self::at(&dir.path().join("recordings"));
        rig._dir = Some(dir);
        Ok(rig)
    }

    /// A recorder in a folder of the caller's.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        let mut config = Config::new(root);
        config.recorder.time_zone = "UTC".into();
        // The disk of who runs the tests may be fuller than that.
        config.retention = RetentionConfig::off();
        Self {
            config,
            clock: Arc::new(SystemClock::new()),
            other_clock: None,
            nvr: None,
            events: Arc::default(),
            _dir: None,
        }
    }

    /// Adds a camera to the configuration of the next start, with segments that no boundary divides.
    ///
    /// # Errors
    /// When the source is none.
    pub fn add(&mut self, name: &str, source: &str) -> anyhow::Result<&mut CameraConfig> {
        let mut camera = CameraConfig::new(CameraId::new(name)?, source_of(source)?);
        camera.segment = undivided(
            self.other_clock
                .as_ref()
                .map_or_else(|| self.clock.now(), |c| c.now()),
        );
        self.config.cameras.push(camera);
        self.config.cameras.last_mut().context("just pushed")
    }

    /// Starts the recorder and begins to collect its events.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let clock: SharedClock = match &self.other_clock {
            Some(clock) => clock.clone(),
            None => self.clock.clone(),
        };
        let nvr = Nvr::builder(self.config.clone()).clock(clock).start().await?;
        let (mut stream, sink) = (nvr.events(), Arc::clone(&self.events));
        tokio::spawn(async move {
            while let Some(event) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        });
        self.nvr = Some(nvr);
        Ok(())
    }

    /// Ends the recorder in order.
    pub async fn stop(&mut self) -> ShutdownReport {
        match self.nvr.take() {
            Some(nvr) => nvr.shutdown(LIMIT).await,
            None => ShutdownReport::default(),
        }
    }

    /// Ends the recorder and makes sure that every camera was closed in order.
    ///
    /// # Errors
    /// When one was not.
    pub async fn stop_clean(&mut self) -> anyhow::Result<()> {
        let report = self.stop().await;
        ensure!(report.cut.is_empty(), "cut off at the stop: {:?}", report.cut);
        Ok(())
    }

    /// The running recorder.
    ///
    /// # Panics
    /// When it was not started.
    #[must_use]
    pub fn nvr(&self) -> &Nvr {
        self.nvr.as_ref().expect("the recorder was started")
    }

    /// Its camera [`CAM`].
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn cam(&self) -> Camera {
        self.nvr().camera(&id(CAM)).expect("the camera is configured")
    }

    /// The recordings root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.config.recorder.root
    }

    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many events so far are such.
    pub fn count(&self, is: impl Fn(&EventKind) -> bool) -> usize {
        self.events().iter().filter(|e| is(&e.kind)).count()
    }

    /// Waits until at least `count` events are such.
    ///
    /// # Errors
    /// When they do not come; the message holds the events so far.
    pub async fn wait_for(
        &self,
        what: &str,
        count: usize,
        is: impl Fn(&EventKind) -> bool,
    ) -> anyhow::Result<()> {
        self.until(what, || self.count(&is) >= count).await
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// When it does not; the message holds the events so far.
    pub async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> anyhow::Result<()> {
        wait::until_async(what, LIMIT, || std::future::ready(holds().then_some(())))
            .await
            .with_context(|| format!("events: {:#?}", self.events()))
    }

    /// Waits until a camera is in a phase.
    ///
    /// # Errors
    /// When it does not get there.
    pub async fn phase(&self, camera: &str, phase: CameraPhase) -> anyhow::Result<()> {
        let handle = self.nvr().camera(&id(camera))?;
        self.until(&format!("{camera} {}", phase.as_str()), || {
            handle.status().state.phase == phase
        })
        .await
    }

    /// Waits until [`CAM`] has recorded so many more frames than now.
    ///
    /// # Errors
    /// When it does not.
    pub async fn frames(&self, more: u64) -> anyhow::Result<()> {
        let cam = self.cam();
        let wanted = cam.status().counters.frames + more;
        self.until(&format!("{more} more frames"), || {
            let status = cam.status();
            status.recording && status.counters.frames >= wanted
        })
        .await
    }

    /// Causes of all gaps that were told.
    #[must_use]
    pub fn gap_causes(&self) -> Vec<CauseKind> {
        self.events()
            .iter()
            .filter_map(|e| match &e.kind {
                EventKind::GapOpened { cause } => Some(cause.kind),
                _ => None,
            })
            .collect()
    }

    /// Causes of all runs that began.
    #[must_use]
    pub fn run_causes(&self) -> Vec<CauseKind> {
        self.events()
            .iter()
            .filter_map(|e| match &e.kind {
                EventKind::RunStarted { cause, .. } => Some(cause.kind),
                _ => None,
            })
            .collect()
    }

    /// All that is recorded of a camera, asked of the running recorder.
    ///
    /// # Errors
    /// When the index has no answer.
    pub async fn timeline(&self, camera: &str) -> anyhow::Result<Timeline> {
        Ok(self.nvr().timeline(&id(camera), TimeRange::ALL).await?)
    }

    /// What the index holds, in the order in which it was recorded.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn rows(&self) -> anyhow::Result<Vec<SegmentRow>> {
        rows(&self.config).await
    }

    /// [`judge_all`] of this recorder.
    ///
    /// # Errors
    /// As there.
    pub async fn judge(&self) -> anyhow::Result<Vec<SegmentRow>> {
        judge_all(&self.config).await
    }

    /// A clip of the camera [`CAM`] in a file of its own.
    ///
    /// # Errors
    /// When it cannot be exported or written.
    pub async fn export_mp4(&self, range: TimeRange) -> anyhow::Result<tempfile::NamedTempFile> {
        let request = ExportRequest::new(id(CAM), range, ExportFormat::Mp4);
        let clip = self.nvr().export(request).await?;
        let out = tempfile::NamedTempFile::new()?;
        let (mut to, size) = (out.reopen()?, clip.len());
        let written = tokio::task::spawn_blocking(move || clip.write_to(&mut to, |_| true)).await??;
        anyhow::ensure!(written == size, "{written} bytes were written of {size}");
        Ok(out)
    }

    /// The frame numbers of a camera's footage in the order in which it was recorded.
    ///
    /// # Errors
    /// When a file does not decode.
    pub async fn numbers(&self, camera: &str) -> anyhow::Result<Vec<u32>> {
        numbers(&self.config, camera).await
    }
}

/// Whether an event tells a phase.
#[must_use]
pub fn to_phase(kind: &EventKind, phase: CameraPhase) -> bool {
    matches!(kind, EventKind::CameraState { to, .. } if *to == phase)
}

/// The cause of a storage fault.
#[must_use]
pub fn storage_fault(kind: &EventKind) -> Option<&Cause> {
    match kind {
        EventKind::StorageFault { cause } => Some(cause),
        _ => None,
    }
}

async fn store(config: &Config) -> anyhow::Result<Store> {
    let path = config.recorder.database.clone();
    Ok(tokio::task::spawn_blocking(move || Store::open(path, OpenMode::ReadOnly)).await??)
}

/// What the index of a configuration holds, in the order in which it was recorded.
///
/// # Errors
/// When the index cannot be read.
pub async fn rows(config: &Config) -> anyhow::Result<Vec<SegmentRow>> {
    let store = store(config).await?;
    let mut query = SegmentQuery::new([], TimeRange::ALL);
    query.order = Order::Asc;
    let mut rows = tokio::task::spawn_blocking(move || store.all_segments(&query)).await??;
    rows.sort_by_key(|r| r.id.0);
    Ok(rows)
}

/// The whole of a stopped recorder's footage is in order: every row complete, index and files agree in both
/// directions, every file decodes without a word of complaint, no name is there twice, and each camera's timeline is
/// sorted, disjoint and explained. Hands back the rows.
///
/// # Errors
/// What is wrong.
pub async fn judge_all(config: &Config) -> anyhow::Result<Vec<SegmentRow>> {
    let rows = rows(config).await?;
    for row in &rows {
        ensure!(
            matches!(row.state, SegmentState::Closed | SegmentState::Recovered),
            "{} is {:?}",
            row.path.display(),
            row.state
        );
        ensure!(row.duration_ns > 0, "{} has no length", row.path.display());
    }
    let report = checked(config).await?;
    ensure!(report.problems.is_empty(), "check: {:#?}", report.problems);
    ensure!(
        report.files == rows.len() as u64,
        "{} files and {} rows",
        report.files,
        rows.len()
    );
    let mut names: Vec<_> = rows.iter().map(|r| &r.path).collect();
    names.sort();
    names.dedup();
    ensure!(names.len() == rows.len(), "a name was used twice: {names:?}");
    for row in &rows {
        let path = file_of(config, row);
        tokio::task::spawn_blocking(move || judge::decode_all(&path)).await??;
    }
    let archive = Archive::open(config).await?;
    for camera in archive.recorded_cameras().await? {
        let timeline = archive.timeline(&camera.id, TimeRange::ALL).await?;
        judge_timeline(&timeline)?;
    }
    Ok(rows)
}

/// `nvr check` without repair.
///
/// # Errors
/// When root or index cannot be read.
pub async fn checked(config: &Config) -> anyhow::Result<check::CheckReport> {
    let store = store(config).await?;
    let root = config.recorder.root.clone();
    let second = config.tier.as_ref().map(|t| t.root.clone());
    Ok(tokio::task::spawn_blocking(move || {
        let root = Root::open(root, RootOptions::default(), SystemClock::shared())?;
        let second = second.map(|path| Root::new(path, RootOptions::default(), SystemClock::shared()));
        let options = check::CheckOptions {
            second: second.map(Arc::new),
            ..check::CheckOptions::default()
        };
        check::check(&store, &root, &options, &mut |_| {})
    })
    .await??)
}

/// Ranges and gaps are sorted, disjoint and leave nothing out.
///
/// # Errors
/// What is wrong.
pub fn judge_timeline(timeline: &Timeline) -> anyhow::Result<()> {
    let mut all: Vec<TimeRange> = timeline
        .ranges
        .iter()
        .map(|r| r.range)
        .chain(timeline.gaps.iter().map(|g| g.range))
        .collect();
    for list in [
        timeline.ranges.iter().map(|r| r.range).collect::<Vec<_>>(),
        timeline.gaps.iter().map(|g| g.range).collect(),
    ] {
        ensure!(
            list.windows(2).all(|w| w[0].end() <= w[1].start()) && list.iter().all(|r| r.start() < r.end()),
            "not sorted and disjoint: {timeline:#?}"
        );
    }
    all.sort_by_key(TimeRange::start);
    ensure!(
        all.windows(2).all(|w| w[0].end() <= w[1].start()),
        "ranges and gaps overlap: {timeline:#?}"
    );
    let recorded: i64 = timeline.ranges.iter().map(|r| r.range.len_ns()).sum();
    ensure!(
        recorded == timeline.totals.recorded_ns,
        "the sum is wrong: {timeline:#?}"
    );
    Ok(())
}

/// The frame numbers of a camera's footage in the order in which it was recorded.
///
/// # Errors
/// When a file does not decode.
pub async fn numbers(config: &Config, camera: &str) -> anyhow::Result<Vec<u32>> {
    let mut all = Vec::new();
    for row in rows(config).await?.iter().filter(|r| r.camera.as_str() == camera) {
        all.extend(numbers_of(config, row).await?);
    }
    Ok(all)
}

/// The frame numbers of one segment.
///
/// # Errors
/// When the file does not decode.
pub async fn numbers_of(config: &Config, row: &SegmentRow) -> anyhow::Result<Vec<u32>> {
    let path = file_of(config, row);
    tokio::task::spawn_blocking(move || judge::frame_numbers(&path)).await?
}

/// Frame numbers without a hole.
///
/// # Errors
/// When one is missing, repeats or falls.
pub fn whole(numbers: &[u32]) -> anyhow::Result<()> {
    let missing = judge::missing(numbers)?;
    ensure!(missing.is_empty(), "frames {missing:?} are missing");
    Ok(())
}

/// What a file of a segment's row is called on the disk.
#[must_use]
pub fn file_of(config: &Config, row: &SegmentRow) -> PathBuf {
    match (&config.tier, row.tier) {
        (Some(tier), Tier::Second) => tier.root.join(&row.path),
        _ => config.recorder.root.join(&row.path),
    }
}
