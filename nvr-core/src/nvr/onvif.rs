//! What cameras see by themselves becomes detections.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::camera::{Camera, access_of};
use crate::clock::SharedClock;
use crate::config::OnvifConfig;
use crate::detection::{DetectionId, DetectionKind, NewDetection};
use crate::detections::Detections;
use crate::error::Result;
use crate::onvif::{Notice, Subscription};

/// First and longest pause before a camera is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How often it is looked whether the configuration wants events.
const LOOK: Duration = Duration::from_secs(2);
/// Most things that go on at once at one camera.
const MOST_OPEN: usize = 64;

/// How often a camera's clock is looked at, and how soon again when that failed.
const CLOCK_EVERY: Duration = Duration::from_hours(1);
const CLOCK_RETRY: Duration = Duration::from_mins(2);
/// So much it may differ.
const CLOCK_TOLERANCE_NS: i64 = 5_000_000_000;

/// What goes on, by label and zone: the topics that say so, and the detection.
type Open = HashMap<(&'static str, Option<String>), (HashSet<String>, DetectionId)>;

/// Listens to a camera while its configuration says so, until it is removed.
pub(super) async fn listen(
    camera: Camera,
    detections: Detections,
    clock: SharedClock,
    stop: CancellationToken,
) {
    let mut pause = PAUSE.0;
    let wanted = || {
        let config = camera.config();
        config.onvif.clone().filter(|o| o.events && config.enabled)
    };
    while !stop.is_cancelled() {
        let Some(config) = wanted() else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.tick(LOOK) => continue,
            }
        };
        let mut open = Open::new();
        let over = stop.child_token();
        let changed = async {
            while wanted().as_ref() == Some(&config) {
                clock.tick(LOOK).await;
            }
            // The camera is told before it is let go.
            over.cancel();
            std::future::pending::<()>().await;
        };
        let began = clock.steady_ns();
        let ended = tokio::select! {
            () = changed => None,
            e = subscribe(&camera, &config, &detections, &clock, &mut open, &over) => e.err(),
        };
        // Whatever went on: nobody says any more when it is over.
        for (_, id) in open.into_values() {
            end(&detections, id, &clock).await;
        }
        let Some(e) = ended else { continue };
        // What held for a while was no failure to subscribe.
        if clock.steady_ns() - began > 60_000_000_000 {
            pause = PAUSE.0;
        }
        tracing::warn!(camera = %camera.id(), error = %e, again_s = pause.as_secs(), "the events of a camera are not read");
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Asks a camera for its clock now and then, and tells when it is wrong, until the camera is removed.
pub(super) async fn watch_clock(camera: Camera, clock: SharedClock, stop: CancellationToken) {
    let mut told = false;
    loop {
        let config = camera.config();
        let pause = if config.onvif.is_none() || !config.enabled {
            CLOCK_RETRY
        } else {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                asked = camera.clock_offset_ns() => asked,
            };
            match asked {
                Ok(Some(ahead_ns)) => {
                    let wrong = ahead_ns.abs() > CLOCK_TOLERANCE_NS;
                    if wrong && !told {
                        let ahead_s = ahead_ns / 1_000_000_000;
                        tracing::warn!(camera = %config.id, ahead_s, "the clock of a camera is wrong; `nvr onvif set-time` sets it");
                    }
                    told = wrong;
                    CLOCK_EVERY
                }
                Ok(None) => CLOCK_EVERY,
                Err(e) => {
                    tracing::debug!(camera = %config.id, error = %e, "a camera was not asked for its clock");
                    CLOCK_RETRY
                }
            }
        };
        drop(config);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(pause) => {}
        }
    }
}

async fn subscribe(
    camera: &Camera,
    config: &OnvifConfig,
    detections: &Detections,
    clock: &SharedClock,
    open: &mut Open,
    stop: &CancellationToken,
) -> Result<()> {
    let mut subscription = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        begun = Subscription::begin(clock, access_of(config)) => begun?,
    };
    tracing::info!(camera = %camera.id(), "the events of a camera are read");
    loop {
        let notices = tokio::select! {
            () = stop.cancelled() => {
                subscription.end().await;
                return Ok(());
            }
            notices = subscription.pull() => notices?,
        };
        for notice in notices {
            if let Err(e) = take(camera, notice, detections, clock, open).await {
                tracing::warn!(camera = %camera.id(), error = %e, "what a camera saw is not kept");
            }
        }
    }
}

async fn take(
    camera: &Camera,
    notice: Notice,
    detections: &Detections,
    clock: &SharedClock,
    open: &mut Open,
) -> Result<()> {
    let now = clock.now();
    let name = (notice.label, notice.zone.clone());
    let new = || {
        let mut new = NewDetection::new(camera.id(), DetectionKind::Camera, now).label(notice.label);
        new.zone.clone_from(&notice.zone);
        new.source = Some(notice.topic.clone()).filter(|t| !t.is_empty());
        new
    };
    match notice.active {
        None => {
            let mut new = new();
            new.to = Some(now);
            detections.begin(new).await?;
        }
        Some(true) => {
            if let Some((topics, _)) = open.get_mut(&name) {
                if topics.len() < MOST_OPEN {
                    topics.insert(notice.key);
                }
            } else if open.len() < MOST_OPEN {
                let id = detections.begin(new()).await?;
                open.insert(name, (HashSet::from([notice.key]), id));
            }
        }
        Some(false) => {
            let Some((topics, id)) = open.get_mut(&name) else {
                return Ok(());
            };
            topics.remove(&notice.key);
            if topics.is_empty() {
                let id = *id;
                open.remove(&name);
                end(detections, id, clock).await;
            }
        }
    }
    Ok(())
}

async fn end(detections: &Detections, id: DetectionId, clock: &SharedClock) {
    if let Err(e) = detections.end(id, clock.now()).await {
        tracing::debug!(error = %e, "a detection of a camera was not ended");
    }
}
