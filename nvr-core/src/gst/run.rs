//! One life of one camera's pipeline.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::spec::{RunEvent, RunSpec, RunStats, StopOutcome};
use super::tap::Tap;
use crate::error::{Error, ErrorKind, Result};

/// A running pipeline. Dropping it stops it at once, as after a crash; [`stop`](Self::stop) closes files.
#[derive(Debug)]
pub struct Run {}

impl Run {
    /// Builds the pipeline and sets it playing. Blocks for the time that takes (no network answer is
    /// awaited): call it from a thread that may block.
    ///
    /// # Errors
    /// `Unsupported` when an element is missing, `Unavailable` when the source cannot be opened.
    pub fn start(_spec: RunSpec) -> Result<(Self, UnboundedReceiver<RunEvent>)> {
        Err(Error::new(ErrorKind::Unsupported, "under construction"))
    }
    /// Figures so far.
    #[must_use]
    pub fn stats(&self) -> RunStats {
        RunStats::default()
    }
    /// Access to the encoded frames.
    #[must_use]
    pub fn tap(&self) -> Tap {
        Tap {}
    }
    /// Begins a new segment at the next keyframe.
    pub fn split(&self) {}
    /// Closes the last segment and ends the run; past the deadline the pipeline is cut. Blocks.
    #[must_use]
    pub fn stop(self, _deadline: Duration) -> StopOutcome {
        StopOutcome {
            clean: false,
            took: Duration::ZERO,
        }
    }
}
