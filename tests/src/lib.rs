//! Tools for the system tests: RTSP cameras made of software, judges of recorded files, and small helpers.
//!
//! - [`TestCam`] encodes a live picture that carries its frame number and time, and can be told to fail in the ways
//!   of real cameras.
//! - [`judge`] asks ffprobe and ffmpeg, which serve as second opinion and nothing else, what a file holds.
//! - [`picture`] draws and reads the frame number and the clock in the picture.
#![warn(missing_docs)]

pub mod judge;
pub mod picture;
pub mod ports;
pub mod tap;
pub mod testcam;
pub mod wait;

pub use testcam::{Audio, Auth, AuthKind, Codec, Picture, TestCam, TestCamOptions};
