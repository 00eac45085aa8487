//! Files as crashes leave them, judged by a second program.

use super::*;

/// fm13: whatever byte a crash cut the file at, every whole fragment is kept, and mending it again changes
/// nothing.
#[test]
fn fm13_every_truncation_keeps_the_whole_fragments() {
    let dir = memory_dir();
    let tree = tree_at(dir.path());
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let synthetic = SyntheticSegment {
        frames: 12,
        chunk: 3,
        gop: 6,
        frame_bytes: 60,
        audio: true,
        ..SyntheticSegment::new()
    }
    .build();
    let closed = record(&tree, &s, &synthetic.bytes);
    let full = fs::read(dir.path().join(&closed.path)).unwrap();
    let whole = FragmentIndex::from_blob(&closed.fragments).unwrap();
    let path = dir.path().join(&closed.path);
    for len in 0..full.len() {
        fs::write(&path, &full[..len]).unwrap();
        let expected = whole
            .fragments
            .iter()
            .filter(|f| f.end_offset() <= len as u64)
            .count();
        match recover(tree.root(), &closed.path, None).unwrap() {
            Recovered::Closed { segment, cut_bytes } => {
                assert_eq!(
                    FragmentIndex::from_blob(&segment.fragments).unwrap().fragments,
                    whole.fragments[..expected]
                );
                assert_eq!(segment.start, s);
                assert!(segment.recovered);
                let mended = fs::read(&path).unwrap();
                let kept = whole.fragments[expected - 1].end_offset();
                assert_eq!(cut_bytes, len as u64 - kept);
                assert_eq!(segment.size_bytes, mended.len() as u64);
                assert_eq!(mended[..kept as usize], full[..kept as usize]);
                // A second time, and after a kill in mid-mending.
                let Recovered::Closed {
                    segment: again,
                    cut_bytes: 0,
                } = recover(tree.root(), &closed.path, None).unwrap()
                else {
                    panic!("at {len}");
                };
                assert_eq!(
                    ClosedSegment {
                        recovered: true,
                        ..*again
                    },
                    *segment
                );
                assert_eq!(fs::read(&path).unwrap(), mended);
                if len % 97 == 0 {
                    for killed in kept as usize..mended.len() {
                        fs::write(&path, &mended[..killed]).unwrap();
                        recover(tree.root(), &closed.path, None).unwrap();
                        assert_eq!(fs::read(&path).unwrap(), mended);
                    }
                }
            }
            Recovered::Empty {
                removable,
                size_bytes,
                ..
            } => {
                assert_eq!(expected, 0, "at {len}");
                assert_eq!(size_bytes, len as u64);
                assert_eq!(
                    fs::metadata(&path).unwrap().len(),
                    len as u64,
                    "an empty file was changed"
                );
                // With `moov`, but without our description, it might be anybody's.
                let described = whole.header_len as usize;
                assert_eq!(
                    removable,
                    len < synthetic.init_len || len >= described,
                    "at {len}"
                );
            }
        }
    }
}

#[test]
fn unknown_content_is_never_removable() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree_at(dir.path());
    let path = Path::new("cam/2026-05-04/03-02-01.000Z-00000001.mp4");
    let full = dir.path().join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    for content in [
        &b"This is a text that somebody keeps here."[..],
        &[0; 4096],
        b"\0\0\0\x08free\0\0\x10\0mdatxxxx",
    ] {
        fs::write(&full, content).unwrap();
        let Recovered::Empty { removable: false, .. } = recover(tree.root(), path, None).unwrap() else {
            panic!("{content:?}");
        };
        assert_eq!(fs::read(&full).unwrap(), content);
    }
}

fn ffmpeg(args: &[&str], out: &Path) {
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=320x240:r=25:d=4",
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=d=4",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"])
        .args(args)
        .arg(out)
        .status()
        .unwrap();
    assert!(status.success());
}

/// Frames that a second program decodes without a complaint.
fn frames_decoded(path: &Path) -> u32 {
    let out = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
        ])
        .args(["stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    assert!(out.status.success());
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{}", path.display());
    String::from_utf8_lossy(&out.stdout)
        .trim()
        .trim_end_matches(',')
        .parse()
        .unwrap()
}

#[test]
fn real_video_is_decoded_whole_after_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real.mp4");
    ffmpeg(
        &[
            "-movflags",
            "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
        ],
        &real,
    );
    let bytes = fs::read(&real).unwrap();
    let tree = tree_at(&dir.path().join("root"));
    let s = start("cam", 1, 0, t("2026-05-04T03:02:01Z"));
    let closed = record(&tree, &s, &bytes);
    let path = tree.root().path().join(&closed.path);
    assert_eq!(frames_decoded(&path), 100);
    let full = fs::read(&path).unwrap();
    let index = FragmentIndex::from_blob(&closed.fragments).unwrap();
    assert!(index.fragments.len() >= 4);
    for (i, f) in index.fragments.iter().enumerate().skip(1) {
        fs::write(&path, &full[..f.end_offset() as usize - 100]).unwrap();
        let Recovered::Closed { segment, .. } = recover(tree.root(), &closed.path, None).unwrap() else {
            panic!("fragment {i}");
        };
        let kept = FragmentIndex::from_blob(&segment.fragments).unwrap();
        assert_eq!(kept.fragments.len(), i);
        let frames = u32::try_from(segment.duration_ns / 40_000_000).unwrap();
        assert_eq!(frames_decoded(&path), frames);
    }
}

#[test]
fn plain_containers_are_kept_as_written() {
    let dir = memory_dir();
    let tree = tree_at(&dir.path().join("root"));
    for (container, file) in [(Container::Mp4, "x.mp4"), (Container::Matroska, "x.mkv")] {
        let real = dir.path().join(file);
        ffmpeg(&[], &real);
        let bytes = fs::read(&real).unwrap();
        let mut s = start("cam", container as u64, 0, t("2026-05-04T03:02:01.5Z"));
        s.container = container;
        let mut out = tree.create(&s).unwrap();
        // As a muxer does that goes back to its head.
        out.write_at(0, &[0; 48]).unwrap();
        out.write_at(48, &bytes[48..]).unwrap();
        out.write_at(0, &bytes[..48]).unwrap();
        let closed = out.finish().unwrap();
        assert_eq!(fs::read(tree.root().path().join(&closed.path)).unwrap(), bytes);
        assert_eq!(closed.size_bytes, bytes.len() as u64);
        assert!(
            (closed.duration_ns - 4_000_000_000).abs() < 50_000_000,
            "{}",
            closed.duration_ns
        );
        let Inspection::Closed(seen) = inspect(tree.root(), &closed.path).unwrap() else {
            panic!("{container:?}");
        };
        assert_eq!((seen.start.camera.as_str(), seen.start.start), ("cam", s.start));
        assert_eq!(seen.start.container, container);
        let video = &seen.start.tracks.video;
        assert_eq!(
            (video.codec, video.width, video.height),
            (VideoCodec::H264, 320, 240)
        );
        let audio = seen.start.tracks.audio.as_ref().unwrap();
        assert_eq!(
            (audio.codec, audio.sample_rate, audio.channels),
            (crate::track::AudioCodec::Aac, 44_100, 2)
        );

        // Cut: Matroska can be read up to there, progressive MP4 cannot.
        let path = tree.root().path().join(&closed.path);
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let cut = recover(tree.root(), &closed.path, None).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len() / 2);
        match (container, cut) {
            (Container::Mp4, Recovered::Empty { removable: false, .. })
            | (Container::Matroska, Recovered::Closed { .. }) => {}
            (_, other) => panic!("{container:?}: {other:?}"),
        }
        for len in (0..bytes.len()).step_by(211) {
            fs::write(&path, &bytes[..len]).unwrap();
            recover(tree.root(), &closed.path, None).unwrap();
        }
    }
}
