//! Channels: a message goes out, or why it did not.

mod email;
mod http;
mod services;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use bytes::Bytes;

use super::message::Message;
use super::template;
use crate::clock::SharedClock;
use crate::config::{AlertChannel, ChannelPlace};
use crate::error::{Error, ErrorKind, Result};
use crate::mqtt::Mqtt;

pub(crate) use self::email::is_mail_address;

/// Largest picture that goes with a message.
pub(super) const MOST_PICTURE: usize = 1 << 20;

/// Why a message did not arrive. Never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    /// Whether it may arrive later.
    pub(super) passing: bool,
    pub(super) message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Refusal {
    fn passing(message: impl Into<String>) -> Self {
        Self {
            passing: true,
            message: crate::redact::redact(&message.into()).into_owned(),
        }
    }

    fn lasting(message: impl Into<String>) -> Self {
        Self {
            passing: false,
            ..Self::passing(message)
        }
    }
}

/// What is sent, ready.
#[derive(Debug)]
pub(super) struct Ready<'m> {
    pub(super) message: &'m Message,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) variables: serde_json::Value,
    pub(super) picture: Option<Bytes>,
    /// Where more is to be seen.
    pub(super) page: Option<&'m str>,
}

/// A channel, ready to be used.
pub(super) struct Sender {
    config: AlertChannel,
    wire: Option<http::Http>,
    mqtt: Option<Mqtt>,
    clock: SharedClock,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// Prepares one.
    ///
    /// # Errors
    /// `Config` or `NotFound` when its certificates cannot be used.
    pub(super) fn new(config: AlertChannel, mqtt: Option<Mqtt>, clock: SharedClock) -> Result<Self> {
        let wire = match config.place {
            ChannelPlace::Webhook { .. } | ChannelPlace::Discord { .. } | ChannelPlace::Ntfy { .. } => {
                Some(http::Http::new(config.ca.as_deref(), clock.clone())?)
            }
            ChannelPlace::Email { .. } | ChannelPlace::Mqtt { .. } => None,
        };
        Ok(Self {
            config,
            wire,
            mqtt,
            clock,
        })
    }

    /// Whether a picture is of use.
    pub(super) fn takes_pictures(&self) -> bool {
        let takes = !matches!(
            self.config.place,
            ChannelPlace::Mqtt { .. } | ChannelPlace::Webhook { .. }
        );
        takes && self.config.pictures
    }

    /// Sends a message.
    pub(super) async fn send(
        &self,
        message: &Message,
        picture: Option<Bytes>,
        page: Option<&str>,
    ) -> Result<(), Refusal> {
        let variables = template::variables(message, page);
        let rendered = |own: Option<&String>, built_in: String| match own {
            Some(own) => template::render(own, &variables).map_err(Refusal::lasting),
            None => Ok(built_in),
        };
        let title = rendered(self.config.title.as_ref(), message.title())?;
        let is_webhook = matches!(self.config.place, ChannelPlace::Webhook { .. });
        let text = if is_webhook {
            message.text()
        } else {
            rendered(self.config.body.as_ref(), message.text())?
        };
        let ready = Ready {
            message,
            title: title.replace(['\r', '\n'], " "),
            text,
            picture: picture.filter(|p| p.len() <= MOST_PICTURE),
            page,
            variables,
        };
        match &self.config.place {
            ChannelPlace::Webhook { .. } | ChannelPlace::Discord { .. } | ChannelPlace::Ntfy { .. } => {
                let wire = self.wire.as_ref().ok_or_else(|| Refusal::lasting("no client"))?;
                let request = services::request(&self.config, &ready, self.clock.now())?;
                wire.send(request).await
            }
            ChannelPlace::Email { .. } => email::send(&self.config, &ready, &self.clock).await,
            ChannelPlace::Mqtt { topic } => {
                let Some(mqtt) = &self.mqtt else {
                    return Err(Refusal::passing("there is no MQTT broker"));
                };
                let payload = match &self.config.body {
                    Some(_) => ready.text.clone(),
                    None => ready.variables.to_string(),
                };
                let sent = mqtt.publish(topic.clone(), payload, false).await;
                sent.map_err(|e| Refusal {
                    passing: e.kind() != ErrorKind::InvalidArgument,
                    ..Refusal::passing(e.to_string())
                })
            }
        }
    }
}

/// Whether a channel's server can be reached at all: a TCP connection. For `nvr doctor`.
///
/// # Errors
/// `Unavailable` or `Timeout` with the reason.
pub async fn reach(channel: &AlertChannel, broker: Option<(&str, u16)>, clock: &SharedClock) -> Result<()> {
    let (host, port) = match &channel.place {
        ChannelPlace::Webhook { url, .. }
        | ChannelPlace::Discord { url }
        | ChannelPlace::Ntfy { url, .. } => {
            let url = url::Url::parse(url.expose()).ok();
            let place = url.and_then(|u| {
                Some((
                    u.host_str()?.trim_matches(['[', ']']).to_owned(),
                    u.port_or_known_default()?,
                ))
            });
            place.ok_or_else(|| Error::new(ErrorKind::Config, "the address has no host"))?
        }
        ChannelPlace::Email { host, port, .. } => (host.clone(), *port),
        ChannelPlace::Mqtt { .. } => {
            let (host, port) =
                broker.ok_or_else(|| Error::new(ErrorKind::Config, "there is no MQTT broker"))?;
            (host.to_owned(), port)
        }
    };
    tokio::select! {
        tried = tokio::net::TcpStream::connect((host.as_str(), port)) => tried
            .map(drop)
            .map_err(|e| Error::new(ErrorKind::Unavailable, format!("{host} port {port}: {e}"))),
        () = clock.sleep(http::CONNECT) => Err(Error::new(ErrorKind::Timeout, format!("{host} port {port} does not answer"))),
    }
}
