//! The recorder without cameras, on a clock that the tests turn.

use std::sync::Arc;
use std::time::Duration;

use tokio_stream::StreamExt;

use super::Nvr;
use super::storage_watch::STORAGE_LOOK;
use crate::config::Config;
use crate::event::{CauseKind, EventKind};
use crate::files::MARKER;
use crate::testing::ManualClock;
use crate::time::Timestamp;

/// Turns the clock to the next look at the disk, once somebody waits for it.
async fn look(clock: &ManualClock) {
    // Those who sleep: this watch, the housekeeping, the queue of jobs and retention.
    while clock.sleeping() < 4 {
        tokio::task::yield_now().await;
    }
    clock.advance(STORAGE_LOOK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_disk_is_noticed_and_so_is_its_return() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().join("recordings"));
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
    look(&clock).await;
    let event = events.next().await.unwrap();
    assert_eq!(event.at, Timestamp::from_secs(1_800_000_002));
    let EventKind::StorageFault { cause } = event.kind else {
        panic!("{event:?}");
    };
    assert_eq!(cause.kind, CauseKind::StorageMissing);
    assert!(!nvr.health().ok);

    std::fs::rename(dir.path().join("kept"), root.join(MARKER)).unwrap();
    look(&clock).await;
    assert_eq!(events.next().await.unwrap().kind, EventKind::StorageRecovered);
    assert!(nvr.health().ok);
    nvr.shutdown(Duration::from_secs(5)).await;
}
