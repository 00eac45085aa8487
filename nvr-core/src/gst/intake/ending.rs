//! How a run ends: once, with its files closed and its cause told last.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Intake, lock};
use crate::event::Cause;
use crate::gst::spec::RunEvent;

/// For the last segment when the stream ends by itself.
const END: Duration = Duration::from_secs(10);
/// For the sound that is being converted.
const LAST_SOUND: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) started: bool,
    pub(super) done: Option<bool>,
}

impl Intake {
    /// Ends the run for `cause`, on the side: the last segment is completed, then `Ended` is told.
    pub(crate) fn end(&self, cause: Cause) {
        self.end_explained(cause, |cause| cause);
    }

    /// The same; what there is to be found out about the cause may take a moment, and is told with it.
    pub(crate) fn end_explained(&self, cause: Cause, explain: impl FnOnce(Cause) -> Cause + Send + 'static) {
        {
            let mut e = lock(&self.ending);
            if e.started {
                return;
            }
            e.started = true;
        }
        let Some(me) = self.me.upgrade() else { return };
        let fallback = cause.clone();
        let span = tracing::Span::current();
        let spawned = std::thread::Builder::new().name("nvr-end".into()).spawn(move || {
            span.in_scope(|| {
                let cause = explain(cause);
                me.take_no_more();
                me.complete(cause, END)
            })
        });
        if spawned.is_err() {
            self.complete(fallback, Duration::ZERO);
        }
    }

    /// The same in this thread. Whether all segments were closed in order before the deadline.
    pub(crate) fn stop(&self, cause: Cause, deadline: Duration) -> bool {
        let mut e = lock(&self.ending);
        if e.started {
            let (e, _) = self
                .ended
                .wait_timeout_while(e, deadline, |e| e.done.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            return e.done.unwrap_or(false);
        }
        e.started = true;
        drop(e);
        self.take_no_more();
        self.complete(cause, deadline)
    }

    /// A frame that came later would count, and be in no file; the first one would even begin a file that nobody closes.
    /// Not from a source's thread, which may be handing over a frame.
    fn take_no_more(&self) {
        lock(&self.video).over = true;
    }

    fn complete(&self, cause: Cause, deadline: Duration) -> bool {
        let converter = lock(&self.audio).converter.take();
        if let Some(converter) = converter.filter(|_| !deadline.is_zero()) {
            converter.finish(LAST_SOUND.min(deadline / 4));
        }
        let recorder = lock(&self.recorder).take();
        let clean = recorder.is_none_or(|r| r.finish(deadline));
        self.tap.close();
        self.tell(RunEvent::Ended(cause));
        lock(&self.ending).done = Some(clean);
        self.ended.notify_all();
        clean
    }
}
