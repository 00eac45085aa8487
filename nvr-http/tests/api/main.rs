//! The API of a recorder that really records, over a real connection.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod cameras;
mod footage;
mod media;
mod mistakes;
mod support;
mod system;
