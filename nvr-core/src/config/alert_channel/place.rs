//! Where a channel goes: the keys of each kind.

use super::{ChannelKind, ChannelPlace, MailTls, RawAlertChannel};
use crate::alerts::template;
use crate::config::alerts::words;
use crate::config::reader::{At, Reader, Section};
use crate::config::values::Text;
use crate::secret::Secret;

pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    raw: &RawAlertChannel,
    kind: ChannelKind,
    mqtt: Option<&str>,
) -> Option<ChannelPlace> {
    let secret = |at: &Option<At<Text>>| at.as_ref().map(|at| Secret::new(at.value.as_str()));
    let login = || {
        let user = raw.user.as_ref()?.value.as_str().to_owned();
        Some((user, secret(&raw.password).unwrap_or_default()))
    };
    let url = match kind {
        ChannelKind::Webhook | ChannelKind::Discord | ChannelKind::Ntfy => {
            Some(read_url(reader, section, raw, kind)?)
        }
        ChannelKind::Email | ChannelKind::Mqtt => None,
    };
    match (kind, url) {
        (ChannelKind::Webhook, Some(url)) => Some(ChannelPlace::Webhook {
            url,
            method: read_method(reader, raw)?,
            headers: read_headers(reader, raw)?,
            secret: secret(&raw.signing_secret),
        }),
        (ChannelKind::Discord, Some(url)) => Some(ChannelPlace::Discord { url }),
        (ChannelKind::Ntfy, Some(url)) => Some(ChannelPlace::Ntfy {
            url,
            token: secret(&raw.token),
            login: login(),
        }),
        (ChannelKind::Mqtt, _) => {
            let Some(base) = mqtt else {
                let hint = "write a section [mqtt] with url = \"mqtt://host\"".to_owned();
                let key = raw.kind.as_ref();
                let (span, key) = key.map_or((section.span.clone(), section.path.clone()), |at| {
                    (at.span.clone(), at.key.clone())
                });
                reader
                    .problems
                    .error(&span, &key, "there is no MQTT broker", Some(hint));
                return None;
            };
            let topic = raw
                .topic
                .as_ref()
                .map_or(format!("{base}/alerts"), |at| at.value.as_str().to_owned());
            if topic.is_empty() || topic.len() > 500 || topic.contains(['+', '#', '\0']) {
                let at = raw.topic.as_ref()?;
                let message = format!("`topic`: {} is not a topic", at.value.shown());
                reader.problems.error(&at.span, &at.key, message, None);
                return None;
            }
            Some(ChannelPlace::Mqtt { topic })
        }
        _ => read_email(reader, section, raw, login()),
    }
}

fn read_email(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    raw: &RawAlertChannel,
    login: Option<(String, Secret)>,
) -> Option<ChannelPlace> {
    for (key, hint) in [
        ("host", "the mail server: host = \"smtp.example.org\""),
        ("from", "from whom: from = \"nvr@example.org\""),
        ("to", "to whom: to = \"me@example.org\""),
    ] {
        if !section.table.is_some_and(|t| t.contains_key(key)) {
            reader.missing(section, key, hint);
        }
    }
    let (host, from) = (raw.host.as_ref()?, raw.from.as_ref()?);
    let to = words(Some(raw.to.as_ref()?));
    let tls = raw.tls.as_ref().map(|at| at.value.0).unwrap_or_default();
    let name = host.value.as_str().to_owned();
    let here = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if tls == MailTls::None && !here {
        let message = "`tls`: without encryption only a server on this machine (localhost) is talked to";
        let at = raw.tls.as_ref()?;
        reader
            .problems
            .error(&at.span, &at.key, message, Some("use tls or starttls".into()));
    }
    let mut good = true;
    for (at, address) in to
        .iter()
        .map(|a| (raw.to.as_ref(), a.as_str()))
        .chain([(Some(from), from.value.as_str())])
    {
        let Some(at) = at else { continue };
        if !crate::alerts::is_mail_address(address) {
            let message = format!(
                "`{}`: not an address of mail",
                at.key.rsplit('.').next().unwrap_or_default()
            );
            reader.problems.error(&at.span, &at.key, message, None);
            good = false;
        }
    }
    if to.is_empty() || name.is_empty() {
        reader.problems.error(
            &host.span,
            &host.key,
            "a server and somebody to write to are needed",
            None,
        );
        good = false;
    }
    let port = reader.within(raw.port.as_ref(), &(1..=65_535));
    let usual = match tls {
        MailTls::Tls => 465,
        MailTls::Starttls => 587,
        MailTls::None => 25,
    };
    good.then(|| ChannelPlace::Email {
        host: name,
        port: port.and_then(|n| u16::try_from(n).ok()).unwrap_or(usual),
        tls,
        login,
        from: from.value.as_str().to_owned(),
        to,
    })
}

fn read_url(
    reader: &mut Reader<'_, '_>,
    section: &Section<'_>,
    raw: &RawAlertChannel,
    kind: ChannelKind,
) -> Option<Secret> {
    let Some(at) = &raw.address else {
        if !section.table.is_some_and(|t| t.contains_key("address")) {
            reader.missing(section, "address", "say where: address = \"https://…\"");
        }
        return None;
    };
    if at.unknown {
        return None;
    }
    let parsed = url::Url::parse(at.value.as_str()).ok();
    let good = parsed.filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    // A topic is part of it.
    let good = good.filter(|u| kind != ChannelKind::Ntfy || u.path().len() > 1);
    if good.is_none() {
        let hint = match kind {
            ChannelKind::Ntfy => "write https://ntfy.sh/your-topic",
            ChannelKind::Discord => "write https://discord.com/api/webhooks/…",
            _ => "write https://host/path",
        };
        reader.problems.error(
            &at.span,
            &at.key,
            "`address` is not one for this",
            Some(hint.into()),
        );
        return None;
    }
    Some(Secret::new(at.value.as_str()))
}

fn read_method(reader: &mut Reader<'_, '_>, raw: &RawAlertChannel) -> Option<String> {
    let Some(at) = &raw.method else {
        return Some("POST".into());
    };
    let method = at.value.as_str().to_ascii_uppercase();
    if ["POST", "PUT", "PATCH"].contains(&method.as_str()) {
        return Some(method);
    }
    let message = format!("`method`: {} is not POST, PUT or PATCH", at.value.shown());
    reader.problems.error(&at.span, &at.key, message, None);
    None
}

fn read_headers(reader: &mut Reader<'_, '_>, raw: &RawAlertChannel) -> Option<Vec<(String, Secret)>> {
    let mut out = Vec::new();
    let Some(at) = &raw.headers else {
        return Some(out);
    };
    for line in at.value.as_str().lines().filter(|l| !l.trim().is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim(), value.trim());
        let good = http::HeaderName::from_bytes(name.as_bytes()).is_ok() && !value.is_empty();
        if !good || template::check(value).is_err() {
            let message = "`headers`: not a header with a name and a value, which is a template";
            let hint = Some("write \"Authorization: Bearer ${TOKEN}\", one a line".to_owned());
            reader.problems.error(&at.span, &at.key, message, hint);
            return None;
        }
        out.push((name.to_owned(), Secret::new(value)));
    }
    Some(out)
}
