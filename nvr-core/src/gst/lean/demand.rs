//! Whether somebody wants frames as they come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Waker = Box<dyn Fn() + Send + Sync>;

/// Counts those who want a camera's frames at once.
#[derive(Default)]
pub(crate) struct Demand {
    wanting: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl std::fmt::Debug for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Demand").field(&self.wanting).finish()
    }
}

impl Demand {
    /// Whether anybody does.
    pub(in crate::gst) fn is_there(&self) -> bool {
        self.wanting.load(Ordering::SeqCst) > 0
    }

    /// Joins them, until the result is dropped.
    pub(in crate::gst) fn want(self: &Arc<Self>) -> Wanting {
        if self.wanting.fetch_add(1, Ordering::SeqCst) == 0 {
            self.wake();
        }
        Wanting(self.clone())
    }

    /// What is called when the first one comes; by whatever thread that is.
    pub(in crate::gst) fn on_first(&self, waker: Option<Waker>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }

    fn wake(&self) {
        if let Some(wake) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }
}

/// One who wants frames at once.
#[derive(Debug)]
pub(crate) struct Wanting(Arc<Demand>);

impl Drop for Wanting {
    fn drop(&mut self) {
        self.0.wanting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_wakes() {
        let demand = Arc::new(Demand::default());
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        demand.on_first(Some(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })));
        let one = demand.want();
        let two = demand.want();
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        drop(one);
        assert!(demand.is_there());
        drop(two);
        assert!(!demand.is_there());
        let _again = demand.want();
        assert_eq!(woken.load(Ordering::SeqCst), 2);
    }
}
