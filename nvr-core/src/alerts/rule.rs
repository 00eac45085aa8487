//! What is told, and when: kinds of alerts, and rules with their defaults. Pure.

use std::time::Duration;

use crate::ids::CameraId;

/// What a rule looks at.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A camera that is to be recorded is not.
    CameraOffline,
    /// A camera's connection was lost or could not be made, more than `threshold` times `within`: soon and often.
    Restarts,
    /// The same over a long time: a bad network or camera.
    Reconnects,
    /// A segment's bytes per second are far from what the camera's segments have: `threshold` times as much, or as little.
    SegmentSize,
    /// Attempts at uploads that failed, more than `threshold` times `within`.
    UploadFailures,
    /// The oldest segment that is not uploaded waits for longer than `after`.
    UploadLate,
    /// A disk of recordings is used to more than `threshold` percent.
    DiskFull,
    /// A recordings root cannot be written or used.
    Storage,
    /// The disk is nearly full, and the oldest footage goes whatever is wanted of it.
    Emergency,
    /// A job, or a backup, failed for good.
    JobFailed,
    /// Nothing keeps the machine's clock right.
    Clock,
    /// Something was detected: motion, an object, an event of the camera or from outside. Never told unless a rule says so.
    Detection,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CameraOffline,
        Self::Restarts,
        Self::Reconnects,
        Self::SegmentSize,
        Self::UploadFailures,
        Self::UploadLate,
        Self::DiskFull,
        Self::Storage,
        Self::Emergency,
        Self::JobFailed,
        Self::Clock,
        Self::Detection,
    ];

    /// Stable snake-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CameraOffline => "camera_offline",
            Self::Restarts => "restarts",
            Self::Reconnects => "reconnects",
            Self::SegmentSize => "segment_size",
            Self::UploadFailures => "upload_failures",
            Self::UploadLate => "upload_late",
            Self::DiskFull => "disk_full",
            Self::Storage => "storage",
            Self::Emergency => "emergency",
            Self::JobFailed => "job_failed",
            Self::Clock => "clock",
            Self::Detection => "detection",
        }
    }

    /// For people, as the head of a message.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::CameraOffline => "camera offline",
            Self::Restarts => "camera does not stay connected",
            Self::Reconnects => "camera was connected anew too often",
            Self::SegmentSize => "unusual size of recordings",
            Self::UploadFailures => "uploads fail",
            Self::UploadLate => "uploads are late",
            Self::DiskFull => "disk fills up",
            Self::Storage => "storage trouble",
            Self::Emergency => "disk nearly full, footage is deleted",
            Self::JobFailed => "job failed",
            Self::Clock => "clock is not kept right",
            Self::Detection => "detected",
        }
    }

    /// Whether it happens at a moment instead of going on: no end of it is told.
    #[must_use]
    pub const fn is_momentary(self) -> bool {
        matches!(self, Self::JobFailed | Self::Detection)
    }

    /// Whether it counts over a time.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Restarts | Self::Reconnects | Self::UploadFailures)
    }
}

/// How bad it is.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// Footage is being lost. Told in quiet hours as well.
    Critical,
}

impl Severity {
    /// Stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// When something is told, and where.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AlertRule {
    /// Its name, unique.
    pub name: String,
    /// What it looks at.
    pub kind: AlertKind,
    /// Whether it counts; one that does not still stands in place of the more general one.
    pub enabled: bool,
    /// Of which cameras; empty: of all that no rule of this kind names.
    pub cameras: Vec<CameraId>,
    /// Channels it goes to; empty: all.
    pub channels: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// How long it goes on before it is told.
    pub after: Duration,
    /// How much is too much; what it counts depends on the kind.
    pub threshold: f64,
    /// Over which time is counted.
    pub within: Duration,
    /// How long all has to be well before it is over.
    pub hold: Duration,
    /// After which time it is told again while it goes on and nobody acknowledged it; zero: never.
    pub repeat: Duration,
    /// Whether its end is told.
    pub resolved: bool,
    /// Whether a picture of the camera goes with it.
    pub picture: bool,
    /// For detections: kinds (`motion`, `object`, …); empty: all.
    pub events: Vec<String>,
    /// For detections: labels (`person`, …); empty: all.
    pub labels: Vec<String>,
    /// For detections: zones; empty: all.
    pub zones: Vec<String>,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl AlertRule {
    /// The rule that is in force for a kind when nothing is configured; its name is the kind's.
    #[must_use]
    pub fn of(kind: AlertKind) -> Self {
        use AlertKind as K;
        let (after, threshold, within) = match kind {
            K::CameraOffline | K::UploadLate => (MINUTE * 5, 0.0, HOUR),
            K::Restarts => (Duration::ZERO, 5.0, MINUTE * 10),
            K::Reconnects => (Duration::ZERO, 3.0, HOUR),
            K::UploadFailures => (Duration::ZERO, 10.0, HOUR),
            K::SegmentSize => (Duration::ZERO, 4.0, HOUR),
            K::DiskFull => (MINUTE, 80.0, HOUR),
            K::Clock => (MINUTE * 10, 0.0, HOUR),
            K::Storage | K::Emergency | K::JobFailed | K::Detection => (Duration::ZERO, 0.0, HOUR),
        };
        Self {
            name: kind.as_str().into(),
            kind,
            enabled: true,
            cameras: Vec::new(),
            channels: Vec::new(),
            severity: match kind {
                K::CameraOffline | K::Storage | K::Emergency => Severity::Critical,
                K::Detection => Severity::Info,
                _ => Severity::Warning,
            },
            after,
            threshold,
            within,
            hold: MINUTE,
            repeat: if kind.is_momentary() {
                Duration::ZERO
            } else {
                HOUR * 12
            },
            resolved: !kind.is_momentary(),
            picture: matches!(kind, K::Detection),
            events: Vec::new(),
            labels: Vec::new(),
            zones: Vec::new(),
        }
    }

    /// How long it has to be bad. What is late is late already.
    pub(super) fn pending(&self) -> Duration {
        if self.kind == AlertKind::UploadLate {
            Duration::ZERO
        } else {
            self.after
        }
    }

    /// The rules that are in force when nothing is configured: all but detections.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let all = AlertKind::ALL.into_iter().filter(|k| *k != AlertKind::Detection);
        all.map(Self::of).collect()
    }
}

/// Those rules of a list that count for a kind and a camera: those that name it, or else those that name none.
pub(super) fn in_force<'r>(
    rules: &'r [AlertRule],
    kind: AlertKind,
    camera: Option<&CameraId>,
) -> impl Iterator<Item = &'r AlertRule> + use<'r> {
    let names = |r: &AlertRule| camera.is_some_and(|c| r.cameras.contains(c));
    let special = rules.iter().any(|r| r.kind == kind && names(r));
    let fits: Vec<&AlertRule> = rules
        .iter()
        .filter(|r| r.kind == kind && r.enabled && if special { names(r) } else { r.cameras.is_empty() })
        .collect();
    fits.into_iter()
}
