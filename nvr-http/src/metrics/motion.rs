//! Figures of looking for motion.

use std::fmt;

use nvr_core::CameraId;
use nvr_core::motion::MotionStatus;
use nvr_core::nvr::MqttEventCounts;
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
    let help = "How often a line was crossed";
    let mut family = encoder.encode_descriptor("nvr_line_crossings", help, None, MetricType::Counter)?;
    for (id, motion) in cameras {
        for line in &motion.lines {
            for (direction, n) in [
                ("left_to_right", line.left_to_right),
                ("right_to_left", line.right_to_left),
            ] {
                let labels = [
                    ("camera_id", id.as_str()),
                    ("line", &line.line),
                    ("direction", direction),
                ];
                ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
            }
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

/// Of messages of topics that events come from, while there is a broker.
pub(super) fn encode_mqtt(encoder: &mut DescriptorEncoder<'_>, counts: MqttEventCounts) -> fmt::Result {
    let help = "Messages over MQTT by what became of them";
    let mut family = encoder.encode_descriptor("nvr_mqtt_messages", help, None, MetricType::Counter)?;
    for (outcome, n) in [
        ("event", counts.events),
        ("retained", counts.retained),
        ("unknown_camera", counts.unknown_camera),
        ("unreadable", counts.unreadable),
        ("too_many", counts.too_many),
    ] {
        ConstCounter::new(n).encode(family.encode_family(&[("outcome", outcome)])?)?;
    }
    Ok(())
}
