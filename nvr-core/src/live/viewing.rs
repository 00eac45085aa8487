//! One stream as those who watch it share it: how many they are, and where frames come from now.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::hls::Feeds;
use super::pictures::Pictures;
use crate::gst::Tap;
use crate::privacy::Privacy;
use crate::track::Tracks;

/// Figures of those who watch a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Viewers {
    /// How many watch now.
    pub now: usize,
    /// How many came since the recorder started.
    pub total: u64,
    /// Video frames that viewers lost by being slow, all together.
    pub frames_lost: u64,
}

/// Whoever connects the camera writes, viewers read.
#[derive(Debug)]
pub(crate) struct Viewing {
    watching: AtomicUsize,
    /// Parts of the recorder that need the stream; they count as no viewers.
    kept: AtomicUsize,
    total: AtomicU64,
    lost: AtomicU64,
    asked: Notify,
    tap: watch::Sender<Option<Tap>>,
    about: Mutex<About>,
    /// What nobody is to see of it.
    privacy: ArcSwapOption<Privacy>,
    gone: CancellationToken,
    /// Of the camera.
    span: Span,
    pub(super) pictures: Pictures,
    pub(super) hls: Feeds,
}

#[derive(Debug, Default)]
struct About {
    tracks: Option<Tracks>,
    trouble: Option<String>,
}

impl Viewing {
    pub(crate) fn new(span: Span) -> Arc<Self> {
        Arc::new(Self {
            span,
            watching: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            asked: Notify::new(),
            tap: watch::Sender::new(None),
            about: Mutex::default(),
            privacy: ArcSwapOption::empty(),
            gone: CancellationToken::new(),
            pictures: Pictures::default(),
            hls: Feeds::default(),
        })
    }

    /// What is done for viewers is logged as about the camera.
    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// Masks of the camera from now on.
    pub(crate) fn set_privacy(&self, privacy: &Privacy) {
        let masks = privacy.is_on().then(|| Arc::new(privacy.clone()));
        self.privacy.store(masks);
    }

    /// What nobody is to see of it; `None` when all may be seen.
    pub(super) fn privacy(&self) -> Option<Arc<Privacy>> {
        self.privacy.load_full()
    }

    fn about(&self) -> std::sync::MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins those who watch, until the result is dropped.
    pub(super) fn join(self: &Arc<Self>) -> Watching {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.watching.fetch_add(1, Ordering::SeqCst);
        self.asked.notify_one();
        Watching(Arc::clone(self))
    }

    /// Keeps the stream connected for a part of the recorder, until the result is dropped.
    pub(crate) fn keep(self: &Arc<Self>) -> Kept {
        self.kept.fetch_add(1, Ordering::SeqCst);
        self.asked.notify_one();
        Kept(Arc::clone(self))
    }

    /// Nothing will come any more: the camera was removed, or the recorder stops.
    pub(crate) fn close(&self) {
        self.set_tap(None);
        self.gone.cancel();
    }

    /// When that is so. Cancel-safe.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Whether anybody watches, or a part of the recorder needs it.
    pub(crate) fn is_watched(&self) -> bool {
        self.watching.load(Ordering::SeqCst) > 0 || self.kept.load(Ordering::SeqCst) > 0
    }

    /// Somebody came. One who came before this was asked is not forgotten. Cancel-safe.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    pub(crate) fn figures(&self) -> Viewers {
        Viewers {
            now: self.watching.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            frames_lost: self.lost.load(Ordering::Relaxed),
        }
    }

    pub(super) fn add_lost(&self, frames: u64) {
        self.lost.fetch_add(frames, Ordering::Relaxed);
    }

    pub(crate) fn tap(&self) -> Option<Tap> {
        self.tap.borrow().clone()
    }

    pub(crate) fn set_tap(&self, tap: Option<Tap>) {
        self.tap.send_replace(tap);
    }

    pub(crate) fn taps(&self) -> watch::Receiver<Option<Tap>> {
        self.tap.subscribe()
    }

    pub(crate) fn tracks(&self) -> Option<Tracks> {
        self.about().tracks.clone()
    }

    pub(crate) fn set_tracks(&self, tracks: Option<Tracks>) {
        self.about().tracks = tracks;
    }

    /// Why there are no frames, for those who wait for them.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.about().trouble.clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        self.about().trouble = trouble;
    }
}

/// That a part of the recorder needs a stream.
#[derive(Debug)]
pub(crate) struct Kept(Arc<Viewing>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One who watches.
#[derive(Debug)]
pub(super) struct Watching(pub(super) Arc<Viewing>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watching.fetch_sub(1, Ordering::SeqCst);
    }
}
