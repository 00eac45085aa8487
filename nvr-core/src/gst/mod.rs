//! The pipelines: the only room that knows GStreamer.
//!
//! [`Run`] is one life of one camera's pipeline: it opens a source, writes segments through a
//! [`SegmentFiles`](crate::segment::SegmentFiles) and offers the encoded frames to others as a [`Tap`].
//! When to start, restart and stop is not decided here, nor is where files lie.

mod audio;
mod bus;
mod encoders;
mod guard;
mod init;
mod record;
mod run;
pub mod snapshot;
mod source_bin;
pub(crate) mod sources;
mod spec;
mod tap;

pub use encoders::{CodecKind, CodecReport, Outcome, detect_codecs};
pub use init::init;
pub use run::Run;
pub use spec::{RecordSpec, RunEvent, RunInput, RunSpec, RunStats, StopOutcome};
pub use tap::{AccessUnit, Tap, TapReceiver, UnitData, UnitTrack};
