//! What an embedder holds of a camera.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::onvif::OnvifSlot;
use super::status::{CameraState, CameraStatus, ManualRecording, StatusCell};
use super::sub::SubStream;
use super::supervisor::Command;
use super::wish::{Wish, WishId};
use crate::config::CameraConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Cause, CauseKind};
use crate::gst::{AccessUnit, Tap, TapReceiver};
use crate::ids::CameraId;
use crate::live::{Hls, PictureRequest, PictureViewer, StreamKind, Viewer, Viewers, Viewing};
use crate::motion::{Motion, MotionStatus};
use crate::privacy::Privacy;
use crate::track::Tracks;

/// How a recording by hand is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRequest {
    /// Its length from now on; until it is stopped when absent.
    pub duration: Option<Duration>,
    /// How much of what went before belongs to it, at most as much as the camera keeps (its `pre_roll`); all of
    /// that when absent. It begins with the keyframe at or before.
    pub pre_roll: Option<Duration>,
}

/// A camera of a running recorder. Cheap to clone; useless, but harmless, once the camera is removed.
#[derive(Clone, Debug)]
pub struct Camera {
    pub(crate) config: Arc<arc_swap::ArcSwap<CameraConfig>>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) status: Arc<StatusCell>,
    pub(crate) sub: Arc<SubStream>,
    pub(crate) motion: Arc<Motion>,
    pub(crate) onvif: Arc<OnvifSlot>,
}

impl Camera {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> CameraId {
        self.config.load().id.clone()
    }

    /// Its configuration, credentials included (they print as `***`).
    #[must_use]
    pub fn config(&self) -> Arc<CameraConfig> {
        self.config.load_full()
    }

    /// Where it stands, to be watched. Do not hold what `borrow` or `wait_for` give over an `.await`: the camera stands still
    /// meanwhile, for it cannot tell its next state.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<CameraState> {
        self.status.watch()
    }

    /// Everything that is known of it now.
    #[must_use]
    pub fn status(&self) -> CameraStatus {
        let mut status = self.status.status();
        status.clock_ahead_ns = self.onvif.clock_ahead_ns();
        status
    }

    /// Encoded frames: at once those of the present group of pictures, from its keyframe, then each as it comes.
    /// `None` while the camera sends none.
    ///
    /// So a decoder has a picture immediately, whatever the distance of keyframes; who wants to be live shows the
    /// first frames as fast as they can be decoded ([`AccessUnit::utc`] tells how old each is). Of a camera whose
    /// groups are larger than 16 MiB the beginning is not kept: there it begins at the next keyframe.
    ///
    /// Besides these, at most `capacity` frames wait for a slow reader; beyond that whole groups of pictures are
    /// left out (and counted), the recorder is never held up.
    #[must_use]
    pub fn live(&self, capacity: usize) -> Option<TapReceiver> {
        self.status
            .tap()
            .map(|tap| tap.subscribe_from(Duration::ZERO, capacity))
    }

    /// Watches a stream: its frames from the present group of pictures on, across reconnects, and for as long as the
    /// viewer lives the camera stays connected, whatever its mode. At most `capacity` frames wait for a slow viewer.
    ///
    /// A camera that is disabled or was stopped by hand sends nothing; the viewer waits.
    #[must_use]
    pub fn watch(&self, stream: StreamKind, capacity: usize) -> Viewer {
        Viewer::new(self.viewing(stream), capacity)
    }

    /// Watches a stream as JPEG pictures of a size, decoded once for all who want that size.
    ///
    /// # Errors
    /// `Busy` when pictures of as many sizes as allowed are being made.
    pub fn watch_pictures(&self, stream: StreamKind, request: PictureRequest) -> Result<PictureViewer> {
        PictureViewer::new(self.viewing(stream), request)
    }

    /// A stream as LL-HLS, made for all who ask and only while somebody does.
    #[must_use]
    pub fn hls(&self, stream: StreamKind) -> Hls {
        Hls::open(self.viewing(stream), self.stream(stream).as_str())
    }

    /// The stream that is shown when this one is asked for: the sub stream only where there is one.
    #[must_use]
    pub fn stream(&self, wanted: StreamKind) -> StreamKind {
        if self.config.load().sub.is_some() {
            wanted
        } else {
            StreamKind::Main
        }
    }

    /// What a stream carries, from its first connection on.
    #[must_use]
    pub fn tracks(&self, stream: StreamKind) -> Option<Tracks> {
        self.viewing(stream).tracks()
    }

    /// Who watches a stream.
    #[must_use]
    pub fn viewers(&self, stream: StreamKind) -> Viewers {
        self.viewing(stream).figures()
    }

    /// How much moves in its pictures, if that is looked for.
    #[must_use]
    pub fn motion(&self) -> MotionStatus {
        self.motion.status()
    }

    fn viewing(&self, stream: StreamKind) -> &Arc<Viewing> {
        match self.stream(stream) {
            StreamKind::Main => &self.status.viewing,
            StreamKind::Sub => &self.sub.viewing,
        }
    }

    /// The newest keyframe, for a picture of now; `None` while the camera sends none.
    #[must_use]
    pub fn latest_keyframe(&self) -> Option<AccessUnit> {
        self.tap().and_then(|tap| tap.keyframe())
    }

    pub(crate) fn tap(&self) -> Option<Tap> {
        self.status.tap()
    }

    /// Masks of its live pictures from now on.
    pub(crate) fn set_privacy(&self, privacy: &Privacy) {
        self.status.viewing.set_privacy(privacy);
        self.sub.viewing.set_privacy(privacy);
    }

    pub(crate) fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).map_err(|_| self.gone())
    }

    fn gone(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("camera {} was removed", self.id()))
    }

    /// Connects (and records, if its mode says so) until it is stopped.
    ///
    /// # Errors
    /// `NotFound` when the camera was removed.
    pub fn start(&self) -> Result<()> {
        self.send(Command::Start(Cause::new(
            CauseKind::Requested,
            "started by hand",
        )))
    }

    /// Closes the segment and disconnects until it is started again, or the recorder is.
    ///
    /// # Errors
    /// `NotFound` when the camera was removed.
    pub fn stop(&self) -> Result<()> {
        self.send(Command::Stop(Cause::new(CauseKind::Requested, "stopped by hand")))
    }

    /// Connects anew at once, also while it waits for its next try.
    ///
    /// # Errors
    /// `NotFound` when the camera was removed.
    pub fn restart(&self) -> Result<()> {
        self.send(Command::Restart(Cause::new(
            CauseKind::Requested,
            "restarted by hand",
        )))
    }

    /// Begins a new segment at the next keyframe.
    ///
    /// # Errors
    /// `NotFound` when the camera was removed.
    pub fn split(&self) -> Result<()> {
        self.send(Command::Split)
    }

    /// Records from now (less the pre-roll) for so long, or until [`stop_recording`](Self::stop_recording).
    /// Asked again while it records, the newest wish counts.
    ///
    /// # Errors
    /// `Conflict` when its mode is not manual, `Busy` at the limit of such recordings, `Unavailable` while
    /// it sends no frames.
    pub async fn record(&self, duration: Option<Duration>) -> Result<ManualRecording> {
        self.record_as(RecordRequest {
            duration,
            pre_roll: None,
        })
        .await
    }

    /// As [`record`](Self::record), with more to choose.
    ///
    /// # Errors
    /// As there, and `InvalidArgument` for a pre-roll longer than what the camera keeps.
    pub async fn record_as(&self, request: RecordRequest) -> Result<ManualRecording> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Record { request, reply })?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Ends a recording by hand; its last segment is closed in order.
    ///
    /// # Errors
    /// `Conflict` when none is going on.
    pub async fn stop_recording(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::StopRecording { reply })?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Has it recorded while the wish holds, whatever its mode: in continuous mode its footage is there anyway, else a
    /// session reads along with its stream, one for all who want it. It connects for that, is recorded again after each
    /// interruption, and goes on until the last wish is over. Wanted again by the same one, the newest version counts.
    ///
    /// A camera that is disabled or stopped by hand is not connected for a wish; wishes do not outlive the recorder.
    /// A [`WishId::Hand`] is better asked for by [`record`](Self::record), which holds to the limits of such recordings.
    ///
    /// # Errors
    /// `NotFound` when the camera was removed.
    pub fn want(&self, wish: Wish) -> Result<()> {
        self.send(Command::Want(wish))
    }

    /// Takes a wish back; one that is not there is none.
    ///
    /// # Errors
    /// `NotFound` when the camera was removed.
    pub fn unwant(&self, id: WishId) -> Result<()> {
        self.send(Command::Unwant(id))
    }
}
