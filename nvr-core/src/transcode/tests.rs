//! Whole transcodes of real footage, judged by other programs, and every way to be interrupted.

mod exchange;
mod masked;
mod outcomes;
mod rig;
