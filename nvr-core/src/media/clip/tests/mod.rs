//! Clips of real material, judged by a second program; layouts of random material.

mod cases;
pub(crate) mod material;
mod planning;
pub(in crate::media) mod real;
