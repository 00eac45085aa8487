//! What a source hands to the rest of the pipeline.

/// What a source hands out: a bin with src ghost pad `video` (video/x-h264,stream-format=avc,alignment=au |
/// video/x-h265,stream-format=hvc1,alignment=au; parsed and timestamped: PTS and DTS set, by
/// h264timestamper/h265timestamper) and, if there is audio, src ghost pad `audio` (as the camera sends it,
/// parsed: audio/mpeg raw AAC | audio/x-opus | audio/x-mulaw | audio/x-alaw | audio/x-raw).
#[derive(Debug)]
pub(crate) struct SourceBin {
    /// The bin; not yet in a pipeline.
    pub bin: gst::Bin,
}

/// Called exactly once, from some streaming thread, when the ghost pads exist and their data flow is blocked;
/// the argument says whether there is audio. The callee links the pads; when it returns data flows.
pub(crate) type OnTracks = Box<dyn Fn(bool /* has audio */) + Send + Sync>;
