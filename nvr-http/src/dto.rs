//! What goes over the wire. Times are RFC 3339 UTC, lengths seconds, sizes bytes.

mod jobs;
mod uploads;

use nvr_core::camera::{CameraStatus, IngestStatus, ManualRecording};
use nvr_core::config::CameraConfig;
use nvr_core::event::{Cause, Event};
use nvr_core::health::Health;
use nvr_core::store::SegmentRow;
use nvr_core::time::Timestamp;
use nvr_core::timeline::{Day, Timeline};
use nvr_core::track::{AudioCodec, Tracks, VideoCodec};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Viewer;

pub(crate) use self::jobs::{ForgottenDto, JobDto, JobKindDto, JobsDto};
pub(crate) use self::uploads::{LinkDto, TargetDto, UploadDto, UploadsDto};

const NS: f64 = 1e9;

/// Why something is as it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CauseDto {
    /// Stable name (`"unreachable"`).
    kind: &'static str,
    /// For people.
    message: String,
}

impl From<&Cause> for CauseDto {
    fn from(c: &Cause) -> Self {
        Self {
            kind: c.kind.as_str(),
            message: c.message.clone(),
        }
    }
}

/// The video track.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VideoDto {
    /// `h264` or `h265`.
    codec: &'static str,
    width: u32,
    height: u32,
    /// Frames per second, if the stream says so.
    frame_rate: Option<f64>,
}

/// The audio track.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AudioDto {
    /// `aac`, `opus`, `pcmu`, `pcma`, `pcm` or `other`.
    codec: &'static str,
    sample_rate: u32,
    channels: u32,
}

/// The tracks of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TracksDto {
    video: VideoDto,
    audio: Option<AudioDto>,
}

impl From<&Tracks> for TracksDto {
    fn from(t: &Tracks) -> Self {
        Self {
            video: VideoDto {
                codec: video_name(t.video.codec),
                width: t.video.width,
                height: t.video.height,
                frame_rate: t.video.frame_rate,
            },
            audio: t.audio.as_ref().map(|a| AudioDto {
                codec: match a.codec {
                    AudioCodec::Aac => "aac",
                    AudioCodec::Opus => "opus",
                    AudioCodec::Pcmu => "pcmu",
                    AudioCodec::Pcma => "pcma",
                    AudioCodec::Pcm => "pcm",
                    _ => "other",
                },
                sample_rate: a.sample_rate,
                channels: a.channels,
            }),
        }
    }
}

fn video_name(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "h264",
        VideoCodec::H265 => "h265",
    }
}

/// A camera now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CameraDto {
    id: String,
    name: String,
    /// Address of the stream, without credentials.
    source: String,
    enabled: bool,
    /// Mode by the configuration: `continuous`, `manual` or `off`.
    record: &'static str,
    /// Mode now: the same, or what its schedule says.
    mode: &'static str,
    /// Its schedule, if it has one.
    schedule: Option<ScheduleDto>,
    /// `stopped`, `connecting`, `standby`, `recording`, `stalled`, `backing_off` or `failed`.
    state: &'static str,
    /// Why it is in that state.
    cause: CauseDto,
    /// Since when. While a camera is down, since when it is, whichever attempt is under way.
    since: String,
    /// When it is tried again.
    next_try: Option<String>,
    /// Whether frames go to a file.
    recording: bool,
    /// The recording by hand that is going on.
    manual: Option<ManualDto>,
    /// The present run.
    run: Option<String>,
    tracks: Option<TracksDto>,
    /// Which client reads the stream; RTSP only, from the first connection on.
    ingest: Option<IngestDto>,
    /// Whether it is asked by ONVIF.
    onvif: bool,
    /// Seconds by which its own clock was ahead when it was asked last; by ONVIF only.
    clock_ahead_seconds: Option<f64>,
    /// Time of the newest frame.
    last_frame: Option<String>,
    counters: CountersDto,
    /// What of its picture nobody is to see, if anything.
    privacy: Option<PrivacyDto>,
}

/// Privacy masks of a camera.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PrivacyDto {
    /// Names of the masks.
    masks: Vec<String>,
    /// What covers them: `black`, `#rrggbb` or `pixelate`.
    style: String,
    /// Whether complete segments are encoded again by themselves, so that no unmasked one stays.
    transcode: bool,
}

impl PrivacyDto {
    fn new(privacy: &nvr_core::privacy::Privacy) -> Option<Self> {
        privacy.is_on().then(|| Self {
            masks: privacy.masks.iter().map(|m| m.name.clone()).collect(),
            style: privacy.style.to_string(),
            transcode: privacy.transcode,
        })
    }
}

/// When a camera is recorded in another way than its mode says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleDto {
    /// Its rules, as they are written in the configuration.
    rules: String,
    /// When the mode changes next; absent when it does not within a week.
    next_change: Option<String>,
    /// The mode from then on.
    next_mode: Option<&'static str>,
}

impl ScheduleDto {
    fn new(config: &CameraConfig, now: Timestamp) -> Self {
        let next = config.schedule.next_change(now, config.record);
        Self {
            rules: config.schedule.to_string(),
            next_change: next.map(|(t, _)| t.to_string()),
            next_mode: next.map(|(_, mode)| mode.as_str()),
        }
    }
}

/// A recording by hand.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ManualDto {
    since: String,
    /// When it ends by itself.
    until: Option<String>,
}

impl From<&ManualRecording> for ManualDto {
    fn from(m: &ManualRecording) -> Self {
        Self {
            since: m.since.to_string(),
            until: m.until.map(|t| t.to_string()),
        }
    }
}

/// Which client reads a camera's stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IngestDto {
    /// `lean` (the recorder's own) or `rtspsrc` (GStreamer's).
    client: &'static str,
    /// Why it is not the lean one, where the configuration leaves the choice.
    reason: Option<String>,
}

impl From<&IngestStatus> for IngestDto {
    fn from(i: &IngestStatus) -> Self {
        Self {
            client: i.ingest.as_str(),
            reason: i.reason.clone(),
        }
    }
}

/// Figures since the recorder started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountersDto {
    frames: u64,
    bytes_in: u64,
    frames_dropped: u64,
    segments: u64,
    segment_bytes: u64,
    restarts: u64,
    /// Entries that the index never got because it stalled; files are found by a check.
    index_lost: u64,
}

impl CameraDto {
    pub(crate) fn new(config: &CameraConfig, status: &CameraStatus, now: Timestamp) -> Self {
        let c = status.counters;
        Self {
            id: config.id.to_string(),
            name: config.name.clone(),
            source: config.source.to_string(),
            enabled: config.enabled,
            record: config.record.as_str(),
            mode: status.mode.as_str(),
            schedule: (!config.schedule.is_empty()).then(|| ScheduleDto::new(config, now)),
            state: status.state.phase.as_str(),
            cause: (&status.state.cause).into(),
            since: status.state.since.to_string(),
            next_try: status.state.next_try.map(|t| t.to_string()),
            recording: status.recording,
            manual: status.manual.as_ref().map(Into::into),
            run: status.run.map(|r| r.to_string()),
            tracks: status.tracks.as_ref().map(Into::into),
            ingest: status.ingest.as_ref().map(Into::into),
            onvif: config.onvif.is_some(),
            clock_ahead_seconds: status.clock_ahead_ns.map(|ns| (ns as f64 / 1e7).round() / 100.0),
            last_frame: status.last_frame.map(|t| t.to_string()),
            counters: CountersDto {
                frames: c.frames,
                bytes_in: c.bytes_in,
                frames_dropped: c.frames_dropped,
                segments: c.segments,
                segment_bytes: c.segment_bytes,
                restarts: c.restarts,
                index_lost: c.index_lost,
            },
            privacy: PrivacyDto::new(&config.privacy),
        }
    }
}

/// A stretch of footage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordedDto {
    start: String,
    end: String,
    /// Whether it is being extended now.
    growing: bool,
    /// Run that it begins with.
    run: String,
    /// Video codecs in it.
    codecs: Vec<&'static str>,
}

/// A stretch without footage.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GapDto {
    start: String,
    end: String,
    cause: CauseDto,
}

/// Sums over the range, exact whatever the resolution.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TotalsDto {
    recorded_seconds: f64,
    missing_seconds: f64,
    /// Bytes of the segments that touch the range, each in whole.
    bytes: u64,
    segments: u64,
}

/// One camera's footage in a range.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TimelineDto {
    camera: String,
    from: String,
    to: String,
    /// Sorted and disjoint; together with the gaps without a hole.
    ranges: Vec<RecordedDto>,
    gaps: Vec<GapDto>,
    events: Vec<EventDto>,
    totals: TotalsDto,
}

impl From<Timeline> for TimelineDto {
    fn from(t: Timeline) -> Self {
        Self {
            camera: t.camera.to_string(),
            from: t.range.start().to_string(),
            to: t.range.end().to_string(),
            ranges: t
                .ranges
                .iter()
                .map(|r| RecordedDto {
                    start: r.range.start().to_string(),
                    end: r.range.end().to_string(),
                    growing: r.growing,
                    run: r.run.to_string(),
                    codecs: r.codecs.iter().map(|&c| video_name(c)).collect(),
                })
                .collect(),
            gaps: t
                .gaps
                .iter()
                .map(|g| GapDto {
                    start: g.range.start().to_string(),
                    end: g.range.end().to_string(),
                    cause: (&g.cause).into(),
                })
                .collect(),
            events: t.events.iter().map(Into::into).collect(),
            totals: TotalsDto {
                recorded_seconds: t.totals.recorded_ns as f64 / NS,
                missing_seconds: t.totals.missing_ns as f64 / NS,
                bytes: t.totals.bytes,
                segments: t.totals.segments,
            },
        }
    }
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventDto {
    at: String,
    camera: Option<String>,
    /// Stable name (`"camera_state"`).
    kind: &'static str,
    /// What belongs to that kind.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl From<&Event> for EventDto {
    fn from(e: &Event) -> Self {
        let mut detail = serde_json::to_value(&e.kind).unwrap_or_default();
        if let Some(fields) = detail.as_object_mut() {
            fields.remove("kind");
        }
        Self {
            at: e.at.to_string(),
            camera: e.camera.as_ref().map(ToString::to_string),
            kind: e.kind.name(),
            detail,
        }
    }
}

/// Some events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsDto {
    pub(crate) events: Vec<EventDto>,
    /// Pass it as `cursor` for the next page.
    pub(crate) next: Option<String>,
}

/// A calendar day of a time zone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DayDto {
    /// `2026-03-29`.
    date: String,
    /// Begin in UTC.
    start: String,
    /// End in UTC.
    end: String,
    /// 82800, 86400 or 90000 where clocks change.
    length_seconds: i64,
    recorded_seconds: f64,
}

impl From<&Day> for DayDto {
    fn from(d: &Day) -> Self {
        Self {
            date: d.date.to_string(),
            start: d.start.to_string(),
            end: d.end.to_string(),
            length_seconds: d.length_s,
            recorded_seconds: d.recorded_s(),
        }
    }
}

/// A segment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentDto {
    id: i64,
    camera: String,
    run: String,
    /// Number within its run.
    sequence: u32,
    /// Path below the recordings root.
    path: String,
    /// `open`, `closed`, `recovered` or `missing`.
    state: &'static str,
    start: String,
    duration_seconds: f64,
    size_bytes: u64,
    /// `fmp4`, `mp4` or `matroska`.
    #[schema(value_type = String)]
    container: nvr_core::segment::Container,
    tracks: TracksDto,
    /// BLAKE3 of the file, hexadecimal.
    hash: Option<String>,
    /// It is never deleted to make room.
    protected: bool,
    /// Marked as footage of an event, which has an age of its own.
    event: bool,
    /// Encoded again to save space.
    transcoded: bool,
    /// The root that the file lies below: `first` or `second`.
    tier: &'static str,
    /// Whether privacy masks are burnt into its pictures.
    masked: bool,
    /// Which, and how: `black | window: 0.1,0.2 0.4,0.2 0.4,0.9`.
    masks: Option<String>,
    /// Whether it was fetched from the camera's own card afterwards.
    from_card: bool,
}

impl From<&SegmentRow> for SegmentDto {
    fn from(r: &SegmentRow) -> Self {
        Self {
            id: r.id.0,
            camera: r.camera.to_string(),
            run: r.run.to_string(),
            sequence: r.sequence,
            path: r.path.to_string_lossy().into_owned(),
            state: r.state.as_str(),
            start: r.start.to_string(),
            duration_seconds: r.duration_ns as f64 / NS,
            size_bytes: r.size_bytes,
            container: r.container,
            tracks: (&r.tracks).into(),
            hash: r.hash.map(|h| h.iter().map(|b| format!("{b:02x}")).collect()),
            protected: r.protected,
            event: r.marks.is_event(),
            transcoded: r.marks.is_transcoded(),
            tier: r.tier.as_str(),
            masked: r.masks.is_some(),
            masks: r.masks.clone(),
            from_card: r.from_card,
        }
    }
}

/// Some segments.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SegmentsDto {
    pub(crate) segments: Vec<SegmentDto>,
    /// Pass it as `cursor` for the next page.
    pub(crate) next: Option<String>,
}

/// Something that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDto {
    camera: Option<String>,
    since: String,
    cause: CauseDto,
}

/// How many cameras there are, and how they fare.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthCountsDto {
    cameras: usize,
    /// Of which frames go to a file.
    recording: usize,
    /// With a problem.
    troubled: usize,
    /// Problems in all.
    problems: usize,
}

/// The state of the whole.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthDto {
    /// `ok` or `degraded`.
    status: &'static str,
    /// Whether every camera that should be recorded now is.
    ready: bool,
    counts: HealthCountsDto,
    /// What is wrong, with the cameras of who asks; only for who is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<Vec<ProblemDto>>,
    /// Only for who is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    started: String,
}

impl HealthDto {
    pub(crate) fn new(nvr: &nvr_core::Nvr, health: &Health, viewer: Option<&Viewer>) -> Self {
        let cameras = nvr.cameras();
        let shown = |viewer: &Viewer| {
            let problems = health.problems.iter();
            // That of the disk concerns everybody.
            let his = problems.filter(|p| p.camera.as_ref().is_none_or(|c| viewer.sees(c)));
            let dtos = his.map(|p| ProblemDto {
                camera: p.camera.as_ref().map(ToString::to_string),
                since: p.since.to_string(),
                cause: (&p.cause).into(),
            });
            dtos.collect()
        };
        Self {
            status: if health.ok { "ok" } else { "degraded" },
            ready: health.ready,
            counts: HealthCountsDto {
                cameras: cameras.len(),
                recording: cameras.iter().filter(|c| c.status().recording).count(),
                troubled: health.problems.iter().filter(|p| p.camera.is_some()).count(),
                problems: health.problems.len(),
            },
            problems: viewer.map(shown),
            version: viewer.map(|_| env!("CARGO_PKG_VERSION")),
            started: nvr.started().to_string(),
        }
    }
}
