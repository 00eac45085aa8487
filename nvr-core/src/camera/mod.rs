//! One camera: a pure state machine and the actor around it.
//!
//! The machine decides (when to connect, when to give up, how long to wait), the actor does. Neither
//! knows what a pipeline is made of: that is the `gst` room's business.

pub mod backoff;
mod handle;
mod journal;
pub mod machine;
mod manual;
mod onvif;
mod session;
mod status;
mod sub;
mod supervisor;
#[cfg(test)]
mod tests;
mod wanted;
mod wish;

pub use handle::{Camera, RecordRequest};
pub(crate) use onvif::{OnvifSlot, access_of};
pub use status::{CameraState, CameraStatus, Counters, IngestStatus, ManualRecording};
pub(crate) use sub::SubStream;
pub(crate) use supervisor::{Command, Context, spawn};
pub use wish::{READY_BEFORE, Wish, WishId};
