//! Hands a stream on to one client until one of the two is gone.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Around, Inner, RestreamClient, StreamPath};
use crate::accounts::{Action, Deed, Identity, Permission};
use crate::gst::{AccessUnit, Feed};
use crate::live::{Live, Start, Viewer};
use crate::time::duration_ns;

/// How long a client may take from asking for a stream to taking it.
const BEGIN: Duration = Duration::from_secs(30);
/// What a client was described so long ago is not where it begins: it gets the present group of pictures.
const OLD: Duration = Duration::from_secs(2);
/// A client that takes nothing for so long hangs.
const HANGS: Duration = Duration::from_secs(30);
/// How often is looked whether there is room, and the client is there.
const LOOK: Duration = Duration::from_millis(50);
/// How often figures are taken.
const FIGURES: Duration = Duration::from_millis(500);
/// How often is asked whether he still may.
const AGAIN: Duration = Duration::from_secs(15);
/// Over UDP the group of pictures that a client begins with is sent no faster than so many bits a second.
const UDP_BPS: u64 = 40_000_000;

pub(super) struct Watcher {
    pub around: Arc<Around>,
    pub inner: Weak<Inner>,
    pub who: Identity,
    pub path: StreamPath,
    pub peer: IpAddr,
    /// Whether what he may can change.
    pub ask_again: bool,
}

/// Who is listed while he watches.
struct Listed {
    id: u64,
    inner: Arc<Inner>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.inner.leave(self.id);
    }
}

pub(super) async fn serve(watcher: Watcher, start: Start, mut feed: Feed) {
    let Some(inner) = watcher.inner.upgrade() else {
        return;
    };
    let stop = inner.stop.clone();
    let revoked = watcher.revoked();
    tokio::select! {
        () = stop.cancelled() => {}
        () = revoked => {
            tracing::info!(camera = %watcher.path.camera, "an RTSP client may no longer watch");
        }
        () = watcher.hand_on(inner, start, &mut feed) => {}
    }
}

impl Watcher {
    /// Completes when he may no longer watch.
    async fn revoked(&self) {
        if !self.ask_again {
            return std::future::pending().await;
        }
        loop {
            self.around.clock.tick(AGAIN).await;
            match self.around.accounts.again(&self.who).await {
                Ok(Some(now)) if now.may(Permission::Look) && now.sees(&self.path.camera) => {}
                Ok(_) => return,
                Err(e) => tracing::debug!(error = %e, "a viewer could not be looked up"),
            }
        }
    }

    async fn hand_on(&self, inner: Arc<Inner>, start: Start, feed: &mut Feed) {
        let clock = self.around.clock.clone();
        let Start { viewer, held, audio } = start;
        if !feed.wanted(BEGIN, &*clock).await {
            return;
        }
        // What the client is described with: one frame of each track.
        let sound = held
            .iter()
            .position(|u| u.track() == crate::gst::UnitTrack::Audio);
        let described = match (sound, audio) {
            (Some(at), Some(_)) => at + 1,
            _ => 1,
        };
        let (first, rest) = held.split_at(described.min(held.len()));
        if !first.iter().all(|unit| feed.push(unit).is_ok()) {
            return;
        }
        let asked_ns = clock.steady_ns();
        if !feed.playing(BEGIN, &*clock).await {
            return;
        }
        let late = clock.steady_ns().saturating_sub(asked_ns) > duration_ns(OLD);
        let listed = self.enter(inner, feed);
        self.note();
        self.pump(viewer, if late { &[] } else { rest }, late, &listed, feed)
            .await;
        listed
            .inner
            .change(listed.id, |c| c.sent_bytes = feed.sent_bytes());
    }

    async fn pump(
        &self,
        mut viewer: Viewer,
        held: &[AccessUnit],
        late: bool,
        listed: &Listed,
        feed: &mut Feed,
    ) {
        let clock = self.around.clock.clone();
        for unit in held {
            if feed.is_udp() {
                let bits = unit.size_bytes() as u64 * 8;
                clock
                    .sleep(Duration::from_nanos(bits * 1_000_000_000 / UDP_BPS))
                    .await;
            }
            if feed.push(unit).is_err() {
                return;
            }
        }
        if late {
            viewer.restart();
        }
        let (mut moved_ns, mut figures_ns, mut sent) = (clock.steady_ns(), 0, 0);
        loop {
            let room = feed.has_room();
            let live = tokio::select! {
                // One that waits for room takes no more, and the viewer's queue counts what is lost.
                live = viewer.next(), if room => Some(live),
                () = clock.sleep(if room { FIGURES } else { LOOK }) => None,
            };
            match live {
                // The camera was removed, or the recorder stops.
                Some(None) => return,
                Some(Some(Live::Begin)) => feed.begin(),
                Some(Some(Live::Lost(frames))) => listed.inner.change(listed.id, |c| c.frames_lost += frames),
                Some(Some(Live::Frame(unit))) => {
                    if let Err(e) = feed.push(&unit) {
                        tracing::debug!(camera = %self.path.camera, error = %e, "an RTSP client is left");
                        return;
                    }
                }
                None if feed.is_over() => return,
                None => {}
            }
            let now = clock.steady_ns();
            if room || feed.sent_bytes() != sent {
                (moved_ns, sent) = (now, feed.sent_bytes());
            } else if now.saturating_sub(moved_ns) > duration_ns(HANGS) {
                tracing::info!(camera = %self.path.camera, peer = %self.peer, "an RTSP client takes nothing any more");
                return;
            }
            if now.saturating_sub(figures_ns) >= duration_ns(FIGURES) {
                figures_ns = now;
                listed
                    .inner
                    .change(listed.id, |c| c.sent_bytes = feed.sent_bytes());
            }
        }
    }

    fn enter(&self, inner: Arc<Inner>, feed: &Feed) -> Listed {
        let id = inner.enter(|id| RestreamClient {
            id,
            camera: self.path.camera.clone(),
            stream: self.path.stream,
            user: self.who.label(),
            address: self.peer,
            udp: feed.is_udp(),
            since: self.around.clock.now(),
            sent_bytes: 0,
            frames_lost: 0,
        });
        Listed { id, inner }
    }

    fn note(&self) {
        if self.ask_again {
            let detail = format!("RTSP {}", self.path);
            let deed = Deed::of(&self.who, Some(self.peer), Action::Watch, detail);
            self.around
                .accounts
                .note(deed.camera(Some(self.path.camera.clone())));
        }
    }
}
