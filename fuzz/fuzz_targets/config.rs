//! Configuration files: any text is accepted or refused with an error, never a panic.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = nvr_core::config::Config::parse(text, Some(Path::new("nvr.toml")));
    }
});
