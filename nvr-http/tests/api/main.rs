//! The API of a recorder that really records, over a real connection.
#![expect(
    clippy::disallowed_methods,
    reason = "how patient a test is, is no matter of the recorder's clock"
)]
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod accounts;
mod alerts;
mod bookings;
mod browser;
mod browser_live;
mod browser_playback;
mod cameras;
mod compat;
mod config;
mod detections;
mod footage;
mod instants;
mod jobs;
mod live;
mod load;
mod machine;
mod media;
mod mistakes;
mod motion;
mod network;
mod objects;
#[cfg(feature = "oidc")]
mod oidc;
mod pushes;
mod shares;
mod stills;
mod storage;
mod support;
mod system;
mod transcoding;
mod uploads;
