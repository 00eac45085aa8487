//! The task that keeps a connection to a broker.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, LastWill, Login, Packet, PubAck, Publish, Subscribe, SubscribeFilter,
    SubscribeReasonCode,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{MOST_BYTES, MqttMessage, MqttStatus, Order, QOS};
use crate::clock::SharedClock;
use crate::config::MqttConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::time::duration_ns;

const CONNECT: Duration = Duration::from_secs(10);
/// Silence after which the broker is asked whether it is there; it waits one and a half times as long for us.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Messages that the broker has not confirmed.
const IN_FLIGHT: usize = 64;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Where the broker is and how to log in.
pub(super) struct Place {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    connect: Connect,
    availability: String,
}

impl Place {
    pub(super) fn new(config: &MqttConfig) -> Result<Self> {
        let tls = config
            .tls
            .then(|| crate::web::tls(config.ca.as_deref()))
            .transpose()?
            .map(|c| TlsConnector::from(Arc::new(c)));
        let availability = format!("{}/status", config.base_topic);
        let mut connect = Connect::new(&config.client_id);
        connect.keep_alive = u16::try_from(KEEP_ALIVE.as_secs() * 3 / 2).unwrap_or(30);
        connect.last_will = Some(LastWill::new(&availability, "offline", QOS, true));
        connect.login = config
            .user
            .as_ref()
            .map(|user| Login::new(user, config.password.expose()));
        Ok(Self {
            host: config.host.clone(),
            port: config.port,
            tls,
            connect,
            availability,
        })
    }

    async fn connect(&self) -> Result<Box<dyn Wire>> {
        let away = |e: std::io::Error| Error::new(ErrorKind::Unavailable, e.to_string());
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(away)?;
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let name = match self.host.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(self.host.clone())
                .map_err(|_| Error::new(ErrorKind::Config, "the host has no name that TLS could check"))?,
        };
        Ok(Box::new(tls.connect(name, tcp).await.map_err(away)?))
    }
}

/// All that the task holds.
pub(super) struct Work {
    pub(super) place: Place,
    pub(super) clock: SharedClock,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) messages: broadcast::Sender<MqttMessage>,
    pub(super) filters: Arc<Mutex<Vec<String>>>,
    pub(super) status: watch::Sender<MqttStatus>,
    pub(super) stop: CancellationToken,
}

impl Work {
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let mut wait = FIRST_WAIT;
        loop {
            let began = self.clock.steady_ns();
            let connections = self.status.borrow().connections;
            let Err(e) = self.session().await else {
                self.status.send_modify(|s| s.connected = false);
                return;
            };
            let was_up = self.status.borrow().connections > connections;
            let text = crate::redact::redact(&e.to_string()).into_owned();
            let changed = self.status.send_if_modified(|s| {
                let changed = s.connected || s.trouble.as_ref() != Some(&text);
                s.connected = false;
                s.trouble = Some(text.clone());
                changed
            });
            if changed {
                tracing::warn!(host = self.place.host, "no connection to the MQTT broker: {text}");
            }
            // One that held for a while was a good one.
            let held = self.clock.steady_ns() - began > duration_ns(LONGEST_WAIT);
            wait = if was_up && held { FIRST_WAIT } else { wait };
            let clock = self.clock.clone();
            let pause = clock.sleep(wait);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = &mut pause => break,
                    // Whoever publishes meanwhile learns at once that it does not work.
                    order = self.orders.recv() => if order.is_none() { return },
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One connection: `Ok` when it was ended by us.
    async fn session(&mut self) -> Result<()> {
        let (stop, clock) = (self.stop.clone(), self.clock.clone());
        let greeted = async {
            let wire = self.place.connect().await?;
            let mut link = Link::new(wire);
            link.send(&Packet::Connect(self.place.connect.clone())).await?;
            match link.receive().await? {
                Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => Ok(link),
                Packet::ConnAck(ack) => Err(refused(ack.code)),
                _ => Err(broken("it does not speak MQTT 3.1.1")),
            }
        };
        let mut link = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            greeted = greeted => greeted?,
            () = clock.sleep(CONNECT) => return Err(Error::new(ErrorKind::Timeout, "it does not answer")),
        };
        let mut known = 0;
        self.subscribe(&mut link, &mut known).await?;
        let online = Publish {
            retain: true,
            pkid: link.next_id(),
            ..Publish::new(&self.place.availability, QOS, "online")
        };
        link.send(&Packet::Publish(online)).await?;
        self.status.send_modify(|s| {
            s.connected = true;
            s.connections += 1;
            s.trouble = None;
        });
        tracing::info!(host = self.place.host, "connected to the MQTT broker");
        let mut in_flight: HashMap<u16, oneshot::Sender<()>> = HashMap::new();
        let mut asked = false;
        loop {
            let silence = clock.sleep(KEEP_ALIVE);
            tokio::select! {
                () = stop.cancelled() => {
                    let offline = Publish { retain: true, pkid: link.next_id(), ..Publish::new(&self.place.availability, QOS, "offline") };
                    let goodbye = async {
                        link.send(&Packet::Publish(offline)).await?;
                        link.send(&Packet::Disconnect).await
                    };
                    let _ = tokio::time::timeout(CONNECT, goodbye).await;
                    return Ok(());
                }
                order = self.orders.recv(), if in_flight.len() < IN_FLIGHT => match order {
                    None => return Ok(()),
                    Some(Order::Subscribe) => self.subscribe(&mut link, &mut known).await?,
                    Some(Order::Publish { topic, payload, retain, taken }) => {
                        let mut id = link.next_id();
                        while in_flight.contains_key(&id) {
                            id = link.next_id();
                        }
                        let message = Publish { retain, pkid: id, ..Publish::from_bytes(topic, QOS, payload) };
                        in_flight.insert(id, taken);
                        link.send(&Packet::Publish(message)).await?;
                    }
                },
                packet = link.receive() => {
                    asked = false;
                    match packet? {
                        Packet::PubAck(ack) => {
                            if let Some(taken) = in_flight.remove(&ack.pkid) {
                                let _ = taken.send(());
                            }
                        }
                        Packet::Publish(message) => {
                            if message.pkid != 0 {
                                link.send(&Packet::PubAck(PubAck::new(message.pkid))).await?;
                            }
                            let _ = self.messages.send(MqttMessage { topic: message.topic, payload: message.payload, retained: message.retain });
                        }
                        Packet::SubAck(ack) if ack.return_codes.contains(&SubscribeReasonCode::Failure) => {
                            tracing::warn!(host = self.place.host, "the MQTT broker refuses a subscription");
                        }
                        Packet::Disconnect => return Err(broken("it ended the connection")),
                        _ => {}
                    }
                }
                () = silence => {
                    if asked {
                        return Err(Error::new(ErrorKind::Timeout, "it does not answer any more"));
                    }
                    asked = true;
                    link.send(&Packet::PingReq).await?;
                }
            }
        }
    }

    /// Asks for the filters from the `known`-th on.
    async fn subscribe(&self, link: &mut Link, known: &mut usize) -> Result<()> {
        let filters: Vec<SubscribeFilter> = {
            let all = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
            let new = all.get(*known..).unwrap_or_default();
            *known = all.len();
            new.iter().map(|f| SubscribeFilter::new(f.clone(), QOS)).collect()
        };
        if filters.is_empty() {
            return Ok(());
        }
        let mut packet = Subscribe::new_many(filters);
        packet.pkid = link.next_id();
        link.send(&Packet::Subscribe(packet)).await
    }
}

fn broken(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}

fn refused(code: ConnectReturnCode) -> Error {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            Error::new(ErrorKind::Unauthorized, "it refuses user and password")
        }
        other => broken(&format!("it refuses the connection ({other:?})")),
    }
}

/// A connection that packets go over.
struct Link {
    wire: Box<dyn Wire>,
    incoming: BytesMut,
    outgoing: BytesMut,
    id: u16,
}

impl Link {
    fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            incoming: BytesMut::with_capacity(4096),
            outgoing: BytesMut::new(),
            id: 0,
        }
    }

    fn next_id(&mut self) -> u16 {
        self.id = self.id.checked_add(1).unwrap_or(1);
        self.id
    }

    async fn send(&mut self, packet: &Packet) -> Result<()> {
        self.outgoing.clear();
        packet
            .write(&mut self.outgoing, MOST_BYTES)
            .map_err(|e| broken(&format!("a message cannot be sent: {e}")))?;
        let sent = async {
            self.wire.write_all(&self.outgoing).await?;
            self.wire.flush().await
        };
        match tokio::time::timeout(CONNECT, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(broken(&e.to_string())),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "it takes nothing any more")),
        }
    }

    /// The next packet. What was read of one stays when this is dropped.
    async fn receive(&mut self) -> Result<Packet> {
        loop {
            // What a broker sends is not trusted to be what the codec expects.
            let read = std::panic::AssertUnwindSafe(|| Packet::read(&mut self.incoming, MOST_BYTES));
            let read = std::panic::catch_unwind(read).map_err(|_| broken("it sends what cannot be read"))?;
            match read {
                Ok(packet) => return Ok(packet),
                Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(e) => return Err(broken(&format!("it breaks the protocol: {e}"))),
            }
            let read = self.wire.read_buf(&mut self.incoming).await;
            match read {
                Ok(0) => return Err(broken("it closed the connection")),
                Ok(_) => {}
                Err(e) => return Err(broken(&e.to_string())),
            }
        }
    }
}
