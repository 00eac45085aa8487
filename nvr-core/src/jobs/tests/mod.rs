//! The engine with a kind made for the tests, on a clock that is turned; the scheduler's properties beside.

mod engine;
mod interruptions;
mod rig;
mod scheduling;
