//! The planner by its properties, the keeper against a real index and real files.

mod keeping;
mod kills;
mod planning;
mod watching;

use std::time::Duration;

use super::*;
use crate::config::{Age, CameraConfig, Config, RetentionConfig, Room};
use crate::ids::CameraId;
use crate::source::SourceSpec;
use crate::time::Timestamp;

fn cam(n: usize) -> CameraId {
    CameraId::new(&format!("cam{n}")).unwrap()
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_secs(s)
}

fn age(s: u64) -> Age {
    Age::For(Duration::from_secs(s))
}

/// A configuration with the cameras `cam0`, `cam1`, … and no limits.
fn config(cameras: usize) -> Config {
    let mut config = Config::new("/nowhere");
    config.retention = RetentionConfig::off();
    for n in 0..cameras {
        let source = SourceSpec::parse("test:").unwrap();
        config.cameras.push(CameraConfig::new(cam(n), source));
    }
    config
}
