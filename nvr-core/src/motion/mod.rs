//! Motion in the pictures of a camera: found in small grey pictures, by policy that is pure.
//!
//! [`Detector`] looks at one picture after the other and says how much moves, [`Spans`] makes stretches of that. Both know
//! nothing of cameras, decoders and clocks.

mod background;
mod blobs;
mod detector;
mod light;
mod spans;
#[cfg(test)]
mod tests;

pub use detector::{Detector, Look, Scene, Settings, WIDTH};
pub use spans::{LIKELY, SURE, SpanChange, SpanRules, Spans};
