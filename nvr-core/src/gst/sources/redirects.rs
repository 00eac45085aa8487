//! Redirects that rtspsrc follows: user and password do not go along to another host, nor out of an encryption.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use url::Url;

use super::cause::SourceError;
use super::rtsp_bin::RtspBin;
use super::tracks::Gate;
use crate::rtsp::{RtspErrorKind, redirect};
use crate::source::RtspSource;

/// Requests until something comes: some, once more each with a login, for every address on the way. One that is sent
/// to where it is goes on asking for ever.
const MOST_REQUESTS: u32 = 64;

/// Where rtspsrc is, how often it was sent on, and whether that was too far.
struct Way {
    at: String,
    count: u32,
    lost: bool,
}

/// Looks at the address before each request: rtspsrc has taken a new one then, and asked nothing of it yet. Its
/// user and password are taken away where they do not belong; it sends none of its own accord.
pub(super) fn attach(src: &gst::Element, bin: &RtspBin, spec: &RtspSource, gate: &Arc<Gate>) {
    let way = Mutex::new(Way {
        at: location(src),
        count: 0,
        lost: false,
    });
    let (gate, spec, bin) = (Arc::clone(gate), spec.clone(), bin.downgrade());
    let (asked, answered) = (AtomicU32::new(0), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&answered);
    src.connect_pad_added(move |_, _| told.store(true, Ordering::Relaxed));
    src.connect("before-send", false, move |args| {
        gate.guarded("before-send", (), || {
            let Some(src) = args.first().and_then(|v| v.get::<gst::Element>().ok()) else {
                return;
            };
            let now = location(&src);
            let mut way = way.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = asked.fetch_add(1, Ordering::Relaxed);
            if asked >= MOST_REQUESTS && !way.lost && !answered.load(Ordering::Relaxed) {
                way.lost = true;
                drop(way);
                gate.fail(SourceError::Bad, "the camera sends its callers round in a circle");
                return;
            }
            if way.at == now || way.lost {
                return;
            }
            way.count += 1;
            let from = Url::parse(&way.at).unwrap_or_else(|_| spec.url.clone());
            way.at.clone_from(&now);
            let along = judge(&spec, &from, &now, way.count);
            way.lost = along.is_err();
            drop(way);
            let login = spec.credentials.as_ref().filter(|_| along == Ok(true));
            src.set_property("user-id", login.map(|c| c.user.as_str()));
            src.set_property("user-pw", login.map(|c| c.password.expose()));
            match along {
                Ok(true) => {}
                Ok(false) => {
                    if let (Some(bin), Ok(to), true) =
                        (bin.upgrade(), Url::parse(&now), spec.credentials.is_some())
                    {
                        let home = spec.url.host_str().unwrap_or_default();
                        bin.sent_on(redirect::withheld(home, &to).message);
                    }
                }
                Err((kind, why)) => gate.fail(kind, &why),
            }
        });
        Some(true.to_value())
    });
}

fn location(src: &gst::Element) -> String {
    src.property::<Option<String>>("location").unwrap_or_default()
}

fn judge(spec: &RtspSource, from: &Url, to: &str, count: u32) -> Result<bool, (SourceError, String)> {
    let bad = || {
        (
            SourceError::Bad,
            "a redirect leads to what is no address".to_owned(),
        )
    };
    let to = Url::parse(to).map_err(|_| bad())?;
    redirect::follow(
        &spec.url,
        from,
        &to,
        count,
        spec.credentials.is_some(),
        spec.verify_tls,
    )
    .map_err(|e| match e.kind {
        RtspErrorKind::Withheld => (SourceError::Withheld, e.message),
        _ => (SourceError::Bad, e.message),
    })
}
