//! Days of frames in seconds: the recorder and its writer, fed as fast as they take it.

use std::sync::Arc;
use std::time::Duration;

use super::harness::until;
use super::slow_disk::stream;
use crate::gst::record::Recorder;
use crate::gst::tap::StreamInfo;
use crate::gst::writer::WriterNews;
use crate::gst::{AccessUnit, RecordSpec, UnitTrack};
use crate::ids::{CameraId, RunId};
use crate::run::{Anchor, RunClock};
use crate::segment::{ClosedSegment, Container, SegmentFiles};
use crate::time::Timestamp;

/// More than that the writer is never behind.
const MOST_WAITING: u64 = 256 << 10;
const FRAME_BYTES: usize = 200;

/// A recorder that is handed frames with any times one likes.
pub(crate) struct Days {
    recorder: Recorder,
    info: Arc<StreamInfo>,
    memory: gst::Memory,
    utc: Timestamp,
}

impl Days {
    /// Segments of a length go to `files`, and to `closed` when they are complete. Running time 0 is `utc`.
    pub(crate) fn new(
        files: Arc<dyn SegmentFiles>,
        segment: Duration,
        utc: Timestamp,
        closed: impl Fn(ClosedSegment) + Send + Sync + 'static,
    ) -> Self {
        crate::gst::init().unwrap();
        let anchor = Anchor {
            utc,
            steady_ns: 0,
            running_ns: 0,
        };
        let spec = RecordSpec {
            segment,
            chunk: Duration::from_millis(250),
            container: Container::Fmp4,
            files,
        };
        let recorder = Recorder::new(
            CameraId::new("cam").unwrap(),
            spec,
            Arc::new(RunClock::new(RunId::from_u64(1), anchor)),
            false,
            Arc::new(move |news| match news {
                WriterNews::Opened(..) => {}
                WriterNews::Closed(segment) => closed(*segment),
                WriterNews::Failed(cause) => panic!("{cause:?}"),
            }),
            Box::new(|news| panic!("{news:?}")),
        );
        Self {
            recorder,
            info: stream(),
            memory: gst::Memory::from_slice(vec![0u8; FRAME_BYTES]),
            utc,
        }
    }

    /// One frame.
    pub(crate) fn frame(&mut self, pts_ns: i64, keyframe: bool) {
        let mut buffer = gst::Buffer::new();
        buffer.get_mut().unwrap().append_memory(self.memory.clone());
        let unit = AccessUnit {
            buffer,
            info: self.info.clone(),
            track: UnitTrack::Video,
            keyframe,
            pts_ns,
            dts_ns: pts_ns,
            duration: None,
            utc: self.utc.add_ns(pts_ns),
        };
        self.recorder.video(&unit, pts_ns);
        if keyframe {
            let recorder = &self.recorder;
            until("the writer", || {
                (recorder.waiting_bytes() < MOST_WAITING).then_some(())
            });
        }
    }

    /// A new segment at the next keyframe.
    pub(crate) fn split(&mut self) {
        self.recorder.split();
    }

    /// Completes the last segment.
    pub(crate) fn finish(self) {
        assert!(self.recorder.finish(Duration::from_secs(20)));
    }
}

/// Video frames in the whole chunks of a file.
pub(crate) fn frames_of(file: &[u8]) -> usize {
    super::feeding::frames_of(file)
}
