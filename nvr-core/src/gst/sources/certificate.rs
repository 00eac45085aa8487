//! Refused certificates, in words. GStreamer's own errors only say that a camera cannot be reached.

use std::sync::{Arc, Mutex, PoisonError};

use gio::prelude::*;

use crate::event::{Cause, CauseKind};
use crate::source::SourceSpec;

/// For one handshake whose outcome is known already.
const PATIENCE_S: u32 = 5;

/// Says why a certificate is refused, by the names of the flags `GTlsCertificateFlags`.
fn words<'a>(flags: impl IntoIterator<Item = &'a str>) -> String {
    let mut whys: Vec<&str> = flags
        .into_iter()
        .map(|flag| match flag {
            "unknown-ca" => "signed by nobody whom this machine trusts",
            "bad-identity" => "made out to another name than the address has",
            "not-activated" => "not valid yet; is the clock right?",
            "expired" => "expired",
            "revoked" => "revoked",
            "insecure" => "signed in a way that is no longer safe",
            _ => "not valid",
        })
        .collect();
    whys.dedup();
    if whys.is_empty() {
        whys.push("not valid");
    }
    refused_words(&whys.join(", "))
}

/// The words for a certificate that is refused, and what to do.
pub(in crate::gst) fn refused_words(why: &str) -> String {
    format!(
        "the camera's certificate is refused: {why} (give it one that this machine trusts, or set verify_tls = false)"
    )
}

/// The names of the flags that are set.
fn names(flags: &glib::Value) -> Vec<String> {
    glib::FlagsValue::from_value(flags)
        .map(|(_, set)| set.iter().map(|f| f.nick().to_owned()).collect())
        .unwrap_or_default()
}

/// The same from the flags that an element's signal `accept-certificate` gives.
pub(super) fn refusal(flags: Option<&glib::Value>) -> String {
    let flags = flags.map(names).unwrap_or_default();
    words(flags.iter().map(String::as_str))
}

/// Finds out whether an HTTPS source could not be reached because of its certificate: libsoup's element does not
/// say. Connects once more, so it blocks for some seconds at most.
pub(crate) fn explain(cause: Cause, spec: &SourceSpec) -> Cause {
    let SourceSpec::Mjpeg(source) = spec else {
        return cause;
    };
    if cause.kind != CauseKind::Unreachable || !source.verify_tls {
        return cause;
    }
    match refused(source.url.as_str()) {
        Some(words) => Cause::new(CauseKind::Unreachable, format!("{spec}: {words}")),
        None => cause,
    }
}

fn refused(url: &str) -> Option<String> {
    if !url.starts_with("https:") {
        return None;
    }
    // A context of its own: the default one may be run by somebody else.
    glib::MainContext::new()
        .with_thread_default(|| {
            let found: Arc<Mutex<Option<Vec<String>>>> = Arc::default();
            let client = gio::SocketClient::new();
            client.set_tls(true);
            client.set_timeout(PATIENCE_S);
            let seen = found.clone();
            client.connect_event(move |_, event, _, connection| {
                if event != gio::SocketClientEvent::TlsHandshaking {
                    return;
                }
                let Some(tls) = connection.and_then(|c| c.dynamic_cast_ref::<gio::TlsConnection>()) else {
                    return;
                };
                let seen = seen.clone();
                tls.connect_accept_certificate(move |_, _, errors| {
                    let names = names(&errors.to_value());
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
                    false
                });
            });
            let connected = client.connect_to_uri(url, 443, gio::Cancellable::NONE);
            let flags = found.lock().unwrap_or_else(PoisonError::into_inner).take();
            match (connected, flags) {
                (Err(_), Some(flags)) => Some(words(flags.iter().map(String::as_str))),
                _ => None,
            }
        })
        .ok()
        .flatten()
}
