//! The pipelines: the only room that knows GStreamer.
//!
//! [`Run`] is one life of one camera's pipeline: it opens a source, writes segments through a
//! [`SegmentFiles`](crate::segment::SegmentFiles) and offers the encoded frames to others as a [`Tap`].
//! When to start, restart and stop is not decided here, nor is where files lie.

mod audio;
mod bus;
mod codec_trial;
pub mod decode;
mod devices;
mod encoders;
mod gate;
mod guard;
mod init;
mod intake;
mod probe;
mod record;
mod retime;
mod run;
mod sink;
pub mod snapshot;
mod source_bin;
pub(crate) mod sources;
mod spec;
mod tap;
mod writer;

pub use codec_trial::{CodecKind, CodecReport, Outcome, detect_codecs};
pub use devices::{DeviceFormatReport, DeviceReport, DeviceSize, devices};
pub use init::init;
pub use probe::{ProbeOptions, ProbeReport, probe};
pub use run::Run;
pub(crate) use sources::cause::cause_of_build;
pub use spec::{RecordSpec, RunEvent, RunInput, RunSpec, RunStats, StopOutcome};
pub use tap::{AccessUnit, Tap, TapReceiver, UnitData, UnitTrack};

#[cfg(test)]
mod tests;
