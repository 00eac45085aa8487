//! `[[alert_channel]]`: where alerts go.

mod place;

use std::path::{Path, PathBuf};

use super::alerts::name_of;
use super::reader::{At, Reader, Section, section};
use super::values::{Text, Word};
use crate::alerts::template;
use crate::secret::Secret;

/// Somewhere that alerts go.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AlertChannel {
    /// Its name: part of URLs, metric label.
    pub name: String,
    /// Where.
    pub place: ChannelPlace,
    /// Template of the head of a message; the built-in one without.
    pub title: Option<String>,
    /// Template of the text of a message (of a webhook: its whole body); the built-in one without.
    pub body: Option<String>,
    /// Whether pictures may go with it (default: yes).
    pub pictures: bool,
    /// Certificates to trust beside those of the system.
    pub ca: Option<PathBuf>,
}

/// What a channel is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChannelPlace {
    /// An HTTP request.
    Webhook {
        /// Address; it may hold secrets.
        url: Secret,
        /// `POST`, `PUT` or `PATCH`.
        method: String,
        /// More headers; values are templates.
        headers: Vec<(String, Secret)>,
        /// Key that bodies are signed with (HMAC-SHA256).
        secret: Option<Secret>,
    },
    /// A mail.
    Email {
        /// Server.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is encrypted.
        tls: MailTls,
        /// Login.
        login: Option<(String, Secret)>,
        /// From whom.
        from: String,
        /// To whom.
        to: Vec<String>,
    },
    /// A webhook of Discord.
    Discord {
        /// Its address, which is a secret.
        url: Secret,
    },
    /// A topic of ntfy.
    Ntfy {
        /// Address with the topic.
        url: Secret,
        /// Access token.
        token: Option<Secret>,
        /// User and password.
        login: Option<(String, Secret)>,
    },
    /// A topic of the broker of `[mqtt]`.
    Mqtt {
        /// Topic.
        topic: String,
    },
}

impl ChannelPlace {
    /// Kind.
    #[must_use]
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Self::Webhook { .. } => ChannelKind::Webhook,
            Self::Email { .. } => ChannelKind::Email,
            Self::Discord { .. } => ChannelKind::Discord,
            Self::Ntfy { .. } => ChannelKind::Ntfy,
            Self::Mqtt { .. } => ChannelKind::Mqtt,
        }
    }

    /// Where it is, without secrets: of addresses only the host.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Webhook { url, .. } | Self::Discord { url } | Self::Ntfy { url, .. } => {
                let host = url::Url::parse(url.expose()).ok();
                host.and_then(|u| u.host_str().map(str::to_owned))
                    .unwrap_or_default()
            }
            Self::Email { host, to, .. } => format!("{} by {host}", to.join(", ")),
            Self::Mqtt { topic } => topic.clone(),
        }
    }
}

/// Kinds of channels.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// An HTTP request with a body of your own making.
    Webhook,
    /// A mail by an SMTP server.
    Email,
    /// A webhook of a Discord channel.
    Discord,
    /// A topic of ntfy.sh or of an ntfy server.
    Ntfy,
    /// A topic of the broker of `[mqtt]`.
    Mqtt,
}

impl ChannelKind {
    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
            Self::Discord => "discord",
            Self::Ntfy => "ntfy",
            Self::Mqtt => "mqtt",
        }
    }
}

/// How the connection to a mail server is encrypted.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first byte on (port 465).
    #[default]
    Tls,
    /// After a greeting (port 587); a server that does not offer it gets no mail.
    Starttls,
    /// Not at all; only for a server on this machine.
    None,
}

section! {
    /// Somewhere that alerts go; any number of them. `nvr alerts test NAME` tries one.
    RawAlertChannel requires ["name", "kind"] {
        /// Its name: part of URLs and metric label. 1 to 63 of a-z, 0-9, `_` and `-`.
        name: Text,
        /// What it is.
        kind: Word<ChannelKind>,
        /// Address, for `webhook`, `discord` and `ntfy` (`https://ntfy.sh/my-topic`). Whoever knows it may write there, so it
        /// is shown nowhere: better a variable, `${DISCORD_ADDRESS}` or `${file:/run/secrets/discord}`.
        address: Text,
        /// For `webhook`: `POST`, `PUT` or `PATCH`; `POST` by default.
        method: Text,
        /// For `webhook`: more headers, `Name: value` one a line; values are templates.
        headers: Text,
        /// For `webhook`: key that bodies are signed with; the header `X-Nvr-Signature` is then `sha256=` and the HMAC-SHA256
        /// of time stamp (`X-Nvr-Timestamp`), a dot, and body.
        signing_secret: Text,
        /// For `ntfy`: access token.
        token: Text,
        /// For `email`: the server.
        host: Text,
        /// For `email`: its port; 465, 587 or 25 by default, after `tls`.
        port: u64,
        /// For `email`: how the connection is encrypted; `tls` by default.
        tls: Word<MailTls>,
        /// For `email` and `ntfy`: user.
        user: Text,
        /// For `email` and `ntfy`: password.
        password: Text,
        /// For `email`: from whom, `nvr@example.org`.
        from: Text,
        /// For `email`: to whom, separated by commas.
        to: Text,
        /// For `mqtt`: topic; by default `alerts` below `mqtt.base_topic`.
        topic: Text,
        /// Template of the head of a message; see the guide for what it may name.
        title: Text,
        /// Template of the text of a message, for `webhook` of the whole body; see the guide.
        body: Text,
        /// Whether pictures may go with it.
        pictures: bool = true,
        /// File with certificates (PEM) to trust beside those of the system.
        ca: Text,
    }
}

impl AlertChannel {
    /// A channel with the built-in texts.
    #[must_use]
    pub fn new(name: impl Into<String>, place: ChannelPlace) -> Self {
        Self {
            name: name.into(),
            place,
            title: None,
            body: None,
            pictures: true,
            ca: None,
        }
    }

    /// Reads one; `None` when it has no usable name or place. `mqtt` is the base topic if there is a broker.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        base: Option<&Path>,
        mqtt: Option<&str>,
    ) -> Option<At<Self>> {
        let raw = RawAlertChannel::read(reader, section);
        for (key, hint) in [
            ("name", "give it one: name = \"phone\""),
            ("kind", "webhook, email, discord, ntfy or mqtt"),
        ] {
            if !section.table.is_some_and(|t| t.contains_key(key)) {
                reader.missing(section, key, hint);
            }
        }
        let name = raw.name.as_ref().and_then(|at| name_of(reader, at));
        for at in [&raw.title, &raw.body].into_iter().flatten() {
            if let Err(why) = template::check(at.value.as_str()) {
                let key = at.key.rsplit('.').next().unwrap_or_default();
                let message = format!("`{key}` is not a template: {why}");
                reader.problems.error(&at.span, &at.key, message, None);
            }
        }
        let kind = raw.kind.as_ref()?.value.0;
        refuse_others(reader, &raw, kind);
        let place = place::read(reader, section, &raw, kind, mqtt);
        let text = |at: &Option<At<Text>>| at.as_ref().map(|at| at.value.as_str().to_owned());
        let out = Self {
            title: text(&raw.title),
            body: text(&raw.body),
            pictures: raw.pictures.as_ref().is_none_or(|at| at.value),
            ca: raw
                .ca
                .as_ref()
                .map(|at| base.unwrap_or(Path::new("")).join(at.value.as_str())),
            ..Self::new(name?, place?)
        };
        let at = raw.name?;
        Some(At {
            value: out,
            span: at.span,
            key: at.key,
            secret: at.secret,
            unknown: false,
        })
    }
}

/// Keys that do not go with the kind.
fn refuse_others(reader: &mut Reader<'_, '_>, raw: &RawAlertChannel, kind: ChannelKind) {
    use ChannelKind as K;
    let texts: [(&Option<At<Text>>, &[K]); 11] = [
        (&raw.address, &[K::Webhook, K::Discord, K::Ntfy]),
        (&raw.method, &[K::Webhook]),
        (&raw.headers, &[K::Webhook]),
        (&raw.signing_secret, &[K::Webhook]),
        (&raw.token, &[K::Ntfy]),
        (&raw.host, &[K::Email]),
        (&raw.user, &[K::Email, K::Ntfy]),
        (&raw.password, &[K::Email, K::Ntfy]),
        (&raw.from, &[K::Email]),
        (&raw.to, &[K::Email]),
        (&raw.topic, &[K::Mqtt]),
    ];
    let wrong = texts.iter().filter(|(_, kinds)| !kinds.contains(&kind));
    let wrong = wrong.filter_map(|(at, _)| at.as_ref().map(|at| (at.span.clone(), at.key.clone())));
    let mut wrong: Vec<_> = wrong.collect();
    if kind != K::Email {
        wrong.extend(raw.port.as_ref().map(|at| (at.span.clone(), at.key.clone())));
        wrong.extend(raw.tls.as_ref().map(|at| (at.span.clone(), at.key.clone())));
    }
    for (span, key) in wrong {
        let name = key.rsplit('.').next().unwrap_or_default();
        let message = format!(
            "`{name}` does not go with a channel of the kind {}",
            kind.as_str()
        );
        reader.problems.error(&span, &key, message, None);
    }
}
