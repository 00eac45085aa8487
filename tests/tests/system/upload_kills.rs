//! `kill -9` before and behind each request of an upload: the service holds it, the recorder dies. Afterwards the copy is
//! there once, nothing is left half, and nothing that had arrived was sent again.

use nvr_core::segment::Tier;
use nvr_core::store::{OpenMode, SegmentState, Store, UploadState};
use nvr_tests::plant::{assert_there, bytes, key, plant, until_done};
use nvr_tests::recorder::Recorder;
use nvr_tests::rig::{LIMIT, Rig};
use nvr_tests::s3::{Mode, S3};
use nvr_tests::wait;

const MIB: u64 = 1 << 20;
/// Three parts.
const LARGE: usize = (11 << 20) + 4321;
const SMALL: usize = 100_000;

/// A request at which the recorder is killed.
struct Point {
    method: &'static str,
    has: &'static str,
    nth: usize,
    /// Whole parts that had arrived, and were noted, before it.
    parts: u64,
}

const fn point(method: &'static str, has: &'static str, nth: usize, parts: u64) -> Point {
    Point {
        method,
        has,
        nth,
        parts,
    }
}

/// In one request.
const AT_ONCE: [Point; 3] = [
    point("HEAD", ".mp4", 1, 0),
    point("PUT", ".mp4", 1, 0),
    // Asked what it has.
    point("HEAD", ".mp4", 2, 0),
];

/// In parts.
const IN_PARTS: [Point; 7] = [
    point("HEAD", ".mp4", 1, 0),
    point("POST", "?uploads", 1, 0),
    point("PUT", "partNumber=1", 1, 0),
    point("PUT", "partNumber=2", 1, 1),
    point("PUT", "partNumber=3", 1, 2),
    // Put together.
    point("POST", "uploadId=", 1, 3),
    point("HEAD", ".mp4", 2, 3),
];

async fn killed_at(points: &[Point], size: usize) {
    let s3 = S3::start().await.unwrap();
    let endpoint = s3.endpoint();
    let mut rig = Rig::new().unwrap();
    rig.start().await.unwrap();
    rig.stop().await;
    let (plain, mut with_target) = (rig.config.clone(), rig.config.clone());
    with_target.uploads.push(s3.target("s3"));
    with_target.jobs.retry_ceiling = std::time::Duration::from_secs(1);
    let mut n = 0;
    for point in points {
        for before in [true, false] {
            n += 1;
            let what = format!(
                "{} {} ({}), {}",
                point.method,
                point.has,
                point.nth,
                if before { "unseen" } else { "unanswered" }
            );
            let content = bytes(n, size);
            s3.set(Mode::Hold {
                method: point.method,
                has: point.has,
                nth: point.nth,
                before,
            });
            let mut recorder = Recorder::start(rig.root(), &[], &["--upload", &endpoint]).unwrap();
            // As if the recorder had recorded it: it looks for what is new in its index.
            let path = plain.recorder.database.clone();
            let store = tokio::task::spawn_blocking(move || Store::open(path, OpenMode::ReadWrite).unwrap())
                .await
                .unwrap();
            let number = i64::try_from(n).unwrap();
            let segment = plant(&plain, &store, number, &content);
            wait::until_true(&what, LIMIT, || s3.is_holding()).unwrap();
            recorder.kill().unwrap();
            assert_ne!(
                store.upload(segment, "s3").unwrap().state,
                UploadState::Done,
                "{what}"
            );
            store.shutdown().await.unwrap();

            let there = s3.object(&key(number)).await.unwrap().is_some();
            s3.set(Mode::Pass);
            rig.config = with_target.clone();
            rig.start().await.unwrap();
            until_done(&rig, &[segment]).await;
            assert_there(&s3, number, &content).await;
            // What the sweep of a start clears up may come a moment later.
            wait::until_async(&format!("{what}: nothing unfinished"), LIMIT, || async {
                (s3.unfinished().await.unwrap() == 0).then_some(())
            })
            .await
            .unwrap();
            let again = (size as u64).saturating_sub(point.parts * 5 * MIB) + MIB / 2;
            let most = if there { MIB / 2 } else { again };
            assert!(s3.sent() < most, "{what}: {} bytes went again", s3.sent());
            let row = rig.nvr().store().segment(segment).unwrap().unwrap();
            assert_eq!(
                (row.state, row.tier),
                (SegmentState::Closed, Tier::First),
                "{what}"
            );
            assert_eq!(
                std::fs::read(rig.root().join(&row.path)).unwrap(),
                content,
                "{what}"
            );
            rig.stop().await;
            rig.config = plain.clone();
        }
    }
    let mut keys = s3.keys().await.unwrap();
    keys.sort();
    let mut expected: Vec<_> = (1..=i64::try_from(n).unwrap()).map(key).collect();
    expected.sort();
    assert_eq!(keys, expected, "one object for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_request_of_an_upload() {
    killed_at(&AT_ONCE, SMALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_request_of_an_upload_in_parts() {
    killed_at(&IN_PARTS, LARGE).await;
}
