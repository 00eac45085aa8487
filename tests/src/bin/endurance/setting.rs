//! What is recorded, on what, and when which trouble comes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use nvr_core::time::Timestamp;
use nvr_tests::s3::BUCKET;
use nvr_tests::{Picture, TestCam, TestCamOptions};

/// A camera of the story.
pub struct Cam {
    pub id: &'static str,
    pub fps: u32,
    bitrate_bps: u32,
    picture: Picture,
}

/// Two whose footage H.265 makes smaller, and one of which it makes rubbish, so that its originals stay.
pub const CAMS: [Cam; 3] = [
    Cam {
        id: "front",
        fps: 15,
        bitrate_bps: 1_200_000,
        picture: Picture::Bars,
    },
    Cam {
        id: "gate",
        fps: 15,
        bitrate_bps: 1_200_000,
        picture: Picture::Bars,
    },
    Cam {
        id: "yard",
        fps: 10,
        bitrate_bps: 2_600_000,
        picture: Picture::Snow,
    },
];

/// Size of the pictures.
pub const SIZE: (u32, u32) = (640, 360);
/// Length of a segment in seconds.
const SEGMENT_S: u64 = 20;
/// Preset and quality of the encoder.
pub const PRESET: &str = "ultrafast";
pub const QUALITY: u32 = 26;
/// The target.
pub const TARGET: &str = "offsite";
/// What the names of its objects begin with.
pub const PREFIX: &str = "cctv";

/// When what happens, from the start.
pub struct Plan {
    pub minutes: f64,
    pub disk_bytes: u64,
}

impl Plan {
    /// The issue's disk has 300 MB for 30 minutes; a shorter story has as much less.
    pub fn new(minutes: f64, disk_mb: Option<u64>) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let scaled = (minutes * 10.0).clamp(80.0, 300.0) as u64;
        Self {
            minutes,
            disk_bytes: disk_mb.unwrap_or(scaled) * 1_000_000,
        }
    }

    /// A part of the whole.
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0 * share)
    }

    /// The service dies and comes back.
    pub fn s3_away(&self) -> (Duration, Duration) {
        (self.at(0.2), self.at(0.34))
    }

    /// `kill -9`.
    pub fn kill(&self) -> Duration {
        self.at(0.62)
    }

    /// When footage may be encoded again: opens part-way, at a whole minute, and stays open.
    pub fn window(&self, start: Timestamp) -> String {
        let minute = |t: Timestamp| t.to_jiff().strftime("%H:%M").to_string();
        let opens = start + self.at(0.4) + Duration::from_secs(59);
        let closes = start + self.at(1.0) + Duration::from_secs(3600);
        format!("{}-{}", minute(opens), minute(closes))
    }
}

/// Starts the cameras.
pub fn cameras() -> anyhow::Result<Vec<TestCam>> {
    CAMS.iter()
        .map(|c| {
            TestCam::start(TestCamOptions {
                width: SIZE.0,
                height: SIZE.1,
                fps: c.fps,
                gop: c.fps,
                bitrate_bps: c.bitrate_bps,
                picture: c.picture,
                ..TestCamOptions::default()
            })
        })
        .collect()
}

/// The configuration, with the cameras on or off, and encoding again.
pub fn config(
    root: &Path,
    urls: &[String],
    endpoint: &str,
    window: &str,
    cameras: bool,
    transcode: bool,
) -> String {
    // No mark of the load: other programs of a shared machine are no matter here, and recording comes first anyway.
    let mut text = format!(
        r#"
[recorder]
root = "{root}"
root_mount = "{root}"
time_zone = "UTC"

[recording]
segment = "{SEGMENT_S}s"

[retention]
min_free = "20%"
critical_free = "4%"

[jobs]
retry_ceiling = "10s"
max_load_percent = 0

[transcode]
enabled = {transcode}
after = "30s"
window = "{window}"
min_size = "100kB"
encoders = "x265enc"
preset = "{PRESET}"
quality = {QUALITY}

[http]
enabled = false

[[upload]]
name = "{TARGET}"
url = "s3://{BUCKET}/{PREFIX}"
endpoint = "{endpoint}"
allow_http = true
access_key = "test"
secret_key = "test"
part_size = "5MiB"
max_concurrent = 2
"#,
        root = root.display()
    );
    for (cam, url) in CAMS.iter().zip(urls) {
        let _ = write!(
            text,
            "\n[[cameras]]\nid = \"{}\"\nsource = \"{url}\"\nenabled = {cameras}\n",
            cam.id
        );
    }
    text
}
