//! From GStreamer's messages to causes, without a thread: messages are handled where they are posted.

use gst::prelude::*;

use super::guard::guarded;
use crate::about::lend_this_thread;
use crate::error::{Error, ErrorKind};
use crate::event::{Cause, CauseKind};
use crate::priority::batch_this_thread;

/// What a pipeline said that matters.
#[derive(Debug)]
pub(crate) enum BusNews {
    /// It cannot go on.
    Error(Cause),
    /// All its sinks are at the end.
    Eos,
    /// The other side closed the connection; what came before is still on its way, if anything did.
    Closed,
}

/// Watches a pipeline; `cause_of` puts an element's error into words. `on_news` runs in the thread that posted and must neither block nor change states.
///
/// What its streaming threads log belongs to the caller's span. The handler is kept by the bus: it must not hold the
/// pipeline.
pub(crate) fn watch(
    pipeline: &gst::Pipeline,
    cause_of: impl Fn(&glib::Error, Option<&str>) -> Cause + Send + Sync + 'static,
    on_news: impl Fn(BusNews) + Send + Sync + 'static,
) {
    let Some(bus) = pipeline.bus() else { return };
    let weak = pipeline.downgrade();
    let span = tracing::Span::current();
    bus.set_sync_handler(move |_, message| {
        // Posted by the thread itself; threads are lent by a pool that others share.
        if let gst::MessageView::StreamStatus(status) = message.view() {
            match status.type_() {
                gst::StreamStatusType::Enter => {
                    batch_this_thread(true);
                    lend_this_thread(Some(&span));
                }
                gst::StreamStatusType::Leave => {
                    lend_this_thread(None);
                    batch_this_thread(false);
                }
                _ => {}
            }
            return gst::BusSyncReply::Drop;
        }
        // Threads that elements start by themselves say nothing of it.
        let _about = span.enter();
        guarded(
            "bus",
            (),
            |_| {},
            || match message.view() {
                gst::MessageView::Error(e) => {
                    let (error, details) = (e.error(), e.debug());
                    let from = message.src().map(|s| s.name().to_string()).unwrap_or_default();
                    tracing::debug!(element = from, %error, details = details.as_deref(), "element error");
                    on_news(BusNews::Error(cause_of(&error, details.as_deref())));
                }
                gst::MessageView::Eos(_) => on_news(BusNews::Eos),
                gst::MessageView::Warning(w) => {
                    let from = message.src().map(|s| s.name().to_string()).unwrap_or_default();
                    tracing::debug!(element = from, warning = %w.error(), "element warning");
                    // How rtspsrc tells it. The end of the stream that goes with it is lost where no pad has
                    // seen a packet yet. (Of the same kind is the news that it goes on over TCP.)
                    if w.error().kind::<gst::ResourceError>() == Some(gst::ResourceError::Read)
                        && w.debug()
                            .is_some_and(|d| d.contains("server closed the connection"))
                    {
                        on_news(BusNews::Closed);
                    }
                }
                gst::MessageView::Latency(_) => {
                    if let Some(pipeline) = weak.upgrade() {
                        pipeline.call_async(|p| {
                            let _ = p.recalculate_latency();
                        });
                    }
                }
                _ => {}
            },
        );
        gst::BusSyncReply::Drop
    });
}

/// What ails the disk, in the words of the recordings tree.
pub(crate) fn storage_cause(e: &Error) -> Cause {
    crate::fault::cause_of(e).unwrap_or_else(|| {
        let kind = match e.kind() {
            ErrorKind::Internal => CauseKind::Internal,
            _ => CauseKind::StorageError,
        };
        Cause::new(kind, e.to_string())
    })
}
