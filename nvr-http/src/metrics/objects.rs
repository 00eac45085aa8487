//! Figures of looking for objects.

use std::fmt;

use nvr_core::objects::{ObjectFigures, ObjectsState, ObjectsStatus};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// Nothing but the state where nobody asked for it.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, status: &ObjectsStatus) -> fmt::Result {
    if status.state != ObjectsState::Off {
        let ready = super::yes(status.state == ObjectsState::Ready);
        super::one(
            encoder,
            "nvr_objects_ready",
            "Whether objects are looked for, and the model can be used",
            ready,
        )?;
    }
    type Value = fn(&ObjectFigures) -> u64;
    let counters: [(&str, &str, Value); 4] = [
        ("nvr_objects_pictures", "Pictures looked at for objects", |f| {
            f.pictures
        }),
        (
            "nvr_objects_pictures_dropped",
            "Pictures not looked at for want of time",
            |f| f.pictures_dropped,
        ),
        (
            "nvr_objects_pictures_damaged",
            "Pictures that could not be converted",
            |f| f.pictures_damaged,
        ),
        ("nvr_objects_found", "Objects found that count", |f| f.found),
    ];
    for (name, help, value) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (id, figures) in &status.cameras {
            let labels = [("camera_id", id.as_str())];
            ConstCounter::new(value(figures)).encode(family.encode_family(&labels)?)?;
        }
    }
    let help = "Processor time of looking for objects";
    let mut family = encoder.encode_descriptor("nvr_objects_cpu_seconds", help, None, MetricType::Counter)?;
    for (id, figures) in &status.cameras {
        let labels = [("camera_id", id.as_str())];
        ConstCounter::new(figures.cpu_ns as f64 / 1e9).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
