//! The system as a whole, against simulated cameras and real services.
//!
//! One program: each one more has to be linked, and is as large as all others.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests may panic and tell what they see"
)]

mod audio;
mod bookings;
mod card;
mod clock;
mod crash;
mod discovery;
mod hanging;
mod index;
mod ingest;
mod jobs;
mod long;
mod many;
mod merging;
mod onvif;
mod outages;
mod phases;
mod pipelines;
mod programs;
mod push;
mod replaycam;
mod restream;
mod retention;
mod rotation;
mod stills;
mod storage;
mod testcam;
mod tiers;
mod tiers_moved;
mod timestamps;
mod together;
mod upload;
mod upload_clouds;
mod upload_http;
mod upload_kills;
mod upload_paths;
mod upload_tls;
