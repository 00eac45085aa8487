//! Recording with real elements, judged by ffprobe.

mod faults;
mod harness;
mod recording;
