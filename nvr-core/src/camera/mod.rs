//! One camera: a pure state machine and the actor around it.
//!
//! The machine decides (when to connect, when to give up, how long to wait), the actor does. Neither
//! knows what a pipeline is made of: that is the `gst` room's business.

pub mod backoff;
pub mod machine;
