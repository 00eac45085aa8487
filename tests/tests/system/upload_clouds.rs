//! Copies of segments at services that are not S3: Azure Blob Storage, Google Cloud Storage, WebDAV.

use std::time::Duration;

use nvr_core::config::{AzureAccess, UploadConfig, UploadPlace};
use nvr_core::event::{CauseKind, JobState};
use nvr_core::secret::Secret;
use nvr_core::store::{SegmentState, UploadState};
use nvr_core::{ErrorKind, EventKind, SegmentId, TimeRange};
use nvr_tests::cloud::{Cloud, ask};
use nvr_tests::plant::{bytes, key, plant, start_of, until_done};
use nvr_tests::rig::{CAM, Rig, id};
use nvr_tests::s3::Mode;

const MIB: usize = 1 << 20;
/// Three parts.
const LARGE: usize = 11 * MIB + 4321;
const NEVER: &str = "2100-01-01T00:00:00Z";
const HOUR: Duration = Duration::from_secs(3600);

async fn rig_with(cloud: &Cloud, change: impl FnOnce(&mut UploadConfig)) -> Rig {
    let mut rig = Rig::new().unwrap();
    let mut target = cloud.target("away").unwrap();
    change(&mut target);
    rig.config.uploads.push(target);
    rig.config.jobs.retry_ceiling = Duration::from_secs(1);
    rig.start().await.unwrap();
    rig
}

async fn assert_there(cloud: &Cloud, n: i64, content: &[u8]) {
    let (there, hash) = cloud.object(&key(n)).await.unwrap().expect("an object");
    assert!(there == content, "{} bytes of {}", there.len(), content.len());
    if let Some(hash) = hash {
        assert_eq!(hash, blake3::hash(content).to_hex().to_string());
    }
}

async fn until_remote(rig: &Rig, ids: &[SegmentId]) {
    let store = rig.nvr().store();
    rig.until("remote segments", || {
        ids.iter()
            .all(|id| store.segment(*id).unwrap().unwrap().state == SegmentState::Remote)
    })
    .await
    .unwrap();
}

/// Small and large, while the service is away at first; only the copies are left, are read by range, and come back.
async fn there_and_back(cloud: &Cloud) -> Rig {
    cloud.proxy.set(Mode::Away);
    let rig = rig_with(cloud, |t| t.local_retention = Some(Duration::ZERO)).await;
    let contents = [bytes(1, 100_000), bytes(2, LARGE)];
    let ids: Vec<_> = (1..)
        .zip(&contents)
        .map(|(n, content)| plant(&rig.config, rig.nvr().store(), n, content))
        .collect();
    let trouble = |k: &EventKind| matches!(k, EventKind::UploadTrouble { cause, .. } if cause.kind == CauseKind::Unreachable);
    rig.wait_for("trouble", 1, trouble).await.unwrap();
    cloud.proxy.set(Mode::Pass);
    until_done(&rig, &ids).await;
    for (n, content) in (1..).zip(&contents) {
        assert_there(cloud, n, content).await;
    }
    until_remote(&rig, &ids).await;
    for (id, content) in ids.iter().zip(&contents) {
        let row = rig.nvr().store().segment(*id).unwrap().unwrap();
        assert!(!rig.root().join(&row.path).exists());
        let (_, stored, len) = rig.nvr().open_segment(*id).await.unwrap();
        assert_eq!(len, content.len() as u64);
        let from = len - 70_000;
        let mut piece = vec![0; 1000];
        let read = tokio::task::spawn_blocking(move || stored.read_at(from, &mut piece).map(|n| (n, piece)));
        let (n, piece) = read.await.unwrap().unwrap();
        let from = content.len() - 70_000;
        assert!(n > 0 && piece[..n] == content[from..from + n]);
    }
    let range = TimeRange::new(start_of(1), start_of(3)).unwrap();
    let added = rig.nvr().restore(&id(CAM), range).await.unwrap();
    let job = rig.nvr().jobs().wait(added.job.id).await.unwrap();
    assert_eq!(job.state, JobState::Done, "{job:?}");
    for (id, content) in ids.iter().zip(&contents) {
        let row = rig.nvr().store().segment(*id).unwrap().unwrap();
        assert_eq!((row.state, row.protected), (SegmentState::Closed, true));
        assert!(std::fs::read(rig.root().join(&row.path)).unwrap() == *content);
    }
    rig
}

/// Anybody may fetch by the link, and only what it is for.
async fn has_links(cloud: &Cloud, rig: &Rig) {
    let id = rig.rows().await.unwrap()[0].id;
    let link = rig.nvr().uploads().presign(id, None, HOUR).await.unwrap();
    let at = format!("http://{}", cloud.proxy.address());
    let path = link.strip_prefix(&at).unwrap();
    let (status, _, body) = ask(cloud.proxy.address(), "GET", path).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(body == bytes(1, 100_000), "{} bytes", body.len());
    let (unsigned, _) = path.split_once('?').unwrap();
    let (status, ..) = ask(cloud.proxy.address(), "GET", unsigned).await.unwrap();
    assert!(status >= 400, "{status}");
}

/// What arrived before the connection broke does not go again.
async fn goes_on(cloud: &Cloud) {
    cloud.proxy.set(Mode::CutAfter(8 * MIB as u64));
    let mut rig = rig_with(cloud, |_| {}).await;
    let large = bytes(4, LARGE);
    let id = plant(&rig.config, rig.nvr().store(), 1, &large);
    rig.until("a failure", || {
        rig.nvr().uploads().figures().values().any(|f| f.failures > 0)
    })
    .await
    .unwrap();
    cloud.proxy.set(Mode::Pass);
    until_done(&rig, &[id]).await;
    assert_there(cloud, 1, &large).await;
    let rest = (LARGE - 5 * MIB + MIB / 2) as u64;
    let sent = cloud.proxy.sent();
    assert!(sent < rest, "{sent} bytes of {LARGE} went again");
    rig.stop().await;
}

/// A key that is not the right one is told as such, with what to look at.
async fn wrong_key(cloud: &Cloud, change: impl FnOnce(&mut UploadPlace)) {
    let mut rig = rig_with(cloud, |t| change(&mut t.place)).await;
    let segment = plant(&rig.config, rig.nvr().store(), 1, &bytes(1, 1000));
    let trouble = |k: &EventKind| matches!(k, EventKind::UploadTrouble { cause, .. } if cause.kind == CauseKind::Unauthorized);
    rig.wait_for("trouble", 1, trouble).await.unwrap();
    let upload = rig.nvr().store().upload(segment, "away").unwrap();
    assert_ne!(upload.state, UploadState::Done);
    assert!(cloud.object(&key(1)).await.unwrap().is_none());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_there_and_back() {
    let cloud = Cloud::azure().await.unwrap();
    let mut rig = there_and_back(&cloud).await;
    has_links(&cloud, &rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_goes_on_and_tells_of_a_wrong_key() {
    let cloud = Cloud::azure().await.unwrap();
    wrong_key(&cloud, |place| {
        if let UploadPlace::Azure(azure) = place {
            azure.access = AzureAccess::AccountKey(Secret::new("AAAA"));
        }
    })
    .await;
    goes_on(&cloud).await;
}

/// With a token that may read, create and write, and nothing else: all but links. One that has ended or may only read is
/// told as such, and no word of it is in what is told.
#[tokio::test(flavor = "multi_thread")]
async fn azure_by_a_token() {
    let mut cloud = Cloud::azure().await.unwrap();
    for (rights, until) in [("rcw", "2020-01-01T00:00:00Z"), ("r", NEVER)] {
        cloud.give_token(rights, until);
        let mut rig = rig_with(&cloud, |_| {}).await;
        plant(&rig.config, rig.nvr().store(), 1, &bytes(1, 1000));
        let trouble = |k: &EventKind| matches!(k, EventKind::UploadTrouble { cause, .. } if cause.kind == CauseKind::Unauthorized);
        rig.wait_for("trouble", 1, trouble).await.unwrap();
        let told = format!("{:?}", rig.nvr().uploads().status().await.unwrap());
        assert!(told.contains("403") && !told.contains("sig="), "{told}");
        assert!(cloud.object(&key(1)).await.unwrap().is_none());
        rig.stop().await;
    }
    cloud.give_token("rcw", NEVER);
    let mut rig = there_and_back(&cloud).await;
    let id = rig.rows().await.unwrap()[0].id;
    let e = rig.nvr().uploads().presign(id, None, HOUR).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    rig.stop().await;
    goes_on(&cloud).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_there_and_back() {
    let cloud = Cloud::google().await.unwrap();
    let mut rig = there_and_back(&cloud).await;
    // The service of the tests does not look at signatures of this kind.
    let id = rig.rows().await.unwrap()[0].id;
    let link = rig.nvr().uploads().presign(id, None, HOUR).await.unwrap();
    assert!(
        link.contains("X-Goog-Expires=3600&") && link.contains("X-Goog-Signature="),
        "{link}"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webdav_there_and_back() {
    let cloud = Cloud::webdav().await.unwrap();
    let mut rig = there_and_back(&cloud).await;
    let id = rig.rows().await.unwrap()[0].id;
    let e = rig.nvr().uploads().presign(id, None, HOUR).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert_eq!(cloud.growing(), Vec::<std::path::PathBuf>::new());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webdav_leaves_nothing_unfinished_and_tells_of_a_wrong_password() {
    let cloud = Cloud::webdav().await.unwrap();
    wrong_key(&cloud, |place| {
        if let UploadPlace::WebDav(dav) = place {
            dav.login = Some(("nvr".into(), Secret::new("guessed")));
        }
    })
    .await;
    cloud.proxy.set(Mode::CutAfter(8 * MIB as u64));
    let mut rig = rig_with(&cloud, |_| {}).await;
    let large = bytes(4, LARGE);
    let segment = plant(&rig.config, rig.nvr().store(), 1, &large);
    rig.until("a failure", || {
        rig.nvr().uploads().figures().values().any(|f| f.failures > 0)
    })
    .await
    .unwrap();
    // What is not complete never has the name of a copy.
    assert!(cloud.object(&key(1)).await.unwrap().is_none());
    cloud.proxy.set(Mode::Pass);
    until_done(&rig, &[segment]).await;
    assert_there(&cloud, 1, &large).await;
    assert_eq!(cloud.growing(), Vec::<std::path::PathBuf>::new());
    rig.stop().await;
}
