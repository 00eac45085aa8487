//! The configuration: what of a whole text arrives, and what is said of a wrong one.

mod alerts;
mod mistakes;
mod reading;
mod schema;
mod sections;

use super::*;

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

[rtsp_server]
enabled = false
listen = "[::1]:9554"
auth = "none"
tls = false
max_clients = 5

[detections]
keep = "footage"
pre = "3s"
post = "4s"
longest = "30m"

[objects]
enabled = false
model = "models/yolo11n.onnx"
labels = "models/names.txt"
classes = "person, car"
threshold = 0.4
size = 320
layout = "yolov8"
standing = true

[backup]
dir = "/backup"
every = "12h"
keep = 3

[bookings]
keep = "7d"

[mqtt]
url = "mqtts://ha.lan"
user = "nvr"
client_id = "nvr-2"
base_topic = "house/nvr"
pictures = "1m"

[alerts]
defaults = true
quiet_hours = "22:00-07:00"
group = "1m"
interval = "10m"
page = "https://nvr.lan"

[[alert_rule]]
name = "people"
kind = "detection"
labels = "person"
hold = "5m"
channels = "phone"

[[alert_channel]]
name = "phone"
kind = "ntfy"
address = "https://ntfy.example.org/topic"
pictures = false

[[calendar]]
name = "council"
url = "https://calendar.example.org/council.ics"
user = "reader"
password = "${CAM_PW}"
cameras = "front, usb"
poll = "5m"
then = "validate, upload"
keep_footage = "90d"

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
stills = "1m"
stills_width = 640
stills_quality = 70
stills_times = "08:00-09:00"
stills_max_age = "forever"
stills_max_bytes = "5GB"
stills_max_count = 100

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

[stills]
every = "10m"
width = 1280
quality = 90
times = "06:00-20:00"
max_age = "52w"
max_count = 5000
max_size = "20GB"

[[timelapse]]
name = "garden"
cameras = "yard, front"
at = "06:30"
span = "20:00-06:00"
per_hour = 30.5
fps = 30
height = 720
keep = "90d"
catch_up = "3d"

[oidc]
issuer = "https://sso.example.org/realms/home"
client_id = "recorder"
client_secret = "${CAM_PW}"
name = "Home"
scopes = "profile, groups"
user_claim = "email"
groups_claim = "realm_access.roles"
groups = "admins = admin; family = operator: front"
"#;
