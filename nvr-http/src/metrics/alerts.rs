//! Figures of alerts.

use std::fmt;

use nvr_core::alerts::{Alert, AlertKind, ChannelStatus};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// What goes on, and what became of messages.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    alerts: &[Alert],
    channels: &[ChannelStatus],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "nvr_alerts_firing",
        "Alerts that go on, by what they are about",
        None,
        MetricType::Gauge,
    )?;
    for kind in AlertKind::ALL {
        let n = alerts.iter().filter(|a| a.kind == kind).count();
        let labels = [("kind", kind.as_str())];
        ConstGauge::new(n as f64).encode(family.encode_family(&labels)?)?;
    }
    let mut family = encoder.encode_descriptor(
        "nvr_alert_deliveries",
        "Messages to alert channels that arrived, attempts that failed, and messages that were given up",
        None,
        MetricType::Counter,
    )?;
    for channel in channels {
        for (outcome, n) in [
            ("delivered", channel.delivered),
            ("failed", channel.failed),
            ("given_up", channel.given_up),
        ] {
            let labels = [("channel", channel.name.as_str()), ("outcome", outcome)];
            ConstCounter::new(n).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
