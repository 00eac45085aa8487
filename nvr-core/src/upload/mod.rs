//! Copies of segments at other places: objects of S3, Azure and Google, WebDAV, or folders.
//!
//! What a target is to have stands in the index (`uploads`), one row for each segment and target; so however long a target
//! is away, what waits is bounded by what is on disk. Only as many of them as may go at once have a job. Decided in pure
//! functions: [`select`] (what goes where, and what is next), [`KeyTemplate`] (names), [`TokenBucket`] (bandwidth),
//! [`Trouble`] (when to tell).
//!
//! A copy counts once the target was asked what it has: size and BLAKE3, which each object carries along.

mod azure;
mod bucket;
mod figures;
mod folder;
mod gcs;
mod http;
mod key;
mod kind;
mod listing;
mod objects;
mod remote;
mod restore;
mod s3;
pub mod select;
mod send;
mod service;
mod status;
mod target;
#[cfg(test)]
mod tests;
mod trouble;
mod webdav;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::bucket::TokenBucket;
pub use self::figures::{CameraUploads, UPLOAD_CLASSES_S};
pub use self::key::{DEFAULT_KEY, KeyTemplate};
pub(crate) use self::kind::Upload;
pub(crate) use self::remote::RemoteFile;
pub(crate) use self::restore::{Restore, job_of as restore_job};
pub use self::status::TargetStatus;
pub use self::target::LONGEST_LINK;
pub(crate) use self::target::Targets;
pub use self::trouble::{Tell, Trouble};
use crate::clock::SharedClock;
use crate::config::UploadConfig;
use crate::error::Result;
use crate::event::{Cause, Event, EventKind};
use crate::events::EventBus;
use crate::files::Tree;
use crate::jobs::Jobs;
use crate::store::Store;
use crate::time::Timestamp;

/// Uploads of a recorder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploads(Arc<Shared>);

/// Shared by the worker, the jobs and the handles.
#[derive(Debug)]
struct Shared {
    store: Store,
    tree: Tree,
    clock: SharedClock,
    events: Arc<EventBus>,
    targets: Arc<Targets>,
    figures: Mutex<figures::Figures>,
    troubles: Mutex<HashMap<String, Trouble>>,
    /// Something changed: look at once.
    wake: Notify,
}

impl Uploads {
    pub(crate) fn new(
        store: Store,
        tree: Tree,
        clock: SharedClock,
        events: Arc<EventBus>,
        targets: Arc<Targets>,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            tree,
            clock,
            events,
            targets,
            figures: Mutex::default(),
            troubles: Mutex::default(),
            wake: Notify::new(),
        }))
    }

    /// The kind of job that uploads.
    pub(crate) fn kind(&self) -> Upload {
        Upload(Arc::clone(&self.0))
    }

    /// The kind of job that brings files back.
    pub(crate) fn restore_kind(&self) -> Restore {
        Restore(Arc::clone(&self.0))
    }

    /// Begins to look after targets.
    pub(crate) async fn start(&self, jobs: Jobs, stop: CancellationToken) -> Result<()> {
        self.note_targets().await?;
        tokio::spawn(worker::work(Arc::clone(&self.0), jobs, stop));
        Ok(())
    }

    /// Puts other targets in force.
    pub(crate) async fn set(&self, configs: &[UploadConfig]) -> Result<()> {
        self.0.targets.set(configs);
        self.0
            .troubles()
            .retain(|name, _| configs.iter().any(|c| &c.name == name));
        self.note_targets().await?;
        self.0.wake.notify_one();
        Ok(())
    }

    async fn note_targets(&self) -> Result<()> {
        let names = self.0.targets.configs().into_iter().map(|c| (c.name, c.required));
        self.0.store.set_upload_targets(names.collect()).await
    }
}

impl Shared {
    fn figures(&self) -> MutexGuard<'_, figures::Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn troubles(&self) -> MutexGuard<'_, HashMap<String, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn failed(&self, target: &str, cause: Cause) {
        let now = self.clock.now();
        let tell = self
            .troubles()
            .entry(target.to_owned())
            .or_default()
            .failed(cause, now);
        self.tell(target, tell).await;
    }

    async fn succeeded(&self, target: &str) {
        let now = self.clock.now();
        let tell = self
            .troubles()
            .entry(target.to_owned())
            .or_default()
            .succeeded(now);
        self.tell(target, tell).await;
    }

    async fn waits(&self, target: &str, since: Option<Timestamp>, alert_after: Duration, windowed: bool) {
        let now = self.clock.now();
        let tell =
            self.troubles()
                .entry(target.to_owned())
                .or_default()
                .waits(since, alert_after, windowed, now);
        self.tell(target, tell).await;
    }

    async fn tell(&self, target: &str, tell: Option<Tell>) {
        let target = target.to_owned();
        let kind = match tell {
            None => return,
            Some(Tell::Trouble(cause)) => {
                tracing::warn!(target, "uploads are in trouble: {}", cause.message);
                EventKind::UploadTrouble { target, cause }
            }
            Some(Tell::Recovered(since)) => {
                tracing::info!(target, "uploads work again");
                EventKind::UploadRecovered { target, since }
            }
        };
        let event = Event::new(self.clock.now(), None, kind);
        self.events.publish(event.clone());
        if let Err(e) = self.store.add_event(event).await {
            tracing::warn!(error = %e, "an event is not in the index");
        }
    }
}
