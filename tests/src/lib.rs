//! Tools for the system tests: RTSP cameras made of software, judges of recorded files, and small helpers.
//!
//! - [`TestCam`] encodes a live picture that carries its frame number and time, and can be told to fail in the ways
//!   of real cameras.
//! - [`ReplayCam`] sends one clip to many connections and costs next to nothing: for benchmarks.
//! - [`tap`] is a client that sees every packet of a camera.
//! - [`judge`] asks ffprobe and ffmpeg, which serve as second opinion and nothing else, what a file holds.
//! - [`disk`] mounts and fills small disks.
//! - [`proc`] runs programs of the workspace, [`wait`] polls with a deadline, [`ports`] finds free ports.
//! - [`rig`] is a real recorder with its cameras, its events and what can be asked of its files.
//! - [`net`] is networks of a test's own, with programs in them.
//! - [`leap`] is a clock for its hours in seconds.
//! - [`recorder`] is the same as a process of its own, to be killed.
//! - [`plant`] makes segments that were never recorded, for those who copy them.
//! - [`cardcam`] is a camera that keeps what it sees on a card, to be replayed.
//! - [`s3`] is an S3 service with a proxy that misbehaves, [`cloud`] the same for other services that keep files.
//! - [`onvifcam`] is a camera that speaks ONVIF, turns and sees.
//! - [`tls`] is a certificate authority, and takes TLS off for servers that have none.
//! - [`page`] is the HTTP server in front of a recorder.
//! - [`picture`] draws and reads the frame number and the clock in the picture.
#![warn(missing_docs)]

pub mod cardcam;
pub mod cloud;
pub mod disk;
pub mod judge;
pub mod leap;
pub mod net;
pub mod onvifcam;
pub mod page;
pub mod picture;
pub mod plant;
pub mod ports;
pub mod proc;
pub mod recorder;
pub mod replay;
pub mod rig;
pub mod s3;
pub mod tap;
pub mod testcam;
pub mod tls;
pub mod wait;

pub use replay::{ReplayCam, ReplayOptions};
pub use testcam::{Audio, Auth, AuthKind, Codec, Picture, TestCam, TestCamOptions};
