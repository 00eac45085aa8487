//! Hours and days of cameras that are away, in seconds: the recorder's time leaps from try to try.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nvr_core::TimeRange;
use nvr_core::clock::Clock as _;
use nvr_core::event::CameraPhase;
use nvr_core::machine::MachineSample;
use nvr_core::store::EventQuery;
use nvr_core::time::duration_ns;
use nvr_tests::TestCam;
use nvr_tests::leap::LeapClock;
use nvr_tests::ports::free_port;
use nvr_tests::rig::{CAM, LIMIT, Rig, id, small, whole};
use tokio::io::AsyncReadExt as _;

const HOUR: Duration = Duration::from_hours(1);
/// The longest wait between two tries, with its jitter, and the two looks of the watchdog around it.
const CEILING: Duration = Duration::from_millis(37_500 + 1_000);

fn rig() -> (Rig, Arc<LeapClock>) {
    let mut rig = Rig::new().unwrap();
    let clock = Arc::new(LeapClock::new());
    rig.other_clock = Some(clock.clone());
    (rig, clock)
}

/// Waits for the end of so many tries of a camera, and says how long it will be until the next one.
async fn wait_of(rig: &Rig, clock: &LeapClock, camera: &str, tries: u64) -> Duration {
    let camera = rig.nvr().camera(&id(camera)).unwrap();
    let next = async {
        loop {
            let status = camera.status();
            let waits = status.state.phase == CameraPhase::BackingOff && status.counters.restarts >= tries;
            if let Some(next) = status.state.next_try.filter(|_| waits) {
                return next;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let next = tokio::time::timeout(LIMIT, next)
        .await
        .unwrap_or_else(|_| panic!("{tries} tries: {:#?}", camera.status()));
    Duration::from_nanos(u64::try_from(next.since(clock.now())).unwrap_or(0))
}

/// A camera that is away for 12 hours is tried all the time, never more seldom than every 37.5 s, and recorded within
/// that time of its return. Its outage is one gap, and costs no memory.
#[tokio::test(flavor = "multi_thread")]
async fn fm11_a_camera_that_is_away_for_twelve_hours() {
    let mut cam = TestCam::start(small()).unwrap();
    let (mut rig, clock) = rig();
    rig.add(CAM, &cam.url()).unwrap();
    cam.die();
    rig.start().await.unwrap();
    let begin = clock.steady_ns();
    let (mut tries, mut early) = (1, None);
    loop {
        let wait = wait_of(&rig, &clock, CAM, tries).await;
        assert!(wait <= CEILING, "{wait:?} after {tries} tries");
        if clock.steady_ns() - begin > 12 * duration_ns(HOUR) {
            cam.come_back().unwrap();
            clock.leap(wait);
            break;
        }
        clock.leap(wait);
        if tries == 200 {
            early = Some(MachineSample::take());
        }
        tries += 1;
    }
    let late = MachineSample::take();
    assert!((1100..2000).contains(&tries), "{tries} tries");
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    let restarts = rig.cam().status().counters.restarts;
    assert_eq!(restarts, tries, "recorded at its first try after the return");
    rig.frames(20).await.unwrap();
    rig.stop_clean().await.unwrap();

    assert_eq!(
        rig.gap_causes().len(),
        2,
        "the start and the stop, {:?}",
        rig.gap_causes()
    );
    let early = early.unwrap();
    // A thread left behind by each try would make a thousand; how many wait for work at the moment varies.
    let more = late.threads.saturating_sub(early.threads);
    assert!(more < 32, "{more} more threads after {tries} tries");
    let grown = late.resident_bytes.saturating_sub(early.resident_bytes);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes in {tries} tries");
    let rows = rig.judge().await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    whole(&rig.numbers(CAM).await.unwrap()).unwrap();
}

/// A camera that takes every connection and never says a word; how many it took.
fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("rtsp://{}/cam", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move { while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} });
        }
    });
    (url, taken)
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Two dead and two silent cameras for twelve hours, with their connections: memory, threads and open files are what they
/// were after four. What takes three days, with six good ones beside them, is in `nvr-core`.
#[tokio::test(flavor = "multi_thread")]
async fn fm19_dead_and_silent_cameras_cost_nothing_that_stays() {
    const STEP: Duration = Duration::from_secs(10);
    let (mut rig, clock) = rig();
    let dead = ["dead1", "dead2"];
    for name in dead {
        rig.add(name, &format!("rtsp://127.0.0.1:{}/cam", free_port().unwrap()))
            .unwrap();
    }
    let silent = [("silent1", silent()), ("silent2", silent())];
    for (name, (url, _)) in &silent {
        rig.add(name, url).unwrap();
    }
    rig.start().await.unwrap();
    let status = |name: &str| rig.nvr().camera(&id(name)).unwrap().status();
    let waits = |name: &str| {
        let state = status(name).state;
        state.phase == CameraPhase::BackingOff && state.next_try.is_some_and(|at| at > clock.now())
    };
    let connects = |name: &str, taken: &AtomicUsize| {
        let status = status(name);
        let tries = usize::try_from(status.counters.restarts).unwrap() + 1;
        status.state.phase == CameraPhase::Connecting && taken.load(Ordering::SeqCst) >= tries
    };
    let begin = clock.steady_ns();
    let passed = || clock.steady_ns() - begin;
    let mut early = None;
    while passed() < 12 * duration_ns(HOUR) {
        let settled = async {
            while !dead.iter().all(|name| waits(name))
                || !silent
                    .iter()
                    .all(|(name, (_, taken))| waits(name) || connects(name, taken))
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, settled)
            .await
            .unwrap_or_else(|_| panic!("{:#?}", rig.nvr().cameras()));
        if early.is_none() && passed() > 4 * duration_ns(HOUR) {
            early = Some((MachineSample::take(), open_files()));
        }
        clock.leap(STEP);
    }
    let (late, files) = (MachineSample::take(), open_files());
    let (early, files_before) = early.unwrap();
    let grown = late.resident_bytes.saturating_sub(early.resident_bytes);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes in eight hours");
    assert!(
        late.threads <= early.threads + 8,
        "{} threads, {}",
        early.threads,
        late.threads
    );
    assert!(files <= files_before + 8, "{files_before} open files, {files}");
    for name in dead {
        // Never more seldom than every 37.5 s, or every 10 s as time passes here.
        assert!(
            status(name).counters.restarts > 12 * 3600 / 50,
            "{:#?}",
            status(name)
        );
    }
    for (name, (_, taken)) in &silent {
        let restarts = status(name).counters.restarts;
        assert!(restarts > 12 * 3600 / 90, "{:#?}", status(name));
        let taken = taken.load(Ordering::SeqCst) as u64;
        assert!(
            (restarts..=restarts + 1).contains(&taken),
            "{taken} connections, {restarts} losses"
        );
    }
    // Each outage is one gap, and its states are in the index once.
    let store = rig.nvr().store().clone();
    for name in dead.into_iter().chain(silent.iter().map(|(name, _)| *name)) {
        let gaps = store.gaps(&id(name), TimeRange::ALL).unwrap();
        assert!(gaps.len() <= 2 && gaps.last().unwrap().end.is_none(), "{gaps:#?}");
        let mut query = EventQuery::new(TimeRange::ALL);
        query.camera = Some(id(name));
        let kept = store.events(&query).unwrap().items;
        assert!(kept.len() < 12, "{} events: {kept:#?}", kept.len());
    }
    rig.stop().await;
}
