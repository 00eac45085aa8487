//! Recording with real elements, judged by ffprobe.

mod faults;
mod feeding;
mod harness;
mod holes;
mod recording;
