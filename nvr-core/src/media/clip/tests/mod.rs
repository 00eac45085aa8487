//! Clips of real material, judged by a second program; layouts of random material.

mod cases;
mod material;
mod planning;
mod real;
