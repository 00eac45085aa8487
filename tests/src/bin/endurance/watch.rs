//! Looks at the disk all the time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nvr_tests::disk::available;

/// The least that was free so far, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    least: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(root: &Path) -> std::io::Result<Self> {
        let (least, stop) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::<AtomicBool>::default());
        let (root, to, end) = (root.to_owned(), Arc::clone(&least), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || {
            while !end.load(Ordering::Relaxed) {
                to.fetch_min(available(&root), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        })?;
        Ok(Self {
            least,
            stop,
            thread: Some(thread),
        })
    }

    /// Bytes.
    pub fn least(&self) -> u64 {
        self.least.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
