//! On the side: events of the recorder are kept until the index takes them, old ones cleared, and footage entered
//! that the index does not know.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, blocking};
use crate::check;
use crate::error::{ErrorKind, Result};
use crate::event::Event;
use crate::files::Tree;
use crate::store::Store;

/// Events of the recorder (not of its cameras) that wait for the index at most.
const MOST_UNSAVED: usize = 1000;
/// How often old events are cleared from the index.
const EVENTS_PRUNE: Duration = Duration::from_hours(1);
/// How often detections are looked for that nobody ended.
const FORGOTTEN: Duration = Duration::from_secs(15);

impl Inner {
    pub(super) async fn publish(&self, event: Event) {
        self.context.events.publish(event.clone());
        self.lock_unsaved().push_back(event);
        self.save_events().await;
    }

    fn lock_unsaved(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes events to the index that it could not take before: that the disk was full is told there, too.
    pub(super) async fn save_events(&self) {
        let waiting = std::mem::take(&mut *self.lock_unsaved());
        let mut waiting = waiting.into_iter();
        while let Some(event) = waiting.next() {
            let Err(e) = self.context.store.add_event(event.clone()).await else {
                continue;
            };
            if e.kind() != ErrorKind::Storage {
                tracing::warn!(error = %e, "an event is not in the index");
                continue;
            }
            let mut unsaved = self.lock_unsaved();
            for event in waiting.rev().chain(std::iter::once(event)) {
                unsaved.push_front(event);
            }
            unsaved.truncate(MOST_UNSAVED);
            return;
        }
    }
}

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        let keep = inner.config().recorder.events_keep;
        let before = inner.context.clock.now() - keep;
        if let Err(e) = inner.context.store.prune_events(before).await {
            tracing::warn!(error = %e, "old events were not cleared");
        }
        if let Err(e) = inner.detections.prune().await {
            tracing::warn!(error = %e, "old detections were not cleared");
        }
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(EVENTS_PRUNE) => {}
        }
    }
}

/// Ends detections from outside that nobody ended.
pub(super) async fn end_forgotten(recorder: Weak<Inner>, stop: CancellationToken) {
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        if let Err(e) = inner.detections.end_forgotten().await {
            tracing::debug!(error = %e, "detections from outside were not ended");
        }
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(FORGOTTEN) => {}
        }
    }
}

/// Enters what the start left out, a day at a time.
pub(super) async fn adopt_rest(recorder: Weak<Inner>, stop: CancellationToken) {
    let Some((store, tree)) = recorder
        .upgrade()
        .map(|inner| (inner.context.store.clone(), inner.tree.clone()))
    else {
        return;
    };
    let adopted = adopt_all(&store, &tree, &stop).await;
    match adopted {
        Ok(segments) => tracing::warn!(segments, "footage that the index did not know was entered"),
        Err(e) => {
            tracing::error!(error = %e, "not all footage is in the index; the next start, or `nvr check --repair`, goes on");
        }
    }
}

async fn adopt_all(store: &Store, tree: &Tree, stop: &CancellationToken) -> Result<u64> {
    let its = tree.clone();
    let mut adopted = 0;
    for (camera, day) in blocking(move || check::days(&its)).await? {
        if stop.is_cancelled() {
            break;
        }
        let (store, tree, whose) = (store.clone(), tree.clone(), camera.clone());
        let found = blocking(move || check::adopt_day(&store, &tree, &whose, day)).await?;
        for (path, why) in &found.failed {
            tracing::error!(%camera, path = %path.display(), "a segment could not be looked at: {why}");
        }
        adopted += found.adopted;
    }
    Ok(adopted)
}
