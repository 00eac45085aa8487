//! Copies of segments in a bucket: a real service, a network that misbehaves, a recorder that is killed.

use nvr_core::config::UploadWhat;
use nvr_core::event::{CameraPhase, CauseKind, JobState};
use nvr_core::store::{OpenMode, SegmentQuery, SegmentState, Store, UploadQuery, UploadState};
use nvr_core::{EventKind, JobId, SegmentId, SnapshotRequest, TimeRange};
use nvr_tests::plant::{assert_there, bytes, key, plant, start_of, until_done};
use nvr_tests::recorder::Recorder;
use nvr_tests::rig::{CAM, LIMIT, Rig, id, small};
use nvr_tests::s3::{Mode, S3};
use nvr_tests::{TestCam, judge, wait};

const MIB: usize = 1 << 20;
/// Three parts.
const LARGE: usize = 11 * MIB + 4321;

async fn rig_with(s3: &S3, change: impl FnOnce(&mut nvr_core::config::UploadConfig)) -> Rig {
    let mut rig = Rig::new().unwrap();
    let mut target = s3.target("s3");
    change(&mut target);
    rig.config.uploads.push(target);
    rig.config.jobs.retry_ceiling = std::time::Duration::from_secs(1);
    rig.start().await.unwrap();
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn small_and_large_segments_arrive_as_they_are() {
    let s3 = S3::start().await.unwrap();
    let mut rig = rig_with(&s3, |_| {}).await;
    let (small, large) = (bytes(1, 100_000), bytes(2, LARGE));
    let ids = [
        plant(&rig.config, rig.nvr().store(), 1, &small),
        plant(&rig.config, rig.nvr().store(), 2, &large),
    ];
    until_done(&rig, &ids).await;
    assert_there(&s3, 1, &small).await;
    assert_there(&s3, 2, &large).await;
    assert_eq!(s3.unfinished().await.unwrap(), 0);
    let figures = rig.nvr().uploads().figures();
    let sum = &figures[&id(CAM)];
    assert_eq!((sum.uploaded, sum.failures), (2, 0));
    assert_eq!(sum.uploaded_bytes, (small.len() + LARGE) as u64);

    // Not a byte goes twice: what is there is found, also by an index that does not know of it.
    rig.nvr()
        .store()
        .forget_copy(ids[1], "s3".into(), "test".into())
        .await
        .unwrap();
    s3.set(Mode::Pass);
    until_done(&rig, &ids).await;
    assert!(s3.sent() < 100_000, "{} bytes", s3.sent());

    // Another version of a file replaces its copy.
    let other = bytes(3, 200_000);
    plant(&rig.config, rig.nvr().store(), 1, &other);
    wait::until_async("the other version", LIMIT, || async {
        (s3.object(&key(1)).await.unwrap()?.0 == other).then_some(())
    })
    .await
    .unwrap();
    until_done(&rig, &ids).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_wanted_goes_and_what_is_asked_for() {
    let s3 = S3::start().await.unwrap();
    let mut rig = rig_with(&s3, |t| t.what = UploadWhat::Kept).await;
    let ids: Vec<_> = (0..3)
        .map(|n| {
            plant(
                &rig.config,
                rig.nvr().store(),
                n,
                &bytes(n.unsigned_abs(), 50_000),
            )
        })
        .collect();
    rig.nvr().set_protected(ids[1], true).await.unwrap();
    until_done(&rig, &ids[1..2]).await;
    assert!(s3.object(&key(0)).await.unwrap().is_none());
    let uploads = rig.nvr().uploads();
    let one = TimeRange::new(start_of(2), start_of(3)).unwrap();
    assert_eq!(uploads.request(&id(CAM), one, None).await.unwrap(), 1);
    until_done(&rig, &ids[2..]).await;
    assert!(uploads.of_segment(ids[0]).await.unwrap().is_empty());
    let address = uploads
        .presign(ids[2], Some("s3"), std::time::Duration::from_secs(60))
        .await
        .unwrap();
    assert!(address.contains("X-Amz-Expires=60"), "{address}");
    assert!(
        uploads
            .presign(ids[0], None, std::time::Duration::from_secs(60))
            .await
            .is_err()
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_costs_no_part_that_arrived() {
    let s3 = S3::start().await.unwrap();
    s3.set(Mode::CutAfter(8 * MIB as u64));
    let mut rig = rig_with(&s3, |_| {}).await;
    let large = bytes(4, LARGE);
    let id = plant(&rig.config, rig.nvr().store(), 1, &large);
    rig.until("a failure", || {
        rig.nvr().uploads().figures().values().any(|f| f.failures > 0)
    })
    .await
    .unwrap();
    s3.set(Mode::Pass);
    until_done(&rig, &[id]).await;
    assert_there(&s3, 1, &large).await;
    let rest = (LARGE - 5 * MIB + MIB / 2) as u64;
    assert!(s3.sent() < rest, "{} bytes of {LARGE} went again", s3.sent());
    assert_eq!(s3.unfinished().await.unwrap(), 0);
    rig.stop().await;
}

/// Away, full and refusing: everything waits, is told once, and goes in order afterwards.
async fn in_trouble(mode: Mode, kind: CauseKind) {
    let s3 = S3::start().await.unwrap();
    s3.set(mode);
    let mut rig = rig_with(&s3, |t| t.max_concurrent = 1).await;
    let content: Vec<_> = (0..4u64).map(|n| bytes(n, 20_000)).collect();
    let ids: Vec<_> = (0i64..)
        .zip(&content)
        .map(|(n, c)| plant(&rig.config, rig.nvr().store(), n, c))
        .collect();
    let trouble = |k: &EventKind| matches!(k, EventKind::UploadTrouble { target, cause } if target == "s3" && cause.kind == kind);
    rig.wait_for("trouble", 1, trouble).await.unwrap();
    let status = rig.nvr().uploads().status().await.unwrap();
    assert!(
        status[0].last_failure.is_some() && status[0].trouble_since.is_some(),
        "{status:?}"
    );
    let live = rig.nvr().store().queued_uploads("s3").unwrap().len();
    assert!(live <= 1, "no more jobs than uploads at once: {live}");
    s3.set(Mode::Pass);
    until_done(&rig, &ids).await;
    for (n, c) in (0i64..).zip(&content) {
        assert_there(&s3, n, c).await;
    }
    let query = UploadQuery::new("s3", UploadState::Done);
    let done = rig.nvr().uploads().list(query).await.unwrap().items;
    let times: Vec<_> = done.iter().map(|u| u.uploaded.unwrap()).collect();
    assert!(times.is_sorted(), "oldest first: {times:?}");
    rig.wait_for("the end of it", 1, |k| {
        matches!(k, EventKind::UploadRecovered { .. })
    })
    .await
    .unwrap();
    assert_eq!(rig.count(trouble), 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away() {
    in_trouble(Mode::Away, CauseKind::Unreachable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_full() {
    in_trouble(Mode::Full, CauseKind::DiskFull).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses() {
    in_trouble(Mode::Refuse, CauseKind::Unauthorized).await;
}

/// What is only in the bucket is on the timeline, plays, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_remote_plays_and_comes_back() {
    let s3 = S3::start().await.unwrap();
    let cam = TestCam::start(small()).unwrap();
    let mut rig = Rig::new().unwrap();
    let mut target = s3.target("s3");
    target.local_retention = Some(std::time::Duration::ZERO);
    rig.config.uploads.push(target);
    rig.add(CAM, &cam.url()).unwrap();
    rig.start().await.unwrap();
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.frames(20).await.unwrap();
    rig.cam().split().unwrap();
    let store = rig.nvr().store().clone();
    let mut remote = None;
    rig.until("a remote segment", || {
        let mut query = SegmentQuery::new([id(CAM)], TimeRange::ALL);
        query.states = vec![SegmentState::Remote];
        remote = store.segments(&query).unwrap().items.pop();
        remote.is_some()
    })
    .await
    .unwrap();
    let row = remote.unwrap();
    let file = rig.root().join(&row.path);
    assert!(!file.exists());
    let timeline = rig.timeline(CAM).await.unwrap();
    assert!(
        timeline.ranges.iter().any(|r| r.range.contains(row.start)),
        "{timeline:?}"
    );

    let (_, stored, len) = rig.nvr().open_segment(row.id).await.unwrap();
    assert_eq!(len, row.size_bytes);
    let whole = tokio::task::spawn_blocking(move || {
        let (mut all, mut buf) = (Vec::new(), [0; 70_000]);
        loop {
            match stored.read_at(all.len() as u64, &mut buf).unwrap() {
                0 => return all,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(Some(*blake3::hash(&whole).as_bytes()), row.hash);
    let out = rig.export_mp4(row.range()).await.unwrap();
    judge::decode_all(out.path()).unwrap();
    let picture = SnapshotRequest {
        camera: id(CAM),
        at: Some(row.start),
        width: None,
        exact: false,
    };
    assert!(!rig.nvr().picture(picture).await.unwrap().jpeg.is_empty());

    let added = rig.nvr().restore(&id(CAM), row.range()).await.unwrap();
    let job = rig.nvr().jobs().wait(added.job.id).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    let back = store.segment(row.id).unwrap().unwrap();
    assert_eq!((back.state, back.protected), (SegmentState::Closed, true));
    rig.stop().await;
}

/// How many parts the job of a segment has sent.
fn parts_sent(store: &Store, segment: SegmentId) -> Option<(JobId, usize)> {
    let job = store.upload(segment, "s3").ok()?.job?;
    let parts = store.job(job).ok()?.checkpoint?["parts"].as_array()?.len();
    Some((job, parts))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_off_leaves_nothing_behind() {
    let s3 = S3::start().await.unwrap();
    let mut rig = rig_with(&s3, |t| t.bandwidth_bytes_per_s = 3 * MIB as u64).await;
    let segment = plant(&rig.config, rig.nvr().store(), 1, &bytes(5, LARGE));
    let mut job = None;
    rig.until("a part", || {
        job = parts_sent(rig.nvr().store(), segment).filter(|(_, n)| *n >= 1);
        job.is_some()
    })
    .await
    .unwrap();
    assert_eq!(s3.unfinished().await.unwrap(), 1);
    rig.nvr().jobs().cancel(job.unwrap().0).await.unwrap();
    rig.until("the note of it", || {
        rig.nvr().store().upload(segment, "s3").unwrap().state == UploadState::Cancelled
    })
    .await
    .unwrap();
    assert_eq!(s3.unfinished().await.unwrap(), 0);
    assert!(s3.object(&key(1)).await.unwrap().is_none());
    // Asked for again, it goes.
    assert_eq!(rig.nvr().uploads().retry(None).await.unwrap(), 1);
    until_done(&rig, &[segment]).await;
    rig.stop().await;
}

/// `kill -9` in the middle: what arrived is not sent again, the copy is whole, nothing is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_an_upload() {
    let s3 = S3::start().await.unwrap();
    let mut rig = Rig::new().unwrap();
    rig.start().await.unwrap();
    let config = rig.config.clone();
    rig.stop().await;
    let large = bytes(6, LARGE);
    let endpoint = s3.endpoint();
    let mut recorder = Recorder::start(
        rig.root(),
        &[],
        &["--upload", &endpoint, "--bandwidth", "3000000"],
    )
    .unwrap();
    // As if the recorder had recorded it: it looks for what is new in its index.
    let store = {
        let path = config.recorder.database.clone();
        tokio::task::spawn_blocking(move || Store::open(path, OpenMode::ReadWrite).unwrap())
            .await
            .unwrap()
    };
    let segment = plant(&config, &store, 1, &large);
    wait::until_true("a part", LIMIT, || {
        parts_sent(&store, segment).is_some_and(|(_, n)| n >= 1)
    })
    .unwrap();
    recorder.kill().unwrap();
    assert_eq!(s3.unfinished().await.unwrap(), 1);
    assert_eq!(store.upload(segment, "s3").unwrap().state, UploadState::Queued);
    store.shutdown().await.unwrap();

    s3.set(Mode::Pass);
    rig.config.uploads.push(s3.target("s3"));
    rig.start().await.unwrap();
    until_done(&rig, &[segment]).await;
    assert_there(&s3, 1, &large).await;
    let rest = (LARGE - 5 * MIB + MIB / 2) as u64;
    assert!(s3.sent() < rest, "{} bytes of {LARGE} went again", s3.sent());
    assert_eq!(s3.unfinished().await.unwrap(), 0);
    let row = rig.nvr().store().segment(segment).unwrap().unwrap();
    assert_eq!(row.state, SegmentState::Closed);
    rig.stop().await;
}
