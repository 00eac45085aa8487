//! Generated scenes, and what the detector makes of them.

mod judge;
mod render;
mod zones;
