//! Recording with real elements, judged by ffprobe.

mod cameras;
mod cuts;
pub(crate) mod days;
mod faults;
mod feeding;
mod harness;
mod holes;
mod live;
mod reconnects;
mod recording;
mod slow_disk;
mod splits;
