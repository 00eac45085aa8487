//! Media as bytes: ISO-BMFF boxes, the fragment index, recovery, and what a segment says of itself.
//!
//! A segment on disk is
//!
//! ```text
//! ftyp moov uuid(description) [moof mdat]* uuid(samples) uuid(summary) mfra
//! ```
//!
//! The description is written as soon as `moov` is complete, the sample table, the summary and `mfra` when the
//! segment is closed. A file that lost its end is read up to its last whole `moof`+`mdat` pair. Everything here
//! works on bytes that may be anything: no input panics or makes it allocate without bound.
//!
//! No GStreamer, no database, no paths.

pub mod boxes;
pub mod clip;
pub mod codec;
pub mod describe;
#[cfg(any(test, feature = "test-util"))]
mod exercise;
pub mod fragment;
pub mod growing;
pub mod index;
pub mod init;
pub mod mfra;
pub mod mux;
pub mod playlist;
pub mod recode;
pub mod references;
pub mod samples;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod tlv;

pub use boxes::FourCc;
#[cfg(any(test, feature = "test-util"))]
pub use exercise::exercise;
pub use fragment::MovieFragment;
pub use growing::{GrowingIndex, Scan, scan};
pub use index::{Fragment, FragmentIndex};
pub use init::{InitSegment, InitTrack};
pub use mfra::{ClosedInfo, read_closed};
pub use samples::{SampleLog, StoredSamples};
