//! The engine by itself, its built-in rules, and kept over a restart.

mod defaults;
mod engine;
mod keeping;
