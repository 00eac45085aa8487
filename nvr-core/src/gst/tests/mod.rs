//! Recording with real elements, judged by ffprobe.

mod cameras;
mod faults;
mod feeding;
mod harness;
mod holes;
mod recording;
