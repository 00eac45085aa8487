//! Motion in the pictures of a camera: found in small grey pictures, by policy that is pure.
//!
//! [`Detector`] looks at one picture after the other and says how much moves, [`Spans`] makes stretches of that, [`Tracker`]
//! follows what moves over lines. They know nothing of cameras, decoders and clocks.

mod background;
mod blobs;
mod detector;
mod eye;
mod light;
mod pool;
mod spans;
mod status;
#[cfg(test)]
mod tests;
mod tracks;
mod worker;

pub use detector::{Detector, Look, Scene, Settings, WIDTH};
pub(crate) use pool::Pool;
pub use spans::{LIKELY, SURE, SpanChange, SpanRules, Spans};
pub use status::{LineCount, MotionStatus, ZoneScore};
pub use tracks::{Crossing, Tracker};
pub(crate) use worker::{Motion, Shared, Teller, Told};
