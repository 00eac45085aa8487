//! A new configuration touches what changed and nothing else.

use std::time::Duration;

use nvr_core::EventKind;
use nvr_core::event::{CameraPhase, CauseKind};

use crate::house::*;

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_touched() {
    let mut house =
        House::new(["same", "renamed", "patient", "changed", "removed"].map(|n| camera(n, SMALL)));
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = |name: &str| nvr.camera(&id(name)).unwrap();
    let names = ["same", "renamed", "patient", "changed", "removed"];
    for name in names {
        frames(&cam(name), 5).await;
    }
    let run = |name: &str| cam(name).status().run.unwrap();
    let before = ["same", "renamed", "changed"].map(run);

    let cameras = &mut house.config.cameras;
    cameras[1].name = "Front door".into();
    cameras[3].source = nvr_core::SourceSpec::parse("test:?size=160x120&fps=10&gop=5&audio=0").unwrap();
    cameras.remove(4);
    cameras.push(camera("added", SMALL));
    house.config.recorder.max_manual += 1;
    house.config.recording.sync = nvr_core::config::SyncMode::Every(Duration::from_secs(7));
    let diff = nvr.reload(house.config.clone()).await.unwrap();
    assert_eq!(diff.added, [id("added")]);
    assert_eq!(diff.removed, [id("removed")]);
    assert_eq!(diff.changed, [id("renamed"), id("changed")]);
    assert_eq!(diff.needs_restart, ["recorder.max_manual", "recording.sync"]);

    frames(&cam("added"), 5).await;
    until("the new size", || {
        let size = cam("changed").status().tracks.map(|t| t.video.width);
        (size == Some(160)).then_some(())
    })
    .await;
    frames(&cam("changed"), 5).await;
    assert_eq!([run("same"), run("renamed")], before[..2]);
    assert_ne!(run("changed"), before[2]);
    assert_eq!(cam("renamed").config().name, "Front door");
    assert!(nvr.camera(&id("removed")).is_err());
    let known = nvr.recorded_cameras().await.unwrap();
    let name = known.iter().find(|c| c.id == id("renamed")).unwrap();
    assert_eq!(name.name.as_deref(), Some("Front door"));
    let changed = log.all().iter().find_map(|e| match &e.kind {
        EventKind::ConfigReloaded { changed } => Some(changed.clone()),
        _ => None,
    });
    assert_eq!(changed.unwrap().len(), 4);
    let causes = [CauseKind::Startup, CauseKind::ConfigChanged];
    gaps_when(&nvr, "changed", |gaps| kinds(gaps) == causes).await;

    // In force is what was asked for, but for what needs a restart; so the same again is only that.
    let again = nvr.reload(house.config.clone()).await.unwrap();
    assert!(again.changed.is_empty() && again.added.is_empty() && again.removed.is_empty());
    assert_eq!(again.needs_restart, ["recorder.max_manual", "recording.sync"]);
    for name in ["same", "renamed", "patient"] {
        log.judge_phases(name);
        assert!(log.phases(name).iter().all(|p| p.2 != CauseKind::ConfigChanged));
    }
    stop(nvr).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_waits_is_started_once_and_at_once() {
    let mut house = House::new([camera("cam", NOBODY)]);
    let nvr = house.start().await;
    let log = Log::of(&nvr);
    let cam = nvr.camera(&id("cam")).unwrap();
    // Long enough away for a long wait.
    until("some tries", || {
        (cam.status().counters.restarts >= 3).then_some(())
    })
    .await;
    phase(&cam, CameraPhase::BackingOff).await;
    house.config.cameras[0] = camera("cam", SMALL);
    nvr.reload(house.config.clone()).await.unwrap();
    // The state is shown a moment before the event is.
    until("the event of the recording", || {
        log.phases("cam")
            .last()
            .is_some_and(|p| p.1 == CameraPhase::Recording)
            .then_some(())
    })
    .await;
    let phases = log.phases("cam");
    let last: Vec<_> = phases.iter().rev().take(2).map(|p| (p.0, p.1)).collect();
    assert_eq!(
        last,
        [
            (CameraPhase::Connecting, CameraPhase::Recording),
            (CameraPhase::BackingOff, CameraPhase::Connecting),
        ],
        "{phases:#?}"
    );
    frames(&cam, 10).await;
    assert_eq!(runs(&nvr, "cam").await.len(), 1, "one connection, not two");
    stop(nvr).await;
}
