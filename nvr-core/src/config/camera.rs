//! `[[cameras]]`: one camera, its source and what it does differently from `[recording]`.

use std::time::Duration;

use super::RecordingConfig;
use super::lists::Tables;
use super::motion::{MotionConfig, MotionStream};
use super::motion_lines::RawLine;
use super::privacy;
use super::reader::{At, Reader, Section, section};
use super::recording::{CHUNK, PRE_ROLL, SEGMENT, START_DEADLINE, WATCHDOG, warn_of_odd_segment};
use super::retention::{self, Age, CameraRetention};
use super::stills::CameraStills;
use super::values::{Bytes, Size, Span, Text, Word};
use crate::ids::CameraId;
use crate::privacy::Privacy;
use crate::schedule::{RecordMode, Schedule};
use crate::secret::Secret;
use crate::segment::Container;
use crate::source::{DeviceFormat, Ingest, SourceSpec, Transport};
use crate::time::Timestamp;

mod onvif;

pub use onvif::{FillConfig, OnvifConfig};

/// One camera, resolved: what it does not say itself is taken from [`RecordingConfig`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct CameraConfig {
    /// Its id: folder name, metric label, part of URLs.
    pub id: CameraId,
    /// Name for people; the id by default.
    pub name: String,
    /// Where the stream comes from, credentials and options included.
    pub source: SourceSpec,
    /// A smaller stream of the same camera for those who watch many at once. Never recorded, and connected only
    /// while somebody watches it.
    pub sub: Option<SourceSpec>,
    /// Whether it is used at all (default: yes).
    pub enabled: bool,
    /// When it is recorded, unless its schedule says otherwise.
    pub record: RecordMode,
    /// Rules for times at which it is recorded in another way.
    pub schedule: Schedule,
    /// Length of a segment (10 s to 24 h).
    pub segment: Duration,
    /// Length of a chunk (100 to 500 ms).
    pub chunk: Duration,
    /// How segments are packed.
    pub container: Container,
    /// Whether audio is recorded where the camera has it.
    pub audio: bool,
    /// How much from before its start a recording by hand has (0 to 60 s).
    pub pre_roll: Duration,
    /// After how long without a frame it is restarted (2 s to 10 min); long GOPs are allowed for.
    pub watchdog: Duration,
    /// How long it may take from being opened to its first frame (1 s to 5 min).
    pub start_deadline: Duration,
    /// What of its footage is kept for how long.
    pub retention: CameraRetention,
    /// Which cameras pause last when the disk is full and nothing may be deleted (1 to 10, the higher the later;
    /// default 5).
    pub priority: u8,
    /// Whether and where motion is looked for.
    pub motion: MotionConfig,
    /// Whether objects are looked for where something moves, if there is a model (default: yes).
    pub objects: bool,
    /// How it is asked by ONVIF, if it is.
    pub onvif: Option<OnvifConfig>,
    /// Which stills are kept of it.
    pub stills: CameraStills,
    /// What of its picture nobody is to see.
    pub privacy: Privacy,
}

/// Priority of a camera that says nothing.
const PRIORITY: u8 = 5;

impl CameraConfig {
    /// A camera with the defaults, recorded continuously.
    #[must_use]
    pub fn new(id: CameraId, source: SourceSpec) -> Self {
        Self::with_defaults(id, source, &RecordingConfig::default())
    }

    /// A camera that does what `[recording]` says.
    #[must_use]
    pub fn with_defaults(id: CameraId, source: SourceSpec, recording: &RecordingConfig) -> Self {
        let mut source = source;
        if let SourceSpec::Rtsp(s) = &mut source
            && s.ingest == Ingest::Auto
        {
            s.ingest = recording.ingest;
        }
        Self {
            name: id.to_string(),
            id,
            source,
            sub: None,
            enabled: true,
            record: RecordMode::default(),
            schedule: Schedule::default(),
            segment: recording.segment,
            chunk: recording.chunk,
            container: recording.container,
            audio: recording.audio,
            pre_roll: recording.pre_roll,
            watchdog: recording.watchdog,
            start_deadline: recording.start_deadline,
            retention: CameraRetention::default(),
            priority: PRIORITY,
            motion: MotionConfig::default(),
            objects: true,
            onvif: None,
            stills: CameraStills::default(),
            privacy: Privacy::default(),
        }
    }

    /// How it is recorded at a moment.
    #[must_use]
    pub fn mode_at(&self, t: Timestamp) -> RecordMode {
        self.schedule.mode_at(t, self.record)
    }

    /// Whether motion is looked for at a moment: when it is asked for, or needed to know when to record.
    #[must_use]
    pub fn motion_at(&self, t: Timestamp) -> bool {
        self.enabled && (self.motion.enabled || self.mode_at(t) == RecordMode::Motion)
    }

    /// Whether its pictures are looked at at a moment: for motion, or because there are lines to be crossed.
    #[must_use]
    pub fn looks_at(&self, t: Timestamp) -> bool {
        self.motion_at(t) || self.enabled && !self.motion.lines.is_empty()
    }

    /// Whether it is recorded the same way: name, sub stream, schedule, retention, priority, motion, objects, ONVIF, stills and privacy may
    /// differ without a new start.
    pub(crate) fn records_like(&self, other: &Self) -> bool {
        let mut same = self.clone();
        same.name.clone_from(&other.name);
        same.sub.clone_from(&other.sub);
        same.schedule.clone_from(&other.schedule);
        same.retention.clone_from(&other.retention);
        same.priority = other.priority;
        same.motion.clone_from(&other.motion);
        same.objects = other.objects;
        same.onvif.clone_from(&other.onvif);
        same.stills.clone_from(&other.stills);
        same.privacy.clone_from(&other.privacy);
        same == *other
    }
}

section! {
    /// A camera. What it does not say about recording is taken from `[recording]`.
    RawCamera requires ["id", "source"] {
        /// Its id: folder name, metric label and part of URLs. 1 to 63 of a-z, 0-9, `_` and `-`.
        id: Text,
        /// Name for people; the id by default.
        name: Text,
        /// Where the stream comes from: `rtsp://…`, `rtsps://…`, `http(s)://…` (MJPEG), `v4l2:/dev/video0`,
        /// `libcamera:`, `file:/path` or `test:`.
        source: Text,
        /// A smaller stream of the same camera, written like `source`; shown where many cameras are watched at once. It
        /// is never recorded, and connected only while it is watched. `user`, `password`, `transport`, `latency` and
        /// `verify_tls` hold for it as well, where it is of the same kind.
        sub: Text,
        /// User at the camera (rtsp, http).
        user: Text,
        /// Password at the camera (rtsp, http). Better a variable: `${CAM_PASSWORD}` or `${file:/run/secrets/cam}`.
        password: Text,
        /// How RTP travels (rtsp). By default over TCP, and over UDP where the camera refuses that and `ingest` is `auto`.
        transport: Word<Transport>,
        /// Jitter buffer (rtsp), 0 to 10 s.
        latency: Span = "200ms",
        /// Whether the certificate is checked; by default for https, not for rtsps, where cameras sign their own.
        verify_tls: bool,
        /// Wanted picture size (v4l2, libcamera); the device's best by default.
        size: Size,
        /// Wanted frames per second (v4l2, libcamera), 1 to 240; the device's best by default.
        frame_rate: u64,
        /// What to ask the device for (v4l2, libcamera); the first of these that it has by default.
        format: Word<DeviceFormat>,
        /// Whether the camera is used at all.
        enabled: bool = true,
        /// When it is recorded.
        record: Word<RecordMode> = "continuous",
        /// Times at which it is recorded in another way than `record` says, as rules with semicolons or ends of lines
        /// between: `"mon-fri 08:00-18:00 continuous; sat,sun off; 2026-12-24..2026-12-26 off"`. Each has days (`mon`,
        /// `mon-fri`, `sat,sun`, `daily`, a date or two), times of the day (also over midnight), or both, and then
        /// `continuous`, `motion`, `manual` or `off`. The last rule that holds counts.
        schedule: Text,
        /// Time zone of the schedule; that of the recorder by default.
        time_zone: Text,
        /// Length of a segment, 10 s to 24 h.
        segment: Span,
        /// Length of a chunk, 100 to 500 ms.
        chunk: Span,
        /// How segments are packed.
        container: Word<Container>,
        /// Whether audio is recorded where the camera has it.
        audio: bool,
        /// How much from before its start a recording by hand has, 0 to 60 s.
        pre_roll: Span,
        /// After how long without a frame the camera is restarted, 2 s to 10 min.
        watchdog: Span,
        /// How long it may take from being opened to its first frame, 1 s to 5 min.
        start_deadline: Span,
        /// How long its footage is kept, or `forever`; by default as `[retention]` says. So are the next two.
        max_age: Age,
        /// The same for footage marked as that of an event.
        event_age: Age,
        /// The same for footage that was encoded again to save space.
        transcoded_age: Age,
        /// Most bytes of this camera. No limit by default.
        max_bytes: Bytes,
        /// Which cameras pause last when the disk is full and nothing may be deleted: 1 to 10, the higher the later.
        priority: u64 = 5,
        /// Which client reads an RTSP stream: `auto`, `lean` or `rtspsrc`.
        ingest: Word<Ingest>,
        /// Whether motion is looked for in its pictures. It is as well wherever `record` or the schedule says `motion`.
        motion: bool = false,
        /// How little is enough to be motion, 1 to 100.
        motion_sensitivity: u64 = 50,
        /// Motion that is shorter does not count, 0 to 60 s; with 0 one picture is enough.
        motion_min_duration: Span = "0s",
        /// Motion that comes back within this belongs to the same detection, 1 s to 10 min.
        motion_cool_down: Span = "10s",
        /// Only motion in one of these parts of the picture counts, each a name, a colon and corners in shares of width and
        /// height: `"door: 0.1,0.2 0.4,0.2 0.4,0.9; drive @70: 0,0.5 1,0.5 1,1 0,1"`. `@` gives one a sensitivity of its
        /// own. Anywhere by default.
        motion_zones: Text,
        /// Motion in these parts of the picture never counts, written like zones without names:
        /// `"0,0 0.3,0 0.3,0.05 0,0.05"`.
        motion_masks: Text,
        /// In which stream motion is looked for.
        motion_stream: Word<MotionStream> = "auto",
        /// Whether all frames are decoded for it, instead of keyframes only. That costs far more, and is for
        /// cameras whose keyframes are many seconds apart, and for `motion_lines`. By default only with lines, and only of
        /// a sub stream.
        motion_every_frame: bool,
        /// Lines of which it is told when something crosses them, with or without `motion`:
        /// `[{ name = "gate", from = [0.1, 0.5], to = [0.9, 0.5], direction = "any" }]`.
        motion_lines: Tables<RawLine>,
        /// How much from before motion is recorded with it, 0 to 60 s, where it is recorded because of motion. So is the
        /// next.
        motion_pre_roll: Span = "5s",
        /// How much from after it, 0 to 10 min.
        motion_post_roll: Span = "10s",
        /// Whether objects are looked for where something moves, if `[objects]` names a model. Needs `motion`.
        objects: bool = true,
        /// Where the camera's ONVIF service is asked, for pan, tilt and zoom, its clock and its events: `auto` (the host of
        /// `source`, port 80), `192.168.1.20:8080` or a whole address. Without it the camera is not asked.
        onvif: Text,
        /// User of ONVIF, where it is another than that of the stream.
        onvif_user: Text,
        /// Password of ONVIF.
        onvif_password: Text,
        /// Profile by which the camera is turned; the first that can be turned by default.
        onvif_profile: Text,
        /// Whether what the camera sees by itself (motion, crossed lines, tampering, inputs) is kept as detections.
        onvif_events: bool = false,
        /// Whether what is missing after the camera was away is fetched from its own card (ONVIF Profile G).
        onvif_fill_gaps: bool = false,
        /// How long after the camera came back its card is asked, 0 s to 1 h: it needs a while to write down the end.
        onvif_fill_after: Span = "30s",
        /// What is missing for longer than this is not fetched by itself, 1 min to 52 weeks.
        onvif_fill_oldest: Span = "7d",
        /// Bytes a second at which its card is read at most; 0: no limit.
        onvif_fill_rate: Bytes = "4MiB",
        /// Token of the recording on its card; needed only where there are several that could be meant.
        onvif_recording: Text,
        /// How often a still is taken of it, 5 s to 24 h, or 0 for never; by default as `[stills]` says. So are the next.
        stills: Span,
        /// Width of its stills in pixels, 16 to 7680.
        stills_width: u64,
        /// Quality of their JPEG, 1 to 100.
        stills_quality: u64,
        /// Times of the day at which they are taken, in `recorder.time_zone`: `"06:00-20:00"`, several with commas.
        stills_times: Text,
        /// How long they are kept, or `forever`.
        stills_max_age: Age,
        /// Most bytes of its stills: beyond it the oldest go. No limit by default.
        stills_max_bytes: Bytes,
        /// Most stills of it.
        stills_max_count: u64,
        /// Parts of the picture that nobody is to see, written like `motion_zones` without `@`:
        /// `"window: 0.1,0.2 0.4,0.2 0.4,0.9 0.1,0.9; garden: 0,0.5 1,0.5 1,1 0,1"`. They are covered in pictures and in all
        /// that is encoded here: transcodes, exports that are encoded, merges, time-lapses. What is handed on as the camera
        /// sent it (recording, playback and live video without encoding) is not masked; see the guide on privacy.
        privacy_masks: Text,
        /// What covers them: `black`, a colour such as `#404040`, or `pixelate`, which leaves visible that something is there.
        privacy_style: Text = "black",
        /// Whether complete segments are encoded again by themselves, whatever `[transcode]` says of `enabled`, `cameras`,
        /// `after`, `min_size`, `smaller_by` and `keep_original`, so that no unmasked original stays.
        privacy_transcode: bool = false,
    }
}

impl CameraConfig {
    /// Reads one camera; `None` when it has no usable id, or a source that cannot be known here.
    pub(super) fn read(
        reader: &mut Reader<'_, '_>,
        section: &Section<'_>,
        recording: &RecordingConfig,
        zone: &str,
    ) -> Option<At<Self>> {
        let raw = RawCamera::read(reader, section);
        let has = |key| section.table.is_some_and(|t| t.contains_key(key));
        if !has("id") {
            reader.missing(section, "id", "give it one: id = \"front\"");
        }
        if !has("source") {
            reader.missing(
                section,
                "source",
                "say where the stream comes from: source = \"rtsp://…\"",
            );
        }
        let id = raw.id.as_ref().and_then(|at| read_id(reader, at));
        let source = raw
            .source
            .as_ref()
            .and_then(|at| read_source(reader, at, "source"));
        let sub = raw.sub.as_ref().and_then(|at| read_source(reader, at, "sub"));
        let is_unknown = source.is_none() && raw.source.as_ref().is_some_and(|at| at.unknown);
        // Read everything even if it is of no use, so that all mistakes are told.
        let mut out = Self::with_defaults(
            id.clone().or_else(|| CameraId::new("unusable").ok())?,
            source
                .clone()
                .unwrap_or_else(|| SourceSpec::Test(crate::source::TestSource::default())),
            recording,
        );
        for (field, bounds, to) in [
            (&raw.segment, SEGMENT, &mut out.segment),
            (&raw.chunk, CHUNK, &mut out.chunk),
            (&raw.pre_roll, PRE_ROLL, &mut out.pre_roll),
            (&raw.watchdog, WATCHDOG, &mut out.watchdog),
            (&raw.start_deadline, START_DEADLINE, &mut out.start_deadline),
        ] {
            if let Some(d) = reader.within(field.as_ref(), &bounds) {
                *to = d.0;
            }
        }
        if let Some(at) = &raw.segment {
            warn_of_odd_segment(reader, at.value.0, &at.span, &at.key);
        }
        if let Some(at) = &raw.name {
            let name = at.value.as_str();
            if name.trim().is_empty() || name.chars().count() > 100 || name.contains(char::is_control) {
                let hint = Some("use 1 to 100 characters on one line".into());
                reader
                    .problems
                    .error(&at.span, &at.key, "`name`: not usable as a name", hint);
            }
            name.clone_into(&mut out.name);
        }
        if let Some(at) = &raw.enabled {
            out.enabled = at.value;
        }
        if let Some(at) = &raw.record {
            out.record = at.value.0;
        }
        if let Some(schedule) = read_schedule(reader, &raw, zone) {
            out.schedule = schedule;
        }
        if let Some(at) = &raw.container {
            out.container = at.value.0;
        }
        if let Some(at) = &raw.audio {
            out.audio = at.value;
        }
        out.retention = CameraRetention {
            max_age: retention::age(reader, raw.max_age.as_ref()),
            event_age: retention::age(reader, raw.event_age.as_ref()),
            transcoded_age: retention::age(reader, raw.transcoded_age.as_ref()),
            max_bytes: retention::most_bytes(reader, raw.max_bytes.as_ref()),
        };
        if let Some(n) = reader.within(raw.priority.as_ref(), &(1..=10)) {
            out.priority = n as u8;
        }
        apply_options(reader, &raw, source.is_some(), &mut out.source);
        out.motion = MotionConfig::read(reader, section, &raw, sub.is_some() || raw.sub.is_some());
        out.stills = CameraStills::read(reader, &raw, zone);
        if let Some(at) = &raw.objects {
            out.objects = at.value;
        }
        out.onvif = onvif::read(reader, section, &raw, &out.source);
        out.privacy = privacy::read(reader, &raw, out.container);
        out.sub = sub;
        if let Some(sub) = &mut out.sub {
            share_options(&raw, &out.source, sub);
        }
        for source in [Some(&mut out.source), out.sub.as_mut()].into_iter().flatten() {
            match source {
                SourceSpec::Rtsp(s) => s.audio = out.audio,
                SourceSpec::Test(s) => s.audio &= out.audio,
                _ => {}
            }
        }
        let at = raw.id?;
        id.filter(|_| !is_unknown).map(|_| At {
            value: out,
            span: at.span,
            key: at.key,
            secret: at.secret,
            unknown: false,
        })
    }
}

fn read_schedule(reader: &mut Reader<'_, '_>, raw: &RawCamera, zone: &str) -> Option<Schedule> {
    let mut zone = zone;
    if let Some(at) = &raw.time_zone {
        if let Err(e) = Schedule::parse("", at.value.as_str()) {
            let message = format!("`time_zone`: {} is not a known time zone", at.value.shown());
            let hint = e.hint().map(str::to_owned);
            reader.problems.error(&at.span, &at.key, message, hint);
        } else {
            zone = at.value.as_str();
        }
    }
    let at = raw.schedule.as_ref()?;
    match Schedule::parse(at.value.as_str(), zone) {
        Ok(schedule) => Some(schedule),
        Err(e) => {
            // A text from a variable is not shown.
            let message = if at.secret {
                "`schedule`: not usable (not shown, as it comes from a variable)".to_owned()
            } else {
                format!("`schedule`: {e}")
            };
            let hint = e.hint().map(str::to_owned);
            reader.problems.error(&at.span, &at.key, message, hint);
            None
        }
    }
}

fn read_id(reader: &mut Reader<'_, '_>, at: &At<Text>) -> Option<CameraId> {
    let error = match CameraId::new(at.value.as_str()) {
        Ok(id) => return Some(id),
        Err(error) => error,
    };
    let message = format!("`id`: {} is not usable", at.value.shown());
    reader
        .problems
        .error(&at.span, &at.key, message, error.hint().map(str::to_owned));
    None
}

/// `name` is the key that is read.
fn read_source(reader: &mut Reader<'_, '_>, at: &At<Text>, name: &str) -> Option<SourceSpec> {
    let error = match SourceSpec::parse(at.value.as_str()) {
        Ok(source) => return Some(source),
        Err(error) => error,
    };
    if at.unknown {
        let hint = "set the variable, or make the file readable, to have this camera listed";
        let message = format!("`{name}`: comes from a variable or file that cannot be had here");
        reader
            .problems
            .warn(&at.span, &at.key, message, Some(hint.into()));
        return None;
    }
    let text = at.value.as_str();
    // `#`, `/` and `?` end the part of a URL that holds the password.
    let hint = if text.contains("://") && text.contains('@') {
        Some("a password with special characters goes into `password = \"…\"`, not into the URL".to_owned())
    } else {
        error.hint().map(str::to_owned)
    };
    let message = if at.secret {
        format!("`{name}`: not usable (not shown, as it comes from a variable)")
    } else if name == "source" {
        error.to_string()
    } else {
        format!("`{name}`: {error}")
    };
    reader.problems.error(&at.span, &at.key, message, hint);
    None
}

/// Puts the options of a source into it, and reports those that it cannot have. With `check` off (the source
/// itself is not usable) only their own bounds are checked.
fn apply_options(reader: &mut Reader<'_, '_>, raw: &RawCamera, check: bool, source: &mut SourceSpec) {
    let latency = Span(Duration::ZERO)..=Span(Duration::from_secs(10));
    let latency = reader.within(raw.latency.as_ref(), &latency);
    let frame_rate = reader
        .within(raw.frame_rate.as_ref(), &(1..=240))
        .map(|n| n as u32);
    if let (Some(at), None) = (&raw.password, &raw.user) {
        let hint = Some("give `user`, too".to_owned());
        reader
            .problems
            .error(&at.span, &at.key, "`password` without `user`", hint);
    }
    if !check {
        return;
    }
    let mut refuse = |field: Option<(&std::ops::Range<usize>, &String)>, fits: bool, wants: &str| {
        if let (Some((span, key)), false) = (field, fits) {
            let name = key.rsplit('.').next().unwrap_or_default();
            reader.problems.error(
                span,
                key,
                format!("`{name}` does not go with this source"),
                Some(format!("it is for sources of the kind {wants}")),
            );
        }
    };
    let is_rtsp = matches!(source, SourceSpec::Rtsp(_));
    let is_net = is_rtsp || matches!(source, SourceSpec::Mjpeg(_));
    let is_device = matches!(source, SourceSpec::V4l2(_) | SourceSpec::Libcamera(_));
    refuse(place(raw.user.as_ref()), is_net, "rtsp or http");
    refuse(place(raw.password.as_ref()), is_net, "rtsp or http");
    refuse(place(raw.verify_tls.as_ref()), is_net, "rtsps or https");
    refuse(place(raw.transport.as_ref()), is_rtsp, "rtsp");
    refuse(place(raw.latency.as_ref()), is_rtsp, "rtsp");
    refuse(place(raw.ingest.as_ref()), is_rtsp, "rtsp");
    let device = "v4l2 or libcamera; test: takes test:?size=640x360&fps=25";
    refuse(place(raw.size.as_ref()), is_device, device);
    refuse(place(raw.frame_rate.as_ref()), is_device, device);
    refuse(place(raw.format.as_ref()), is_device, device);

    if let Some(user) = &raw.user {
        let password = raw.password.as_ref().map_or("", |at| at.value.as_str());
        source.set_credentials(user.value.as_str().to_owned(), Secret::new(password));
    }
    match source {
        SourceSpec::Rtsp(s) => {
            s.transport = raw.transport.as_ref().map(|at| at.value.0).or(s.transport);
            s.latency = latency.map_or(s.latency, |d| d.0);
            s.verify_tls = raw.verify_tls.as_ref().map_or(s.verify_tls, |at| at.value);
            s.ingest = raw.ingest.as_ref().map_or(s.ingest, |at| at.value.0);
            if let (Ingest::Lean, Some(transport)) = (s.ingest, s.transport)
                && transport != Transport::Tcp
                && let Some((span, key)) = place(raw.ingest.as_ref())
                    .or(place(raw.transport.as_ref()))
                    .or(place(raw.source.as_ref()))
            {
                let (what, hint) = if raw.ingest.is_some() {
                    (
                        "`ingest`: the lean client reads RTSP over TCP only",
                        "leave `transport` out, or write ingest = \"auto\"",
                    )
                } else {
                    (
                        "`transport`: the lean client, which `[recording]` sets, reads RTSP over TCP only",
                        "leave `transport` out, or write ingest = \"auto\" for this camera",
                    )
                };
                reader.problems.error(span, key, what, Some(hint.to_owned()));
            }
        }
        SourceSpec::Mjpeg(s) => s.verify_tls = raw.verify_tls.as_ref().map_or(s.verify_tls, |at| at.value),
        SourceSpec::V4l2(s) | SourceSpec::Libcamera(s) => {
            s.size = raw.size.as_ref().map(|at| at.value.0);
            s.frame_rate = frame_rate;
            s.format = raw.format.as_ref().map(|at| at.value.0);
        }
        SourceSpec::File(_) | SourceSpec::Test(_) => {}
    }
}

/// What a camera says of its connection holds for both of its streams.
fn share_options(raw: &RawCamera, main: &SourceSpec, sub: &mut SourceSpec) {
    if let Some(user) = &raw.user {
        let password = raw.password.as_ref().map_or("", |at| at.value.as_str());
        sub.set_credentials(user.value.as_str().to_owned(), Secret::new(password));
    }
    match (main, sub) {
        (SourceSpec::Rtsp(main), SourceSpec::Rtsp(sub)) => {
            sub.transport = main.transport;
            sub.latency = main.latency;
            sub.ingest = main.ingest;
            sub.verify_tls = main.verify_tls;
        }
        (SourceSpec::Mjpeg(main), SourceSpec::Mjpeg(sub)) => sub.verify_tls = main.verify_tls,
        _ => {}
    }
}

fn place<T>(field: Option<&At<T>>) -> Option<(&std::ops::Range<usize>, &String)> {
    field.map(|at| (&at.span, &at.key))
}
