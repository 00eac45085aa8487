//! What a source hands to the rest of the pipeline, and what it is given.

use std::sync::Arc;

use super::lean::{Demand, Reactor};
use crate::source::Ingest;

/// What a source hands out: a bin with src ghost pad `video` (video/x-h264,stream-format=avc,alignment=au |
/// video/x-h265,stream-format=hvc1,alignment=au; parsed and timestamped: PTS and DTS set) and, if there is audio, src
/// ghost pad `audio` (as the camera sends it, parsed: audio/mpeg raw AAC | audio/x-opus | audio/x-mulaw |
/// audio/x-alaw | audio/x-raw).
///
/// Buffers come one by one, or as a list when nothing will follow for a while.
#[derive(Debug)]
pub(crate) struct SourceBin {
    /// The bin; not yet in a pipeline.
    pub bin: gst::Bin,
}

/// Called exactly once, from some streaming thread, when the ghost pads exist and their data flow is blocked;
/// the argument says whether there is audio. The callee links the pads; when it returns data flows.
pub(crate) type OnTracks = Box<dyn Fn(bool /* has audio */) + Send + Sync>;

/// Told which way a network source takes, and why not the other if that was the first choice.
pub(crate) type OnIngest = Arc<dyn Fn(Ingest, Option<&str>) + Send + Sync>;

/// What surrounds a source. The default is for one that is opened for a moment, by itself.
#[derive(Clone, Default)]
pub(crate) struct Around {
    /// Whose threads serve its connection.
    pub reactor: Reactor,
    /// Who wants frames at once.
    pub demand: Arc<Demand>,
    /// Whether frames may be late while nobody does.
    pub lazy: bool,
    /// Told before the tracks.
    pub on_ingest: Option<OnIngest>,
}
