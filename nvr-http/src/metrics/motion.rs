//! Figures of looking for motion.

use std::fmt;

use nvr_core::CameraId;
use nvr_core::motion::MotionStatus;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Of cameras whose motion is, or was, looked for.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    cameras: &[(CameraId, MotionStatus)],
) -> fmt::Result {
    let looked: Vec<_> = cameras.iter().filter(|(_, m)| m.active || m.frames > 0).collect();
    let help = "How much moved at the last look, 0 to 1";
    let mut family = encoder.encode_descriptor("nvr_motion_score", help, None, MetricType::Gauge)?;
    for (id, motion) in looked.iter().filter(|(_, m)| m.active) {
        let labels = [("camera_id", id.as_str())];
        ConstGauge::new(f64::from(motion.score)).encode(family.encode_family(&labels)?)?;
    }
    type Value = fn(&MotionStatus) -> u64;
    let counters: [(&str, &str, Value); 2] = [
        ("nvr_motion_frames", "Pictures looked at for motion", |m| m.frames),
        (
            "nvr_motion_frames_dropped",
            "Pictures not looked at for want of time",
            |m| m.frames_dropped,
        ),
    ];
    for (name, help, value) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (id, motion) in &looked {
            let labels = [("camera_id", id.as_str())];
            ConstCounter::new(value(motion)).encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Processor time of decoding and looking for motion";
    let mut family = encoder.encode_descriptor("nvr_motion_cpu_seconds", help, None, MetricType::Counter)?;
    for (id, motion) in &looked {
        let labels = [("camera_id", id.as_str())];
        ConstCounter::new(motion.cpu_ns as f64 / 1e9).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
