//! What a server may send to a session that asks, or plays.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nvr_core::testing::rtsp_client(data));
