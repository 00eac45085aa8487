//! Segments to test with: real ones encoded by ffmpeg, cut in three files whose times start at 0.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::media::clip::{ClipSegment, FileStamp};
use crate::media::growing::scan;
use crate::time::{TimeRange, Timestamp};

/// UTC of the first frame of all material.
pub(crate) const EPOCH: Timestamp = Timestamp::from_secs(1_800_000_000);
/// Length of each file.
pub(crate) const FILE_S: i64 = 3;

pub(crate) fn at_ms(ms: i64) -> Timestamp {
    EPOCH.add_ns(ms * 1_000_000)
}

pub(crate) fn range_ms(from: i64, to: i64) -> TimeRange {
    TimeRange::new(at_ms(from), at_ms(to)).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    H264,
    H264B,
    H265B,
    H264NoAudio,
    H264Large,
}

impl Kind {
    fn encoder(self) -> Vec<&'static str> {
        match self {
            Self::H264 | Self::H264NoAudio | Self::H264Large => {
                vec!["libx264", "-bf", "0", "-g", "25", "-preset", "ultrafast"]
            }
            Self::H264B => vec!["libx264", "-bf", "3", "-g", "25", "-preset", "veryfast"],
            Self::H265B => vec![
                "libx265",
                "-tag:v",
                "hvc1",
                "-preset",
                "ultrafast",
                "-x265-params",
                "bframes=3:keyint=25:min-keyint=25:open-gop=0:pools=1:log-level=error",
            ],
        }
    }

    pub(crate) fn has_audio(self) -> bool {
        self != Self::H264NoAudio
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"));
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {errors}");
    assert_eq!(errors, "", "{program} {args:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// Encodes one file: seconds `3 k` to `3 k + 3` of the test picture and a tone.
pub(crate) fn encode(dir: &Path, kind: Kind, k: i64) -> PathBuf {
    let path = dir.join(format!("{kind:?}-{k}.mp4"));
    let size = if kind == Kind::H264Large {
        "320x240"
    } else {
        "192x144"
    };
    let picture = format!(
        "testsrc2=size={size}:rate=25,trim=start={}:duration={FILE_S},setpts=PTS-STARTPTS,format=yuv420p",
        k * FILE_S
    );
    let tone = format!(
        "sine=frequency={}:sample_rate=48000:duration={FILE_S}",
        440 + 100 * k
    );
    let mut args = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &picture];
    if kind.has_audio() {
        args.extend(["-f", "lavfi", "-i", &tone, "-c:a", "aac"]);
    }
    args.push("-c:v");
    args.extend(kind.encoder());
    args.extend(["-movflags", "+frag_keyframe+delay_moov+default_base_moof"]);
    args.extend(["-frag_duration", "250000", "-video_track_timescale", "90000"]);
    let out = path.to_str().unwrap();
    args.push(out);
    run("ffmpeg", &args);
    path
}

/// A file as material that starts so many milliseconds after [`EPOCH`].
pub(crate) fn segment(path: &Path, start_ms: i64, run_order: i64) -> ClipSegment {
    let mut file = File::open(path).unwrap();
    let scan = scan(&mut file).unwrap();
    let size = file.metadata().unwrap().len();
    ClipSegment::new(
        path.file_name().unwrap().to_str().unwrap(),
        at_ms(start_ms),
        run_order,
        Arc::new(file),
        Arc::new(scan.index),
        FileStamp::Size(size),
    )
}

/// Three files that follow each other, and their paths.
pub(crate) fn three(dir: &Path, kind: Kind) -> (Vec<ClipSegment>, Vec<PathBuf>) {
    (0..3)
        .map(|k| {
            let path = encode(dir, kind, k);
            (segment(&path, k * FILE_S * 1000, 0), path)
        })
        .unzip()
}
