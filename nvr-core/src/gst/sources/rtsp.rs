//! RTSP cameras: which of the two clients reads one, and the change from the lean one to the other.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::cause::{SourceError, post};
use super::rtsp_bin::RtspBin;
use super::rtspsrc;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::guard::guarded;
use crate::gst::lean::{Demand, Failure, FailureKind, NvrRtspSrc};
use crate::gst::source_bin::{Around, OnIngest, OnTracks};
use crate::source::{Ingest, RtspSource, Transport};

/// How long an answer is waited for.
const TIMEOUT_MS: u32 = 5000;

/// Taken by whoever tells the tracks.
type Slot = Arc<Mutex<Option<OnTracks>>>;

pub(super) fn build(spec: &RtspSource, around: &Around, on_tracks: OnTracks) -> Result<RtspBin> {
    let bin = RtspBin::new();
    let tell = |ingest, reason| {
        if let Some(f) = &around.on_ingest {
            f(ingest, reason);
        }
    };
    match (spec.ingest, spec.transport) {
        (Ingest::Auto | Ingest::Lean, None | Some(Transport::Tcp)) => {
            tell(Ingest::Lean, None);
            lean(&bin, spec, around, on_tracks)?;
        }
        (Ingest::Lean, _) => {
            return Err(
                Error::new(ErrorKind::Unsupported, "the lean client reads RTSP over TCP only")
                    .with_hint("leave `transport` out, or set ingest = \"auto\""),
            );
        }
        (Ingest::Auto, Some(other)) => {
            let reason = format!("transport = \"{}\"", other.as_str());
            tell(Ingest::Rtspsrc, Some(&reason));
            rtspsrc::fill(&bin, spec, demand(around), on_tracks)?;
        }
        (Ingest::Rtspsrc, _) => {
            tell(Ingest::Rtspsrc, None);
            rtspsrc::fill(&bin, spec, demand(around), on_tracks)?;
        }
    }
    Ok(bin)
}

/// Who is asked before frames are let wait.
fn demand(around: &Around) -> Option<Arc<Demand>> {
    around.lazy.then(|| around.demand.clone())
}

fn take(slot: &Slot) -> Option<OnTracks> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn lean(bin: &RtspBin, spec: &RtspSource, around: &Around, on_tracks: OnTracks) -> Result<()> {
    let slot: Slot = Arc::new(Mutex::new(Some(on_tracks)));
    let on_refusal = (spec.ingest == Ingest::Auto).then(|| {
        let (bin, spec, slot) = (bin.downgrade(), spec.clone(), slot.clone());
        let on_ingest = around.on_ingest.clone();
        let demand = demand(around);
        let taken: Box<dyn Fn(&Failure) -> bool + Send + Sync> = Box::new(move |failure| {
            // Over TCP rtspsrc would be refused as well.
            if failure.kind == FailureKind::Transport && spec.transport.is_some() {
                return false;
            }
            let (Some(bin), Some(on_tracks)) = (bin.upgrade(), take(&slot)) else {
                return false;
            };
            change_over(
                &bin,
                &spec,
                demand.clone(),
                on_ingest.as_ref(),
                failure,
                on_tracks,
            );
            true
        });
        taken
    });
    let src = NvrRtspSrc::embedded(
        around.reactor.clone(),
        around.demand.clone(),
        around.lazy,
        on_refusal,
    );
    // The address has no credentials: it is quoted in messages.
    src.set_property("location", spec.url.as_str());
    if let Some(c) = &spec.credentials {
        src.set_property("user-id", &c.user);
        src.set_property("user-pw", c.password.expose());
    }
    src.set_property("tls-validation", spec.verify_tls);
    src.set_property("audio", spec.audio);
    src.set_property("timeout", TIMEOUT_MS);
    let latency = u32::try_from(spec.latency.as_millis()).unwrap_or(u32::MAX);
    src.set_property("latency", latency);
    bin.add(&src)
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot add the RTSP source").with_source(e))?;

    let weak = bin.downgrade();
    src.connect_pad_added(move |_, pad| {
        let Some(bin) = weak.upgrade() else { return };
        let panicked = |text: &str| {
            post(
                bin.upcast_ref(),
                SourceError::Internal,
                &format!("pad-added panicked: {text}"),
            );
        };
        guarded("pad-added", (), panicked, || {
            let added = gst::GhostPad::builder_with_target(pad).and_then(|ghost| {
                let ghost = ghost.name(pad.name()).build();
                ghost.set_active(true)?;
                // Its caps are known before anything flows.
                pad.sticky_events_foreach(|event| {
                    let _ = ghost.store_sticky_event(event);
                    std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
                });
                bin.add_pad(&ghost)
            });
            if let Err(e) = added {
                post(
                    bin.upcast_ref(),
                    SourceError::Internal,
                    &format!("no ghost pad: {e}"),
                );
            }
        });
    });
    let weak = bin.downgrade();
    src.connect_no_more_pads(move |src| {
        let (Some(bin), Some(on_tracks)) = (weak.upgrade(), take(&slot)) else {
            return;
        };
        let panicked = |text: &str| {
            post(
                bin.upcast_ref(),
                SourceError::Internal,
                &format!("the recorder taking the tracks panicked: {text}"),
            );
        };
        let has_audio = src.static_pad("audio").is_some();
        guarded("no-more-pads", (), panicked, || on_tracks(has_audio));
    });
    Ok(())
}

/// Puts rtspsrc in the place of the lean client, on the side: this is called from a thread that serves others, too.
fn change_over(
    bin: &RtspBin,
    spec: &RtspSource,
    demand: Option<Arc<Demand>>,
    on_ingest: Option<&OnIngest>,
    failure: &Failure,
    on_tracks: OnTracks,
) {
    if let Some(f) = on_ingest {
        f(Ingest::Rtspsrc, Some(&failure.message));
    }
    let mut spec = spec.clone();
    if failure.kind == FailureKind::Transport {
        // Nobody asked for TCP, so anything will do.
        spec.transport = Some(Transport::Auto);
    }
    bin.asked_after(Some(&failure.message));
    let weak = bin.downgrade();
    let told: OnTracks = Box::new(move |has_audio| {
        // What goes wrong from now on has nothing to do with it.
        if let Some(bin) = weak.upgrade() {
            bin.asked_after(None);
        }
        on_tracks(has_audio);
    });
    let once = Mutex::new(Some(told));
    bin.call_async(move |bin| {
        let panicked = |text: &str| {
            post(
                bin.upcast_ref(),
                SourceError::Internal,
                &format!("the change to rtspsrc panicked: {text}"),
            );
        };
        guarded("change of source", (), panicked, || {
            for old in bin.children() {
                let _ = bin.remove(&old);
                let _ = old.set_state(gst::State::Null);
            }
            let Some(on_tracks) = once.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                return;
            };
            let started = rtspsrc::fill(bin, &spec, demand.clone(), on_tracks)
                .map_err(|e| (SourceError::Unsupported, e.to_string()))
                .and_then(|src| {
                    src.sync_state_with_parent()
                        .map_err(|e| (SourceError::Internal, e.to_string()))
                });
            if let Err((kind, text)) = started {
                post(bin.upcast_ref(), kind, &text);
            }
        });
    });
}

#[cfg(test)]
mod fallback_tests;
#[cfg(test)]
mod tests;
