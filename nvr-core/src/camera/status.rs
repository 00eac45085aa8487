//! What a camera says of itself.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::journal::Backlog;
use super::wish::WishId;
use crate::event::{CameraPhase, Cause};
use crate::gst::{RunStats, Tap};
use crate::ids::{CameraId, RunId};
use crate::live::{Viewers, Viewing};
use crate::schedule::RecordMode;
use crate::source::Ingest;
use crate::time::Timestamp;
use crate::track::Tracks;

/// Where a camera stands and why.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CameraState {
    /// Where it stands.
    pub phase: CameraPhase,
    /// Why.
    pub cause: Cause,
    /// Since when. While a camera is down, since when it is, whichever attempt is under way.
    pub since: Timestamp,
    /// When it is tried again, while it waits for that.
    pub next_try: Option<Timestamp>,
}

/// A recording by hand.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ManualRecording {
    /// When it was asked for (the pre-roll lies before it).
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// Which client reads a camera's stream.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct IngestStatus {
    /// `lean` or `rtspsrc`.
    #[serde(rename = "client")]
    pub ingest: Ingest,
    /// Why it is not the lean one, where the configuration leaves the choice.
    pub reason: Option<String>,
}

/// Figures since the recorder started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Video frames received.
    pub frames: u64,
    /// Bytes received, video and audio.
    pub bytes_in: u64,
    /// Video frames received but not recorded though they should have been.
    pub frames_dropped: u64,
    /// Segments completed.
    pub segments: u64,
    /// Bytes of completed segments.
    pub segment_bytes: u64,
    /// Times that a connection was lost or could not be made.
    pub restarts: u64,
    /// Entries that the index never got, because it stalled for longer than they are kept. No footage is lost with
    /// them: `nvr check` finds its files.
    pub index_lost: u64,
}

/// Everything that is known of a camera now.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CameraStatus {
    /// Its id.
    pub id: CameraId,
    /// Where it stands.
    pub state: CameraState,
    /// How it is recorded now, by its configuration and schedule.
    pub mode: RecordMode,
    /// Whether frames go to a file now.
    pub recording: bool,
    /// The present run.
    pub run: Option<RunId>,
    /// What the stream carries.
    pub tracks: Option<Tracks>,
    /// How its stream is read; RTSP only, from the first connection on.
    pub ingest: Option<IngestStatus>,
    /// The recording by hand, if one is going on.
    pub manual: Option<ManualRecording>,
    /// Who wants it recorded now or in a moment, whatever its mode: by hand, bookings, detections.
    #[serde(serialize_with = "words")]
    pub wanted: Vec<WishId>,
    /// Figures.
    pub counters: Counters,
    /// Entries that wait for the index.
    pub index_waiting: u64,
    /// UTC of the newest video frame.
    pub last_frame: Option<Timestamp>,
    /// Bytes that wait for the disk.
    pub waiting_bytes: u64,
    /// Who watches its main stream.
    pub viewers: Viewers,
    /// How far its own clock was ahead of the recorder's when it was asked last, in nanoseconds; by ONVIF only.
    pub clock_ahead_ns: Option<i64>,
}

fn words<S: serde::Serializer>(wanted: &[WishId], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(wanted.iter().map(ToString::to_string))
}

/// The actor writes, handles read.
#[derive(Debug)]
pub(crate) struct StatusCell {
    state: watch::Sender<CameraState>,
    rest: Mutex<Rest>,
    id: CameraId,
    pub(crate) viewing: Arc<Viewing>,
}

#[derive(Debug, Default, Clone)]
struct Rest {
    mode: RecordMode,
    recording: bool,
    run: Option<RunId>,
    tracks: Option<Tracks>,
    ingest: Option<IngestStatus>,
    manual: Option<ManualRecording>,
    wanted: Vec<WishId>,
    done: Counters,
    now: Option<RunStats>,
    last_frame: Option<Timestamp>,
    backlog: Backlog,
}

impl StatusCell {
    pub(crate) fn new(id: CameraId, state: CameraState) -> Self {
        Self {
            state: watch::Sender::new(state),
            rest: Mutex::default(),
            viewing: Viewing::new(crate::about::camera(&id)),
            id,
        }
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<CameraState> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> CameraState {
        self.state.borrow().clone()
    }

    pub(crate) fn set_state(&self, state: CameraState) {
        let trouble = match state.phase {
            CameraPhase::Recording | CameraPhase::Standby => None,
            _ => Some(state.cause.message.clone()),
        };
        self.viewing.set_trouble(trouble);
        self.state.send_if_modified(|s| {
            let differs = *s != state;
            *s = state;
            differs
        });
    }

    pub(crate) fn tap(&self) -> Option<Tap> {
        self.viewing.tap()
    }

    pub(crate) fn set_tap(&self, tap: Option<Tap>) {
        self.viewing.set_tap(tap);
    }

    pub(crate) fn set_run(&self, run: Option<RunId>) {
        self.rest().run = run;
    }

    pub(crate) fn set_mode(&self, mode: RecordMode) {
        self.rest().mode = mode;
    }

    pub(crate) fn set_recording(&self, recording: bool) {
        self.rest().recording = recording;
    }

    pub(crate) fn recording(&self) -> bool {
        self.rest().recording
    }

    pub(crate) fn set_tracks(&self, tracks: Option<Tracks>) {
        self.viewing.set_tracks(tracks.clone());
        self.rest().tracks = tracks;
    }

    pub(crate) fn set_ingest(&self, ingest: Option<IngestStatus>) {
        self.rest().ingest = ingest;
    }

    pub(crate) fn set_manual(&self, manual: Option<ManualRecording>) {
        self.rest().manual = manual;
    }

    pub(crate) fn set_wanted(&self, wanted: Vec<WishId>) {
        self.rest().wanted = wanted;
    }

    pub(crate) fn segment_done(&self, bytes: u64) {
        let mut rest = self.rest();
        rest.done.segments += 1;
        rest.done.segment_bytes += bytes;
    }

    pub(crate) fn restarted(&self) {
        self.rest().done.restarts += 1;
    }

    pub(crate) fn dropped(&self, frames: u64) {
        self.rest().done.frames_dropped += frames;
    }

    pub(crate) fn set_backlog(&self, backlog: Backlog) {
        self.rest().backlog = backlog;
    }

    pub(crate) fn set_stats(&self, stats: RunStats, last_frame: Option<Timestamp>) {
        let mut rest = self.rest();
        rest.now = Some(stats);
        rest.last_frame = last_frame.or(rest.last_frame);
    }

    /// The run is over: its figures join the sum.
    pub(crate) fn run_over(&self) {
        let mut rest = self.rest();
        if let Some(now) = rest.now.take() {
            rest.done.frames += now.frames;
            rest.done.bytes_in += now.bytes_in;
        }
        rest.run = None;
        drop(rest);
        self.viewing.set_tap(None);
    }

    pub(crate) fn status(&self) -> CameraStatus {
        let state = self.state();
        let rest = self.rest().clone();
        let mut counters = rest.done;
        counters.index_lost = rest.backlog.lost;
        if let Some(now) = rest.now {
            counters.frames += now.frames;
            counters.bytes_in += now.bytes_in;
        }
        CameraStatus {
            clock_ahead_ns: None,
            id: self.id.clone(),
            state,
            mode: rest.mode,
            recording: rest.recording,
            run: rest.run,
            tracks: rest.tracks,
            ingest: rest.ingest,
            manual: rest.manual,
            wanted: rest.wanted,
            counters,
            index_waiting: rest.backlog.waiting,
            last_frame: rest.last_frame,
            waiting_bytes: rest.now.map_or(0, |now| now.waiting_bytes),
            viewers: self.viewing.figures(),
        }
    }
}
