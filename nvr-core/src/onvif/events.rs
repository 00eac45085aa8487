//! What a camera sees by itself: a pull point (ONVIF Core Specification, 9.2) and the topics that makers share.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::device::{Access, Device, PATIENCE};
use super::soap::escape;
use super::xml::{Node, plain};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};

/// How long the camera may hold back an answer while nothing happens.
const WAIT: Duration = Duration::from_secs(20);
/// How long it keeps a subscription that nobody asks.
const KEEP_S: u64 = 90;
/// Most notices of one answer.
const MAX_NOTICES: usize = 100;

/// Something that the camera says it sees, or sees no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What: `motion`, `line`, `intrusion`, `tamper`, `input`, `person`, `vehicle`, `face`, `animal`, `visitor`.
    pub label: &'static str,
    /// The rule, line or input, where several of a kind can be told apart.
    pub zone: Option<String>,
    /// The topic with its source, which goes on and off by itself.
    pub key: String,
    /// The topic without prefixes.
    pub topic: String,
    /// Whether it goes on; `None` for what happens in a moment.
    pub active: Option<bool>,
}

/// A subscription.
#[derive(Debug)]
pub struct Subscription {
    device: Arc<Device>,
    at: Url,
    clock: SharedClock,
    renewed_ns: i64,
}

impl Subscription {
    /// Reaches a camera and subscribes.
    ///
    /// # Errors
    /// As [`Device::connect`]; `Unsupported` when the camera has no events.
    pub async fn begin(clock: &SharedClock, access: Access) -> Result<Self> {
        let device = Device::connect(clock, access).await?;
        let Some(service) = device.services.events.clone() else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the camera has no events by ONVIF",
            ));
        };
        let body = format!(
            "<tev:CreatePullPointSubscription><tev:InitialTerminationTime>PT{KEEP_S}S</tev:InitialTerminationTime></tev:CreatePullPointSubscription>"
        );
        let header = addressing(
            &service,
            "http://www.onvif.org/ver10/events/wsdl/EventPortType/CreatePullPointSubscriptionRequest",
        );
        let answer = device.call_with(&service, &header, &body, PATIENCE).await?;
        let place = answer
            .find("SubscriptionReference")
            .and_then(|r| r.text_at(&["Address"]));
        let at = place.and_then(|xaddr| device.place(xaddr)).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the camera subscribed us and does not say where to ask",
            )
        })?;
        Ok(Self {
            renewed_ns: clock.steady_ns(),
            clock: clock.clone(),
            device,
            at,
        })
    }

    /// Waits for what comes next; nothing may come.
    ///
    /// # Errors
    /// What the camera answers, as when it has forgotten the subscription: then begin anew.
    pub async fn pull(&mut self) -> Result<Vec<Notice>> {
        let body = format!(
            "<tev:PullMessages><tev:Timeout>PT{}S</tev:Timeout><tev:MessageLimit>{MAX_NOTICES}</tev:MessageLimit></tev:PullMessages>",
            WAIT.as_secs()
        );
        let header = addressing(
            &self.at,
            "http://www.onvif.org/ver10/events/wsdl/PullPointSubscription/PullMessagesRequest",
        );
        let answer = self
            .device
            .call_with(&self.at, &header, &body, WAIT + PATIENCE)
            .await?;
        let lasted = self.clock.steady_ns() - self.renewed_ns;
        if lasted > KEEP_S as i64 * 1_000_000_000 / 3 {
            self.renew().await?;
        }
        Ok(read_notices(&answer))
    }

    async fn renew(&mut self) -> Result<()> {
        let body =
            format!("<wsnt:Renew><wsnt:TerminationTime>PT{KEEP_S}S</wsnt:TerminationTime></wsnt:Renew>");
        let header = addressing(
            &self.at,
            "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/RenewRequest",
        );
        match self.device.call_with(&self.at, &header, &body, PATIENCE).await {
            Ok(_) => {}
            // There are cameras for which every pull renews.
            Err(e) if e.kind() == ErrorKind::Unsupported => {}
            Err(e) => return Err(e),
        }
        self.renewed_ns = self.clock.steady_ns();
        Ok(())
    }

    /// Tells the camera that nobody asks any more.
    pub async fn end(self) {
        let header = addressing(
            &self.at,
            "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/UnsubscribeRequest",
        );
        let told = self
            .device
            .call_with(&self.at, &header, "<wsnt:Unsubscribe/>", Duration::from_secs(2));
        if let Err(e) = told.await {
            tracing::debug!(error = %e, "a camera was not told that its events are read no more");
        }
    }
}

fn addressing(at: &Url, action: &str) -> String {
    format!(
        "<wsa:Action>{action}</wsa:Action><wsa:To>{}</wsa:To>",
        escape(at.as_str())
    )
}

fn read_notices(answer: &Node) -> Vec<Notice> {
    answer
        .all("NotificationMessage")
        .take(MAX_NOTICES)
        .filter_map(read_notice)
        .collect()
}

fn read_notice(message: &Node) -> Option<Notice> {
    let topic = message.text_at(&["Topic"])?;
    let topic: Vec<&str> = topic
        .split('/')
        .map(|p| p.rsplit(':').next().unwrap_or(p))
        .collect();
    let topic: String = topic
        .join("/")
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    let label = label_of(&topic)?;
    let inner = message.at(&["Message", "Message"])?;
    let item = |group: &str, names: &[&str]| {
        let items = inner.child(group)?;
        let found = items
            .all("SimpleItem")
            .find(|i| i.attribute("Name").is_some_and(|n| names.contains(&n)))?;
        found.attribute("Value").map(plain).filter(|v| !v.is_empty())
    };
    let sources: Vec<String> = inner
        .child("Source")
        .map(|s| {
            s.all("SimpleItem")
                .take(8)
                .filter_map(|i| i.attribute("Value"))
                .map(plain)
                .collect()
        })
        .unwrap_or_default();
    let zone = match label {
        "line" | "intrusion" => item("Source", &["Rule"]),
        "input" => item("Source", &["InputToken", "Source", "Token"]),
        _ => None,
    };
    let state = item(
        "Data",
        &[
            "IsMotion",
            "State",
            "IsInside",
            "IsTamper",
            "LogicalState",
            "IsDetected",
        ],
    );
    let active = match state.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "1" | "active" | "on") => Some(true),
        Some(_) => Some(false),
        None => None,
    };
    let gone = inner.attribute("PropertyOperation") == Some("Deleted");
    Some(Notice {
        label,
        zone: zone.map(|z| z.chars().take(100).collect()),
        key: format!("{topic} {}", sources.join(" ")),
        topic,
        active: if gone { Some(false) } else { active },
    })
}

/// What a topic is about; `None` for what is no sight (connections, recordings, the clock).
fn label_of(topic: &str) -> Option<&'static str> {
    let has = |part: &str| topic.contains(part);
    Some(match () {
        () if has("PeopleDetect") => "person",
        () if has("VehicleDetect") => "vehicle",
        () if has("FaceDetect") => "face",
        () if has("DogCatDetect") => "animal",
        () if topic.ends_with("/Visitor") => "visitor",
        () if has("CellMotionDetector/Motion")
            || has("MotionRegionDetector/Motion")
            || has("VideoSource/MotionAlarm") =>
        {
            "motion"
        }
        () if has("LineDetector/") || has("LineCounter/") => "line",
        () if has("FieldDetector/") => "intrusion",
        () if has("Tamper") || has("VideoSource/GlobalSceneChange") => "tamper",
        () if has("Trigger/DigitalInput") => "input",
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, operation: &str, source: &str, data: &str) -> String {
        format!(
            r#"<wsnt:NotificationMessage><wsnt:Topic Dialect="x">{topic}</wsnt:Topic><wsnt:Message><tt:Message UtcTime="2026-05-04T12:00:00Z" {operation}>
            <tt:Source>{source}</tt:Source><tt:Data>{data}</tt:Data></tt:Message></wsnt:Message></wsnt:NotificationMessage>"#
        )
    }

    fn read(messages: &str) -> Vec<Notice> {
        read_notices(
            &Node::parse(&format!(
                "<tev:PullMessagesResponse>{messages}</tev:PullMessagesResponse>"
            ))
            .unwrap(),
        )
    }

    #[test]
    fn topics_of_several_makers_are_read() {
        let source = r#"<tt:SimpleItem Name="VideoSourceConfigurationToken" Value="v"/><tt:SimpleItem Name="Rule" Value="Gate"/>"#;
        let all = [
            message(
                "tns1:RuleEngine/CellMotionDetector/Motion",
                r#"PropertyOperation="Changed""#,
                source,
                r#"<tt:SimpleItem Name="IsMotion" Value="true"/>"#,
            ),
            message(
                "tns1:VideoSource/MotionAlarm",
                r#"PropertyOperation="Initialized""#,
                r#"<tt:SimpleItem Name="Source" Value="0"/>"#,
                r#"<tt:SimpleItem Name="State" Value="0"/>"#,
            ),
            message(
                "tns1:RuleEngine/tns1:LineDetector/Crossed",
                "",
                source,
                r#"<tt:SimpleItem Name="ObjectId" Value="7"/>"#,
            ),
            message(
                "tns1:RuleEngine/TamperDetector/Tamper",
                r#"PropertyOperation="Deleted""#,
                source,
                r#"<tt:SimpleItem Name="IsTamper" Value="true"/>"#,
            ),
            message(
                "tns1:Device/Trigger/DigitalInput",
                r#"PropertyOperation="Changed""#,
                r#"<tt:SimpleItem Name="InputToken" Value="DI1"/>"#,
                r#"<tt:SimpleItem Name="LogicalState" Value="true"/>"#,
            ),
            message(
                "tns1:RuleEngine/MyRuleDetector/PeopleDetect",
                "",
                r#"<tt:SimpleItem Name="Source" Value="000"/>"#,
                r#"<tt:SimpleItem Name="State" Value="true"/>"#,
            ),
            message(
                "tns1:Monitoring/ProcessorUsage",
                "",
                "",
                r#"<tt:SimpleItem Name="Value" Value="60"/>"#,
            ),
        ];
        let found = read(&all.concat());
        let short: Vec<_> = found
            .iter()
            .map(|n| (n.label, n.zone.as_deref(), n.active))
            .collect();
        assert_eq!(
            short,
            [
                ("motion", None, Some(true)),
                ("motion", None, Some(false)),
                ("line", Some("Gate"), None),
                ("tamper", None, Some(false)),
                ("input", Some("DI1"), Some(true)),
                ("person", None, Some(true)),
            ]
        );
        assert_ne!(found[0].key, found[1].key);
    }

    #[test]
    fn halves_of_messages_are_left_out() {
        assert!(read("<a:NotificationMessage/><a:NotificationMessage><Topic>tns1:VideoSource/MotionAlarm</Topic></a:NotificationMessage>").is_empty());
    }
}
