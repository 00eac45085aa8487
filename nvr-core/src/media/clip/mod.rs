//! Clips: any stretch of recorded time as one MP4 file, made from segment files while it is read.
//!
//! [`plan()`] decides which fragments are shown, [`Clip::open`] lays the file out. Its size is known then
//! and any part of it can be read at any time, so that it serves HTTP ranges as well as a copy to disk.
//! Nothing is decoded and the samples are never held in memory.
//!
//! | | `Fmp4` | `Mp4` |
//! |---|---|---|
//! | what | init and fragments, their times patched | `moov` in front, sample tables |
//! | read at open | two `moof`s per segment | the sample table of each segment, or all `moof`s |
//! | start | exact by edit list, after a lead-in from the keyframe before it | same |
//! | end | at the end of a fragment | at a frame |
//!
//! Players that do not apply edit lists to fragmented files show the lead-in (up to one GOP), and some add
//! it to the duration that they display; `Mp4` is exact in all of them.
//!
//! The time line of a clip has no gaps: [`Clip::mapping`] tells which UTC each stretch shows.

mod edges;
mod fmp4;
mod head;
mod moof;
mod mp4;
mod output;
mod part_samples;
pub(in crate::media) mod plan;
mod remade;
mod seek;
mod source;
mod spans;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;

pub(crate) use head::ftyp;
pub use output::{Clip, ClipReader};
pub(crate) use plan::decoder_specific;
pub use plan::{ClipPlan, OnChange, PlanPart, plan, shown_parts as shown};
pub use remade::{Remade, RemadePart, SourceFrame};
pub use source::{ClipSegment, FileStamp, ReadAt};
pub use spans::{Span, SpanInput, spans};
pub use timeline::MapEntry;

/// How a clip is packed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fragmented MP4, cheapest: fragments as they were recorded.
    #[default]
    Fmp4,
    /// Progressive MP4 with `moov` in front, for every player and editor.
    Mp4,
}
