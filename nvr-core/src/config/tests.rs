use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ids::CameraId;
use crate::segment::Container;
use crate::source::{DeviceFormat, SourceSpec, Transport};

fn env(name: &str) -> Option<String> {
    match name {
        "CAM_PW" => Some("hunter2".into()),
        "BAD" => Some("hunter2#/bad value".into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse_with(text, Some(Path::new("/etc/nvr/nvr.toml")), &env)
}

/// `line:column key: message` of each mistake.
fn mistakes(text: &str) -> Vec<String> {
    parse(text)
        .unwrap_err()
        .problems()
        .iter()
        .map(|p| format!("{}:{} {}: {}", p.line, p.column, p.key, p.message))
        .collect()
}

const FULL: &str = r#"
[recorder]
root = "/srv/nvr"
database = "index/nvr.db"
max_starting = 2
max_manual = 5
shutdown_deadline = "30s"
time_zone = "Europe/Berlin"
adopt_root = true
events_keep = "30d"

[recording]
segment = "5m"
chunk = "500ms"
container = "matroska"
sync = "close"
audio = false
pre_roll = 3
watchdog = "1m"
start_deadline = "30s"

[retention]
max_age = "30d"
event_age = "forever"
transcoded_age = "60d"
max_bytes = "2TB"
min_free = "10GiB"
critical_free = "1GiB"

[tier]
root = "/archive/nvr"
root_mount = "/archive"
after = "2d"
above = "400GB"
max_bytes = "8TB"
min_free = "5%"
bandwidth = "20MB"
window = "01:00-05:00"

[transcode]
enabled = true
cameras = "front, yard"
after = "2d"
min_size = "2MiB"
window = "01:00-05:00"
encoders = "vah265enc,x265enc"
preset = "fast"
quality = 24
threads = 2
nice = 10
io = "best-effort"
max_running = 2
min_ssim = 0.97
min_psnr = 35
compare_every = 10
smaller_by = 20
keep_original = "1d"
probe_keep = "1h"
[jobs]
max_running = 2
max_queued = 500
max_attempts = 7
retry_ceiling = "30m"
keep = "1d"
max_finished = 0
max_load_percent = 150
max_backlog = "1MiB"
exports = "exports"
exports_keep = "12h"
max_exports = 2
verify_window = "02:00-06:00, 22:00-23:00"

[http]
enabled = true
listen = "[::1]:9000"
max_body = "2MiB"
request_timeout = "5s"
max_concurrent = 10
host_names = "nvr.lan, Cameras.Example.org"

[log]
filter = "warn,nvr_core::camera=debug"
format = "json"

[[cameras]]
id = "front"
name = "Front door"
source = "rtsp://10.0.0.2/stream"
user = "viewer"
password = "${CAM_PW}"
transport = "udp"
latency = "50ms"
verify_tls = true
record = "manual"
segment = "1h"
container = "fmp4"
max_age = "7d"
event_age = "4w"
transcoded_age = "forever"
max_bytes = "50GB"
priority = 9

[[cameras]]
id = "usb"
source = "v4l2:/dev/video0"
size = "1280x720"
frame_rate = 25
format = "h264"
enabled = false

[[upload]]
name = "offsite"
url = "s3://footage/cctv/home/"
endpoint = "https://minio.lan:9000/"
region = "eu-central-1"
access_key = "AKIA"
secret_key = "${CAM_PW}"
path_style = true
allow_http = false
ca = "ca.pem"
checksum = "crc64nvme"
encryption = "kms"
encryption_key = "alias/footage"
key = "{camera}/{year}/{month}/{day}/{time}.mp4"
what = "kept"
cameras = "front, usb"
windows = "22:00-06:00"
bandwidth = "2MB"
max_concurrent = 2
part_size = "8MiB"
newest_first = true
required = false
local_retention = "7d"
alert_after = "2h"

[[upload]]
name = "nas"
url = "../nas"
"#;

#[test]
fn every_key_arrives() {
    let c = parse(FULL).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(c.recorder.root, Path::new("/srv/nvr"));
    assert_eq!(c.recorder.database, Path::new("/etc/nvr/index/nvr.db"));
    assert_eq!((c.recorder.max_starting, c.recorder.max_manual), (2, 5));
    assert_eq!(c.recorder.shutdown_deadline, seconds(30));
    assert_eq!(c.recorder.time_zone, "Europe/Berlin");
    assert!(c.recorder.adopt_root);
    assert_eq!(c.recorder.events_keep, seconds(30 * 86_400));
    assert_eq!(c.recording.segment, seconds(300));
    assert_eq!(c.recording.sync, SyncMode::Close);
    assert_eq!(c.http.listen, "[::1]:9000".parse::<SocketAddr>().unwrap());
    assert_eq!((c.http.max_body_bytes, c.http.max_concurrent), (2 << 20, 10));
    assert_eq!(c.http.request_timeout, seconds(5));
    assert_eq!(c.http.host_names, ["nvr.lan", "cameras.example.org"]);
    assert_eq!(c.log.filter, "warn,nvr_core::camera=debug");
    assert_eq!(c.log.format, LogFormat::Json);
    assert_eq!(c.warnings, []);
    let days = |n: u64| Age::For(seconds(n * 86_400));
    assert_eq!(c.retention.max_age, days(30));
    assert_eq!(c.retention.event_age, Some(Age::Forever));
    assert_eq!(c.retention.transcoded_age, Some(days(60)));
    let tier = c.tier.as_ref().unwrap();
    assert_eq!(
        (tier.root.as_path(), tier.root_mount.as_deref()),
        (Path::new("/archive/nvr"), Some(Path::new("/archive")))
    );
    assert_eq!(
        (tier.after, tier.above_bytes),
        (Some(Duration::from_secs(2 * 86_400)), Some(400_000_000_000))
    );
    assert_eq!(
        (tier.max_bytes, tier.min_free),
        (Some(8_000_000_000_000), Room::Share(500))
    );
    assert_eq!(tier.bandwidth_bytes_per_s, 20_000_000);
    assert_eq!(c.retention.max_bytes, Some(2_000_000_000_000));
    assert_eq!(c.retention.min_free, Room::Bytes(10 << 30));
    assert_eq!(c.retention.critical_free, Room::Bytes(1 << 30));

    let front = c.camera(&CameraId::new("front").unwrap()).unwrap();
    assert_eq!(front.name, "Front door");
    assert_eq!(front.record, RecordMode::Manual);
    assert_eq!((front.segment, front.container), (seconds(3600), Container::Fmp4));
    assert_eq!(
        (front.chunk, front.pre_roll, front.audio),
        (Duration::from_millis(500), seconds(3), false)
    );
    assert_eq!((front.watchdog, front.start_deadline), (seconds(60), seconds(30)));
    let kept = CameraRetention {
        max_age: Some(days(7)),
        event_age: Some(days(28)),
        transcoded_age: Some(Age::Forever),
        max_bytes: Some(50_000_000_000),
    };
    assert_eq!((&front.retention, front.priority), (&kept, 9));
    let SourceSpec::Rtsp(source) = &front.source else {
        panic!("{front:?}")
    };
    assert_eq!(source.transport, Transport::Udp);
    assert_eq!(source.latency, Duration::from_millis(50));
    assert!(source.verify_tls && !source.audio);
    let credentials = source.credentials.as_ref().unwrap();
    assert_eq!(
        (credentials.user.as_str(), credentials.password.expose()),
        ("viewer", "hunter2")
    );
    assert!(!format!("{c:?}").contains("hunter2"));

    let usb = &c.cameras[1];
    assert_eq!((&usb.retention, usb.priority), (&CameraRetention::default(), 5));
    assert_eq!((usb.name.as_str(), usb.enabled), ("usb", false));
    assert_eq!((usb.segment, usb.container), (seconds(300), Container::Matroska));
    let SourceSpec::V4l2(device) = &usb.source else {
        panic!("{usb:?}")
    };
    assert_eq!((device.size, device.frame_rate), (Some((1280, 720)), Some(25)));
    assert_eq!(device.format, Some(DeviceFormat::H264));
}

#[test]
fn the_defaults_in_the_schema_are_those_of_the_code() {
    let schema = Config::json_schema();
    let mut text = String::new();
    for (name, heading) in SECTIONS {
        text += &format!("{heading}\n");
        if name == "recorder" {
            text += "root = \"/srv/nvr\"\n";
        }
        if name == "tier" {
            text += "root = \"/archive\"\n";
        }
        if name == "cameras" {
            text += "id = \"a\"\nsource = \"rtsp://host/\"\n";
        }
        if name == "upload" {
            text += "name = \"a\"\nurl = \"/nas\"\n";
        }
        let section = schema::section_schema(&schema, name);
        for (key, property) in section["properties"].as_object().unwrap() {
            if let Some(default) = property.get("default") {
                text += &format!("{key} = {default}\n");
            }
        }
    }
    let said = parse(&text).unwrap();
    let silent =
        parse("[recorder]\nroot = \"/srv/nvr\"\n[tier]\nroot = \"/archive\"\n[[cameras]]\nid = \"a\"\nsource = \"rtsp://host/\"\n[[upload]]\nname = \"a\"\nurl = \"/nas\"").unwrap();
    assert_eq!(said, silent, "{text}");
    assert!(text.matches(" = ").count() > 20, "{text}");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_place() {
    let text = r#"[recorder]
rooot = "/srv/nvr"
time_zone = "Europe/Berlinn"
max_starting = 0

[recording]
segment = "5x"
chunk = "2s"
container = "mp5"

[http]
listen = "localhost"

[log]
filter = "loud"

[[cameras]]
id = "front"
source = "rtsp://"
transport = "tpc"

[[cameras]]
id = "Front Door"
source = "test:"
latency = "1s"
password = "x"

[[cameras]]
id = "front"
source = "test:"

[[cameras]]
id = "front"
source = "test:?size=1x1"
[extra]
"#;
    let found = mistakes(text);
    let want = [
        "1:1 recorder.root: `root` is missing in recorder",
        "2:1 recorder.rooot: unknown key `rooot` in recorder",
        "3:13 recorder.time_zone: `time_zone`: \"Europe/Berlinn\" is not a known time zone",
        "4:16 recorder.max_starting: `max_starting`: 0 is out of bounds",
        "7:11 recording.segment: `segment`: \"5x\" is not a duration",
        "8:9 recording.chunk: `chunk`: 2s is out of bounds",
        "9:13 recording.container: `container`: \"mp5\" is not one of fmp4, mp4, matroska",
        "12:10 http.listen: `listen`: \"localhost\" is not an address with a port",
        "15:10 log.filter: `filter`: \"loud\" is not a filter",
        "19:10 cameras[0].source: source: the URL has no host",
        "20:13 cameras[0].transport: `transport`: \"tpc\" is not one of auto, tcp, udp",
        "23:6 cameras[1].id: `id`: \"Front Door\" is not usable",
        "25:11 cameras[1].latency: `latency` does not go with this source",
        "26:12 cameras[1].password: `password` without `user`",
        "26:12 cameras[1].password: `password` does not go with this source",
        "29:6 cameras[2].id: two cameras are called `front`",
        "33:6 cameras[3].id: two cameras are called `front`",
        "34:10 cameras[3].source: source: test: size=1x1, sides are even and from 16 to 7680",
        "35:2 extra: unknown key `extra` in the configuration",
    ];
    assert_eq!(found, want, "{}", found.join("\n"));
}

#[test]
fn a_camera_without_a_usable_source_still_has_its_id() {
    let text = "[recorder]\nroot = \"r\"\n[[cameras]]\nid = \"a\"\nsource = \"rtps://x\"\n\
                [[cameras]]\nid = \"a\"\nsource = \"test:\"\n";
    assert_eq!(
        mistakes(text),
        [
            "5:10 cameras[0].source: source: the scheme is not known",
            "7:6 cameras[1].id: two cameras are called `a`"
        ]
    );
}

#[test]
fn secrets_that_only_recording_needs_may_be_missing() {
    let text = r#"
[recorder]
root = "r"
[[cameras]]
id = "a"
source = "rtsp://admin:${NONE}@10.0.0.1/s"
[[cameras]]
id = "b"
source = "rtsp://10.0.0.2/s"
user = "${NONE}"
password = "${file:/nowhere}"
[[cameras]]
id = "c"
source = "${NONE}"
"#;
    let spared = |text| Config::read(text, Some(Path::new("/etc/nvr/nvr.toml")), &env, true);
    assert_eq!(mistakes(text).len(), 4);
    let config = spared(text).unwrap();
    let cameras: Vec<_> = config
        .cameras
        .iter()
        .map(|c| (c.id.as_str(), c.source.to_string()))
        .collect();
    assert_eq!(
        cameras,
        [
            ("a", "rtsp://10.0.0.1/s".to_owned()),
            ("b", "rtsp://10.0.0.2/s".to_owned())
        ]
    );
    let warning = &config.warnings[0];
    assert_eq!((warning.line, warning.key.as_str()), (14, "cameras[2].source"));
    // What is needed for looking, too, is still missed.
    assert!(spared("[recorder]\nroot = \"${NONE}\"").is_err());
    assert!(spared(&text.replace("id = \"c\"", "id = \"${NONE}\"")).is_err());
}

#[test]
fn two_cameras_of_one_name_point_at_each_other() {
    let text = "[recorder]\nroot = \"r\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\n[[cameras]]\nid = \"a\"\nsource = \"test:\"\n";
    let errors = parse(text).unwrap_err();
    let [problem] = errors.problems() else {
        panic!("{errors}")
    };
    assert_eq!((problem.line, problem.column), (7, 6));
    assert_eq!(
        problem.to_string(),
        "error: two cameras are called `a`\n --> /etc/nvr/nvr.toml:7:6\n  |\n7 | id = \"a\"\n  |      ^^^\n  = hint: the other one is in line 4"
    );
}

#[test]
fn mistakes_of_syntax_are_told_together_and_do_not_bring_others() {
    let text = "[recorder]\nroot = \"r\nmax_manual = 1 2\nsegmnt = 1\n[http]\nlisten = \"x\"\n";
    let found = mistakes(text);
    let lines: Vec<_> = found.iter().map(|m| m.split(':').next().unwrap()).collect();
    assert!(lines.contains(&"2") && lines.contains(&"3"), "{found:?}");
    assert!(found.iter().any(|m| m.contains("segmnt")), "{found:?}");
    assert!(found.iter().any(|m| m.contains("http.listen")), "{found:?}");
    assert!(!found.iter().any(|m| m.contains("missing")), "{found:?}");
}

#[test]
fn secrets_are_never_shown() {
    let root = "[recorder]\nroot = \"r\"\n";
    for text in [
        "[[cameras]]\nid = \"${CAM_PW}!\"\nsource = \"${BAD}\"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://u:${BAD}@host/\"\nsegment = \"${CAM_PW}\"\nrecord = \"${CAM_PW}\"",
        "[[cameras]]\nid = \"a\"\nsource = \"test:?${CAM_PW}=1\"\nsize = \"${CAM_PW}\"",
        "[[cameras]]\nid = \"${CAM_PW}\"\nsource = \"test:\"\n[[cameras]]\nid = \"${CAM_PW}\"\nsource = \"test:\"",
        "[http]\nlisten = \"${CAM_PW}\"\nmax_body = \"${CAM_PW}\"\nenabled = \"${CAM_PW}\"",
        "[log]\nfilter = \"${BAD}\"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://admin:hunter2@/\"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://h/\"\nuser = \"a\"\npassword = \"hunter2\" \"\n",
        "[[cameras]]\nid = \"a\"\nsource = \"rtsp://h/\"\npassword = hunter2\n",
    ] {
        let errors = parse(&format!("{root}{text}")).unwrap_err();
        let shown = format!("{errors} {}", serde_json::to_string(errors.problems()).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        let error = Error::from(errors);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_missing_variable_is_told_at_its_place() {
    let text = "[recorder]\nroot = \"${NO_SUCH}/x\"\n";
    assert_eq!(
        mistakes(text),
        ["2:8 recorder.root: the environment variable `NO_SUCH` is not set"]
    );
}

#[test]
fn open_servers_and_odd_segments_are_warned_of() {
    let c = parse("[recorder]\nroot = \"r\"\n[http]\nlisten = \"0.0.0.0:80\"\n[recording]\nsegment = \"7m\"")
        .unwrap();
    let keys: Vec<_> = c.warnings.iter().map(|w| (w.severity, w.key.as_str())).collect();
    assert_eq!(
        keys,
        [
            (Severity::Warning, "http.listen"),
            (Severity::Warning, "recording.segment")
        ]
    );
}

#[test]
fn tables_of_the_wrong_kind() {
    assert_eq!(
        mistakes("recorder = 1\n[cameras.front]\nsource = \"test:\""),
        [
            "1:12 recorder: `recorder` is a table, not an integer",
            "2:2 cameras: `cameras` is a list, not a table"
        ]
    );
    assert_eq!(
        mistakes("cameras = [1]\n[recorder]\nroot = [\"a\"]"),
        [
            "1:12 cameras[0]: a camera is a table, not an integer",
            "3:8 recorder.root: `root`: a list is not a text"
        ]
    );
}

#[test]
fn relative_paths_start_at_the_file() {
    let c = parse("[recorder]\nroot = \"rec\"").unwrap();
    assert_eq!(c.recorder.root, Path::new("/etc/nvr/rec"));
    assert_eq!(c.recorder.database, Path::new("/etc/nvr/rec/nvr.db"));
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nvr.toml");
    let error = Config::load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("nvr init"));
    std::fs::write(&path, b"a = 1\nb = \"\xff\"").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("line 2"), "{error}");
    std::fs::write(&path, "[recorder]\nroot = \"x\"").unwrap();
    assert_eq!(Config::load(&path).unwrap().recorder.root, dir.path().join("x"));
}

#[test]
fn diff_names_what_changed() {
    let old = parse(FULL).unwrap();
    assert!(ConfigDiff::between(&old, &old).is_empty());
    let text = FULL
        .replace("id = \"usb\"", "id = \"usb2\"")
        .replace("latency = \"50ms\"", "latency = \"60ms\"")
        .replace("filter = \"warn", "filter = \"info")
        .replace("sync = \"close\"", "sync = \"9s\"");
    let new = parse(&text).unwrap();
    let diff = ConfigDiff::between(&old, &new);
    let id = |s| vec![CameraId::new(s).unwrap()];
    assert_eq!(
        (diff.added, diff.removed, diff.changed),
        (id("usb2"), id("usb"), id("front"))
    );
    assert_eq!(diff.needs_restart, ["recording.sync", "log"]);
    // A default that all cameras share changes those that do not override it.
    let new = parse(&FULL.replace("segment = \"5m\"", "segment = \"10m\"")).unwrap();
    assert_eq!(ConfigDiff::between(&old, &new).changed, id("usb"));
}

#[test]
fn the_template_is_valid_and_holds_every_key() {
    let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
    let nasty = TemplateCamera {
        id: "usb".into(),
        name: "A \"quoted\" \\ ${NAME} name".into(),
        source: "v4l2:/dev/v4l/by-id/usb-x".into(),
        options: vec![
            ("format".into(), "h264".into()),
            ("size".into(), "640x480".into()),
        ],
        commented: false,
    };
    let commented = TemplateCamera {
        id: "onvif".into(),
        source: "rtsp://10.0.0.9/".into(),
        commented: true,
        ..nasty.clone()
    };
    let text = template_text(
        Path::new("/srv/a \"b\""),
        Some(Path::new("/srv")),
        listen,
        &[nasty.clone(), commented],
    );
    let c = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(c.recorder.root, Path::new("/srv/a \"b\""));
    assert_eq!(c.cameras.len(), 1);
    assert_eq!(c.cameras[0].name, nasty.name);
    assert_eq!(c.warnings, []);
    let schema = Config::json_schema();
    for (name, _) in SECTIONS {
        let keys = schema::section_schema(&schema, name)["properties"]
            .as_object()
            .unwrap();
        for key in keys.keys() {
            assert!(text.contains(&format!("{key} =")), "{key}");
        }
    }
    // What stands there commented out is usable once the mark is taken away.
    let bare = template_text(Path::new("/srv/nvr"), None, listen, &[]);
    let filled: String = bare
        .lines()
        .map(|l| {
            l.strip_prefix('#')
                .filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
                .unwrap_or(l)
        })
        .filter(|l| !l.ends_with(" ="))
        .map(|l| l.replace("CAMERA_PASSWORD", "CAM_PW") + "\n")
        .collect();
    let c = parse(&filled).unwrap_or_else(|e| panic!("{e}\n{filled}"));
    assert_eq!(c.cameras.len(), 1);
}

#[test]
fn jobs() {
    let c = parse(FULL).unwrap().jobs;
    assert_eq!(c.exports.as_deref(), Some(Path::new("/etc/nvr/exports")));
    assert_eq!(
        c.verify_window.to_string(),
        "02:00-06:00,22:00-23:00 Europe/Berlin"
    );
    assert_eq!(
        (c.max_attempts.get(), c.max_backlog_bytes, c.max_load_percent),
        (7, 1 << 20, 150)
    );
    let wrong = mistakes(
        "[recorder]\nroot = \"/srv/nvr\"\n[jobs]\nmax_running = 0\nexports = \"\"\nverify_window = \"2-6\"\nretry_ceiling = \"2d\"\n",
    );
    assert_eq!(
        wrong,
        [
            "4:15 jobs.max_running: `max_running`: 0 is out of bounds",
            "5:11 jobs.exports: the path is empty or unusable",
            "6:17 jobs.verify_window: `verify_window`: \"2-6\" is not a list of windows",
            "7:17 jobs.retry_ceiling: `retry_ceiling`: 2d is out of bounds",
        ]
    );
    // At any time unless it is said otherwise.
    assert!(
        parse("[recorder]\nroot = \"/srv/nvr\"\n")
            .unwrap()
            .jobs
            .verify_window
            .is_always()
    );
}

#[test]
fn the_demo_is_valid() {
    let c = parse(&demo_text(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    assert_eq!(c.warnings, []);
    let sizes: Vec<_> = c
        .cameras
        .iter()
        .map(|c| match &c.source {
            SourceSpec::Test(t) => (c.id.as_str(), t.size),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(sizes, [("front", (1280, 720)), ("yard", (640, 360))]);
}

#[test]
fn upload_targets_arrive() {
    let c = parse(FULL).unwrap();
    let offsite = &c.uploads[0];
    assert_eq!(
        offsite.place.to_string(),
        "s3://footage/cctv/home at https://minio.lan:9000"
    );
    let UploadPlace::S3(s3) = &offsite.place else {
        panic!("{offsite:?}");
    };
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("footage", "cctv/home"));
    assert_eq!(
        (s3.region.as_str(), s3.secret_key.expose()),
        ("eu-central-1", "hunter2")
    );
    assert_eq!(s3.ca.as_deref(), Some(Path::new("/etc/nvr/ca.pem")));
    assert_eq!(s3.checksum, UploadChecksum::Crc64nvme);
    assert_eq!(s3.encryption, UploadEncryption::Kms);
    assert_eq!((offsite.what, offsite.cameras.len()), (UploadWhat::Kept, 2));
    assert_eq!(offsite.windows.to_string(), "22:00-06:00 Europe/Berlin");
    assert_eq!(
        (offsite.bandwidth_bytes_per_s, offsite.part_bytes),
        (2_000_000, 8 << 20)
    );
    assert_eq!(
        (offsite.max_concurrent, offsite.newest_first, offsite.required),
        (2, true, false)
    );
    assert_eq!(offsite.local_retention, Some(Duration::from_secs(7 * 86_400)));
    let nas = UploadConfig::new("nas", UploadPlace::Folder("/etc/nvr/../nas".into()));
    assert_eq!(c.uploads[1], nas);
    assert!(!format!("{c:?}").contains("hunter2"));
}

#[test]
fn mistakes_of_upload_targets_are_told() {
    let with = |lines: &str| {
        mistakes(&format!(
            "[recorder]\nroot = \"/r\"\n[[upload]]\nname = \"a\"\n{lines}\n"
        ))
    };
    let keys = "access_key = \"k\"\nsecret_key = \"s\"";
    for (lines, told) in [
        ("", "`url` is missing".to_owned()),
        ("url = \"ftp://x\"", "is not a place for uploads".into()),
        ("url = \"s3://X\"", "does not name a bucket".into()),
        ("url = \"s3://bucket\"", "`access_key` is missing".into()),
        (
            "url = \"/nas\"\nendpoint = \"https://x\"",
            "`endpoint` does not go with a folder".into(),
        ),
        (
            "url = \"/nas\"\nkey = \"{camera}\"",
            "two segments would get one name".into(),
        ),
        (
            "url = \"/nas\"\nwindows = \"25:00\"",
            "is not a list of windows".into(),
        ),
        ("url = \"/nas\"\ncameras = \"A B\"", "not usable as ids".into()),
        ("url = \"/nas\"\npart_size = \"1MiB\"", "out of bounds".into()),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nendpoint = \"http://10.0.0.9\""),
            "reached without TLS".into(),
        ),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nendpoint = \"minio\""),
            "not the address of a service".into(),
        ),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nencryption = \"kms\""),
            "needs a key".into(),
        ),
        (
            &format!("url = \"s3://bucket\"\n{keys}\nencryption = \"customer\"\nencryption_key = \"x\""),
            "not Base64 of 32 bytes".into(),
        ),
    ] {
        let all = with(lines);
        assert!(all.iter().any(|m| m.contains(&told)), "{lines}: {all:?}");
    }
    let twice = mistakes(
        "[recorder]\nroot = \"/r\"\n[[upload]]\nname=\"a\"\nurl=\"/x\"\n[[upload]]\nname=\"a\"\nurl=\"/y\"\n",
    );
    assert!(twice[0].contains("two upload targets"), "{twice:?}");
}

#[test]
fn the_schema_knows_the_same_keys_as_the_reader() {
    // Each key of the full text is in the schema, and an unknown one is refused by both.
    let schema = Config::json_schema();
    let value: toml::Value = toml::from_str(FULL).unwrap();
    for (name, _) in SECTIONS {
        let section = schema::section_schema(&schema, name);
        assert_eq!(section["additionalProperties"], false, "{name}");
        let tables: Vec<&toml::Value> = match &value[name] {
            toml::Value::Array(list) => list.iter().collect(),
            other => vec![other],
        };
        for key in tables.iter().flat_map(|t| t.as_table().unwrap().keys()) {
            assert!(section["properties"].get(key).is_some(), "{name}.{key}");
        }
    }
}

/// Every mistake lies inside the text.
fn check_places(text: &str) -> Result<(), TestCaseError> {
    if let Err(errors) = parse(text) {
        prop_assert!(errors.error_count() > 0);
        let lines: Vec<&str> = text.split('\n').collect();
        for p in errors.problems() {
            prop_assert!(p.line >= 1 && p.line <= lines.len(), "{p:?}");
            prop_assert!(
                p.column >= 1 && p.column <= lines[p.line - 1].chars().count() + 1,
                "{p:?}"
            );
            prop_assert!(!p.to_string().is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        check_places(&text)?;
    }

    #[test]
    fn toml_like_text_is_survived(text in "([\\[\\]{}=\".,#'a-z0-9 \n\t\r${}:-]|cameras|recorder|root|id|source|\"\"\"){0,80}") {
        check_places(&text)?;
    }

    #[test]
    fn damaged_text_is_survived(cut in 0..FULL.len(), len in 0usize..40, junk in "[\\PC\n\"'\\[\\]=#]{0,8}") {
        let end = (cut + len).min(FULL.len());
        let text = format!("{}{junk}{}", &FULL[..cut], &FULL[end..]);
        check_places(&text)?;
    }
}

#[test]
fn the_disk_of_the_root_is_above_it() {
    let parse = |mount: &str| {
        Config::parse(
            &format!("[recorder]\nroot = \"/mnt/disk/rec\"\nroot_mount = \"{mount}\"\n"),
            None,
        )
    };
    assert_eq!(
        parse("/mnt/disk").unwrap().recorder.root_mount,
        Some("/mnt/disk".into())
    );
    for bad in ["/mnt/other", "/mnt/disk/rec/deeper", "", "disk"] {
        let e = parse(bad).unwrap_err();
        assert!(e.to_string().contains("root_mount"), "{e}");
    }
}

#[test]
fn mistakes_of_retention_are_told() {
    let text = r#"
[recorder]
root = "/srv/nvr"
[retention]
max_age = "5s"
max_bytes = "1kB"
min_free = "1%"
critical_free = "95%"
[[cameras]]
id = "a"
source = "test:"
max_age = "never"
priority = 11
"#;
    let found = mistakes(text).join("\n");
    for part in [
        "retention.max_age: `max_age`: 5s is out of bounds",
        "retention.max_bytes: `max_bytes`",
        "retention.critical_free: `critical_free`: \"95%\" is not room on a disk",
        "cameras[0].max_age: `max_age`: \"never\" is not an age",
        "cameras[0].priority: `priority`: 11 is out of bounds",
    ] {
        assert!(found.contains(part), "{part} is not in\n{found}");
    }
    let larger = "[recorder]\nroot = \"/r\"\n[retention]\nmin_free = \"1%\"\ncritical_free = \"2%\"";
    assert!(mistakes(larger).join("").contains("larger than `min_free`"));
    // Switched off is switched off.
    let off = parse("[recorder]\nroot = \"/r\"\n[retention]\nmin_free = 0").unwrap();
    assert_eq!(off.retention, RetentionConfig::off());
}

#[test]
fn transcoding_is_read_and_checked() {
    let c = parse(FULL).unwrap().transcode;
    assert!(c.enabled);
    assert_eq!(
        c.cameras.iter().map(CameraId::as_str).collect::<Vec<_>>(),
        ["front", "yard"]
    );
    assert_eq!(
        (c.after, c.min_bytes, c.quality),
        (Duration::from_secs(172_800), 2 << 20, 24)
    );
    assert_eq!(c.encoders, ["vah265enc", "x265enc"]);
    assert_eq!(
        (c.preset.as_deref(), c.threads, c.max_running),
        (Some("fast"), 2, 2)
    );
    assert_eq!(
        (c.priority.nice, c.priority.io),
        (10, crate::priority::IoClass::BestEffort)
    );
    assert_eq!((c.min_ssim, c.min_psnr_db, c.compare_every), (0.97, 35, 10));
    assert_eq!(
        (c.smaller_by_percent, c.keep_original),
        (20, Duration::from_secs(86_400))
    );
    assert!(!c.window.is_always());
    let defaults = parse("[recorder]\nroot = \"/r\"\n").unwrap().transcode;
    assert_eq!(defaults, crate::config::TranscodeConfig::default());
    for bad in [
        "min_ssim = 1.1",
        "min_ssim = \"0.95\"",
        "quality = 52",
        "encoders = \"h265\"",
        "cameras = \"A B\"",
        "window = \"25:00-26:00\"",
        "preset = \"fast; rm\"",
        "io = \"realtime\"",
    ] {
        let text = format!("[recorder]\nroot = \"/r\"\n[transcode]\n{bad}\n");
        assert!(parse(&text).is_err(), "{bad}");
    }
}

#[test]
fn a_second_root_lies_elsewhere() {
    for (tier, why) in [
        ("root = \"/r/old\"", "one in the other"),
        ("root = \"/\"", "one in the other"),
        ("root = \"\"", "unusable"),
        ("after = \"1d\"", "root"),
        ("root = \"/a/b\"\nroot_mount = \"/c\"", "mount point"),
        ("root = \"/a\"\nmin_free = \"99%\"", "min_free"),
    ] {
        let text = format!("[recorder]\nroot = \"/r\"\n[tier]\n{tier}\n");
        let wrong = parse(&text).unwrap_err().to_string();
        assert!(wrong.contains(why), "{tier}: {wrong}");
    }
    assert_eq!(parse("[recorder]\nroot = \"/r\"\n").unwrap().tier, None);
}

#[test]
fn who_may_ask() {
    let http = |keys: &str| parse(&format!("[recorder]\nroot = \"r\"\n[http]\n{keys}")).map(|c| c.http);
    let c = http("").unwrap();
    assert_eq!(
        (c.auth, c.tls.is_some(), c.base_path.as_str()),
        (Auth::Accounts, false, "")
    );
    let c = http(
        "auth = \"none\"\ntls_cert = \"a.pem\"\ntls_key = \"b.pem\"\ntrusted_proxies = \"127.0.0.1, 10.0.0.0/8, ::1\"\n\
         base_path = \"/nvr/\"\ncors_origins = \"https://panel.example.org, http://[::1]:81/\"\nmetrics_open = true\n\
         audit_keep = \"30d\"",
    )
    .unwrap();
    assert_eq!(
        (c.auth, c.base_path.as_str(), c.metrics_open),
        (Auth::None, "/nvr", true)
    );
    assert_eq!(c.cors_origins, ["https://panel.example.org", "http://[::1]:81"]);
    assert_eq!(c.trusted_proxies.len(), 3);
    assert!(c.tls.is_some());
    assert_eq!(c.audit_keep, Duration::from_secs(30 * 86_400));
    for (keys, wanted) in [
        (
            "listen = \"0.0.0.0:80\"\nauth = \"none\"",
            "5:8 http.auth: `auth`: \"none\" is for loopback addresses only, and `listen` is 0.0.0.0:80",
        ),
        (
            "auth = \"no\"",
            "4:8 http.auth: `auth`: \"no\" is not one of accounts, none",
        ),
        (
            "tls_cert = \"a\"",
            "4:12 http.tls_cert: TLS needs both `tls_cert` and `tls_key`",
        ),
        (
            "trusted_proxies = \"10.0.0.0/33\"",
            "4:19 http.trusted_proxies: `trusted_proxies`: an item of \"10.0.0.0/33\" cannot be read",
        ),
        (
            "cors_origins = \"https://a/b\"",
            "4:16 http.cors_origins: `cors_origins`: an item of \"https://a/b\" cannot be read",
        ),
        (
            "base_path = \"/a/../b\"",
            "4:13 http.base_path: `base_path`: \"/a/../b\" is not usable",
        ),
    ] {
        assert_eq!(
            mistakes(&format!("[recorder]\nroot = \"r\"\n[http]\n{keys}")),
            [wanted]
        );
    }
}
