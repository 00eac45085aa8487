//! Figures of stills.

use std::fmt;

use nvr_core::CameraId;
use nvr_core::stills::StillFigures;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

type Value = fn(&StillFigures) -> u64;

/// Of cameras that have stills, or should have.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    cameras: &[(CameraId, StillFigures)],
) -> fmt::Result {
    let gauges: [(&str, &str, Value); 2] = [
        ("nvr_stills", "Stills that are kept", |f| f.sums.count),
        ("nvr_stills_bytes", "Bytes of stills that are kept", |f| {
            f.sums.size_bytes
        }),
    ];
    for (name, help, value) in gauges {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (id, figures) in cameras {
            let labels = [("camera_id", id.as_str())];
            ConstGauge::new(value(figures) as f64).encode(family.encode_family(&labels)?)?;
        }
    }
    let counters: [(&str, &str, Value); 3] = [
        ("nvr_stills_taken", "Stills that were taken", |f| f.taken),
        (
            "nvr_stills_missed",
            "Stills left out because the camera sent nothing new",
            |f| f.missed,
        ),
        (
            "nvr_stills_failed",
            "Stills that could not be decoded or written",
            |f| f.failed,
        ),
    ];
    for (name, help, value) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (id, figures) in cameras {
            let labels = [("camera_id", id.as_str())];
            ConstCounter::new(value(figures)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
