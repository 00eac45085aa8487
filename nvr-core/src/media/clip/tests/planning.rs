//! The planner on random recordings.
