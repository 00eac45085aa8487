//! The recorder without cameras, on a clock that the tests turn.

use std::sync::Arc;
use std::time::Duration;

use tokio_stream::StreamExt;

mod days;
mod mqtt_events;

use super::Nvr;
use super::storage_watch::STORAGE_LOOK;
use crate::config::{Config, RetentionConfig};
use crate::event::{CauseKind, Event, EventKind};
use crate::files::MARKER;
use crate::testing::ManualClock;
use crate::time::Timestamp;

/// Turns the clock from look to look at the disk until something is told of it.
async fn looked(clock: &ManualClock, events: &mut crate::EventStream) -> Event {
    loop {
        clock.advance(STORAGE_LOOK);
        // Whoever was about to sleep when the clock was turned is woken by the next turn.
        let patience = std::time::Duration::from_millis(200);
        if let Ok(event) = tokio::time::timeout(patience, events.next()).await {
            return event.expect("the recorder runs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_disk_is_noticed_and_so_is_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    config.retention = RetentionConfig::off();
    config.recorder.database = dir.path().join("nvr.db");
    let root = config.recorder.root.clone();
    let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
    let nvr = Nvr::builder(config)
        .clock(Arc::new(clock.clone()))
        .start()
        .await
        .unwrap();
    let mut events = nvr.events();
    assert!(nvr.health().ok);

    std::fs::rename(root.join(MARKER), dir.path().join("kept")).unwrap();
    let event = looked(&clock, &mut events).await;
    assert!(event.at >= Timestamp::from_secs(1_800_000_002), "{event:?}");
    let EventKind::StorageFault { cause } = event.kind else {
        panic!("{event:?}");
    };
    assert_eq!(cause.kind, CauseKind::StorageMissing);
    assert!(!nvr.health().ok);

    std::fs::rename(dir.path().join("kept"), root.join(MARKER)).unwrap();
    assert_eq!(
        looked(&clock, &mut events).await.kind,
        EventKind::StorageRecovered
    );
    assert!(nvr.health().ok);
    nvr.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_recorder_says_that_it_is() {
    use crate::config::{CameraConfig, RecordMode};
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    let mut camera = CameraConfig::new("cam".parse().unwrap(), crate::SourceSpec::parse("test:").unwrap());
    camera.record = RecordMode::Off;
    config.cameras = vec![camera.clone()];
    let nvr = Nvr::builder(config).start().await.unwrap();
    let id = camera.id.clone();
    assert!(nvr.camera(&id).is_ok());
    let none = nvr.camera(&"none".parse().unwrap()).unwrap_err();
    assert_eq!(none.kind(), crate::ErrorKind::NotFound, "{none}");
    nvr.shutdown(Duration::from_secs(5)).await;
    for e in [
        nvr.camera(&id).unwrap_err(),
        nvr.remove_camera(&id).await.unwrap_err(),
        nvr.add_camera(camera).await.unwrap_err(),
    ] {
        assert_eq!(e.kind(), crate::ErrorKind::Unavailable, "{e}");
    }
}

/// Tasks without timers would panic one by one, after a start that seemed to go well.
#[test]
fn a_runtime_without_timers_or_io_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (build, word) in [
        (tokio::runtime::Builder::new_current_thread().build(), "timers"),
        (
            tokio::runtime::Builder::new_multi_thread().enable_time().build(),
            "I/O",
        ),
    ] {
        let config = Config::new(dir.path().join("recordings"));
        let e = build.unwrap().block_on(Nvr::builder(config).start()).unwrap_err();
        assert_eq!(e.kind(), crate::ErrorKind::Unsupported, "{e}");
        assert!(e.to_string().contains(word), "{e}");
    }
    assert!(!dir.path().join("recordings").exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_is_a_limit_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    (config.recorder.max_starting, config.recorder.max_manual) = (usize::MAX, usize::MAX);
    let nvr = Nvr::builder(config).start().await.unwrap();
    nvr.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cameras_of_one_id_are_refused_whole() {
    use crate::config::{CameraConfig, RecordMode};
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path().join("recordings"));
    let mut twice = config.clone();
    let mut camera = CameraConfig::new("cam".parse().unwrap(), crate::SourceSpec::parse("test:").unwrap());
    camera.record = RecordMode::Off;
    twice.cameras = vec![camera.clone(), camera];

    let e = Nvr::builder(twice.clone()).start().await.unwrap_err();
    assert_eq!(e.kind(), crate::ErrorKind::Config, "{e}");
    assert!(!config.recorder.root.exists(), "nothing was made");
    let nvr = Nvr::builder(config).start().await.unwrap();
    let e = nvr.reload(twice).await.unwrap_err();
    assert_eq!(e.kind(), crate::ErrorKind::Config, "{e}");
    assert!(nvr.cameras().is_empty() && nvr.config().cameras.is_empty());
    nvr.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_cannot_be_are_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let root = dir.path().join("recordings");
    for (root, database, hint) in [
        ("".into(), None, "name a folder"),
        (file, None, "a file is in its way"),
        (root.clone(), Some(dir.path().to_owned()), "name a file in it"),
        (root, Some(dir.path().join("none/nvr.db")), "make it"),
    ] {
        let mut config = Config::new(root);
        if let Some(database) = database {
            config.recorder.database = database;
        }
        let e = Nvr::builder(config).start().await.unwrap_err();
        assert!(e.hint().is_some_and(|h| h.contains(hint)), "{e:?}");
    }
}

/// fm15: what is more than the start can enter is entered while it runs, and what grows meanwhile is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn fm15_a_lost_index_is_complete_again_soon_after_the_start() {
    use crate::files::tests::{media, record, start};
    use crate::files::{Root, RootOptions, SegmentName, SyncPolicy, Tree};
    use crate::segment::SegmentFiles;
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    config.retention = RetentionConfig::off();
    config.recorder.database = dir.path().join("nvr.db");
    let root = config.recorder.root.clone();
    std::fs::create_dir(&root).unwrap();
    let options = RootOptions {
        create: crate::files::Create::IfEmpty,
        expected: None,
        exclusive: true,
    };
    let clock = crate::clock::SystemClock::shared();
    let tree = Tree::new(Root::open(&root, options, clock).unwrap(), SyncPolicy::Close).unwrap();
    let template = record(
        &tree,
        &start("cam", 1, 0, Timestamp::from_secs(0)),
        &media().bytes,
    );
    drop(tree);
    let bytes = std::fs::read(root.join(&template.path)).unwrap();
    const DAY: i64 = 86_400;
    for i in 1..1200i64 {
        let begin = Timestamp::from_secs(i % 3 * DAY + i * 4);
        let name = SegmentName::of(&start("cam", 1, u32::try_from(i).unwrap(), begin));
        let path = root.join(name.path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes).unwrap();
    }
    let nvr = Nvr::builder(config).start().await.unwrap();
    // A segment of this life, on a day that is looked at.
    let growing = start("cam", 2, 0, Timestamp::from_secs(2 * DAY + 50_000));
    let mut file = nvr.0.tree.create(&growing).unwrap();
    file.write_at(0, &bytes[..bytes.len() / 2]).unwrap();
    let full = tokio::time::timeout(Duration::from_secs(60), async {
        while nvr.store().count().unwrap() < 1200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    full.await.unwrap();
    assert_eq!(nvr.store().segment_by_path(file.path()).unwrap(), None);
    assert_eq!(nvr.store().count().unwrap(), 1200);
    drop(file);
    nvr.shutdown(Duration::from_secs(5)).await;
}

/// fm14: a start without the disk that the last one had makes no tree in its place, whatever is in `/etc/fstab`, and
/// the index lies on that disk as it does by default.
#[tokio::test(flavor = "multi_thread")]
async fn fm14_a_start_without_its_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mnt");
    std::fs::create_dir(&mount).unwrap();
    let run = |command: &str, args: &[&str]| {
        let status = std::process::Command::new(command)
            .args(args)
            .arg(&mount)
            .status();
        status.unwrap().success()
    };
    let tmpfs = || run("mount", &["-t", "tmpfs", "-o", "size=64m", "none"]);
    if !tmpfs() {
        crate::files::tests::without_mount();
        return;
    }
    let mut config = Config::new(mount.join("recordings"));
    config.retention = RetentionConfig::off();
    config.path = Some(dir.path().join("nvr.toml"));
    let life = async |config: &Config| {
        let nvr = Nvr::builder(config.clone()).start().await?;
        nvr.shutdown(Duration::from_secs(5)).await;
        crate::Result::Ok(())
    };
    life(&config).await.unwrap();
    assert!(run("umount", &[]));
    let e = life(&config).await.unwrap_err();
    assert_eq!(
        crate::files::cause_of(&e).map(|c| c.kind),
        Some(CauseKind::StorageMissing),
        "{e:?}"
    );
    assert_eq!(
        std::fs::read_dir(&mount).unwrap().count(),
        0,
        "nothing was made there"
    );
    // Another disk, still empty, is a new beginning.
    assert!(tmpfs());
    life(&config).await.unwrap();
    assert!(run("umount", &[]));
    // Asked for, it is missed at the very first start as well.
    config.path = None;
    config.recorder.root_mount = Some(mount.clone());
    assert!(life(&config).await.is_err());
    assert_eq!(std::fs::read_dir(&mount).unwrap().count(), 0);
}

/// What the watchdog of a service goes by: owners answer whatever their cameras do, and one that hangs is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_nobody_looks_after_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
    config.retention = RetentionConfig::off();
    config.recorder.database = dir.path().join("nvr.db");
    let nvr = Nvr::builder(config).start().await.unwrap();
    let camera = |id: &str| {
        let source = crate::source::SourceSpec::parse("rtsp://127.0.0.1:9/").unwrap();
        crate::config::CameraConfig::new(id.parse().unwrap(), source)
    };
    // Nobody answers at its address.
    nvr.add_camera(camera("away")).await.unwrap();
    let hangs = nvr.add_camera(camera("hangs")).await.unwrap();
    let ended = nvr.add_camera(camera("ended")).await.unwrap();
    let patience = Duration::from_secs(30);
    assert_eq!(nvr.unresponsive(patience).await, []);

    // One whose commands nobody reads, and one whose task is gone.
    let (unread, _reader) = tokio::sync::mpsc::unbounded_channel();
    let (gone, _) = tokio::sync::mpsc::unbounded_channel();
    let swap = |camera: &crate::Camera, commands| {
        let camera = crate::Camera {
            commands,
            ..camera.clone()
        };
        nvr.0.cameras.write().unwrap().insert(camera.id(), camera);
    };
    swap(&hangs, unread);
    swap(&ended, gone);
    let silent = nvr.unresponsive(Duration::from_millis(100)).await;
    assert_eq!(silent, ["ended", "hangs"].map(|id| id.parse().unwrap()));
    swap(&hangs, hangs.commands.clone());
    swap(&ended, ended.commands.clone());
    nvr.shutdown(Duration::from_secs(5)).await;
}
