//! The pipelines: the only room that knows GStreamer.
//!
//! [`Run`] is one life of one camera's pipeline: it opens a source, writes segments through a
//! [`SegmentFiles`](crate::segment::SegmentFiles) and offers the encoded frames to others as a [`Tap`].
//! When to start, restart and stop is not decided here, nor is where files lie.

mod aac_maker;
mod archive_encoders;
mod audio;
mod bus;
mod calm;
mod catalogue;
mod clips;
mod codec_trial;
mod colour;
mod compare;
mod compose;
mod debug_log;
pub mod decode;
mod devices;
mod encoders;
mod gate;
mod grey;
mod guard;
mod init;
mod intake;
mod lean;
mod live_sound;
mod log;
pub(crate) mod mask;
mod outlet;
mod parts;
mod pictures;
mod playback_encoders;
mod probe;
mod push;
#[cfg(any(feature = "onnx", test))]
mod read_picture;
mod recode;
mod recode_file;
mod record;
mod retime;
#[cfg(feature = "rtsp-server")]
mod rtsp_server;
mod run;
pub(crate) mod shrink;
mod sink;
pub mod snapshot;
mod source_bin;
mod sources;
mod spec;
mod ssim;
mod tap;
#[cfg(test)]
pub(crate) mod test_encoders;
mod writer;

pub(crate) use aac_maker::AacMaker;
pub use archive_encoders::{ARCHIVE_H265, ArchiveEncoder, ArchiveSettings};
pub use catalogue::{Catalogue, Ranked};
pub use clips::{CLIP_FPS, Scene, write_clip};
pub use codec_trial::{CodecKind, CodecReport, Outcome, detect_codecs};
#[cfg(test)]
pub(crate) use colour::testing;
pub(crate) use colour::{ColourFrame, RgbMaker};
pub use compare::{Comparison, compare};
pub(crate) use compose::{
    CodedSound, FileFault, FileSpec, Picture, PictureFile, PictureReader, black, name_plate, stopped,
};
pub use debug_log::redact_debug_log;
pub use devices::{DeviceFormatReport, DeviceReport, DeviceSize, devices};
pub(crate) use grey::{GreyDecoder, GreyInput, GreyStream};
pub use init::{init, version};
pub use lean::Reactor;
pub use live_sound::LiveSound;
pub use log::{PipelineLog, PipelineLogLevels};
pub use mask::Masking;
pub use parts::{PartReport, parts};
pub(crate) use pictures::{OnPicture, PictureStream};
pub use playback_encoders::PLAYBACK_H264;
pub use probe::{ProbeOptions, ProbeReport, probe, probe_with_picture};
pub(crate) use push::{PushStream, PushTarget, require as require_push};
#[cfg(feature = "onnx")]
pub(crate) use read_picture::read_picture;
pub use recode::{CodedFrame, CodedVideo, Gate, RecodeFault, RecodeWith, Recoded, View, WAIT, recode};
pub use recode_file::{FileRecode, recode_file, video_of};
#[cfg(feature = "rtsp-server")]
pub(crate) use rtsp_server::{Door, Feed, Opened, Peer, Refusal, RtspServer, ServerSettings, Who};
pub use run::Run;
pub(crate) use shrink::shrink;
pub(crate) use sources::cause::cause_of_build;
pub(crate) use sources::jpeg_size;
pub use spec::{RecordSpec, RunEvent, RunInput, RunSpec, RunStats, StopOutcome};
pub use tap::{AccessUnit, Tap, TapReceiver, UnitData, UnitTrack};

#[cfg(test)]
pub(crate) mod tests;
