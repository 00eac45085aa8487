//! What webhooks, Discord and ntfy are sent. Pure.
//!
//! Discord: <https://discord.com/developers/docs/resources/webhook#execute-webhook> (`content` up to 2000 letters, `embeds`,
//! files as `multipart/form-data` with `payload_json`). ntfy: <https://docs.ntfy.sh/publish/> (a message as the body, or a file
//! by PUT with the text in the header `Message`).

use base64::Engine as _;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::Full;
use serde_json::json;
use sha2::Sha256;

use super::{Ready, Refusal, template};
use crate::alerts::message::MessageKind;
use crate::alerts::rule::Severity;
use crate::config::{AlertChannel, ChannelPlace};
use crate::secret::Secret;
use crate::time::Timestamp;

type Request = http::Request<Full<Bytes>>;

/// Longest text that Discord takes in an embed, and title.
const DISCORD_TEXT: usize = 4000;
const DISCORD_TITLE: usize = 256;
/// Longest text of ntfy (4096 bytes).
const NTFY_TEXT: usize = 4000;

pub(super) fn request(config: &AlertChannel, ready: &Ready<'_>, now: Timestamp) -> Result<Request, Refusal> {
    match &config.place {
        ChannelPlace::Webhook {
            url,
            method,
            headers,
            secret,
        } => webhook(config, (url, method, headers, secret.as_ref()), ready, now),
        ChannelPlace::Discord { url } => discord(url, ready),
        ChannelPlace::Ntfy { url, token, login } => ntfy(url, token.as_ref(), login.as_ref(), ready),
        ChannelPlace::Email { .. } | ChannelPlace::Mqtt { .. } => Err(Refusal::lasting("this is no request")),
    }
}

fn build(method: &str, url: &str, body: impl Into<Bytes>) -> Result<Request, Refusal> {
    http::Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(body.into()))
        .map_err(|_| Refusal::lasting("the address cannot be asked"))
}

fn header(request: &mut Request, name: &str, value: &str) -> Result<(), Refusal> {
    let wrong = || Refusal::lasting(format!("the header {name} cannot be sent"));
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
    value.set_sensitive(true);
    request.headers_mut().insert(key, value);
    Ok(())
}

/// The signature of a body: hex of the HMAC-SHA256 of time stamp, dot and body.
pub(super) fn signature(secret: &Secret, stamp: &str, body: &[u8]) -> Result<String, Refusal> {
    hmac_sha256(secret.expose().as_bytes(), &[stamp.as_bytes(), b".", body])
}

/// HMAC-SHA256 (RFC 2104) of pieces one after the other, in hex.
pub(super) fn hmac_sha256(key: &[u8], pieces: &[&[u8]]) -> Result<String, Refusal> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Refusal::lasting("the key cannot sign"))?;
    pieces.iter().for_each(|piece| mac.update(piece));
    Ok(hex(&mac.finalize().into_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, b| format!("{hex}{b:02x}"))
}

type Headers = [(String, Secret)];

fn webhook(
    config: &AlertChannel,
    (url, method, headers, secret): (&Secret, &str, &Headers, Option<&Secret>),
    ready: &Ready<'_>,
    now: Timestamp,
) -> Result<Request, Refusal> {
    let body = match &config.body {
        Some(own) => template::render(own, &ready.variables).map_err(Refusal::lasting)?,
        None => ready.variables.to_string(),
    };
    let stamp = (now.as_ns() / 1_000_000_000).to_string();
    let signed = secret
        .map(|s| signature(s, &stamp, body.as_bytes()))
        .transpose()?;
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
    let mut request = build(method, url.expose(), body)?;
    let kind = if is_json {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    header(&mut request, CONTENT_TYPE.as_str(), kind)?;
    header(&mut request, "x-nvr-timestamp", &stamp)?;
    if let Some(signed) = signed {
        header(&mut request, "x-nvr-signature", &format!("sha256={signed}"))?;
    }
    for (name, value) in headers {
        let value = template::render(value.expose(), &ready.variables).map_err(Refusal::lasting)?;
        header(&mut request, name, &value)?;
    }
    login_of(&mut request, url)?;
    Ok(request)
}

/// User and password of an address, as a login.
fn login_of(request: &mut Request, url: &Secret) -> Result<(), Refusal> {
    let Ok(parsed) = url::Url::parse(url.expose()) else {
        return Ok(());
    };
    if parsed.username().is_empty() || request.headers().contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let decode = |s: &str| {
        percent_encoding::percent_decode_str(s)
            .decode_utf8_lossy()
            .into_owned()
    };
    let (user, password) = (
        decode(parsed.username()),
        decode(parsed.password().unwrap_or_default()),
    );
    header(request, AUTHORIZATION.as_str(), &basic(&user, &password))?;
    let mut bare = parsed;
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    *request.uri_mut() = bare
        .as_str()
        .parse()
        .map_err(|_| Refusal::lasting("the address cannot be asked"))?;
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// The first so many letters.
fn cut(text: &str, most: usize) -> String {
    let mut out: String = text.chars().take(most).collect();
    if out.len() < text.len() {
        out.pop();
        out.push('…');
    }
    out
}

fn discord(url: &Secret, ready: &Ready<'_>) -> Result<Request, Refusal> {
    let color = match (ready.message.kind, ready.message.severity) {
        (MessageKind::Resolved, _) => 0x2e_9e_5b,
        (_, Severity::Critical) => 0xd1_3b_3b,
        (_, Severity::Warning) => 0xd9_8a_1f,
        (_, Severity::Info) => 0x3b_7d_d8,
    };
    let mut embed = json!({
        "title": cut(&ready.title, DISCORD_TITLE),
        "description": cut(&ready.text, DISCORD_TEXT),
        "color": color,
        "timestamp": ready.message.at.to_string(),
    });
    if let (Some(page), Some(embed)) = (ready.page, embed.as_object_mut()) {
        embed.insert("url".into(), page.into());
    }
    if let (Some(_), Some(embed)) = (&ready.picture, embed.as_object_mut()) {
        embed.insert("image".into(), json!({ "url": "attachment://picture.jpg" }));
    }
    // What cameras are called must not call people.
    let body =
        json!({ "username": "nvr", "embeds": [embed], "allowed_mentions": { "parse": [] } }).to_string();
    let Some(picture) = &ready.picture else {
        let mut request = build("POST", url.expose(), body)?;
        header(&mut request, CONTENT_TYPE.as_str(), "application/json")?;
        return Ok(request);
    };
    let boundary = format!("nvr-{:032x}", rand::random::<u128>());
    let mut form = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"payload_json\"\r\nContent-Type: application/json\r\n\r\n{body}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"picture.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(picture);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let mut request = build("POST", url.expose(), form)?;
    header(
        &mut request,
        CONTENT_TYPE.as_str(),
        &format!("multipart/form-data; boundary={boundary}"),
    )?;
    Ok(request)
}

/// A text as a header may hold it: RFC 2047, which ntfy reads.
fn encoded(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) && !text.starts_with("=?") {
        return text.to_owned();
    }
    format!("=?UTF-8?B?{}?=", base64(text.as_bytes()))
}

fn ntfy(
    url: &Secret,
    token: Option<&Secret>,
    login: Option<&(String, Secret)>,
    ready: &Ready<'_>,
) -> Result<Request, Refusal> {
    let text = cut(&ready.text, NTFY_TEXT);
    let mut request = match &ready.picture {
        Some(picture) => build("PUT", url.expose(), picture.clone())?,
        None => build("POST", url.expose(), text.clone())?,
    };
    if ready.picture.is_some() {
        header(&mut request, "x-message", &encoded(&text.replace('\n', "\\n")))?;
        header(&mut request, "x-filename", "picture.jpg")?;
    }
    header(&mut request, "x-title", &encoded(&cut(&ready.title, 200)))?;
    let (priority, tag) = match (ready.message.kind, ready.message.severity) {
        (MessageKind::Resolved, _) => ("3", "white_check_mark"),
        (_, Severity::Critical) => ("5", "rotating_light"),
        (_, Severity::Warning) => ("4", "warning"),
        (_, Severity::Info) => ("3", "information_source"),
    };
    header(&mut request, "x-priority", priority)?;
    header(&mut request, "x-tags", tag)?;
    if let Some(page) = ready.page {
        header(&mut request, "x-click", page)?;
    }
    if let Some(token) = token {
        header(
            &mut request,
            AUTHORIZATION.as_str(),
            &format!("Bearer {}", token.expose()),
        )?;
    } else if let Some((user, password)) = login {
        header(
            &mut request,
            AUTHORIZATION.as_str(),
            &basic(user, password.expose()),
        )?;
    }
    login_of(&mut request, url)?;
    Ok(request)
}
