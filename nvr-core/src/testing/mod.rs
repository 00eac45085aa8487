//! Material for tests and benches (feature `test-util`): a clock to turn, an index with many rows, bodies of fuzz targets, a
//! network that finds what is bright.

mod clock;
#[cfg(feature = "onnx")]
pub(crate) mod onnx;

use std::path::PathBuf;

use crate::error::Result;
use crate::ids::{CameraId, RunId};
use crate::run::Anchor;
use crate::segment::{ClosedSegment, Container, SegmentStart};
use crate::store::Store;
use crate::time::{NS_PER_S, TimeRange, Timestamp};
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

pub use crate::rtsp::{
    exercise_client as rtsp_client, exercise_packets as rtsp_packets, exercise_sdp as rtsp_sdp,
    seeds as rtsp_seeds,
};
pub use clock::ManualClock;
#[cfg(feature = "onnx")]
pub use onnx::{BRIGHT_LABEL, BRIGHT_SIZE, bright_model};

/// Segments of this length are entered by [`synthetic_index`].
pub const SYNTHETIC_SEGMENT_NS: i64 = 900 * NS_PER_S;
/// Rows of one transaction.
const BATCH: usize = 1000;

/// Enters `segments` rows for each camera into an index, the last of them ending at `end`: 15 minutes each, a
/// new run and a noted gap of a minute every 100 segments. The files do not exist. Blocking.
///
/// # Errors
/// `Storage` when the index cannot be written.
pub fn synthetic_index(store: &Store, cameras: &[CameraId], segments: u32, end: Timestamp) -> Result<()> {
    const GAP_NS: i64 = 60 * NS_PER_S;
    let cause = crate::event::Cause::new(crate::event::CauseKind::Unreachable, "nobody answers");
    for camera in cameras {
        let mut batch = Vec::with_capacity(BATCH);
        let mut run = RunId::random();
        for n in 0..segments {
            let start = end.add_ns(-i64::from(segments - n) * SYNTHETIC_SEGMENT_NS);
            if n % 100 == 0 {
                run = RunId::random();
            }
            let mut segment = segment(camera, run, n, start);
            if n % 100 == 99 {
                segment.duration_ns -= GAP_NS;
                let lost = TimeRange::new(segment.range().end(), start.add_ns(SYNTHETIC_SEGMENT_NS))?;
                store.insert_gap_blocking(camera, lost, &cause)?;
            }
            batch.push(segment);
            if batch.len() == BATCH || n + 1 == segments {
                store.insert_segments_blocking(std::mem::take(&mut batch))?;
            }
        }
    }
    Ok(())
}

fn segment(camera: &CameraId, run: RunId, n: u32, start: Timestamp) -> ClosedSegment {
    ClosedSegment {
        start: SegmentStart {
            camera: camera.clone(),
            run,
            sequence: n % 100,
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
                    width: 1920,
                    height: 1080,
                    frame_rate: Some(25.0),
                },
                audio: Some(AudioTrack {
                    codec: AudioCodec::Aac,
                    sample_rate: 48_000,
                    channels: 1,
                }),
            },
            masks: None,
            from_card: false,
        },
        path: PathBuf::from(format!("{camera}/synthetic/{n:08}-{run}.mp4")),
        duration_ns: SYNTHETIC_SEGMENT_NS,
        size_bytes: 450_000_000,
        fragments: Vec::new(),
        hash: None,
        recovered: false,
    }
}

/// Notes that a target, on which nothing waits, has a copy of a segment.
#[cfg(test)]
pub(crate) fn note_copy(store: &Store, row: &crate::store::SegmentRow, target: &str) {
    use crate::store::{NewUpload, UploadedCopy};
    let (segment, target, now) = (row.id, target.to_owned(), row.end());
    store
        .set_upload_targets_blocking(vec![(target.clone(), false)])
        .unwrap();
    let new = NewUpload {
        segment,
        target: target.clone(),
        key: "key".into(),
        required: false,
        by_hand: true,
    };
    store.enter_uploads_blocking(Vec::new(), vec![new], now).unwrap();
    let copy = UploadedCopy {
        segment,
        target,
        size_bytes: row.size_bytes,
        hash: row.hash.unwrap(),
        etag: None,
    };
    store.upload_done_blocking(copy, now).unwrap();
}
