//! A client of an MQTT broker (3.1.1): states go out, messages of topics come in.
//!
//! [`Mqtt`] is a handle; a task of its own keeps the connection, comes back after a loss, subscribes again and tells by
//! [`Mqtt::connections`] that what is retained may be told anew. Packets are made and read by the codec of `rumqttc`; the
//! connection is ours, for its TLS. What belongs to Home Assistant is in [`discovery`].

mod connection;
pub mod discovery;
pub(crate) mod incoming;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::config::MqttConfig;
use crate::error::{Error, ErrorKind, Result};

/// Messages that wait for the connection.
const WAITING: usize = 256;
/// Messages that a slow listener may be behind.
const BACKLOG: usize = 256;
/// Largest message in either direction.
pub(crate) const MOST_BYTES: usize = 4 << 20;
/// How long a message may take to be taken by the broker.
const PATIENCE: Duration = Duration::from_secs(15);

/// A message of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MqttMessage {
    /// Topic.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether the broker kept it from before.
    pub retained: bool,
}

/// How the connection stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MqttStatus {
    /// Whether it is up.
    pub connected: bool,
    /// How often it came up.
    pub connections: u64,
    /// Why it is not up.
    pub trouble: Option<String>,
}

/// The connection to a broker. Cheap to clone; it ends with its last handle, or when told.
#[derive(Clone, Debug)]
pub struct Mqtt(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: MqttConfig,
    clock: SharedClock,
    orders: mpsc::Sender<Order>,
    messages: broadcast::Sender<MqttMessage>,
    filters: Arc<Mutex<Vec<String>>>,
    status: watch::Receiver<MqttStatus>,
    stop: CancellationToken,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the connection's task is asked.
#[derive(Debug)]
enum Order {
    Publish {
        topic: String,
        payload: Bytes,
        retain: bool,
        taken: oneshot::Sender<()>,
    },
    /// There is a new filter.
    Subscribe,
}

impl Mqtt {
    /// Begins to connect. Must be called within a runtime.
    ///
    /// # Errors
    /// `Config` when the certificates cannot be used.
    pub fn start(config: MqttConfig, clock: SharedClock) -> Result<Self> {
        let (orders, taken) = mpsc::channel(WAITING);
        let (told, status) = watch::channel(MqttStatus::default());
        let messages = broadcast::Sender::new(BACKLOG);
        let filters = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let work = connection::Work {
            place: connection::Place::new(&config)?,
            clock: clock.clone(),
            orders: taken,
            messages: messages.clone(),
            filters: Arc::clone(&filters),
            status: told,
            stop: stop.clone(),
        };
        tokio::spawn(work.run());
        Ok(Self(Arc::new(Shared {
            config,
            clock,
            orders,
            messages,
            filters,
            status,
            stop,
        })))
    }

    /// What it was started with.
    #[must_use]
    pub fn config(&self) -> &MqttConfig {
        &self.0.config
    }

    /// How the connection stands.
    #[must_use]
    pub fn status(&self) -> MqttStatus {
        self.0.status.borrow().clone()
    }

    /// Follows how the connection stands: what is retained is told anew whenever `connections` grew.
    #[must_use]
    pub fn connections(&self) -> watch::Receiver<MqttStatus> {
        self.0.status.clone()
    }

    /// A topic below the base.
    #[must_use]
    pub fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.0.config.base_topic)
    }

    /// The topic that says `online` or, by the broker once the connection is lost, `offline`.
    #[must_use]
    pub fn availability_topic(&self) -> String {
        self.topic("status")
    }

    /// Sends a message (QoS 1) and waits until the broker has it.
    ///
    /// # Errors
    /// `Unavailable` while there is no connection, or when it is lost before the broker has it; `Timeout` when the broker
    /// does not take it; `InvalidArgument` for a topic with wildcards or a message beyond 4 MiB.
    pub async fn publish(
        &self,
        topic: impl Into<String>,
        payload: impl Into<Bytes>,
        retain: bool,
    ) -> Result<()> {
        let (topic, payload) = (topic.into(), payload.into());
        if topic.is_empty()
            || topic.contains(['+', '#', '\0'])
            || topic.len() + payload.len() + 64 > MOST_BYTES
        {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "this topic or message cannot be published",
            ));
        }
        if !self.0.status.borrow().connected {
            return Err(self.away());
        }
        let (taken, answer) = oneshot::channel();
        let order = Order::Publish {
            topic,
            payload,
            retain,
            taken,
        };
        let sent = async {
            self.0.orders.send(order).await.map_err(|_| self.away())?;
            answer.await.map_err(|_| self.away())
        };
        tokio::select! {
            done = sent => done,
            () = self.0.clock.sleep(PATIENCE) => {
                Err(Error::new(ErrorKind::Timeout, "the MQTT broker does not take the message"))
            }
        }
    }

    /// Messages of topics that fit a filter (`a/+/b`, `a/#`), from now on and after each connection anew. All listeners
    /// see all messages of all filters: each looks for its topics, for instance with [`fits`].
    ///
    /// # Errors
    /// `InvalidArgument` when that is no filter.
    pub async fn subscribe(&self, filter: impl Into<String>) -> Result<broadcast::Receiver<MqttMessage>> {
        let filter = filter.into();
        if !rumqttc::mqttbytes::valid_filter(&filter) {
            let message = format!("{filter:?} is not a filter of MQTT topics");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let messages = self.0.messages.subscribe();
        let is_new = {
            let mut all = self.0.filters.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = !all.contains(&filter);
            if is_new {
                all.push(filter);
            }
            is_new
        };
        if is_new {
            let _ = self.0.orders.send(Order::Subscribe).await;
        }
        Ok(messages)
    }

    /// Says `offline` and ends the connection in order.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    fn away(&self) -> Error {
        let why = self
            .status()
            .trouble
            .unwrap_or_else(|| "not connected yet".into());
        Error::new(
            ErrorKind::Unavailable,
            format!("the MQTT broker {}: {why}", self.0.config.host),
        )
    }
}

/// Whether a topic fits a filter.
#[must_use]
pub fn fits(topic: &str, filter: &str) -> bool {
    rumqttc::mqttbytes::matches(topic, filter)
}

const QOS: QoS = QoS::AtLeastOnce;
