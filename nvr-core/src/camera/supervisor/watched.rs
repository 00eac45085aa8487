//! A camera that is not recorded is connected while somebody watches, and some seconds longer.

use super::{Actor, LINGER};
use crate::config::RecordMode;
use crate::event::{Cause, CauseKind};
use crate::time::duration_ns;

impl Actor {
    /// Connects it for those who watch, and lets it go when nobody did for a while.
    pub(super) fn look_after_viewers(&mut self) {
        if self.status.viewing.is_watched() {
            self.unwatched_since_ns = None;
            if !self.watched {
                self.watched = true;
                self.viewers_changed("somebody watches");
            }
        } else if self.watched {
            let now = self.now_ns();
            let since = *self.unwatched_since_ns.get_or_insert(now);
            if now.saturating_sub(since) >= duration_ns(LINGER) {
                self.watched = false;
                self.unwatched_since_ns = None;
                self.viewers_changed("nobody watches any more");
            }
        }
    }

    fn viewers_changed(&mut self, words: &str) {
        if self.config.enabled && self.mode == RecordMode::Off && self.shutdown.is_none() {
            self.want(Cause::new(CauseKind::Requested, words));
        }
    }
}
