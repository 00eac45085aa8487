//! Privacy masks in all that is encoded for somebody who looks at it.

use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::convert::encode::coded;
use crate::gst::{CodedFrame, PictureReader, black};
use crate::media::clip::Remade;
use crate::privacy::{MaskStyle, Privacy};

const AREAS: &str = "a: 0.1,0.1 0.5,0.2 0.4,0.7; b: 0.7,0.6 1,0.6 1,1 0.7,1";

fn privacy() -> Arc<Privacy> {
    Arc::new(Privacy::new(
        Privacy::parse_masks(AREAS).unwrap(),
        MaskStyle::default(),
    ))
}

/// Frames as I420, decoded by others.
fn frames(path: &Path, (w, h): (usize, usize)) -> Vec<Vec<u8>> {
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i", path.to_str().unwrap(), "-map", "0:v"])
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-"])
        .output()
        .expect("ffmpeg is needed by this test");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout.chunks(w * h * 3 / 2).map(<[u8]>::to_vec).collect()
}

/// Share of the covered luma and chroma samples that are not black, and of the others that are.
fn shares(frame: &[u8], (w, h): (usize, usize), privacy: &Privacy) -> (f64, f64) {
    let cover = privacy.cover((w as u32, h as u32));
    let mut at = 0;
    let (mut bright, mut covered, mut dark, mut open) = (0, 0, 0, 0);
    for component in 0..3 {
        let shift = if component == 0 { (0, 0) } else { (1, 1) };
        let (cw, ch, value) = if component == 0 {
            (w, h, 16u8)
        } else {
            (w / 2, h / 2, 128)
        };
        let plane = &frame[at..at + cw * ch];
        at += cw * ch;
        let mut is_covered = vec![false; cw * ch];
        for (y, span) in cover.spans(shift) {
            is_covered[y * cw + span.start..y * cw + span.end].fill(true);
        }
        for (sample, is_covered) in plane.iter().zip(is_covered) {
            let off = sample.abs_diff(value) > 30;
            if is_covered {
                covered += 1;
                bright += i32::from(off);
            } else if component == 0 {
                open += 1;
                dark += i32::from(!off);
            }
        }
    }
    (
        f64::from(bright) / f64::from(covered),
        f64::from(dark) / f64::from(open),
    )
}

fn assert_masked(all: &[Vec<u8>], size: (usize, usize), privacy: &Privacy) {
    assert!(!all.is_empty());
    for (n, frame) in all.iter().enumerate() {
        let (bright, dark) = shares(frame, size, privacy);
        assert!(bright < 0.01, "frame {n}: {bright} of what is masked is seen");
        assert!(dark < 0.5, "frame {n}: {dark} of the rest is black");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_and_pieces_of_playlists_are_masked() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [Kind::H265B, Kind::H264B] {
        let one = segment(&encode(dir.path(), kind, 0), 0, 0);
        let parts = shown(std::slice::from_ref(&one), range_ms(400, 2500), 1_000_000_000).unwrap();
        let made = converter().export(parts, Some(privacy()), SOON).await.unwrap();
        let path = dir.path().join("masked.mp4");
        let mut file = std::fs::File::create(&path).unwrap();
        tokio::task::spawn_blocking(move || made.write_to(&mut file, |_| true))
            .await
            .unwrap()
            .unwrap();
        let all = frames(&path, (192, 144));
        assert!(all.len() > 40, "{}", all.len());
        assert_masked(&all, (192, 144), &privacy());
    }

    // With masks of now, whatever was made before.
    let one = segment(&encode(dir.path(), Kind::H265B, 1), 0, 0).with_codec(VideoCodec::H265);
    let converter = converter();
    let header = converter.header(&one).await.unwrap();
    let plain = converter.piece(&one, 0..4, None).await.unwrap();
    let masked = converter.piece(&one, 0..4, Some(privacy())).await.unwrap();
    assert_ne!(plain, masked);
    assert_eq!(
        converter.piece(&one, 0..4, None).await.unwrap(),
        plain,
        "both are remembered"
    );
    let path = dir.path().join("piece.mp4");
    std::fs::write(&path, [&header[..], &masked].concat()).unwrap();
    assert_masked(&frames(&path, (192, 144)), (192, 144), &privacy());
    std::fs::write(&path, [&header[..], &plain].concat()).unwrap();
    let (bright, _) = shares(&frames(&path, (192, 144))[0], (192, 144), &privacy());
    assert!(bright > 0.3, "without masks it is seen: {bright}");
}

/// Scaling blurs the edge of what was covered before: what lies further in has to be black.
fn inner() -> Privacy {
    let areas = "a: 0.13,0.13 0.47,0.215 0.385,0.64; b: 0.72,0.62 0.98,0.62 0.98,0.98 0.72,0.98";
    Privacy::new(Privacy::parse_masks(areas).unwrap(), MaskStyle::default())
}

/// Stills of before the masks, in a time-lapse of after.
#[test]
fn stills_in_time_lapses_are_masked() {
    let white = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "color=white:size=192x144"])
        .args(["-frames:v", "1", "-f", "image2pipe", "-c:v", "mjpeg", "-"])
        .output()
        .expect("ffmpeg is needed by this test");
    assert!(!white.stdout.is_empty());
    let size = (384, 288);
    let shown = |privacy| {
        let mut reader = PictureReader::of_jpegs(size, privacy, None).unwrap();
        let mut n = 0;
        let mut feed = || {
            n += 1;
            Ok((n <= 3).then(|| CodedFrame {
                data: white.stdout.clone(),
                pts_ns: n * 40_000_000,
                keyframe: true,
                shown: true,
            }))
        };
        let mut all = Vec::new();
        while let Some(picture) = reader.next(&mut feed, &|| false).unwrap() {
            let mut out = black(size);
            picture.copy_into(&mut out, size, (0, 0));
            all.push(out);
        }
        assert_eq!(all.len(), 3);
        all
    };
    assert_masked(&shown(Some(privacy())), (384, 288), &inner());
    let (bright, _) = shares(&shown(None)[0], (384, 288), &inner());
    assert!(bright > 0.3, "without masks it is seen: {bright}");
}

/// What merged files and time-lapses are made of, at another size than the footage.
#[test]
fn pictures_for_files_are_masked() {
    let dir = tempfile::tempdir().unwrap();
    let one = segment(&encode(dir.path(), Kind::H265B, 0), 0, 0);
    let parts = shown(&[one], range_ms(0, 1000), 1_000_000_000).unwrap();
    let mut clip = Remade::new(parts).unwrap();
    let mut part = clip.part(0).unwrap();
    let track = part.track().cloned().unwrap();
    let size = (384, 288);
    let mut reader = PictureReader::new(&coded(&track).unwrap(), size, Some(privacy()), None).unwrap();
    let mut feed = || {
        Ok(part.next()?.map(|f| CodedFrame {
            data: f.data,
            pts_ns: f.pts_ns,
            keyframe: f.keyframe,
            shown: f.shown,
        }))
    };
    let mut all = Vec::new();
    while let Some(picture) = reader.next(&mut feed, &|| false).unwrap() {
        let mut out = black(size);
        picture.copy_into(&mut out, size, (0, 0));
        all.push(out);
    }
    assert!(all.len() >= 25, "{}", all.len());
    assert_masked(&all, (384, 288), &inner());
}
