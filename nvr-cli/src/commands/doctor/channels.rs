//! Whether the servers of alert channels and the MQTT broker can be reached.

use nvr_core::alerts::reach;
use nvr_core::clock::SystemClock;
use nvr_core::config::Config;

use super::Finding;

const SUBJECT: &str = "alerts";

pub async fn look(config: &Config, findings: &mut Vec<Finding>) {
    let alerts = &config.alerts;
    if alerts.channels.is_empty() {
        findings.push(Finding::ok(
            SUBJECT,
            "no channel: nobody is told when something is wrong (docs/alerts.md)",
        ));
        return;
    }
    let clock = SystemClock::shared();
    let broker = config.mqtt.as_ref().map(|m| (m.host.as_str(), m.port));
    for channel in &alerts.channels {
        let name = format!("{} ({})", channel.name, channel.place.kind().as_str());
        findings.push(match reach(channel, broker, &clock).await {
            Ok(()) => Finding::ok(SUBJECT, format!("the server of {name} answers")),
            Err(e) => Finding::warn(
                SUBJECT,
                format!("{name}: {e}"),
                format!(
                    "look at its address and at the network; then `nvr alerts test {}`",
                    channel.name
                ),
            ),
        });
    }
}
