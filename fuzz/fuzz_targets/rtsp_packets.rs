//! RTP and RTCP packets of every kind of track.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nvr_core::testing::rtsp_packets(data));
