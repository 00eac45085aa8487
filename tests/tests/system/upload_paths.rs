//! The way to a bucket that is slow, stands still, or alters what it carries; the order in which footage goes; and what
//! becomes of a link.

use std::sync::Arc;
use std::time::Duration;

use nvr_core::EventKind;
use nvr_core::config::UploadConfig;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::store::{UploadQuery, UploadState};
use nvr_tests::TestCam;
use nvr_tests::leap::LeapClock;
use nvr_tests::plant::{assert_there, bytes, key, plant, until_done};
use nvr_tests::rig::{CAM, Rig, judge_timeline, small};
use nvr_tests::s3::{Mode, S3};

const MIB: usize = 1 << 20;
/// Three parts.
const LARGE: usize = 11 * MIB + 4321;

async fn rig_with(s3: &S3, clock: Option<Arc<LeapClock>>, change: impl FnOnce(&mut UploadConfig)) -> Rig {
    let mut rig = Rig::new().unwrap();
    let mut target = s3.target("s3");
    change(&mut target);
    rig.config.uploads.push(target);
    rig.config.jobs.retry_ceiling = Duration::from_secs(1);
    if let Some(clock) = clock {
        rig.other_clock = Some(clock);
    }
    rig
}

fn failures(rig: &Rig) -> u64 {
    rig.nvr().uploads().figures().values().map(|f| f.failures).sum()
}

/// Two megabytes a second, and a camera beside it: the upload takes its time and needs no second try, and neither frames
/// nor segments wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_service_holds_nothing_up() {
    let s3 = S3::start().await.unwrap();
    s3.set(Mode::Slow(2 * MIB as u64));
    let cam = TestCam::start(small()).unwrap();
    let mut rig = rig_with(&s3, None, |t| t.max_concurrent = 1).await;
    rig.add(CAM, &cam.url()).unwrap().segment = Duration::from_secs(1);
    rig.start().await.unwrap();
    let large = bytes(1, LARGE);
    let planted = plant(&rig.config, rig.nvr().store(), 1, &large);
    rig.phase(CAM, CameraPhase::Recording).await.unwrap();
    rig.until("the large one under way", || s3.sent() > MIB as u64)
        .await
        .unwrap();
    let closed = |k: &EventKind| matches!(k, EventKind::SegmentClosed { .. });
    let before = rig.count(closed);
    rig.wait_for("segments meanwhile", before + 2, closed)
        .await
        .unwrap();
    let state = rig.nvr().store().upload(planted, "s3").unwrap().state;
    assert_eq!(state, UploadState::Queued, "it was not as slow as that");
    until_done(&rig, &[planted]).await;
    assert_there(&s3, 1, &large).await;
    assert_eq!(failures(&rig), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::UploadTrouble { .. })), 0);
    assert_eq!(rig.count(|k| matches!(k, EventKind::FramesDropped { .. })), 0);
    judge_timeline(&rig.timeline(CAM).await.unwrap()).unwrap();
    // What was recorded goes, too.
    s3.set(Mode::Pass);
    let first = rig.rows().await.unwrap()[1].id;
    until_done(&rig, &[first]).await;
    rig.stop_clean().await.unwrap();
}

/// A service that takes nothing more and says nothing is given up after a minute in which nothing moved, and not before;
/// what arrived is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stands_still_is_given_up_after_a_minute() {
    let s3 = S3::start().await.unwrap();
    s3.set(Mode::StandStill(6 * MIB as u64));
    let clock = Arc::new(LeapClock::new());
    let mut rig = rig_with(&s3, Some(clock.clone()), |_| {}).await;
    rig.start().await.unwrap();
    let large = bytes(2, LARGE);
    let id = plant(&rig.config, rig.nvr().store(), 1, &large);
    rig.until("the standstill", || s3.is_holding()).await.unwrap();
    // The first part is noted; of the second the kernel has what it takes.
    rig.until("the first part", || {
        let job = rig.nvr().store().upload(id, "s3").unwrap().job.unwrap();
        let checkpoint = rig.nvr().store().job(job).unwrap().checkpoint;
        checkpoint.is_some_and(|c| c["parts"].as_array().is_some_and(|p| !p.is_empty()))
    })
    .await
    .unwrap();
    clock.leap(Duration::from_secs(30));
    let status = rig.nvr().uploads().status().await.unwrap();
    assert!(status[0].last_failure.is_none(), "too early: {status:?}");
    let timed_out = |k: &EventKind| matches!(k, EventKind::UploadTrouble { cause, .. } if cause.kind == CauseKind::Unreachable);
    let given_up = async {
        // A request that fails within seconds of real time is sent once more before it counts.
        while rig.count(timed_out) == 0 {
            clock.leap(Duration::from_secs(31));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(50), given_up)
        .await
        .unwrap();
    s3.set(Mode::Pass);
    let tries = async {
        // The next try is due in the recorder's time.
        loop {
            clock.leap(Duration::from_secs(2));
            if rig.nvr().store().upload(id, "s3").unwrap().state == UploadState::Done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), tries)
        .await
        .unwrap();
    assert_there(&s3, 1, &large).await;
    assert!(
        s3.sent() < (LARGE - 4 * MIB) as u64,
        "{} bytes went again",
        s3.sent()
    );
    assert_eq!(s3.unfinished().await.unwrap(), 0);
    rig.stop().await;
}

/// A bit of each body is turned on the way: the check sum that goes along tells the service, nothing of it counts as
/// uploaded, and it goes again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_altered_on_the_way_is_no_copy() {
    let s3 = S3::start().await.unwrap();
    s3.set(Mode::Alter);
    let mut rig = rig_with(&s3, None, |_| {}).await;
    rig.start().await.unwrap();
    let (small, large) = (bytes(3, 100_000), bytes(4, LARGE));
    let ids = [
        plant(&rig.config, rig.nvr().store(), 1, &small),
        plant(&rig.config, rig.nvr().store(), 2, &large),
    ];
    rig.until("both to be refused", || {
        let refused = |part: bool| {
            s3.requests()
                .iter()
                .any(|r| r.status == 400 && r.path.contains("partNumber") == part)
        };
        refused(true) && refused(false) && failures(&rig) >= 2
    })
    .await
    .unwrap();
    assert_eq!(s3.object(&key(1)).await.unwrap(), None);
    assert_eq!(s3.object(&key(2)).await.unwrap(), None);
    for id in ids {
        assert_ne!(
            rig.nvr().store().upload(id, "s3").unwrap().state,
            UploadState::Done
        );
    }
    s3.set(Mode::Pass);
    rig.nvr().uploads().retry(None).await.unwrap();
    until_done(&rig, &ids).await;
    assert_there(&s3, 1, &small).await;
    assert_there(&s3, 2, &large).await;
    rig.stop().await;
}

/// One at a time, in the order that the configuration says.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_goes_first_where_that_is_wanted() {
    for newest_first in [false, true] {
        let s3 = S3::start().await.unwrap();
        // Nothing goes before all of it is there.
        s3.set(Mode::Away);
        let mut rig = rig_with(&s3, None, |t| {
            t.newest_first = newest_first;
            t.max_concurrent = 1;
        })
        .await;
        rig.start().await.unwrap();
        let ids: Vec<_> = (0i64..6)
            .map(|n| {
                plant(
                    &rig.config,
                    rig.nvr().store(),
                    n,
                    &bytes(n.unsigned_abs(), 20_000),
                )
            })
            .collect();
        rig.wait_for("trouble", 1, |k| matches!(k, EventKind::UploadTrouble { .. }))
            .await
            .unwrap();
        let first = rig.nvr().store().queued_uploads("s3").unwrap()[0].upload.segment;
        s3.set(Mode::Pass);
        until_done(&rig, &ids).await;
        let query = UploadQuery::new("s3", UploadState::Done);
        let mut done = rig.nvr().uploads().list(query).await.unwrap().items;
        done.sort_by_key(|u| u.uploaded.unwrap());
        let mut order: Vec<_> = done.iter().map(|u| u.segment).collect();
        // The one that was tried in vain may have been queued before the others were there.
        let at = order.iter().position(|s| *s == first).unwrap();
        order.remove(at);
        let mut wanted: Vec<_> = ids.into_iter().filter(|s| *s != first).collect();
        if newest_first {
            wanted.reverse();
        }
        assert_eq!(order, wanted, "newest first: {newest_first}");
        rig.stop().await;
    }
}

/// A link is fetched by somebody who has nothing else. What it says of its end is signed: the service of the tests takes
/// no notice of it, so here it is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_fetched_and_says_when_it_ends() {
    let s3 = S3::start().await.unwrap();
    let mut rig = rig_with(&s3, None, |_| {}).await;
    rig.start().await.unwrap();
    let content = bytes(5, 300_000);
    let segment = plant(&rig.config, rig.nvr().store(), 1, &content);
    until_done(&rig, &[segment]).await;
    let uploads = rig.nvr().uploads();
    let expires = Duration::from_secs(90);
    let link = uploads.presign(segment, Some("s3"), expires).await.unwrap();
    let path = link.strip_prefix(&s3.endpoint()).unwrap();
    let (status, _, body) = s3.ask("GET", path).await.unwrap();
    assert_eq!(status, 200);
    assert!(body == content, "{} bytes", body.len());

    let query = |link: &str| -> std::collections::BTreeMap<String, String> {
        let pairs = link.split_once('?').unwrap().1.split('&');
        pairs
            .map(|p| p.split_once('=').unwrap())
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    };
    let told = query(&link);
    assert_eq!(told["X-Amz-Expires"], "90");
    assert!(told["X-Amz-Credential"].starts_with("test%2F"), "{told:?}");
    assert_eq!(told["X-Amz-Signature"].len(), 64);
    // Whoever makes it last longer has no signature for that.
    let longer = uploads
        .presign(segment, Some("s3"), Duration::from_secs(91))
        .await;
    let longer = query(&longer.unwrap());
    assert_ne!(longer["X-Amz-Signature"], told["X-Amz-Signature"]);
    // No service takes links of more than a week.
    let week = Duration::from_secs(7 * 86_400);
    assert!(uploads.presign(segment, Some("s3"), week).await.is_ok());
    assert!(
        uploads
            .presign(segment, Some("s3"), week + expires)
            .await
            .is_err()
    );
    rig.stop().await;
}
