//! Synthetic segments for tests.
