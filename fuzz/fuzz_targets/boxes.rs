//! Segments, descriptions and index blobs from a disk that may hold anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nvr_core::media::exercise(data));
