//! The second root: whether it is there, what moves to it, and what is said when it is away.

use std::sync::{PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inner, blocking, opening};
use crate::error::Result;
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::jobs::JobState;
use crate::moving::KIND;

/// How often is looked whether it is there, and for what is to move.
const LOOK: Duration = Duration::from_secs(5);
/// A disk that has not answered for so long counts as away.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        if inner.tree.second().is_none() {
            return;
        }
        // Whatever hangs there holds up nothing but this.
        inner.look_at_tier().await;
        if let Err(e) = inner.enter_moves().await {
            tracing::debug!(error = %e, "segments that are to move cannot be looked for now");
        }
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(LOOK) => {}
        }
    }
}

impl Inner {
    async fn look_at_tier(&self) {
        let (config, store, tree) = (self.config(), self.context.store.clone(), self.tree.clone());
        let look = blocking(move || Ok(opening::look_at_second(&config, &store, &tree)));
        let clock = self.context.clock.clone();
        let found = tokio::select! {
            found = look => found.unwrap_or_else(|e| Some(Cause::new(CauseKind::Internal, e.to_string()))),
            () = clock.sleep(PATIENCE) => {
                self.tree.set_second_usage(None);
                Some(Cause::new(CauseKind::StorageError, "the disk of the second root does not answer"))
            }
        };
        self.tell_tier(found).await;
    }

    /// The second root is well (`None`) or not: tell all, once.
    pub(super) async fn tell_tier(&self, found: Option<Cause>) {
        let now = self.context.clock.now();
        let before = {
            let mut fault = self.tier_fault.lock().unwrap_or_else(PoisonError::into_inner);
            let before = fault.clone();
            *fault = found
                .clone()
                .map(|cause| (before.as_ref().map_or(now, |(since, _)| *since), cause));
            before
        };
        match (before, found) {
            (None, Some(cause)) => {
                tracing::error!("the second root cannot be used: {}", cause.message);
                self.publish(Event::new(now, None, EventKind::TierLost { cause }))
                    .await;
            }
            (Some((since, _)), None) => {
                tracing::warn!(since = %since, "the second root can be used again");
                self.publish(Event::new(now, None, EventKind::TierBack)).await;
                if let Err(e) = self.moving.settle().await {
                    tracing::warn!(error = %e, "moves that were cut off are not finished yet");
                }
            }
            _ => {}
        }
    }

    async fn enter_moves(&self) -> Result<()> {
        let counts = self.jobs.counts().await?;
        let waiting = counts
            .iter()
            .filter(|c| c.kind == KIND && c.state == JobState::Queued)
            .map(|c| c.jobs)
            .sum();
        for job in self.moving.due(self.archive.policy(), waiting).await? {
            self.jobs.enqueue(job).await?;
        }
        Ok(())
    }
}
