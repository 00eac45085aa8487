//! `/metrics`: read off the recorder at each scrape.

mod alerts;
mod motion;
mod objects;
mod stills;

use std::collections::BTreeMap;
use std::fmt;

use nvr_core::CameraId;
use nvr_core::alerts::{Alert, ChannelStatus};
use nvr_core::archive::{ArchiveStats, CameraStats};
use nvr_core::camera::CameraStatus;
use nvr_core::event::{CameraPhase, CauseKind};
use nvr_core::health::Health;
use nvr_core::jobs::{CLASSES_S, Durations, JobCount, JobState};
use nvr_core::restream::RestreamFigures;
use nvr_core::retention::DeletedSoFar;
use nvr_core::store::TranscodeTotals;
use nvr_core::upload::{CameraUploads, TargetStatus, UPLOAD_CLASSES_S};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::server::AppState;

#[derive(Debug)]
struct Scrape {
    cameras: Vec<CameraStatus>,
    motion: Vec<(CameraId, nvr_core::motion::MotionStatus)>,
    stills: Vec<(CameraId, nvr_core::stills::StillFigures)>,
    mqtt_events: Option<nvr_core::nvr::MqttEventCounts>,
    objects: nvr_core::objects::ObjectsStatus,
    health: Health,
    stats: Option<ArchiveStats>,
    deleted: Vec<DeletedSoFar>,
    jobs: Vec<JobCount>,
    durations: Vec<Durations>,
    uploads: BTreeMap<CameraId, CameraUploads>,
    targets: Vec<TargetStatus>,
    transcoded: Vec<TranscodeTotals>,
    transcoding: bool,
    converting: usize,
    restream: Option<BTreeMap<CameraId, RestreamFigures>>,
    alerts: Vec<Alert>,
    channels: Vec<ChannelStatus>,
    now_s: f64,
    started_s: f64,
}

/// The metrics as OpenMetrics text.
pub(crate) async fn render(app: &AppState) -> String {
    let nvr = &app.nvr;
    let transcoding = nvr.transcoding().await.ok();
    let scrape = Scrape {
        cameras: nvr.cameras().iter().map(nvr_core::Camera::status).collect(),
        motion: nvr.cameras().iter().map(|c| (c.id(), c.motion())).collect(),
        stills: nvr.still_figures(),
        mqtt_events: nvr.mqtt().map(|_| nvr.mqtt_event_counts()),
        objects: nvr.objects(),
        health: nvr.health(),
        stats: nvr.stats().await.ok(),
        deleted: nvr.deleted(),
        jobs: nvr.jobs().counts().await.unwrap_or_default(),
        durations: nvr.jobs().durations(),
        uploads: uploads_of(nvr),
        targets: nvr.uploads().status().await.unwrap_or_default(),
        converting: nvr.converting(),
        restream: nvr.restream().map(nvr_core::restream::Restream::figures),
        alerts: nvr.alerts().active(),
        channels: nvr.alerts().channels().await.unwrap_or_default(),
        transcoding: transcoding.as_ref().is_some_and(|t| t.enabled),
        transcoded: transcoding.map(|t| t.cameras).unwrap_or_default(),
        now_s: nvr.clock().now().as_secs_f64(),
        started_s: nvr.started().as_secs_f64(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// Zeros as well: a counter that appears with its first failure does not tell that it grew.
fn uploads_of(nvr: &nvr_core::Nvr) -> BTreeMap<CameraId, CameraUploads> {
    let mut all = nvr.uploads().figures();
    if !nvr.config().uploads.is_empty() {
        for camera in nvr.cameras() {
            all.entry(camera.id()).or_default();
        }
    }
    all
}

impl Scrape {
    fn counters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&CameraStatus) -> u64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for camera in &self.cameras {
            let labels = [("camera_id", camera.id.as_str())];
            ConstCounter::new(value(camera)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn deletions(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&DeletedSoFar) -> u64,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for deleted in &self.deleted {
            let labels = [
                ("camera_id", deleted.camera.as_str()),
                ("reason", deleted.reason.as_str()),
            ];
            ConstCounter::new(value(deleted)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauges(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&CameraStatus) -> Option<f64>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for camera in &self.cameras {
            if let Some(value) = value(camera) {
                let labels = [("camera_id", camera.id.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn stored(
    encoder: &mut DescriptorEncoder<'_>,
    stats: &ArchiveStats,
    name: &str,
    help: &str,
    value: impl Fn(&CameraStats) -> Option<f64>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for camera in &stats.cameras {
        if let Some(value) = value(camera) {
            let labels = [("camera_id", camera.camera.as_str())];
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

impl Scrape {
    fn jobs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("nvr_jobs", "Jobs in the queue", None, MetricType::Gauge)?;
        for count in &self.jobs {
            let labels = [("kind", count.kind.as_str()), ("state", count.state.as_str())];
            ConstGauge::new(count.jobs as f64).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "nvr_jobs_queued_bytes",
            "What queued jobs have to read, as far as it is known",
            None,
            MetricType::Gauge,
        )?;
        for count in self.jobs.iter().filter(|c| c.state == JobState::Queued) {
            let labels = [("kind", count.kind.as_str())];
            ConstGauge::new(count.input_bytes as f64).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "nvr_job_duration_seconds",
            "Length of attempts at jobs since the start; state queued: to be tried again",
            None,
            MetricType::Histogram,
        )?;
        for d in &self.durations {
            let labels = [("kind", d.kind.as_str()), ("state", d.state.as_str())];
            let bounds = CLASSES_S.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(d.classes).collect();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(d.sum_s, d.count, &buckets, None)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn uploads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in [
            (
                "camera_segments_uploaded",
                "Segments uploaded",
                (|u| u.uploaded) as fn(&CameraUploads) -> u64,
            ),
            ("camera_uploaded_bytes", "Their bytes", |u| u.uploaded_bytes),
            ("camera_upload_failures", "Attempts at uploads that failed", |u| {
                u.failures
            }),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (camera, uploads) in &self.uploads {
                let labels = [("camera_id", camera.as_str())];
                ConstCounter::new(value(uploads)).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "camera_segment_upload_duration_seconds",
            "How long uploads of a segment took",
            None,
            MetricType::Histogram,
        )?;
        for (camera, u) in &self.uploads {
            let labels = [("camera_id", camera.as_str())];
            let bounds = UPLOAD_CLASSES_S.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(u.classes).collect();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                u.duration_s,
                u.uploaded,
                &buckets,
                None,
            )?;
        }
        let mut family = encoder.encode_descriptor(
            "nvr_upload_segments",
            "Segments by upload target and state",
            None,
            MetricType::Gauge,
        )?;
        for count in self.targets.iter().flat_map(|t| &t.counts) {
            let labels = [("target", count.target.as_str()), ("state", count.state.as_str())];
            ConstGauge::new(count.segments as f64).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "nvr_upload_oldest_wait_seconds",
            "Age of the upload that waits longest",
            None,
            MetricType::Gauge,
        )?;
        for target in &self.targets {
            let age = target
                .waits_since
                .map_or(0.0, |t| (self.now_s - t.as_secs_f64()).max(0.0));
            let labels = [("target", target.target.as_str())];
            ConstGauge::new(age).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "nvr_upload_trouble",
            "1 while uploads to the target fail again and again, or wait for too long",
            None,
            MetricType::Gauge,
        )?;
        for target in &self.targets {
            let labels = [("target", target.target.as_str())];
            ConstGauge::new(yes(target.trouble_since.is_some())).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn restream(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(figures) = &self.restream else {
            return Ok(());
        };
        let of = |camera: &CameraStatus| figures.get(&camera.id).copied().unwrap_or_default();
        self.gauges(
            e,
            "camera_rtsp_clients",
            "Who reads the camera over RTSP now",
            |c| Some(of(c).clients as f64),
        )?;
        self.counters(
            e,
            "camera_rtsp_sent_bytes",
            "Bytes of packets that went out over RTSP",
            |c| of(c).sent_bytes,
        )
    }
}

/// What encoding again brought.
impl Scrape {
    fn transcoded(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        one(
            e,
            "nvr_transcoding_enabled",
            "Whether footage is encoded again by itself",
            yes(self.transcoding),
        )?;
        type Count = (&'static str, &'static str, fn(&TranscodeTotals) -> u64);
        let counts: [Count; 4] = [
            (
                "camera_segments_transcoded",
                "Segments encoded again as H.265",
                |t| t.done,
            ),
            (
                "camera_segments_transcode_kept",
                "Segments tried and left as they were",
                |t| t.kept,
            ),
            ("camera_transcoded_bytes_before", "Their size before", |t| {
                t.before_bytes
            }),
            ("camera_transcoded_bytes_after", "Their size after", |t| {
                t.after_bytes
            }),
        ];
        for (name, help, value) in counts {
            let mut family = e.encode_descriptor(name, help, None, MetricType::Counter)?;
            for t in &self.transcoded {
                let labels = [("camera_id", t.camera.as_str())];
                ConstCounter::new(value(t)).encode(family.encode_family(&labels)?)?;
            }
        }
        type Gauge = (&'static str, &'static str, fn(&TranscodeTotals) -> Option<f64>);
        let gauges: [Gauge; 3] = [
            ("camera_transcode_seconds", "Time that encoding again took", |t| {
                Some(t.elapsed_ns as f64 / 1e9)
            }),
            (
                "camera_transcode_ssim",
                "Mean structural similarity to the originals",
                |t| t.ssim,
            ),
            (
                "camera_transcode_psnr_db",
                "Mean peak signal to noise ratio to the originals",
                |t| t.psnr_db,
            ),
        ];
        for (name, help, value) in gauges {
            let mut family = e.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for t in &self.transcoded {
                if let Some(value) = value(t) {
                    let labels = [("camera_id", t.camera.as_str())];
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

fn one(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn yes(b: bool) -> f64 {
    f64::from(u8::from(b))
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        motion::encode(e, &self.motion)?;
        stills::encode(e, &self.stills)?;
        if let Some(counts) = self.mqtt_events {
            motion::encode_mqtt(e, counts)?;
        }
        objects::encode(e, &self.objects)?;
        // The text format adds `_total` to the names of counters.
        self.gauges(e, "camera_stream_connected", "Whether frames arrive", |c| {
            Some(yes(matches!(
                c.state.phase,
                CameraPhase::Recording | CameraPhase::Standby
            )))
        })?;
        self.gauges(e, "camera_recording", "Whether frames go to a file", |c| {
            Some(yes(c.recording))
        })?;
        self.counters(e, "camera_segments_recorded", "Segments completed", |c| {
            c.counters.segments
        })?;
        self.counters(e, "camera_recording_bytes", "Bytes of completed segments", |c| {
            c.counters.segment_bytes
        })?;
        self.counters(e, "camera_received_bytes", "Bytes received", |c| {
            c.counters.bytes_in
        })?;
        self.counters(e, "camera_frames_received", "Video frames received", |c| {
            c.counters.frames
        })?;
        self.counters(
            e,
            "camera_frames_dropped",
            "Video frames received but not recorded",
            |c| c.counters.frames_dropped,
        )?;
        self.gauges(e, "camera_viewers", "Who watches the main stream now", |c| {
            Some(c.viewers.now as f64)
        })?;
        self.counters(
            e,
            "camera_viewer_frames_lost",
            "Video frames that viewers lost by being slow",
            |c| c.viewers.frames_lost,
        )?;
        self.restream(e)?;
        self.counters(
            e,
            "camera_pipeline_restarts",
            "Connections lost or not made",
            |c| c.counters.restarts,
        )?;
        self.gauges(
            e,
            "camera_last_frame_age_seconds",
            "Age of the newest frame",
            |c| c.last_frame.map(|t| (self.now_s - t.as_secs_f64()).max(0.0)),
        )?;
        if let Some(stats) = &self.stats {
            stored(e, stats, "camera_stored_bytes", "Bytes of footage on disk", |c| {
                Some(c.size_bytes as f64)
            })?;
            stored(
                e,
                stats,
                "camera_stored_seconds",
                "Length of footage on disk",
                |c| Some(c.duration_ns as f64 / 1e9),
            )?;
            stored(
                e,
                stats,
                "camera_bytes_per_hour",
                "Bytes written in an hour of the last day",
                |c| Some(c.bytes_per_hour),
            )?;
            stored(
                e,
                stats,
                "camera_storage_days_left",
                "Days until the oldest footage goes for want of room, at the present rates",
                |c| c.days_left,
            )?;
            if let Some(tier) = &stats.tier {
                stored(
                    e,
                    stats,
                    "camera_tier_bytes",
                    "Bytes of footage below the second root",
                    |c| Some(c.tier_bytes as f64),
                )?;
                one(
                    e,
                    "nvr_tier_reachable",
                    "Whether the second root is there",
                    yes(tier.reachable),
                )?;
                one(
                    e,
                    "nvr_tier_total_bytes",
                    "Size of the second root's file system",
                    tier.disk_total_bytes as f64,
                )?;
                one(
                    e,
                    "nvr_tier_available_bytes",
                    "What of it is available",
                    tier.disk_available_bytes as f64,
                )?;
            }
            one(
                e,
                "nvr_disk_min_free_bytes",
                "What of the recordings' file system is to stay free",
                stats.disk_min_free_bytes as f64,
            )?;
            one(
                e,
                "nvr_disk_total_bytes",
                "Size of the recordings' file system",
                stats.disk_total_bytes as f64,
            )?;
            one(
                e,
                "nvr_disk_available_bytes",
                "What of it is available",
                stats.disk_available_bytes as f64,
            )?;
        }
        self.deletions(e, "camera_segments_deleted", "Segments deleted", |d| d.segments)?;
        self.deletions(e, "camera_deleted_bytes", "Bytes of deleted segments", |d| {
            d.size_bytes
        })?;
        let low = |p: &nvr_core::health::Problem| p.camera.is_none() && p.cause.kind == CauseKind::LowSpace;
        one(
            e,
            "nvr_space_low",
            "Whether the disk is nearly full and the oldest footage goes whatever its age",
            yes(self.health.problems.iter().any(low)),
        )?;
        let hangs =
            |p: &nvr_core::health::Problem| p.camera.is_none() && p.cause.kind == CauseKind::StorageHangs;
        one(
            e,
            "nvr_storage_hangs",
            "Whether the disk of the recordings does not answer",
            yes(self.health.problems.iter().any(hangs)),
        )?;
        self.gauges(e, "camera_waiting_bytes", "Bytes that wait for the disk", |c| {
            Some(c.waiting_bytes as f64)
        })?;
        self.gauges(
            e,
            "camera_index_waiting",
            "Completed segments that wait for the index",
            |c| Some(c.index_waiting as f64),
        )?;
        self.counters(
            e,
            "camera_index_lost",
            "Completed segments that the index does not know until the next start",
            |c| c.counters.index_lost,
        )?;
        one(
            e,
            "nvr_converting",
            "Stretches of footage that are encoded for somebody now",
            self.converting as f64,
        )?;
        self.jobs(e)?;
        self.uploads(e)?;
        alerts::encode(e, &self.alerts, &self.channels)?;
        self.transcoded(e)?;
        one(e, "nvr_healthy", "Whether nothing is wrong", yes(self.health.ok))?;
        one(
            e,
            "nvr_ready",
            "Whether every camera that should be recorded is",
            yes(self.health.ready),
        )?;
        one(
            e,
            "nvr_start_time_seconds",
            "Unix time of the start",
            self.started_s,
        )
    }
}
