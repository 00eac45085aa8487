//! Generated scenes, and what the detector makes of them.

mod judge;
mod lines;
mod render;
mod zones;
