//! LL-HLS of a live stream: made while somebody asks for it, once for all who do, in memory only.

mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

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
pub(super) struct Feeds(Mutex<Option<Open>>);

/// The present feed, and how often it was asked for. Both change together, so that nobody is given one that is ending.
#[derive(Debug)]
struct Open {
    feed: Arc<Feed>,
    asked: u64,
}

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a feed out that was asked for no more than `before` times; otherwise says how often it was.
    fn retire(&self, feed: &Arc<Feed>, before: u64) -> Option<u64> {
        let mut open = self.lock();
        match open.as_ref().filter(|o| Arc::ptr_eq(&o.feed, feed)) {
            Some(o) if o.asked > before => Some(o.asked),
            Some(_) => {
                *open = None;
                None
            }
            None => None,
        }
    }

    /// Takes a feed out, however often it was asked for.
    fn remove(&self, feed: &Arc<Feed>) {
        self.retire(feed, u64::MAX);
    }
}

#[derive(Debug)]
struct Feed {
    window: Mutex<Window>,
    /// Changes with what can be asked for; true once nothing comes any more.
    news: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
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
        let mut open = viewing.hls.lock();
        if let Some(open) = open.as_mut() {
            open.asked += 1;
            return Self {
                feed: Arc::clone(&open.feed),
                viewing: Arc::clone(viewing),
            };
        }
        // A number of its own, so that no cache takes its files for those of another time.
        let prefix = format!("{name}-{:08x}-", rand::random::<u32>());
        let mut window = Window::new(prefix);
        window.begin_at_once();
        let feed = Arc::new(Feed {
            window: Mutex::new(window),
            news: watch::Sender::new(false),
            task: Mutex::default(),
        });
        let viewer = Viewer::new(viewing, CAPACITY);
        let task = tokio::spawn(
            make(Arc::downgrade(&feed), viewer, Arc::clone(viewing)).instrument(viewing.span().clone()),
        );
        *feed.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        *open = Some(Open {
            feed: Arc::clone(&feed),
            asked: 1,
        });
        Self {
            feed,
            viewing: Arc::clone(viewing),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.feed.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The playlist, when it has the segment (and part) of these numbers; the present one without. `folder` is put
    /// before the names of files. With `skip` it leaves out what whoever has a recent one knows (a delta update).
    ///
    /// # Errors
    /// `InvalidArgument` for a segment that is far from being made, `Unavailable` when the camera sends nothing,
    /// `NotFound` when it was removed.
    pub async fn playlist(
        &self,
        wanted: Option<(u64, Option<u64>)>,
        folder: &str,
        skip: bool,
    ) -> Result<String> {
        let ready = |w: &Window| match wanted {
            _ if !w.is_ready() => Found::NotYet,
            Some((number, part)) => w.has(number, part),
            None => Found::Here(Bytes::new()),
        };
        match self.when(ready).await? {
            Some(_) => Ok(self.window().playlist(folder, skip)),
            None => Err(Error::new(
                ErrorKind::InvalidArgument,
                "a segment that is far from being made",
            )),
        }
    }

    /// A file that the playlist names, also the one that it hints at: the answer comes when it is there.
    ///
    /// # Errors
    /// `NotFound` when it is gone, or the camera is; `Unavailable` when the camera sends nothing.
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
                // Read before the window, so that an end behind it is not slept through.
                let over = *news.borrow_and_update();
                let found = ask(&self.window());
                match found {
                    Found::Here(bytes) => return Ok(Some(bytes)),
                    Found::Gone => return Ok(None),
                    Found::NotYet if over => break,
                    Found::NotYet => {}
                }
                if news.changed().await.is_err() {
                    break;
                }
            }
            let what = "this live stream has ended: the camera was removed, or nobody asked for long";
            Err(Error::new(ErrorKind::NotFound, what))
        };
        tokio::time::timeout(WAIT, wait).await.map_err(|_| {
            let why = self
                .viewing
                .trouble()
                .unwrap_or_else(|| "the camera sends no frames".to_owned());
            Error::new(ErrorKind::Unavailable, why)
        })?
    }
}

/// Tells those who wait that nothing comes any more, however its making ends.
struct Ends {
    feed: Weak<Feed>,
    viewing: Arc<Viewing>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.upgrade() {
            self.viewing.hls.remove(&feed);
            feed.news.send_replace(true);
        }
    }
}

async fn make(feed: Weak<Feed>, mut viewer: Viewer, viewing: Arc<Viewing>) {
    let ends = Ends { feed, viewing };
    let mut packager: Option<Packager> = None;
    let mut look = tokio::time::interval(IDLE);
    look.tick().await;
    let mut asked_before = 0;
    loop {
        let live = tokio::select! {
            live = viewer.next() => live,
            _ = look.tick() => {
                let Some(feed) = ends.feed.upgrade() else { return };
                // What was made is not kept for nobody.
                match ends.viewing.hls.retire(&feed, asked_before) {
                    Some(asked) => asked_before = asked,
                    None => return,
                }
                continue;
            }
        };
        let Some(feed) = ends.feed.upgrade() else { return };
        let mut window = feed.window.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match live {
            None => return,
            Some(Live::Begin) => {
                packager = Some(Packager::new(true, viewer.audio().as_ref()));
                window.interrupt();
                false
            }
            // Its times go on where they were: the frames left out are no part of them.
            Some(Live::Lost(_)) => false,
            Some(Live::Frame(unit)) => {
                let packets = packager.as_mut().map(|p| p.push(&unit)).unwrap_or_default();
                let news = packets
                    .into_iter()
                    .fold(false, |news, packet| window.push(packet) | news);
                (viewer.left() == 0 && window.caught_up()) | news
            }
        };
        drop(window);
        if news {
            feed.news.send_modify(|_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_asks_is_never_given_a_feed_that_ends() {
        let viewing = Viewing::new(tracing::Span::none());
        let first = Hls::open(&viewing, "main");
        // Asked for once since the last look: it stays, and whoever comes shares it.
        assert_eq!(viewing.hls.retire(&first.feed, 0), Some(1));
        let second = Hls::open(&viewing, "main");
        assert!(Arc::ptr_eq(&first.feed, &second.feed));
        assert_eq!(viewing.hls.retire(&first.feed, 1), Some(2));
        // Not asked for since: from this very moment on the next one is given another.
        assert_eq!(viewing.hls.retire(&first.feed, 2), None);
        let third = Hls::open(&viewing, "main");
        assert!(!Arc::ptr_eq(&first.feed, &third.feed));
        // The end of the old one takes nothing from the new one.
        viewing.hls.remove(&first.feed);
        let fourth = Hls::open(&viewing, "main");
        assert!(Arc::ptr_eq(&third.feed, &fourth.feed));
    }

    #[tokio::test]
    async fn those_who_wait_are_told_of_the_end() {
        let viewing = Viewing::new(tracing::Span::none());
        let hls = Hls::open(&viewing, "main");
        let waiting = {
            let hls = hls.clone();
            tokio::spawn(async move { hls.playlist(None, "", false).await })
        };
        // It waits for news.
        while hls.feed.news.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        viewing.close();
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        // As is who comes with an old handle.
        let error = hls.file("x").await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}
