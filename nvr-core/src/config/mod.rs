//! The configuration: a TOML file read into checked, resolved values.
//!
//! One file per section; each section checks itself. A mistake never hides another one: all are
//! reported at once, each with its place in the text ([`ConfigErrors`]). What stands here is pure
//! data; only [`ConfigFile`] opens and writes anything.

mod alert_channel;
mod alerts;
mod backup;
mod bookings;
mod camera;
mod detections;
mod diff;
mod edit;
mod http;
mod jobs;
mod lists;
mod log;
mod motion;
mod motion_lines;
mod mqtt;
mod mqtt_events;
mod mqtt_pattern;
mod objects;
mod oidc;
mod privacy;
mod recorder;
mod recording;
mod retention;
mod rtsp_server;
mod upload;

mod stills;
mod timelapse;

mod expand;
mod problem;
mod reader;
mod schema;
mod template;
mod tier;
mod transcode;
mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use self::alert_channel::{AlertChannel, ChannelKind, ChannelPlace, MailTls};
pub use self::alerts::AlertsConfig;
pub use self::backup::BackupConfig;
pub use self::bookings::{BookingsConfig, CalendarConfig};
pub use self::camera::{CameraConfig, FillConfig, OnvifConfig};
pub use self::detections::DetectionsConfig;
pub use self::diff::ConfigDiff;
pub use self::edit::{ConfigFile, EditOrigin, EditedConfig, FieldError, FieldErrors, KEPT};
pub use self::http::{Auth, Compat, HttpConfig, TlsFiles};
pub use self::jobs::JobsConfig;
pub use self::log::{LogConfig, LogFormat};
pub use self::motion::{MotionConfig, MotionStream};
pub use self::mqtt::MqttConfig;
pub use self::mqtt_events::MqttEventConfig;
pub(crate) use self::mqtt_pattern::Filling;
pub use self::mqtt_pattern::Pattern;
#[cfg(not(feature = "onnx"))]
pub(crate) use self::objects::NO_OBJECTS;
pub use self::objects::{ObjectsConfig, OutputLayout};
pub use self::oidc::{GroupRole, OidcConfig, OidcGroup};
pub use self::problem::{ConfigErrors, ConfigProblem, Severity};
pub use self::recorder::RecorderConfig;
pub use self::recording::{RecordingConfig, SyncMode};
pub use self::retention::{Age, CameraRetention, RetentionConfig, Room};
#[cfg(not(feature = "rtsp-server"))]
pub(crate) use self::rtsp_server::NO_RTSP_SERVER;
pub use self::rtsp_server::RtspServerConfig;
pub use self::stills::{CameraStills, StillRules, StillsConfig};
pub use self::template::{TemplateCamera, demo_text, template_text};
pub use self::tier::TierConfig;
pub use self::timelapse::DailyTimelapse;
pub use self::transcode::{PlaybackConfig, TranscodeConfig};
pub use self::upload::{
    AzureAccess, AzurePlace, GcsPlace, S3Place, UploadChecksum, UploadConfig, UploadEncryption, UploadPlace,
    UploadWhat, WebDavPlace,
};
pub use self::values::parse_duration;

use self::problem::Problems;
use self::reader::{Reader, Section};
use crate::error::{Error, ErrorKind, Result};
pub use crate::schedule::RecordMode;

/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The sections in the order in which people read them, with their heading in the file.
const SECTIONS: [(&str, &str); 23] = [
    ("recorder", "[recorder]"),
    ("recording", "[recording]"),
    ("retention", "[retention]"),
    ("tier", "[tier]"),
    ("jobs", "[jobs]"),
    ("transcode", "[transcode]"),
    ("http", "[http]"),
    ("oidc", "[oidc]"),
    ("rtsp_server", "[rtsp_server]"),
    ("log", "[log]"),
    ("backup", "[backup]"),
    ("mqtt", "[mqtt]"),
    ("detections", "[detections]"),
    ("objects", "[objects]"),
    ("bookings", "[bookings]"),
    ("cameras", "[[cameras]]"),
    ("upload", "[[upload]]"),
    ("calendar", "[[calendar]]"),
    ("alerts", "[alerts]"),
    ("alert_rule", "[[alert_rule]]"),
    ("alert_channel", "[[alert_channel]]"),
    ("stills", "[stills]"),
    ("timelapse", "[[timelapse]]"),
];

/// Everything that the configuration says, checked and with defaults filled in.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where things are kept and the limits of the whole.
    pub recorder: RecorderConfig,
    /// The HTTP server.
    pub http: HttpConfig,
    /// Logins by an OpenID Connect provider.
    pub oidc: Option<OidcConfig>,
    /// The RTSP server.
    pub rtsp_server: RtspServerConfig,
    /// How cameras are recorded unless they say otherwise.
    pub recording: RecordingConfig,
    /// What is kept for how long, over all cameras.
    pub retention: RetentionConfig,
    /// A second root that old segments move to.
    pub tier: Option<TierConfig>,
    /// The queue of slow work.
    pub jobs: JobsConfig,
    /// Encoding footage again, to save space.
    pub transcode: TranscodeConfig,
    /// The log.
    pub log: LogConfig,
    /// Backups that are made by themselves.
    pub backup: Option<BackupConfig>,
    /// The MQTT broker.
    pub mqtt: Option<MqttConfig>,
    /// What becomes of what is seen.
    pub detections: DetectionsConfig,
    /// Looking for objects, if it is done.
    pub objects: Option<ObjectsConfig>,
    /// Bookings.
    pub bookings: BookingsConfig,
    /// Calendars whose events are bookings, in the order of the file, names unique.
    pub calendars: Vec<CalendarConfig>,
    /// What is told, and where.
    pub alerts: AlertsConfig,
    /// The cameras in the order of the file, ids unique, overrides merged with [`Self::recording`].
    pub cameras: Vec<CameraConfig>,
    /// Places that copies go to, in the order of the file, names unique.
    pub uploads: Vec<UploadConfig>,
    /// Pictures that are kept at intervals.
    pub stills: StillsConfig,
    /// Time-lapses of each day, in the order of the file, names unique.
    pub timelapses: Vec<DailyTimelapse>,
    /// The file that it was read from.
    pub path: Option<PathBuf>,
    /// What is doubtful in it.
    pub warnings: Vec<ConfigProblem>,
}

impl Config {
    /// What nobody is to see of each camera.
    pub(crate) fn privacy(
        &self,
    ) -> impl Iterator<Item = (crate::ids::CameraId, crate::privacy::Privacy)> + '_ {
        self.cameras.iter().map(|c| (c.id.clone(), c.privacy.clone()))
    }

    /// A configuration with defaults, no cameras and recordings below `root`.
    ///
    /// What is filled in by hand is not checked against the bounds that hold for a file: those of each field stand with it.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            recorder: RecorderConfig::new(root),
            http: HttpConfig::default(),
            oidc: None,
            rtsp_server: RtspServerConfig::default(),
            recording: RecordingConfig::default(),
            retention: RetentionConfig::default(),
            tier: None,
            jobs: JobsConfig::default(),
            transcode: TranscodeConfig::default(),
            log: LogConfig::default(),
            backup: None,
            mqtt: None,
            detections: DetectionsConfig::default(),
            objects: None,
            bookings: BookingsConfig::default(),
            calendars: Vec::new(),
            alerts: AlertsConfig::default(),
            cameras: Vec::new(),
            uploads: Vec::new(),
            stills: StillsConfig::default(),
            timelapses: Vec::new(),
            path: None,
            warnings: Vec::new(),
        }
    }

    /// Reads a text. `path` is the file it came from: it is named in messages, and relative paths start from
    /// its folder. Variables are taken from the environment of the process.
    ///
    /// # Errors
    /// All mistakes at once, each with its place.
    pub fn parse(text: &str, path: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::parse_with(text, path, &|name| std::env::var(name).ok())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `NotFound` or `Storage` when it cannot be read; `Config` when there are mistakes in it, with
    /// [`ConfigErrors`] as the source.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::parse(&Self::read_text(path)?, Some(path))?)
    }

    /// Reads a file in order to look at what is recorded: users, passwords and sources of cameras that come from
    /// variables or files which this process cannot have are left open, since only recording needs them. Not for
    /// [`Nvr`](crate::Nvr), which would knock at the cameras with the wrong passwords.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn load_without_secrets(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let env: expand::Env<'_> = &|name| std::env::var(name).ok();
        Ok(Self::read(&Self::read_text(path)?, Some(path), env, true)?)
    }

    /// The same of a text that is not in its file yet; see [`parse`](Self::parse).
    ///
    /// # Errors
    /// All mistakes at once, each with its place.
    pub fn parse_without_secrets(text: &str, path: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::read(text, path, &|name| std::env::var(name).ok(), true)
    }

    /// The text of a configuration file, for [`parse`](Self::parse).
    ///
    /// # Errors
    /// `NotFound` or `Storage` when it cannot be read; `Config` when it is too large or not UTF-8.
    pub fn read_text(path: &Path) -> Result<String> {
        use std::io::Read;
        let failed = |e: std::io::Error| {
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            let error = Error::io(format_args!("configuration {}", path.display()), e);
            if missing {
                error.with_hint("write one with `nvr init`, or name another with --config or NVR_CONFIG")
            } else if path.is_dir() {
                let message = format!("configuration {}: this is a folder", path.display());
                Error::new(ErrorKind::Config, message).with_hint("name the file in it, for example nvr.toml")
            } else {
                error
            }
        };
        let wrong = |why: String| {
            Error::new(
                ErrorKind::Config,
                format!("configuration {}: {why}", path.display()),
            )
            .with_hint("is this the right file? It is a text in TOML")
        };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(wrong("larger than 16 MiB".into()));
        }
        String::from_utf8(bytes).map_err(|e| {
            let good = e.utf8_error().valid_up_to();
            let line = e.as_bytes().iter().take(good).filter(|b| **b == b'\n').count() + 1;
            wrong(format!("line {line} is not UTF-8"))
        })
    }

    fn parse_with(text: &str, path: Option<&Path>, env: expand::Env<'_>) -> Result<Self, ConfigErrors> {
        Self::read(text, path, env, false)
    }

    fn read(
        text: &str,
        path: Option<&Path>,
        env: expand::Env<'_>,
        spare_secrets: bool,
    ) -> Result<Self, ConfigErrors> {
        let (root, syntax) = DeTable::parse_recoverable(text);
        let base = path.and_then(Path::parent);
        let mut reader = Reader {
            problems: Problems::new(text, path),
            env,
            base,
            spare_secrets,
        };
        for error in syntax {
            let span = error.span().unwrap_or(0..0);
            reader.problems.syntax(span, error.message());
        }
        let root = root.get_ref();
        let whole = Section {
            path: String::new(),
            table: Some(root),
            span: 0..0,
        };
        reader.refuse_unknown(&whole, &SECTIONS.map(|(name, _)| name));
        let section = reader.section(root, "recorder");
        let recorder = RecorderConfig::read(&mut reader, &section, base);
        let section = reader.section(root, "http");
        let http = HttpConfig::read(&mut reader, &section, base);
        let section = reader.section(root, "oidc");
        let oidc = OidcConfig::read(&mut reader, &section);
        let section = reader.section(root, "rtsp_server");
        let rtsp_server = RtspServerConfig::read(&mut reader, &section, &http);
        let section = reader.section(root, "recording");
        let recording = RecordingConfig::read(&mut reader, &section);
        let section = reader.section(root, "retention");
        let retention = RetentionConfig::read(&mut reader, &section);
        let section = reader.section(root, "tier");
        let tier = TierConfig::read(&mut reader, &section, base, &recorder.time_zone, &recorder.root);
        let section = reader.section(root, "jobs");
        let jobs = JobsConfig::read(&mut reader, &section, base, &recorder.time_zone);
        let section = reader.section(root, "transcode");
        let transcode = TranscodeConfig::read(&mut reader, &section, &recorder.time_zone);
        let section = reader.section(root, "log");
        let log = LogConfig::read(&mut reader, &section);
        let section = reader.section(root, "backup");
        let backup = BackupConfig::read(&mut reader, &section, base, &recorder.root);
        let section = reader.section(root, "detections");
        let detections = DetectionsConfig::read(&mut reader, &section);
        let section = reader.section(root, "bookings");
        let bookings = BookingsConfig::read(&mut reader, &section);
        let cameras = read_cameras(&mut reader, root, &recording, &recorder.time_zone);
        let section = reader.section(root, "mqtt");
        let mqtt = MqttConfig::read(&mut reader, &section, base, &cameras);
        let section = reader.section(root, "objects");
        let objects = ObjectsConfig::read(&mut reader, &section, base, &cameras);
        let uploads = read_uploads(&mut reader, root, base, &recorder.time_zone);
        let calendars = read_calendars(&mut reader, root);
        let section = reader.section(root, "stills");
        let stills = StillsConfig::read(&mut reader, &section, &recorder.time_zone);
        let timelapses = read_timelapses(&mut reader, root, &recorder.time_zone);
        let topic = mqtt.as_ref().map(|m| m.base_topic.as_str());
        let alerts = AlertsConfig::read(&mut reader, root, (base, topic), &recorder.time_zone, &cameras);
        Ok(Self {
            recorder,
            http,
            oidc,
            rtsp_server,
            recording,
            retention,
            tier,
            jobs,
            transcode,
            log,
            backup,
            mqtt,
            detections,
            objects,
            bookings,
            calendars,
            alerts,
            cameras,
            uploads,
            stills,
            timelapses,
            path: path.map(Path::to_owned),
            warnings: reader.problems.finish()?,
        })
    }

    /// The camera of that id.
    #[must_use]
    pub fn camera(&self, id: &crate::ids::CameraId) -> Option<&CameraConfig> {
        self.cameras.iter().find(|c| &c.id == id)
    }
}

fn read_cameras(
    reader: &mut Reader<'_, '_>,
    root: &DeTable<'_>,
    recording: &RecordingConfig,
    zone: &str,
) -> Vec<CameraConfig> {
    let mut cameras: Vec<CameraConfig> = Vec::new();
    let mut lines: HashMap<crate::ids::CameraId, usize> = HashMap::new();
    each_table(reader, root, "cameras", "camera", |reader, section| {
        let Some(camera) = CameraConfig::read(reader, section, recording, zone) else {
            return;
        };
        let line = reader.problems.line_of(camera.span.start);
        if let Some(first) = lines.insert(camera.value.id.clone(), line) {
            let id = if camera.secret {
                "this id"
            } else {
                camera.value.id.as_str()
            };
            let message = format!("two cameras are called `{id}`");
            let hint = Some(format!("the other one is in line {first}"));
            reader.problems.error(&camera.span, &camera.key, message, hint);
        } else {
            cameras.push(camera.value);
        }
    });
    cameras
}

fn read_uploads(
    reader: &mut Reader<'_, '_>,
    root: &DeTable<'_>,
    base: Option<&Path>,
    zone: &str,
) -> Vec<UploadConfig> {
    let mut uploads: Vec<UploadConfig> = Vec::new();
    each_table(reader, root, "upload", "target", |reader, section| {
        let Some(upload) = UploadConfig::read(reader, section, base, zone) else {
            return;
        };
        if uploads.iter().any(|u| u.name == upload.value.name) {
            let message = "two upload targets have this name";
            reader.problems.error(&upload.span, &upload.key, message, None);
        } else {
            uploads.push(upload.value);
        }
    });
    uploads
}

fn read_calendars(reader: &mut Reader<'_, '_>, root: &DeTable<'_>) -> Vec<CalendarConfig> {
    let mut calendars: Vec<CalendarConfig> = Vec::new();
    each_table(reader, root, "calendar", "calendar", |reader, section| {
        let Some(calendar) = CalendarConfig::read(reader, section) else {
            return;
        };
        if calendars.iter().any(|c| c.name == calendar.value.name) {
            let message = "two calendars have this name";
            reader
                .problems
                .error(&calendar.span, &calendar.key, message, None);
        } else {
            calendars.push(calendar.value);
        }
    });
    calendars
}

fn read_timelapses(reader: &mut Reader<'_, '_>, root: &DeTable<'_>, zone: &str) -> Vec<DailyTimelapse> {
    let mut all: Vec<DailyTimelapse> = Vec::new();
    each_table(reader, root, "timelapse", "time-lapse", |reader, section| {
        let Some(one) = DailyTimelapse::read(reader, section, zone) else {
            return;
        };
        if all.iter().any(|t| t.name == one.value.name) {
            let message = "two time-lapses have this name";
            reader.problems.error(&one.span, &one.key, message, None);
        } else {
            all.push(one.value);
        }
    });
    all
}

/// Has each table of a list read, which holds one `thing` each; what is no list or no table is told.
fn each_table<'a, 'b>(
    reader: &mut Reader<'a, 'b>,
    root: &DeTable<'_>,
    key: &str,
    thing: &str,
    read: impl FnMut(&mut Reader<'a, 'b>, &Section<'_>),
) {
    let Some(found) = root.get(key) else {
        return;
    };
    if found.get_ref().as_array().is_none() {
        let hint = Some(format!("write [[{key}]] above each {thing}, in double brackets"));
        let message = format!("`{key}` is a list, not {}", reader::a_kind(found.get_ref()));
        reader.problems.error(&found.span(), key, message, hint);
    }
    lists::each(reader, found, key, thing, read);
}

#[cfg(test)]
mod tests;
