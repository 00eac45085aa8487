//! Encoding footage again as H.265: what is worth it, the work itself, the exchange, and what it brought.
//!
//! | | |
//! |---|---|
//! | [`policy`] | which segments, pure |
//! | `encode` | one segment to one draft: the same chunks, times and sound, other video |
//! | `verify` | is the draft the same footage? Read back from the disk and decoded whole |
//! | `work` | all of it for one segment, encoder by encoder, and the exchange |
//! | [`settle`] | what a crash left, brought to one good version |
//! | `kind` | the kind of job, the planner, and switching it on and off |
//!
//! Nothing is trusted: the original's hash is compared before it is read, the draft is judged from the disk by other
//! code than wrote it, and whatever does not fit leaves the original where it is. Codecs belong to `gst`, bytes to
//! `media`, names and renames to `files`.

mod encode;
mod kind;
pub mod policy;
mod settle;
mod verify;
mod work;

#[cfg(test)]
mod tests;

pub(crate) use kind::on_demand;
pub use kind::{KIND, Transcoding, TranscodingStatus};
pub use settle::{Settled, settle};
pub use work::{Control, Outcome, Report, Worker};
