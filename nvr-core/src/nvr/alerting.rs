//! What alerts see: the recorder's events as they come, and a sample of how all fares every few seconds.

use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{Inner, Nvr, blocking};
use crate::alerts::{AlertKind, Alerts, Engine, Parts, PictureSource, Seen};
use crate::archive::SnapshotRequest;
use crate::camera::Context;
use crate::config::{AlertsConfig, RecordMode};
use crate::error::Result;
use crate::event::{CameraPhase, Event, EventKind, JobState};
use crate::events::EventStream;
use crate::machine;
use crate::mqtt::Mqtt;
use crate::time::{Timestamp, duration_ns};
use crate::upload::TargetStatus;

/// How often a sample is taken.
const LOOK: Duration = Duration::from_secs(5);
/// How often old alerts are cleared.
const TIDY: Duration = Duration::from_secs(3600);
/// Width of pictures in messages.
const PICTURE_WIDTH: u32 = 960;
/// How long a picture may take.
const PICTURE_PATIENCE: Duration = Duration::from_secs(15);

/// Kinds that a sample speaks of.
const SAMPLED: [AlertKind; 8] = [
    AlertKind::CameraOffline,
    AlertKind::Restarts,
    AlertKind::Reconnects,
    AlertKind::UploadFailures,
    AlertKind::UploadLate,
    AlertKind::DiskFull,
    AlertKind::Storage,
    AlertKind::Emergency,
];

impl Nvr {
    /// What is wrong and was told, and the channels it is told by.
    #[must_use]
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }
}

pub(super) async fn start(
    context: &Context,
    config: &AlertsConfig,
    mqtt: Option<Mqtt>,
    recorder: Arc<OnceLock<Weak<Inner>>>,
) -> Result<Alerts> {
    let clock = context.clock.clone();
    let pictures: PictureSource = Arc::new(move |camera, at| {
        let (recorder, clock) = (recorder.get().and_then(Weak::upgrade), clock.clone());
        Box::pin(async move {
            let nvr = Nvr(recorder?);
            // What was just told is still in the stream; footage of it may not be readable yet.
            let is_now = clock.now().since(at) < 60_000_000_000;
            let request = SnapshotRequest {
                width: Some(PICTURE_WIDTH),
                ..SnapshotRequest::new(camera, (!is_now).then_some(at))
            };
            tokio::select! {
                made = nvr.picture(request) => made.ok().map(|s| s.jpeg),
                () = clock.sleep(PICTURE_PATIENCE) => None,
            }
        })
    });
    let parts = Parts {
        store: context.store.clone(),
        clock: context.clock.clone(),
        pictures,
    };
    Alerts::start(parts, config, mqtt).await
}

pub(super) async fn work(recorder: Weak<Inner>, events: EventStream, stop: CancellationToken) {
    let mut events = pin!(events);
    let Some(clock) = recorder.upgrade().map(|r| r.context.clock.clone()) else {
        return;
    };
    let mut tidied: Option<i64> = None;
    let mut failed = false;
    loop {
        let look = clock.tick(LOOK);
        let mut look = pin!(look);
        // Events until it is time for a sample.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = &mut look => break,
                event = events.next() => {
                    let Some(event) = event else { return };
                    let Some(inner) = recorder.upgrade() else { return };
                    if !inner.config().alerts.enabled {
                        continue;
                    }
                    if inner.alerts.see(|engine| take(engine, &event)) {
                        inner.step_alerts(&mut failed).await;
                    }
                }
            }
        }
        let Some(inner) = recorder.upgrade() else { return };
        if !inner.config().alerts.enabled {
            continue;
        }
        inner.sample().await;
        inner.step_alerts(&mut failed).await;
        let now = clock.steady_ns();
        if tidied.is_none_or(|t| now - t > duration_ns(TIDY)) {
            tidied = Some(now);
            let before = clock.now() - inner.config().recorder.events_keep;
            if let Err(e) = inner.alerts.tidy(before).await {
                tracing::warn!(error = %e, "old alerts were not cleared");
            }
        }
    }
}

/// Takes an event; whether something may have to be told at once.
fn take(engine: &mut Engine, event: &Event) -> bool {
    let (now, camera) = (event.at, event.camera.as_ref());
    match &event.kind {
        EventKind::SegmentClosed {
            size_bytes,
            duration_ns,
            ..
        } => {
            if let Some(camera) = camera {
                engine.segment(camera, *size_bytes, *duration_ns, now);
            }
            false
        }
        EventKind::JobChanged {
            state: JobState::Failed,
            job,
            job_kind,
            message,
            ..
        } => {
            let subject = format!("{job_kind} {job}");
            engine.observe(AlertKind::JobFailed, camera, Some(&subject), now, |_| {
                Some(format!("job {job} ({job_kind}) failed: {message}"))
            });
            true
        }
        EventKind::DetectionStarted { detection } => {
            let seen = Seen {
                kind: detection.kind.as_str(),
                label: detection.label.as_deref(),
                zone: detection.zone.as_deref(),
                title: &detection.title(),
            };
            engine.detected(&detection.camera, &seen, now);
            true
        }
        EventKind::BookingChanged {
            booking,
            title,
            start: Some(start),
            state,
            warnings,
            ..
        } if state == "failed" => {
            let why = warnings.first().map_or(String::new(), |w| format!(": {w}"));
            let subject = format!("booking {booking}");
            engine.observe(AlertKind::JobFailed, None, Some(&subject), now, |_| {
                Some(format!("the booking {title:?} of {start} failed{why}"))
            });
            true
        }
        EventKind::BackupFailed { cause } => {
            engine.observe(AlertKind::JobFailed, None, Some("backup"), now, |_| {
                Some(format!("a backup failed: {}", cause.message))
            });
            true
        }
        _ => false,
    }
}

impl Inner {
    async fn step_alerts(&self, failed: &mut bool) {
        let stepped = self.alerts.step().await;
        if let (Err(e), false) = (&stepped, *failed) {
            tracing::warn!(error = %e, "alerts are not in the index; they are told once it can be written");
        }
        *failed = stepped.is_err();
    }

    async fn sample(&self) {
        let config = self.config();
        let has_uploads = !config.uploads.is_empty();
        // An index on a disk that hangs must not keep that from being told.
        let targets = if has_uploads {
            tokio::select! {
                known = self.uploads.status() => known.unwrap_or_default(),
                () = self.context.clock.sleep(LOOK) => Vec::new(),
            }
        } else {
            Vec::new()
        };
        let mut places = vec![(
            "the disk of recordings".to_owned(),
            self.tree.root().path().to_owned(),
        )];
        let is_well = super::held(&self.tier_fault).is_none();
        if let (Some(second), true) = (self.tree.second(), is_well) {
            places.push(("the second disk".to_owned(), second.path().to_owned()));
        }
        // A disk that hangs holds up this sample, and no other disk's hanging is worth waiting for.
        let asked = blocking(move || {
            let used = places.into_iter().filter_map(|(name, path)| {
                let (size, free) = machine::disk(&path)?;
                Some((name, 100.0 * (1.0 - free as f64 / size.max(1) as f64)))
            });
            Ok((used.collect::<Vec<_>>(), machine::clock_sync()))
        });
        let (disks, sync) = tokio::select! {
            done = asked => done.unwrap_or_default(),
            () = self.context.clock.sleep(LOOK) => (Vec::new(), None),
        };
        let now = self.context.clock.now();
        self.alerts.see(|engine| {
            engine.begin_sample();
            self.sample_cameras(engine, has_uploads, now);
            for (place, percent) in &disks {
                engine.disk(place, *percent, now);
            }
            for target in &targets {
                sample_target(engine, target, now);
            }
            let main = super::held(&self.storage_fault).clone();
            let main = main.or_else(|| super::held(&self.storage_hangs).clone());
            let second = super::held(&self.tier_fault).clone();
            for (fault, name) in [(main, "recordings"), (second, "second root")] {
                engine.observe(AlertKind::Storage, None, Some(name), now, |_| {
                    fault
                        .as_ref()
                        .map(|(_, cause)| format!("{name}: {}", cause.message))
                });
            }
            let low = super::held(&self.space_low).clone();
            engine.observe(AlertKind::Emergency, None, None, now, |_| {
                low.as_ref().map(|(_, c)| c.message.clone())
            });
            // Where the kernel does not say, nothing is known.
            if let Some(sync) = sync {
                engine.observe(AlertKind::Clock, None, None, now, |_| {
                    (!sync.synchronised)
                        .then(|| "no time service keeps the clock right; times of footage drift".into())
                });
            }
            // A disk or an index that did not answer is not one that is well.
            let silent = |k: AlertKind| match k {
                AlertKind::DiskFull => disks.is_empty(),
                AlertKind::UploadLate => has_uploads && targets.is_empty(),
                _ => false,
            };
            let kinds: Vec<AlertKind> = SAMPLED.into_iter().filter(|k| !silent(*k)).collect();
            engine.end_sample(&kinds, now);
        });
    }

    fn sample_cameras(&self, engine: &mut Engine, has_uploads: bool, now: Timestamp) {
        let uploads = self.uploads.figures();
        for camera in self.cameras() {
            let (id, config, status) = (camera.id(), camera.config(), camera.status());
            let wanted = config.enabled && status.mode != RecordMode::Off;
            let phase = status.state.phase;
            // Where the recorder itself pauses, the disk is what is told.
            let pauses = status.state.cause.kind.is_storage()
                || status.state.cause.kind == crate::event::CauseKind::LowSpace;
            let good = matches!(phase, CameraPhase::Recording | CameraPhase::Standby)
                || phase == CameraPhase::Stopped;
            let name = if config.name == id.as_str() {
                id.to_string()
            } else {
                format!("{} ({id})", config.name)
            };
            let offline = wanted && !good && !pauses;
            engine.observe(AlertKind::CameraOffline, Some(&id), None, now, |_| {
                offline.then(|| {
                    format!(
                        "{name} is {}: {}",
                        phase.as_str().replace('_', " "),
                        status.state.cause.message
                    )
                })
            });
            let in_vain = engine.still_away(&id, offline);
            engine.counter(AlertKind::Restarts, &id, status.counters.restarts, in_vain, now);
            engine.counter(AlertKind::Reconnects, &id, status.counters.restarts, in_vain, now);
            if has_uploads {
                let failures = uploads.get(&id).map_or(0, |u| u.failures);
                engine.counter(AlertKind::UploadFailures, &id, failures, false, now);
            }
        }
    }
}

fn sample_target(engine: &mut Engine, target: &TargetStatus, now: Timestamp) {
    // What may not go now is not late.
    let since = target.waits_since.filter(|_| target.open);
    engine.observe(AlertKind::UploadLate, None, Some(&target.target), now, |rule| {
        let since = since.filter(|t| now.since(*t) > duration_ns(rule.after));
        since.map(|t| {
            let minutes = now.since(t) / 60_000_000_000;
            let why = target
                .last_failure
                .as_ref()
                .map_or(String::new(), |w| format!(": {w}"));
            format!(
                "the oldest segment for {} waits since {minutes} min{why}",
                target.target
            )
        })
    });
}
