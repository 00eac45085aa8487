//! Descriptions of sessions, base addresses and challenges.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nvr_core::testing::rtsp_sdp(data));
