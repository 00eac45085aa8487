//! Started and stopped again and again, a recorder leaves nothing behind. Alone in its process: it counts the
//! threads and file descriptors of all of it.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::time::Duration;

use nvr_core::config::{CameraConfig, Config, RecordMode};
use nvr_core::event::CameraPhase;
use nvr_core::{CameraId, Nvr, SourceSpec};

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

async fn cycle(config: &Config) {
    let nvr = Nvr::builder(config.clone()).start().await.unwrap();
    let events = nvr.events();
    for camera in nvr.cameras() {
        let mut state = camera.state();
        let flows = |p| {
            matches!(
                p,
                CameraPhase::Recording | CameraPhase::Standby | CameraPhase::BackingOff
            )
        };
        let reached = state.wait_for(|s| flows(s.phase));
        drop(
            tokio::time::timeout(Duration::from_secs(60), reached)
                .await
                .unwrap()
                .unwrap(),
        );
        if camera.config().record == RecordMode::Manual {
            camera.record(None).await.unwrap();
        }
    }
    let report = nvr.shutdown(Duration::from_secs(30)).await;
    assert!(report.cut.is_empty(), "{report:?}");
    drop(events);
}

#[test]
fn nothing_is_left_of_ten_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    for (name, source) in [
        ("plain", "test:?size=160x120&fps=10&gop=5&audio=0"),
        ("sound", "test:?size=160x120&fps=10&gop=5&audio=1"),
        ("hand", "test:?size=160x120&fps=10&gop=5&audio=0"),
        ("away", "rtsp://127.0.0.1:1/x"),
    ] {
        let mut camera = CameraConfig::new(CameraId::new(name).unwrap(), SourceSpec::parse(source).unwrap());
        if name == "hand" {
            camera.record = RecordMode::Manual;
        }
        config.cameras.push(camera);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // The pool for blocking work keeps its threads for a while: none shall be taken for a leak.
        .thread_keep_alive(Duration::from_millis(10))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // What is made once and for all, is made.
        for _ in 0..2 {
            cycle(&config).await;
        }
        let settled = |most: (usize, usize)| async move {
            let mut now = (0, 0);
            for _ in 0..600 {
                now = (count("task"), count("fd"));
                if now.0 <= most.0 && now.1 <= most.1 {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("{now:?} threads and files, not {most:?}");
        };
        // The least that is ever there: GStreamer's own pools shrink with time.
        let mut before = (usize::MAX, usize::MAX);
        for _ in 0..100 {
            before = (before.0.min(count("task")), before.1.min(count("fd")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..10 {
            cycle(&config).await;
        }
        // GLib's pool of threads keeps two that have nothing to do.
        let after = settled((before.0 + 2, before.1)).await;
        assert!(runtime.metrics().num_alive_tasks() <= 1, "tasks are left behind");
        assert!(after.0 > 0);
    });
}
