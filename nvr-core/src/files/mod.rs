//! The recordings tree: naming, the root and its marker, growing files, recovery, walking, deleting.
//!
//! Files are the truth; this room never asks the index. It knows neither GStreamer nor SQLite, it never
//! writes outside a root whose marker it has seen, and it never opens a file that exists for overwriting.
//!
//! A fragmented MP4 describes itself (camera, run, anchor, start). The plain containers do not: of those,
//! camera, start (to the millisecond) and run are what folder and file name say, nothing is hashed, and a
//! crash may cost the whole file (progressive MP4) or its last cluster (Matroska).

mod delete;
mod dirs;
pub(crate) mod growing;
mod home;
mod marker;
mod matroska;
mod mounts;
mod naming;
mod plain;
mod recover;
pub mod replace;
mod root;
pub(crate) mod scan;
mod segment_file;
pub(crate) mod stills;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod turns;

pub use crate::fault::{cause_of, classify};
pub use delete::delete;
pub use growing::GrowingSegment;
pub use home::{RootMemory, disk_of, require_disk};
pub use marker::{EXPORTS, MARKER, STILLS, TreeId};
pub use naming::{Day, SegmentName};
pub use recover::{Inspection, Recovered, inspect, recover};
pub use root::{Create, Root, RootOptions, Usage};
pub use scan::{Entry, Walk};
pub use sync::SyncPolicy;
pub(crate) use tree::open_below;
pub use tree::{Tree, hash_file};
pub(crate) use turns::Turn;
