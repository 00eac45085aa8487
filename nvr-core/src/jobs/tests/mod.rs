//! The engine with kinds made for the tests, on a clock that is turned; the scheduler's properties beside.

mod engine;
mod scheduling;
