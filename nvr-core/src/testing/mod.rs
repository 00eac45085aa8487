//! Material for tests and benches (feature `test-util`): a clock to turn, an index with many rows, bodies of fuzz targets, a
//! network that finds what is bright.

mod clock;
#[cfg(feature = "onnx")]
pub(crate) mod onnx;

use std::path::PathBuf;
use std::time::Duration;

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

/// Lengths of segments of which one has no boundary near, whatever the hour.
const LONG_H: [i64; 5] = [24, 23, 19, 17, 13];

/// A length of segments that lets a test have one segment: the next of its boundaries, which are multiples of the
/// length, is an hour away or more (for the next hundred years).
#[must_use]
pub fn undivided(now: Timestamp) -> Duration {
    let left_ns = |hours: &i64| {
        let length_ns = hours * 3600 * NS_PER_S;
        length_ns - now.as_ns().rem_euclid(length_ns)
    };
    let hours = LONG_H.into_iter().max_by_key(left_ns).unwrap_or(LONG_H[0]);
    Duration::from_secs(hours.unsigned_abs() * 3600)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_never_near() {
        let length_ns = |now| crate::time::duration_ns(undivided(now));
        // Every hour from 2020 on, for a hundred years, and just before it.
        for hour in 438_288..438_288 + 24 * 365 * 100 {
            for early_ns in [0, 1] {
                let now = Timestamp::from_ns(hour * 3600 * NS_PER_S - early_ns);
                let left_ns = length_ns(now) - now.as_ns().rem_euclid(length_ns(now));
                assert!(left_ns >= 3600 * NS_PER_S, "{now:?}");
            }
        }
    }
}
