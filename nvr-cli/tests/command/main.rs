//! The built command as people call it.
//!
//! One program: each one more has to be linked, and is as large as all others.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests may panic and tell what they see"
)]

mod accounts;
mod backup;
mod book;
mod common;
mod ingest;
mod jobs;
mod offline;
mod recorder;
mod secrets;
mod secrets_pushes;
mod service;
