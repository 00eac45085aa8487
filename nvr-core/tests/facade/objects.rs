//! Objects by a network that the test makes: named where something moves, and nothing looked at where nothing does.

use std::time::Duration;

use nvr_core::config::{CameraConfig, ObjectsConfig};
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::objects::{ObjectModel, ObjectModelOptions, ObjectsState, ObjectsStatus, RgbPicture};
use nvr_core::store::DetectionQuery;
use nvr_core::testing::{BRIGHT_LABEL, bright_model};
use nvr_core::{Detection, DetectionKind, Nvr, TimeRange};

use crate::house::*;

/// Above the sky; windows are as bright, and stand still.
const THRESHOLD: f32 = 0.65;
const MOVER: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=mover&still=6&moving=6";
const STILL: &str = "test:?size=640x360&fps=10&gop=10&audio=0&pattern=still";

fn watched(name: &str, source: &str) -> CameraConfig {
    let mut config = camera(name, source);
    config.motion.enabled = true;
    config.motion.cool_down = Duration::from_secs(2);
    config
}

/// The model lies beside the recordings.
fn with_model(house: &mut House, name: &str, bytes: &[u8]) {
    let folder = house.config.recorder.root.parent().unwrap();
    let file = folder.join(name);
    std::fs::write(&file, bytes).unwrap();
    let mut objects = ObjectsConfig::new(file);
    objects.threshold = THRESHOLD;
    house.config.objects = Some(objects);
}

async fn objects(nvr: &Nvr) -> Vec<Detection> {
    let mut query = DetectionQuery::new(TimeRange::ALL);
    query.kinds = vec![DetectionKind::Object];
    query.labels = vec![BRIGHT_LABEL.to_owned()];
    nvr.detections().list(query).await.unwrap().items
}

async fn state(nvr: &Nvr, wanted: ObjectsState) -> ObjectsStatus {
    until(wanted.as_str(), || {
        let status = nvr.objects();
        (status.state == wanted).then_some(status)
    })
    .await
}

#[test]
fn the_network_of_the_test_finds_what_is_bright() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bright_model()).unwrap();
    let model = ObjectModel::load(file.path(), ObjectModelOptions::default()).unwrap();
    let mut bytes = vec![0; 3 * 64 * 64];
    for y in 20..30 {
        bytes[3 * (64 * y + 40)..3 * (64 * y + 46)].fill(240);
    }
    let picture = RgbPicture {
        width: 64,
        height: 64,
        stride: 3 * 64,
        bytes: &bytes,
    };
    let found = model.find(&picture).unwrap();
    assert!(!found.is_empty());
    for one in found {
        assert_eq!(one.label, BRIGHT_LABEL);
        assert!((one.score - 240.0 / 255.0).abs() < 0.01, "{one:?}");
        let (x, y) = one.area.centre();
        assert!(
            (40.0 / 64.0..46.0 / 64.0).contains(&x) && (20.0 / 64.0..30.0 / 64.0).contains(&y),
            "{one:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_is_named_and_what_stands_is_not_looked_at() {
    let mut house = House::new([watched("mover", MOVER), watched("still", STILL)]);
    with_model(&mut house, "bright.onnx", &bright_model());
    let nvr = house.start().await;
    let status = state(&nvr, ObjectsState::Ready).await;
    assert_eq!(
        (status.input, &*status.labels),
        (Some((64, 64)), &[BRIGHT_LABEL.to_owned()][..])
    );
    let seen = until_async("something that was seen, and is over", async || {
        objects(&nvr).await.into_iter().find(|d| d.to.is_some())
    })
    .await;
    assert_eq!(
        (seen.camera.clone(), seen.kind),
        (id("mover"), DetectionKind::Object)
    );
    assert!((THRESHOLD..=1.0).contains(&seen.score), "{seen:?}");
    assert!(
        seen.best_at >= seen.from && seen.best_at <= seen.to.unwrap(),
        "{seen:?}"
    );
    // The bright half of the thing is between five ninths and thirteen eighteenths of the height.
    let data: serde_json::Value = serde_json::from_str(seen.data.as_deref().unwrap()).unwrap();
    let place: Vec<f64> = data["box"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap())
        .collect();
    let [x, y, width, height] = place[..] else {
        panic!("{data}")
    };
    assert!(
        (0.0..1.0).contains(&x) && x + width <= 1.0 && width > 0.0,
        "{data}"
    );
    assert!((0.5..0.75).contains(&(y + height / 2.0)), "{data}");
    assert!(data["count"].as_u64().unwrap() >= 1, "{data}");

    // A look at each picture for motion, at those in which something moves for objects.
    let still = nvr.camera(&id("still")).unwrap();
    until("looks at what stands still", || {
        (still.motion().frames > 5).then_some(())
    })
    .await;
    let cameras = nvr.objects().cameras;
    assert!(!cameras.contains_key(&id("still")), "{cameras:?}");
    let figures = &cameras[&id("mover")];
    assert!(
        figures.pictures > 0 && figures.found > 0 && figures.cpu_ns > 0,
        "{figures:?}"
    );
    assert_eq!(figures.pictures_damaged, 0, "{figures:?}");
    let looks = nvr.camera(&id("mover")).unwrap().motion().frames;
    assert!(figures.pictures < looks, "{figures:?} of {looks}");
    assert!(objects(&nvr).await.iter().all(|d| d.camera == id("mover")));
    assert!(nvr.health().ok, "{:?}", nvr.health());
    stop(nvr).await;
    // What went on is over with the recorder.
    let query = DetectionQuery::new(TimeRange::ALL);
    let all = house.archive().await.detections_of(query).await.unwrap().items;
    assert!(all.iter().all(|d| d.to.is_some()), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_used_is_told_and_recording_goes_on() {
    let mut house = House::new([watched("mover", MOVER)]);
    let missing = house.config.recorder.root.with_file_name("missing.onnx");
    house.config.objects = Some(ObjectsConfig::new(&missing));
    let nvr = house.start().await;
    let words = |status: &ObjectsStatus| {
        let (_, cause) = status.trouble.clone().unwrap();
        assert_eq!(cause.kind, CauseKind::ModelUnusable);
        cause.message
    };
    let told = words(&state(&nvr, ObjectsState::Failed).await);
    assert!(
        told.contains("objects are not looked for")
            && told.contains("missing.onnx")
            && told.contains("`model`"),
        "{told}"
    );
    let cam = nvr.camera(&id("mover")).unwrap();
    let goes_on = async || {
        phase(&cam, CameraPhase::Recording).await;
        frames(&cam, 5).await;
        assert_eq!(cam.status().counters.restarts, 0);
    };
    goes_on().await;
    let health = nvr.health();
    assert!(health.ready && !health.ok, "{health:?}");
    assert_eq!(health.problems[0].cause.kind, CauseKind::ModelUnusable);

    // A file that is no model.
    with_model(&mut house, "broken.onnx", b"this is no network");
    nvr.reload(house.config.clone()).await.unwrap();
    let told = until("the other trouble", || {
        let status = nvr.objects();
        (status.state == ObjectsState::Failed)
            .then(|| words(&status))
            .filter(|w| w.contains("broken.onnx"))
    })
    .await;
    assert!(told.contains("docs/objects.md"), "{told}");
    goes_on().await;

    // And one that is.
    with_model(&mut house, "bright.onnx", &bright_model());
    nvr.reload(house.config.clone()).await.unwrap();
    assert_eq!(state(&nvr, ObjectsState::Ready).await.trouble, None);
    goes_on().await;
    assert!(nvr.health().ok, "{:?}", nvr.health());
    house.config.objects = None;
    nvr.reload(house.config.clone()).await.unwrap();
    state(&nvr, ObjectsState::Off).await;
    stop(nvr).await;
}
