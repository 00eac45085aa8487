//! LL-HLS of a live stream: made while somebody asks for it, once for all who do, in memory only.

mod window;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::window::{Found, Window};
use super::fmp4::Packager;
use super::viewer::{Live, Viewer};
use super::viewing::Viewing;
use crate::error::{Error, ErrorKind, Result};

/// A stream that nobody asked for in one to two of these is not made any more.
const IDLE: Duration = Duration::from_secs(15);
/// How long a request waits for what is not there yet.
const WAIT: Duration = Duration::from_secs(10);
const CAPACITY: usize = 300;

/// The stream of a camera, while somebody asks for it.
#[derive(Debug, Default)]
pub(super) struct Feeds(Mutex<Option<Arc<Feed>>>);

#[derive(Debug)]
struct Feed {
    window: Mutex<Window>,
    news: watch::Sender<u64>,
    asked: AtomicU64,
    task: Mutex<Option<JoinHandle<()>>>,
    over: std::sync::atomic::AtomicBool,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

/// A handle to ask with.
#[derive(Debug, Clone)]
pub struct Hls {
    feed: Arc<Feed>,
    viewing: Arc<Viewing>,
}

impl Hls {
    /// Begins to make it unless that goes on already. `name` begins the names of its files.
    pub(crate) fn open(viewing: &Arc<Viewing>, name: &str) -> Self {
        let mut feeds = viewing.hls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.as_ref().filter(|f| !f.over.load(Ordering::SeqCst)) {
            feed.asked.fetch_add(1, Ordering::SeqCst);
            return Self {
                feed: Arc::clone(feed),
                viewing: Arc::clone(viewing),
            };
        }
        // A number of its own, so that no cache takes its files for those of another time.
        let prefix = format!("{name}-{:08x}-", rand::random::<u32>());
        let mut window = Window::new(prefix);
        window.begin_at_once();
        let feed = Arc::new(Feed {
            window: Mutex::new(window),
            news: watch::Sender::new(0),
            asked: AtomicU64::new(1),
            task: Mutex::default(),
            over: std::sync::atomic::AtomicBool::new(false),
        });
        let viewer = Viewer::new(viewing, CAPACITY);
        let task = tokio::spawn(make(Arc::downgrade(&feed), viewer));
        *feed.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        *feeds = Some(Arc::clone(&feed));
        Self {
            feed,
            viewing: Arc::clone(viewing),
        }
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.feed.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The playlist, when it has the segment (and part) of these numbers; the present one without. `folder` is put
    /// before the names of files.
    ///
    /// # Errors
    /// `InvalidArgument` for a segment that is far from being made, `Unavailable` when the camera sends nothing.
    pub async fn playlist(&self, wanted: Option<(u64, Option<u64>)>, folder: &str) -> Result<String> {
        let ready = |w: &Window| match wanted {
            _ if !w.is_ready() => Found::NotYet,
            Some((number, part)) => w.has(number, part),
            None => Found::Here(Bytes::new()),
        };
        match self.when(ready).await? {
            Some(_) => Ok(self.window().playlist(folder)),
            None => Err(Error::new(
                ErrorKind::InvalidArgument,
                "a segment that is far from being made",
            )),
        }
    }

    /// A file that the playlist names, also the one that it hints at: the answer comes when it is there.
    ///
    /// # Errors
    /// `NotFound` when it is gone, `Unavailable` when the camera sends nothing.
    pub async fn file(&self, name: &str) -> Result<Bytes> {
        self.when(|w| w.file(name))
            .await?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "this part of the live stream is gone"))
    }

    /// Waits until something is there; `None` when it never will be.
    async fn when(&self, ask: impl Fn(&Window) -> Found) -> Result<Option<Bytes>> {
        let mut news = self.feed.news.subscribe();
        let wait = async {
            loop {
                let found = ask(&self.window());
                match found {
                    Found::Here(bytes) => return Some(bytes),
                    Found::Gone => return None,
                    Found::NotYet => {}
                }
                if news.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(WAIT, wait).await.map_err(|_| {
            let why = self
                .viewing
                .trouble()
                .unwrap_or_else(|| "the camera sends no frames".to_owned());
            Error::new(ErrorKind::Unavailable, why)
        })
    }
}

async fn make(feed: std::sync::Weak<Feed>, mut viewer: Viewer) {
    let mut packager: Option<Packager> = None;
    let mut look = tokio::time::interval(IDLE);
    look.tick().await;
    let mut asked_before = 0;
    loop {
        let live = tokio::select! {
            live = viewer.next() => live,
            _ = look.tick() => {
                let Some(feed) = feed.upgrade() else { return };
                let asked = feed.asked.load(Ordering::SeqCst);
                if asked == asked_before {
                    feed.over.store(true, Ordering::SeqCst);
                    break;
                }
                asked_before = asked;
                continue;
            }
        };
        let Some(feed) = feed.upgrade() else { return };
        let mut window = feed.window.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match live {
            None => {
                feed.over.store(true, Ordering::SeqCst);
                return;
            }
            Some(Live::Begin) => {
                packager = Some(Packager::new(true, viewer.audio().as_ref()));
                window.interrupt();
                false
            }
            // Its times go on where they were: the frames left out are no part of them.
            Some(Live::Lost(_)) => false,
            Some(Live::Frame(unit)) => {
                let packets = packager.as_mut().map(|p| p.push(&unit)).unwrap_or_default();
                packets
                    .into_iter()
                    .fold(false, |news, packet| window.push(packet) | news)
            }
        };
        drop(window);
        if news {
            feed.news.send_modify(|n| *n += 1);
        }
    }
    // What was made is not kept for nobody.
    if let Some(feed) = feed.upgrade() {
        let mut feeds = viewer_feeds(&viewer);
        if feeds.as_ref().is_some_and(|f| Arc::ptr_eq(f, &feed)) {
            *feeds = None;
        }
    }
}

fn viewer_feeds(viewer: &Viewer) -> std::sync::MutexGuard<'_, Option<Arc<Feed>>> {
    viewer
        .viewing()
        .hls
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}
