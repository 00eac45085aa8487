//! JPEG pictures of a live stream: decoded once for each size, however many look.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::viewer::{Live, Viewer};
use super::viewing::Viewing;
use crate::error::{Error, ErrorKind, Result};
use crate::gst::{OnPicture, PictureStream};
use crate::time::Timestamp;

/// Sizes of one stream that are decoded at once.
const SIZES: usize = 4;
/// Widths are rounded up to a multiple of this, so that many viewers share a decoder.
const STEP: u32 = 32;
/// Frames that wait for a decoder.
const CAPACITY: usize = 60;
/// How long a decoder that failed is left alone.
const RETRY: Duration = Duration::from_secs(2);

/// What a viewer wants.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PictureRequest {
    /// Width in pixels (16 to 1920, rounded up to a multiple of 32); the aspect is kept.
    pub width: u32,
    /// Most pictures a second (0.1 to 30).
    pub fps: f64,
}

impl PictureRequest {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `InvalidArgument` outside of them.
    pub fn new(width: u32, fps: f64) -> Result<Self> {
        if !(16..=1920).contains(&width) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("width {width} is not from 16 to 1920"),
            ));
        }
        if !(0.1..=30.0).contains(&fps) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("fps {fps} is not from 0.1 to 30"),
            ));
        }
        Ok(Self { width, fps })
    }
}

/// A picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LivePicture {
    /// Counts the pictures of this size since its decoding began.
    pub number: u64,
    /// When it was taken.
    pub utc: Timestamp,
    /// The JPEG.
    pub jpeg: Bytes,
}

/// The sizes that are being decoded.
#[derive(Debug, Default)]
pub(super) struct Pictures(Mutex<HashMap<u32, Weak<Feed>>>);

#[derive(Debug)]
struct Feed {
    latest: watch::Receiver<Option<Arc<LivePicture>>>,
    /// Hundredths of pictures a second: the most that a viewer wants.
    fps: Arc<AtomicU32>,
    wanted: Mutex<Vec<u32>>,
    task: JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed {
    fn new(viewing: &Arc<Viewing>, width: u32) -> Arc<Self> {
        let (tx, latest) = watch::channel(None);
        let fps = Arc::new(AtomicU32::new(100));
        let viewer = Viewer::new(viewing, CAPACITY);
        let task = tokio::spawn(
            decode(viewer, width, Arc::clone(viewing), Arc::clone(&fps), tx)
                .instrument(viewing.span().clone()),
        );
        Arc::new(Self {
            latest,
            fps,
            wanted: Mutex::default(),
            task,
        })
    }

    fn want(&self, old: Option<u32>, new: Option<u32>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = old.and_then(|old| wanted.iter().position(|w| *w == old)) {
            wanted.swap_remove(at);
        }
        wanted.extend(new);
        self.fps
            .store(wanted.iter().copied().max().unwrap_or(100), Ordering::Relaxed);
    }
}

async fn decode(
    mut viewer: Viewer,
    width: u32,
    viewing: Arc<Viewing>,
    fps: Arc<AtomicU32>,
    tx: watch::Sender<Option<Arc<LivePicture>>>,
) {
    let tx = Arc::new(tx);
    let number = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut stream: Option<PictureStream> = None;
    let mut masked = viewing.privacy();
    while let Some(live) = viewer.next().await {
        let Live::Frame(unit) = live else { continue };
        let privacy = viewing.privacy();
        if privacy != masked {
            // Nothing more without the new masks: it begins again at the next keyframe.
            masked = privacy;
            let old = stream.take();
            let _ = tokio::task::spawn_blocking(move || drop(old)).await;
        }
        let fits = stream.as_ref().is_some_and(|s| !unit.keyframe() || s.fits(&unit));
        if unit.track() == crate::gst::UnitTrack::Video && unit.keyframe() && !fits {
            let (tx, number) = (Arc::clone(&tx), Arc::clone(&number));
            let on_picture: OnPicture = Arc::new(move |utc, jpeg| {
                let number = number.fetch_add(1, Ordering::Relaxed);
                tx.send_replace(Some(Arc::new(LivePicture {
                    number,
                    utc,
                    jpeg: jpeg.into(),
                })));
            });
            let (first, fps, old) = (unit.clone(), Arc::clone(&fps), stream.take());
            let (span, privacy) = (tracing::Span::current(), masked.clone());
            let started = tokio::task::spawn_blocking(move || {
                drop(old);
                span.in_scope(|| PictureStream::start(&first, width, fps, privacy, on_picture))
            })
            .await;
            match started {
                Ok(Ok(new)) => stream = Some(new),
                Ok(Err(e)) => tracing::warn!(error = %e, "no pictures of a live stream"),
                Err(_) => return,
            }
            if stream.is_none() {
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        if let Some(decoder) = &mut stream
            && let Err(e) = decoder.push(&unit)
        {
            tracing::warn!(error = %e, "decoding a live stream ended, and begins again");
            stream = None;
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Sees the pictures of a stream: always the newest, at the rate that it asked for.
#[derive(Debug)]
pub struct PictureViewer {
    viewing: Arc<Viewing>,
    feed: Arc<Feed>,
    latest: watch::Receiver<Option<Arc<LivePicture>>>,
    request: PictureRequest,
    last: Option<Timestamp>,
}

fn hundredths(fps: f64) -> u32 {
    (fps * 100.0) as u32
}

impl PictureViewer {
    pub(crate) fn new(viewing: &Arc<Viewing>, request: PictureRequest) -> Result<Self> {
        let feed = feed_of(viewing, request.width)?;
        feed.want(None, Some(hundredths(request.fps)));
        let mut latest = feed.latest.clone();
        latest.mark_changed();
        Ok(Self {
            viewing: Arc::clone(viewing),
            latest,
            feed,
            request,
            last: None,
        })
    }

    /// Other wishes.
    ///
    /// # Errors
    /// `Busy` when as many sizes as allowed are looked at; the old wishes stay.
    pub fn change(&mut self, request: PictureRequest) -> Result<()> {
        if request.width == self.request.width {
            self.feed
                .want(Some(hundredths(self.request.fps)), Some(hundredths(request.fps)));
        } else {
            let feed = feed_of(&self.viewing, request.width)?;
            feed.want(None, Some(hundredths(request.fps)));
            self.feed.want(Some(hundredths(self.request.fps)), None);
            self.latest = feed.latest.clone();
            self.latest.mark_changed();
            self.feed = feed;
        }
        self.request = request;
        Ok(())
    }

    /// The newest picture that this viewer has not seen; `None` when the camera was removed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<LivePicture>> {
        loop {
            self.latest.changed().await.ok()?;
            let Some(picture) = self.latest.borrow_and_update().clone() else {
                continue;
            };
            let least = (1e9 / self.request.fps) as i64;
            let early = self
                .last
                .is_some_and(|last| (0..least - least / 8).contains(&picture.utc.since(last)));
            if !early {
                self.last = Some(picture.utc);
                return Some(picture);
            }
        }
    }

    /// Why there are no pictures, for people.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.viewing.trouble()
    }
}

impl Drop for PictureViewer {
    fn drop(&mut self) {
        self.feed.want(Some(hundredths(self.request.fps)), None);
    }
}

fn feed_of(viewing: &Arc<Viewing>, width: u32) -> Result<Arc<Feed>> {
    let width = width.div_ceil(STEP) * STEP;
    let mut sizes = viewing.pictures.0.lock().unwrap_or_else(PoisonError::into_inner);
    sizes.retain(|_, feed| feed.strong_count() > 0);
    if let Some(feed) = sizes.get(&width).and_then(Weak::upgrade) {
        return Ok(feed);
    }
    if sizes.len() >= SIZES {
        return Err(Error::new(
            ErrorKind::Busy,
            format!("pictures of {SIZES} sizes of this camera are being made, which is the most"),
        )
        .with_hint("ask for a width that others look at, or without one"));
    }
    let feed = Feed::new(viewing, width);
    sizes.insert(width, Arc::downgrade(&feed));
    Ok(feed)
}
