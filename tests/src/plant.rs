//! Segments that were never recorded, for those who copy them.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::PathBuf;

use nvr_core::config::Config;
use nvr_core::files::SegmentName;
use nvr_core::run::Anchor;
use nvr_core::segment::{ClosedSegment, Container, SegmentStart};
use nvr_core::store::{Store, UploadState};
use nvr_core::track::{Tracks, VideoCodec, VideoTrack};
use nvr_core::{CameraId, RunId, SegmentId, Timestamp};

use crate::rig::{CAM, LIMIT, Rig};
use crate::s3::S3;
use crate::wait;

/// Bytes that no two parts have in common.
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_derive_key("test")
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

/// When the `n`th begins.
///
/// # Panics
/// Never.
#[must_use]
pub fn start_of(n: i64) -> Timestamp {
    let first: Timestamp = "2026-05-04T03:00:00Z".parse().unwrap();
    first + std::time::Duration::from_secs(60 * n.unsigned_abs())
}

/// A segment of [`CAM`] as if it had been recorded. What is in it is all the same to those who copy it.
///
/// # Panics
/// When it cannot be.
pub fn plant(config: &Config, store: &Store, n: i64, content: &[u8]) -> SegmentId {
    let segment = planted(config, CAM, n, content);
    let path = segment.path.clone();
    std::thread::scope(|s| {
        s.spawn(|| store.close_segment_blocking(&path, &segment).unwrap())
            .join()
            .unwrap()
    })
}

/// The file of such a segment of a camera, which no index knows yet.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn planted(config: &Config, camera: &str, n: i64, content: &[u8]) -> ClosedSegment {
    let camera = CameraId::new(camera).unwrap();
    let (start, run) = (start_of(n), RunId::from_u64(7));
    let path = PathBuf::from(format!(
        "{camera}/{}-{run}.mp4",
        start.to_jiff().strftime("%Y-%m-%d/%H-%M-%S.000Z")
    ));
    assert!(SegmentName::parse(&path).is_some(), "{path:?}");
    let absolute = config.recorder.root.join(&path);
    std::fs::create_dir_all(absolute.parent().unwrap()).unwrap();
    std::fs::write(&absolute, content).unwrap();
    ClosedSegment {
        start: SegmentStart {
            camera,
            run,
            sequence: u32::try_from(n).unwrap(),
            anchor: Anchor {
                utc: start,
                steady_ns: 0,
                running_ns: 0,
            },
            start,
            camera_start: None,
            container: Container::Fmp4,
            tracks: Tracks {
                video: VideoTrack {
                    codec: VideoCodec::H264,
                    width: 640,
                    height: 360,
                    frame_rate: None,
                },
                audio: None,
            },
            masks: None,
            from_card: false,
        },
        path,
        duration_ns: 60_000_000_000,
        size_bytes: content.len() as u64,
        fragments: Vec::new(),
        hash: Some(*blake3::hash(content).as_bytes()),
        recovered: false,
    }
}

/// The name of its copy.
#[must_use]
pub fn key(n: i64) -> String {
    format!(
        "cctv/{CAM}/2026-05-04/{}.mp4",
        start_of(n).to_jiff().strftime("%H-%M-%S")
    )
}

/// Waits until all of them have their copies.
///
/// # Panics
/// When they do not come.
pub async fn until_done(rig: &Rig, ids: &[SegmentId]) {
    wait::until_async("the uploads", LIMIT, || async {
        for id in ids {
            let all = rig.nvr().uploads().of_segment(*id).await.unwrap();
            if all.is_empty() || all.iter().any(|u| u.state != UploadState::Done) {
                return None;
            }
        }
        Some(())
    })
    .await
    .unwrap();
}

/// The copy is there, whole, and says so itself.
///
/// # Panics
/// When it is not.
pub async fn assert_there(s3: &S3, n: i64, content: &[u8]) {
    let (there, hash) = s3.object(&key(n)).await.unwrap().expect("an object");
    assert!(there == content, "{} bytes of {}", there.len(), content.len());
    assert_eq!(hash, blake3::hash(content).to_hex().to_string());
}
