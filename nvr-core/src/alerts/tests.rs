//! The engine by itself, and kept over a restart.

mod engine;
mod keeping;
