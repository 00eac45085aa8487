//! The media room against real files: made by the muxer that records and by ffmpeg, judged by ffprobe
//! and by GStreamer's demuxer. ffmpeg must be installed.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use gst::prelude::*;
use nvr_core::ids::{CameraId, RunId};
use nvr_core::media::codec::{codec_string, codecs};
use nvr_core::media::mfra::closing_boxes;
use nvr_core::media::{GrowingIndex, MovieFragment, describe, read_closed, scan};
use nvr_core::run::Anchor;
use nvr_core::segment::{Container, SegmentStart};
use nvr_core::time::Timestamp;
use nvr_core::track::{Tracks, VideoCodec, VideoTrack};

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed by this test: {e}"));
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.success() && stderr.is_empty(),
        "{program} {args:?}: {stderr}"
    );
    String::from_utf8(out.stdout).unwrap()
}

fn ffmpeg(path: &Path, args: &[&str]) {
    let mut all = vec!["-v", "error", "-y"];
    all.extend_from_slice(args);
    all.push(path.to_str().unwrap());
    run("ffmpeg", &all);
}

/// One packet: presentation and decode time, size, keyframe.
type Packet = (i64, i64, u32, bool);

/// Packets by ffprobe, times counted from the first packet's.
fn probed(path: &Path, stream: &str) -> Vec<Packet> {
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            "packet=pts,dts,size,flags",
            "-of",
            "csv=p=0",
            path.to_str().unwrap(),
        ],
    );
    from_first(
        text.lines()
            .map(|line| {
                let f: Vec<_> = line.split(',').collect();
                let n = |i: usize| f[i].parse::<i64>().unwrap_or_else(|_| panic!("{line}"));
                (n(0), n(1), n(2) as u32, f[3].starts_with('K'))
            })
            .collect(),
    )
}

fn probe_level(path: &Path) -> u32 {
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=level",
            "-of",
            "csv=p=0",
            path.to_str().unwrap(),
        ],
    );
    text.trim().parse().unwrap()
}

/// Counts both times from those of the first packet: ffprobe applies the edit list to both, and moves
/// decode times by a constant where composition offsets are negative.
fn from_first(mut packets: Vec<Packet>) -> Vec<Packet> {
    let (pts, dts) = packets.first().map_or((0, 0), |p| (p.0, p.1));
    for p in &mut packets {
        p.0 -= pts;
        p.1 -= dts;
    }
    packets
}

/// Packets of a track as our parser sees them.
fn parsed(file: &[u8], growing: &GrowingIndex, track: u32) -> Vec<Packet> {
    let init = growing.init().unwrap();
    let mut packets = Vec::new();
    for f in &growing.index().fragments {
        let bytes = &file[f.offset as usize..f.end_offset() as usize];
        let moof = nvr_core::media::boxes::find(bytes, b"moof").unwrap().unwrap();
        let moof = MovieFragment::parse(moof.bytes, init).unwrap();
        let Some(part) = moof.track(track) else { continue };
        let mut dts = part.base_decode_time.unwrap().value as i64;
        for s in part.samples() {
            packets.push((dts + i64::from(s.cts_offset), dts, s.size, s.flags.is_sync()));
            dts += i64::from(s.duration);
        }
    }
    from_first(packets)
}

fn start() -> SegmentStart {
    SegmentStart {
        camera: CameraId::new("yard").unwrap(),
        run: RunId::from_u64(42),
        sequence: 7,
        anchor: Anchor {
            utc: Timestamp::from_secs(1_700_000_000),
            steady_ns: 5,
            running_ns: 6,
        },
        start: Timestamp::from_secs(1_700_000_001),
        camera_start: None,
        container: Container::Fmp4,
        tracks: Tracks {
            video: VideoTrack {
                codec: VideoCodec::H264,
                width: 320,
                height: 180,
                frame_rate: Some(25.0),
            },
            audio: None,
        },
        masks: None,
        from_card: false,
    }
}

/// Number of buffers that GStreamer's demuxer delivers for the video track.
fn demuxed(path: &Path) -> u64 {
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! qtdemux name=d d.video_0 ! queue ! fakesink name=s sync=false",
        path.display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    finish(&pipeline);
    let stats = pipeline.by_name("s").unwrap().property::<gst::Structure>("stats");
    pipeline.set_state(gst::State::Null).unwrap();
    stats.get("rendered").unwrap()
}

fn finish(pipeline: &gst::Pipeline) {
    pipeline.set_state(gst::State::Playing).unwrap();
    let message = pipeline
        .bus()
        .unwrap()
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(120),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        )
        .expect("the pipeline ends");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
}

/// Checks a file packet by packet, then as the recorder would leave it: described and closed.
fn check(path: &Path, expected_codecs: &str) -> GrowingIndex {
    let file = std::fs::read(path).unwrap();
    let mut growing = GrowingIndex::new();
    for piece in file.chunks(997) {
        growing.push(piece).unwrap();
    }
    let found = scan(&mut std::fs::File::open(path).unwrap()).unwrap();
    assert!(found.problem.is_none(), "{:?}", found.problem);
    assert_eq!(&found.index, growing.index());

    let init = growing.init().unwrap();
    assert_eq!(codecs(init).unwrap(), expected_codecs);
    let video = init.video().unwrap();
    if let Some(avc) = codec_string(video).unwrap().strip_prefix("avc1.") {
        let level = u32::from_str_radix(&avc[4..], 16).unwrap();
        assert_eq!(probe_level(path), level);
    }
    assert_eq!((video.width, video.height), (320, 180));
    let packets = probed(path, "v");
    assert_eq!(parsed(&file, &growing, video.id), packets);
    if let Some(audio) = init.audio() {
        assert_eq!(parsed(&file, &growing, audio.id).len(), probed(path, "a").len());
    }

    // The index against ffprobe: length, and where the keyframes are.
    let index = growing.index();
    let ns = |ticks: i64| (i128::from(ticks) * 1_000_000_000 / i128::from(video.timescale)) as i64;
    let keys: Vec<_> = packets.iter().filter(|p| p.3).map(|p| ns(p.0)).collect();
    for f in index.fragments.iter().filter(|f| f.keyframe) {
        assert!(
            keys.iter().any(|k| (k - f.start_ns).abs() <= 1),
            "no keyframe at {}",
            f.start_ns
        );
    }
    let step = packets[1].1 - packets[0].1;
    let end = packets.iter().map(|p| p.0).max().unwrap() + step;
    assert!(
        (index.duration_ns() - ns(end)).abs() <= ns(1) + 1,
        "{} {}",
        index.duration_ns(),
        ns(end)
    );
    assert!(index.fragments.is_sorted_by_key(|f| f.start_ns));

    // As a closed segment.
    let init_len = init.bytes.len();
    let described = [&file[..init_len], &describe::to_box(&start()), &file[init_len..]].concat();
    let found = scan(&mut Cursor::new(&described)).unwrap();
    assert_eq!(found.description, Some(start()));
    let mut closed = described[..found.whole_len as usize].to_vec();
    closed.extend(closing_boxes(&found.index, init, &found.samples));
    let info = read_closed(&mut Cursor::new(&closed)).unwrap().unwrap();
    assert_eq!((info.index, info.description), (found.index, start()));

    let closed_path = path.with_extension("closed.mp4");
    std::fs::write(&closed_path, &closed).unwrap();
    assert_eq!(probed(&closed_path, "v"), packets);
    run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            closed_path.to_str().unwrap(),
            "-f",
            "null",
            "-",
        ],
    );
    gst::init().unwrap();
    assert_eq!(demuxed(&closed_path), packets.len() as u64);
    growing
}

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    (dir, path)
}

const PICTURE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4"];
const TONE: [&str; 4] = ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=4"];
const X264: [&str; 10] = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-profile:v",
    "high",
    "-g",
    "25",
];

#[test]
fn ffmpeg_h264_with_b_frames_and_aac() {
    let (_dir, path) = dir();
    let rest = [
        "-bf",
        "3",
        "-b_strategy",
        "0",
        "-c:a",
        "aac",
        "-movflags",
        "frag_keyframe+empty_moov+default_base_moof",
    ];
    ffmpeg(&path, &[&PICTURE[..], &TONE, &X264, &rest].concat());
    let g = check(&path, "avc1.4d400c,mp4a.40.2");
    assert_eq!(g.index().fragments.len(), 4);
    assert!(g.index().fragments.iter().all(|f| f.keyframe));
}

#[test]
fn ffmpeg_short_fragments_with_absolute_offsets() {
    let (_dir, path) = dir();
    let rest = [
        "-bf",
        "2",
        "-b_strategy",
        "0",
        "-frag_duration",
        "200000",
        "-movflags",
        "empty_moov+delay_moov",
    ];
    ffmpeg(&path, &[&PICTURE[..], &X264, &rest].concat());
    // Absolute data offsets do not survive the insertion of a box, so only the reading is checked.
    let file = std::fs::read(&path).unwrap();
    let mut g = GrowingIndex::new();
    g.push(&file).unwrap();
    assert_eq!(parsed(&file, &g, 1), probed(&path, "v"));
    assert!(g.index().fragments.len() > 10);
    assert!(g.index().fragments.iter().any(|f| !f.keyframe));
}

#[test]
fn ffmpeg_h265() {
    let (_dir, path) = dir();
    let rest = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=none:keyint=25",
        "-pix_fmt",
        "yuv420p",
        "-tag:v",
        "hvc1",
        "-movflags",
        "frag_keyframe+empty_moov+default_base_moof",
    ];
    ffmpeg(&path, &[&PICTURE[..], &rest].concat());
    let g = check(&path, "hvc1.1.6.L60.90");
    assert!(g.index().fragments.len() >= 4);
}

/// Runs the muxer that records: chunks of 200 ms, as in the recording pipeline.
fn isofmp4mux(path: &Path, encode: &str, audio: &str) {
    gst::init().unwrap();
    // Registering twice is harmless.
    gstfmp4::plugin_register_static().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "isofmp4mux name=m fragment-duration=1000000000 chunk-duration=200000000 send-force-keyunit=false \
         header-update-mode=caps ! filesink location={} \
         videotestsrc num-buffers=100 ! video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! {encode} ! m. \
         {audio}",
        path.display()
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    finish(&pipeline);
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn isofmp4mux_h264_and_aac() {
    let (_dir, path) = dir();
    isofmp4mux(
        &path,
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! video/x-h264,profile=baseline \
         ! h264parse ! h264timestamper",
        "audiotestsrc num-buffers=188 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=1 ! avenc_aac \
         ! aacparse ! m.",
    );
    let g = check(&path, "avc1.42c015,mp4a.40.2");
    assert!(g.index().fragments.len() >= 20, "{}", g.index().fragments.len());
    assert_eq!(g.index().fragments.iter().filter(|f| f.keyframe).count(), 4);
    assert_eq!(
        codec_string(g.init().unwrap().audio().unwrap()).unwrap(),
        "mp4a.40.2"
    );
}

#[test]
fn isofmp4mux_h264_with_b_frames_and_a_long_gop() {
    let (_dir, path) = dir();
    isofmp4mux(
        &path,
        "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=100 ! video/x-h264,profile=high \
         ! h264parse ! h264timestamper",
        "",
    );
    let g = check(&path, "avc1.4d4015");
    // The muxer ends its chunks where no frame is held back, so some last a little longer.
    assert!(g.index().fragments.iter().all(|f| f.duration_ns <= 240_000_000));
    assert!(g.index().fragments.len() >= 16);
    assert_eq!(g.index().fragments.iter().filter(|f| f.keyframe).count(), 1);
}
