//! Killed at each step of an upload to a folder: the copy is there once, whole, and the index knows of it. What a bucket
//! is left with is tried with a real service, beside this crate.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::kind::Params;
use super::send::Step;
use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{JobsConfig, UploadPlace};
use crate::files::tests::{media, start, t, tree_at};
use crate::ids::SegmentId;
use crate::jobs::{JobContext, JobFuture, JobKind, JobState, KindLimits, Origin, Parts, params_of};
use crate::segment::SegmentFiles as _;
use crate::store::{OpenMode, SegmentState, UploadState};

const LIMIT: Duration = Duration::from_secs(60);
const NAS: &str = "nas";

/// The kind, which ends the process at a step.
#[derive(Debug)]
struct Dying(Upload, Option<String>);

impl JobKind for Dying {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn limits(&self) -> KindLimits {
        self.0.limits()
    }

    fn check(&self, params: &Value, origin: Origin) -> Result<()> {
        self.0.check(params, origin)
    }

    fn run(&self, ctx: JobContext, params: Value) -> JobFuture<'_> {
        Box::pin(async move {
            let params: Params = params_of(self.0.name(), &params)?;
            let at = |step: Step| {
                if self.1.as_deref() == Some(format!("{step:?}").as_str()) {
                    std::process::abort();
                }
            };
            self.0.upload(&ctx, &params, &at).await
        })
    }
}

struct House {
    store: Store,
    tree: Tree,
    jobs: Jobs,
    stop: CancellationToken,
}

impl House {
    /// A tree, an index, a queue, and a folder that wants everything.
    async fn open(dir: &Path, step: Option<String>, bytes_per_s: u64) -> Self {
        let clock = SystemClock::shared();
        let (root, index) = (dir.join("root"), dir.join("index.db"));
        let (tree, store) = tokio::task::spawn_blocking(move || {
            (tree_at(&root), Store::open(index, OpenMode::ReadWrite).unwrap())
        })
        .await
        .unwrap();
        let mut target = UploadConfig::new(NAS, UploadPlace::Folder(dir.join(NAS)));
        target.bandwidth_bytes_per_s = bytes_per_s;
        let targets = Arc::new(Targets::new(&[target], clock.clone()));
        let events = Arc::new(EventBus::new(clock.clone()));
        let uploads = Uploads::new(
            store.clone(),
            tree.clone(),
            clock.clone(),
            Arc::clone(&events),
            targets,
        );
        let jobs = Jobs::start(Parts {
            store: store.clone(),
            clock,
            events,
            config: Arc::new(ArcSwap::from_pointee(JobsConfig::default())),
            kinds: vec![Arc::new(Dying(uploads.kind(), step))],
            load: Arc::new(Default::default),
        })
        .await
        .unwrap();
        let stop = CancellationToken::new();
        uploads.start(jobs.clone(), stop.clone()).await.unwrap();
        Self {
            store,
            tree,
            jobs,
            stop,
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.jobs.shutdown(LIMIT).await;
        self.store.shutdown().await.unwrap();
    }

    async fn until(&self, what: &str, holds: impl Fn(&Store) -> bool) {
        let clock = SystemClock::new();
        while !holds(&self.store) {
            assert!(clock.steady_ns() < LIMIT.as_nanos() as i64, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn is_done(store: &Store, id: SegmentId) -> bool {
        store.upload(id, NAS).is_ok_and(|u| u.state == UploadState::Done)
    }
}

/// Records a segment, while no recorder runs.
fn record(dir: &Path) -> SegmentId {
    std::fs::create_dir(dir.join(NAS)).unwrap();
    let tree = tree_at(&dir.join("root"));
    let store = Store::open(dir.join("index.db"), OpenMode::ReadWrite).unwrap();
    store
        .set_upload_targets_blocking(vec![(NAS.into(), true)])
        .unwrap();
    let mut file = tree
        .create(&start("yard", 7, 0, t("2026-05-04T03:02:01.5Z")))
        .unwrap();
    file.write_at(0, &media().bytes).unwrap();
    let closed = file.finish().unwrap();
    let id = store.close_segment_blocking(&closed.path, &closed).unwrap();
    store.shutdown_blocking().unwrap();
    id
}

/// All files below a folder with their contents and inodes.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inode = std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
                found.push((path.clone(), inode, std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Not a test by itself: the process that the tests kill.
#[test]
fn child_that_dies() {
    let (Ok(dir), Ok(step)) = (std::env::var("NVR_TEST_DIR"), std::env::var("NVR_TEST_STEP")) else {
        return;
    };
    let slow = std::env::var("NVR_TEST_RATE").map_or(0, |r| r.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let house = House::open(Path::new(&dir), Some(step), slow).await;
        if slow > 0 {
            // It is begun, and not over for long.
            house
                .until("a part", |_| !files(&Path::new(&dir).join(NAS)).is_empty())
                .await;
            std::process::abort();
        }
        house.until("the step", |_| false).await;
    });
}

fn die(dir: &Path, step: &str, rate: u64) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "upload::tests::child_that_dies", "--nocapture"])
        .env("NVR_TEST_DIR", dir)
        .env("NVR_TEST_STEP", step)
        .env("NVR_TEST_RATE", rate.to_string())
        .output()
        .unwrap();
    let by = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(by, Some(6), "{step}: {}", String::from_utf8_lossy(&child.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_an_upload() {
    for step in [
        "Hashed",
        "Missed",
        "Copied",
        "Sent",
        "Compared",
        "RowWritten",
        "in the middle",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_owned();
        let rate = if step == "in the middle" { 100 } else { 0 };
        let id = tokio::task::spawn_blocking(move || {
            let id = record(&at);
            die(&at, step, rate);
            id
        })
        .await
        .unwrap();
        let nas = dir.path().join(NAS);
        let before = files(&nas);
        let recorded = files(&dir.path().join("root/yard"));
        assert_eq!(recorded.len(), 1);
        let content = &recorded[0].2;
        let is_whole = matches!(step, "Sent" | "Compared" | "RowWritten");
        assert_eq!(
            before.iter().any(|f| f.2 == *content && !is_part(&f.0)),
            is_whole,
            "{step}"
        );

        let house = House::open(dir.path(), None, 0).await;
        house
            .until("the end of it", |store| {
                let open = store.queued_uploads(NAS).unwrap();
                House::is_done(store, id) && open.is_empty()
            })
            .await;
        let job = house.store.upload(id, NAS).unwrap().job;
        if let Some(job) = job {
            let job = house.jobs.wait(job).await.unwrap();
            assert_eq!(job.state, JobState::Done, "{step}: {job:?}");
        }
        // Once, whole, under its name; and what was there was not written again.
        let after = files(&nas);
        assert_eq!(after.len(), 1, "{step}: {after:?}");
        assert!(!is_part(&after[0].0), "{step}");
        assert!(after[0].2 == *content, "{step}");
        if is_whole {
            assert_eq!(after[0].1, before[0].1, "{step}: it was copied again");
        }
        let row = house.store.segment(id).unwrap().unwrap();
        let upload = house.store.upload(id, NAS).unwrap();
        assert_eq!(row.state, SegmentState::Closed, "{step}");
        assert_eq!(
            (upload.size_bytes, upload.hash),
            (row.size_bytes, row.hash),
            "{step}"
        );
        assert!(house.tree.root().path().join(&row.path).is_file(), "{step}");
        house.close().await;
    }
}

/// The segment is deleted while the recorder is down: of the copy that was cut off nothing stays at the target.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_after_a_kill_leaves_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_owned();
    tokio::task::spawn_blocking(move || {
        let id = record(&at);
        die(&at, "in the middle", 100);
        let store = Store::open(at.join("index.db"), OpenMode::ReadWrite).unwrap();
        store.delete_segment_blocking(id).unwrap();
        store.shutdown_blocking().unwrap();
    })
    .await
    .unwrap();
    let nas = dir.path().join(NAS);
    assert_eq!(files(&nas).len(), 1);
    let house = House::open(dir.path(), None, 0).await;
    house
        .until("nothing to be left", |_| files(&nas).is_empty())
        .await;
    house.close().await;
}

fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "part")
}
