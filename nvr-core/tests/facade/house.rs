//! A recorder in a folder of its own, and waiting with a deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream as _;
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::{CameraConfig, Config, RecordMode, RetentionConfig};
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::store::{GapRow, RunRow, SegmentQuery, SegmentRow, SegmentState};
use nvr_core::testing::undivided;
use nvr_core::{Archive, Camera, CameraId, Event, EventKind, Nvr, SourceSpec, TimeRange};

/// A small, cheap camera: a frame every 100 ms, a keyframe every second.
pub const SMALL: &str = "test:?size=320x240&fps=10&gop=10&audio=0";
/// Nobody answers there: port 1 of the loopback.
pub const NOBODY: &str = "rtsp://127.0.0.1:1/x";
/// For anything that happens soon on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Ends everything in order.
pub const STOP: Duration = Duration::from_secs(30);
pub const S: i64 = 1_000_000_000;

pub fn id(name: &str) -> CameraId {
    CameraId::new(name).unwrap()
}

/// With a segment that ends with the test.
pub fn camera(name: &str, source: &str) -> CameraConfig {
    let mut config = CameraConfig::new(id(name), SourceSpec::parse(source).unwrap());
    config.segment = undivided(SystemClock::new().now());
    config
}

pub fn manual(name: &str) -> CameraConfig {
    let mut config = camera(name, SMALL);
    config.record = RecordMode::Manual;
    config.pre_roll = Duration::from_secs(3);
    config
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    until_async(what, async || ask()).await
}

/// The same, of something that answers in its time.
pub async fn until_async<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Lets a second go by: an absence shorter than a frame is no gap.
pub async fn a_second(nvr: &Nvr) {
    let clock = nvr.clock();
    let end = clock.steady_ns() + S;
    until("a second", || (clock.steady_ns() >= end).then_some(())).await;
}

pub async fn phase(camera: &Camera, wanted: CameraPhase) {
    let mut state = camera.state();
    let reached = state.wait_for(|s| s.phase == wanted);
    match tokio::time::timeout(LIMIT, reached).await {
        Ok(reached) => drop(reached.unwrap()),
        Err(_) => panic!(
            "{} is not {}: {:?}",
            camera.id(),
            wanted.as_str(),
            camera.status()
        ),
    }
}

/// Waits until so many more frames went into a file.
pub async fn frames(camera: &Camera, more: u64) {
    let goal = camera.status().counters.frames + more;
    until(&format!("{more} frames of {}", camera.id()), || {
        let status = camera.status();
        (status.recording && status.counters.frames >= goal).then_some(())
    })
    .await;
}

pub struct House {
    pub config: Config,
    _dir: tempfile::TempDir,
}

impl House {
    pub fn new(cameras: impl IntoIterator<Item = CameraConfig>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("recordings"));
        config.recorder.time_zone = "UTC".into();
        // The disk of who runs the tests may be fuller than that.
        config.retention = RetentionConfig::off();
        config.cameras.extend(cameras);
        Self { config, _dir: dir }
    }

    pub async fn start(&self) -> Nvr {
        Nvr::builder(self.config.clone()).start().await.unwrap()
    }

    /// As another program would ask.
    pub async fn archive(&self) -> Archive {
        Archive::open(&self.config).await.unwrap()
    }
}

pub async fn stop(nvr: Nvr) {
    let report = nvr.shutdown(STOP).await;
    assert!(report.cut.is_empty(), "{report:?}");
}

pub async fn segments(archive: &Archive, name: &str) -> Vec<SegmentRow> {
    let query = SegmentQuery::new([id(name)], TimeRange::ALL);
    archive.segments(query).await.unwrap().items
}

pub async fn gaps(archive: &Archive, name: &str) -> Vec<GapRow> {
    let (store, id) = (archive.store().clone(), id(name));
    tokio::task::spawn_blocking(move || store.gaps(&id, TimeRange::ALL).unwrap())
        .await
        .unwrap()
}

/// The gaps of a camera once the index has what is wanted of them: rows follow events a moment later.
pub async fn gaps_when(archive: &Archive, name: &str, wanted: impl Fn(&[GapRow]) -> bool) -> Vec<GapRow> {
    rows_when(async || gaps(archive, name).await, wanted).await
}

/// The same with the segments of a camera.
pub async fn segments_when(
    archive: &Archive,
    name: &str,
    wanted: impl Fn(&[SegmentRow]) -> bool,
) -> Vec<SegmentRow> {
    rows_when(async || segments(archive, name).await, wanted).await
}

pub fn one_closed(rows: &[SegmentRow]) -> bool {
    rows.len() == 1 && rows[0].state == SegmentState::Closed
}

async fn rows_when<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> Vec<T>,
    wanted: impl Fn(&[T]) -> bool,
) -> Vec<T> {
    let mut rows = Vec::new();
    let asked = async {
        loop {
            rows = ask().await;
            if wanted(&rows) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(LIMIT, asked).await.is_ok();
    assert!(in_time, "waited in vain, it is still {rows:#?}");
    rows
}

pub async fn runs(archive: &Archive, name: &str) -> Vec<RunRow> {
    let (store, id) = (archive.store().clone(), id(name));
    tokio::task::spawn_blocking(move || store.runs(&id, TimeRange::ALL).unwrap())
        .await
        .unwrap()
}

pub fn kinds(gaps: &[GapRow]) -> Vec<CauseKind> {
    gaps.iter().map(|g| g.cause.kind).collect()
}

/// Collects the events of a recorder.
pub struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub fn of(nvr: &Nvr) -> Self {
        let (mut stream, log) = (nvr.events(), Arc::new(Mutex::new(Vec::new())));
        let sink = Arc::clone(&log);
        tokio::spawn(async move {
            while let Some(event) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
                sink.lock().unwrap().push(event);
            }
        });
        Self(log)
    }

    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// The phases that a camera went through, with their causes.
    pub fn phases(&self, name: &str) -> Vec<(CameraPhase, CameraPhase, CauseKind)> {
        self.all()
            .iter()
            .filter(|e| e.camera == Some(id(name)))
            .filter_map(|e| match &e.kind {
                EventKind::CameraState { from, to, cause } => Some((*from, *to, cause.kind)),
                _ => None,
            })
            .collect()
    }

    /// Each phase begins where the one before ended.
    pub fn judge_phases(&self, name: &str) {
        let phases = self.phases(name);
        for pair in phases.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "{phases:#?}");
        }
        for (from, to, _) in &phases {
            assert_ne!(from, to, "{phases:#?}");
        }
    }
}
