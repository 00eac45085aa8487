//! Exports of real streams: ffprobe and ffmpeg say whether they are right.

use std::path::Path;

use super::material::{FILE_S, Kind, range_ms, run, three};
use crate::media::clip::{Clip, ClipSegment, Format, OnChange, plan};
use crate::time::TimeRange;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::media) struct Packet {
    pub(in crate::media) pts: f64,
    pub(in crate::media) dts: f64,
    pub(in crate::media) duration: f64,
    pub(in crate::media) key: bool,
    pub(in crate::media) discarded: bool,
}

pub(in crate::media) fn packets(path: &Path, stream: &str) -> Vec<Packet> {
    let path = path.to_str().unwrap();
    let entries = "packet=pts_time,dts_time,duration_time,flags";
    let text = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            stream,
            "-show_entries",
            entries,
            "-of",
            "csv=p=0",
            path,
        ],
    );
    text.lines()
        .filter(|l| !l.is_empty())
        .map(|l| {
            let f: Vec<&str> = l.split(',').collect();
            Packet {
                pts: f[0].parse().unwrap_or_else(|e| panic!("{l:?}: {e}")),
                dts: f[1].parse().unwrap_or_else(|e| panic!("{l:?}: {e}")),
                // Not told of the first packet where a track begins late.
                duration: f[2].parse().unwrap_or(0.0),
                key: f[3].starts_with('K'),
                discarded: f[3].contains('D'),
            }
        })
        .collect()
}

/// Checksums of the decoded frames in order of presentation.
pub(in crate::media) fn frames(path: &Path, options: &[&str]) -> Vec<String> {
    let mut args = vec!["-v", "error"];
    args.extend(options);
    args.extend([
        "-i",
        path.to_str().unwrap(),
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
    ]);
    args.extend(["-f", "framemd5", "-"]);
    run("ffmpeg", &args)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

pub(in crate::media) fn export(
    segments: &[ClipSegment],
    range: TimeRange,
    format: Format,
    to: &Path,
) -> Clip {
    let plans = plan(segments, range, format, OnChange::Refuse).unwrap();
    assert_eq!(plans.len(), 1);
    let clip = Clip::open(&plans[0]).unwrap();
    let mut out = std::fs::File::create(to).unwrap();
    assert_eq!(clip.write_to(&mut out, |_| true).unwrap(), clip.len());
    clip
}

pub(in crate::media) fn check_order(packets: &[Packet], what: &str) {
    for w in packets.windows(2) {
        assert!(w[0].dts < w[1].dts, "{what}: {w:?}");
        assert!(
            (w[0].dts + w[0].duration - w[1].dts).abs() < 0.03,
            "{what}: a hole at {w:?}"
        );
    }
}

fn check(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let (segments, paths) = three(dir.path(), kind);
    let all: Vec<String> = paths.iter().flat_map(|p| frames(p, &[])).collect();
    assert_eq!(all.len() as i64, 3 * FILE_S * 25);
    let out = dir.path().join("clip.mp4");
    for (from, to) in [(0, 9000), (2600, 6480), (1520, 1800), (7960, 20_000)] {
        let range = range_ms(from, to);
        let shown = &all[(from as usize / 40)..(to as usize / 40).min(all.len())];

        let clip = export(&segments, range, Format::Mp4, &out);
        let what = format!("{kind:?} mp4 {from}..{to}");
        assert!(frames(&out, &[]) == shown, "{what}");
        run(
            "ffmpeg",
            &["-v", "error", "-i", out.to_str().unwrap(), "-f", "null", "-"],
        );
        let video = packets(&out, "v");
        check_order(&video, &what);
        let kept: Vec<_> = video.iter().filter(|p| !p.discarded).collect();
        let start = kept.iter().map(|p| p.pts).fold(f64::MAX, f64::min);
        assert!(start.abs() < 0.001, "{what}: starts at {start}");
        let seconds = shown.len() as f64 / 25.0;
        assert!(
            (clip.duration_ns() as f64 / 1e9 - seconds).abs() < 0.001,
            "{what}: {}",
            clip.duration_ns()
        );
        let probed: f64 = run(
            "ffprobe",
            &[
                "-v",
                "error",
                "-show_entries",
                "format=duration",
                "-of",
                "csv=p=0",
                out.to_str().unwrap(),
            ],
        )
        .trim()
        .parse()
        .unwrap();
        assert!((probed - seconds).abs() < 0.03, "{what}: lasts {probed}");
        assert!(video[0].key, "{what}");
        if kind.has_audio() {
            let audio = packets(&out, "a");
            check_order(&audio, &what);
            let heard: f64 = audio.iter().filter(|p| !p.discarded).map(|p| p.duration).sum();
            assert!((heard - seconds).abs() < 0.07, "{what}: {heard} s of audio");
        }

        // Fragments: from the keyframe before the start to the end of a chunk.
        export(&segments, range, Format::Fmp4, &out);
        let what = format!("{kind:?} fmp4 {from}..{to}");
        let got = frames(&out, &["-ignore_editlist", "1"]);
        let first = from as usize / 1000 * 25;
        // With B-frames the last frames in order of decoding are not the last to be presented.
        let sure = got.len() - 3;
        assert!(got[..sure] == all[first..first + sure], "{what}");
        let last_wanted = (to as usize / 40).min(all.len());
        let ends = first + got.len();
        assert!(
            ends + 4 >= last_wanted && ends <= last_wanted + 14,
            "{what}: {ends} for {last_wanted}"
        );
        run(
            "ffmpeg",
            &["-v", "error", "-i", out.to_str().unwrap(), "-f", "null", "-"],
        );
        let video = packets(&out, "v");
        assert_eq!(video.len(), got.len());
        check_order(&video, &what);
        // The moment that was asked for is at zero.
        assert!(
            (video[0].pts + (from % 1000) as f64 / 1000.0).abs() < 0.001,
            "{what}: {:?}",
            video[0]
        );
        if kind.has_audio() {
            check_order(&packets(&out, "a"), &what);
        }
    }
}

#[test]
fn h264_without_reordering() {
    check(Kind::H264);
}

#[test]
fn h264_with_b_frames() {
    check(Kind::H264B);
}

#[test]
fn h265_with_b_frames() {
    check(Kind::H265B);
}

#[test]
fn video_alone() {
    check(Kind::H264NoAudio);
}
