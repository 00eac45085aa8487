//! The second root: whether it is there, what moves to it, and what is said when it is away.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::question::Question;
use super::{Inner, opening};
use crate::error::{ErrorKind, Result};
use crate::event::{Cause, CauseKind, Event, EventKind};
use crate::jobs::JobState;
use crate::moving::KIND;
use crate::segment::Tier;

/// How often is looked whether it is there, and for what is to move.
const LOOK: Duration = Duration::from_secs(5);
/// A disk that has not answered for so long counts as away.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn work(recorder: Weak<Inner>, stop: CancellationToken) {
    let (mut look, mut finish) = (Question::default(), Question::default());
    loop {
        let Some(inner) = recorder.upgrade() else { return };
        if inner.tree.second().is_none() {
            return;
        }
        // Whatever hangs there holds up nothing but this.
        inner.look_at_tier(&mut look).await;
        inner.finish_below_second(&mut finish).await;
        if let Err(e) = inner.enter_moves().await {
            tracing::debug!(error = %e, "segments that are to move cannot be looked for now");
        }
        let clock = inner.context.clock.clone();
        drop(inner);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.tick(LOOK) => {}
        }
    }
}

impl Inner {
    async fn look_at_tier(&self, look: &mut Question<Option<Cause>>) {
        let (config, store, tree) = (self.config(), self.context.store.clone(), self.tree.clone());
        let question = move || opening::look_at_second(&config, &store, &tree);
        let found = match look.ask(question, self.context.clock.sleep(PATIENCE)).await {
            Some(Ok(found)) => found,
            Some(Err(e)) => Some(Cause::new(CauseKind::Internal, e.to_string())),
            None => {
                self.tree.set_second_usage(None);
                Some(Cause::new(
                    CauseKind::StorageError,
                    "the disk of the second root does not answer",
                ))
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
            }
            _ => {}
        }
    }

    /// Finishes moves and deletions that were cut off: by a crash while the second root was away, or by a fault.
    async fn finish_below_second(&self, finish: &mut Question<()>) {
        if self.tree.second_usage().is_none() {
            return;
        }
        let (moving, keeper) = (self.moving.clone(), Arc::clone(&self.keeper));
        let question = move || {
            let moves = moving.settle();
            let deletions = keeper.finish_below(Tier::Second);
            for e in [moves, deletions].into_iter().filter_map(Result::err) {
                // Somebody is at work there.
                if e.kind() != ErrorKind::Unavailable {
                    tracing::warn!(error = %e, "what was cut off below the second root is not finished yet");
                }
            }
        };
        if let Some(Err(e)) = finish.ask(question, self.context.clock.sleep(LOOK)).await {
            tracing::error!(error = %e, "finishing what was cut off failed");
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
