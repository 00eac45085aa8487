//! From GStreamer's messages to causes, without a thread: messages are handled where they are posted.

use gst::prelude::*;

use super::guard::guarded;
use crate::error::Error;
use crate::event::{Cause, CauseKind};

/// What a pipeline said that matters.
#[derive(Debug)]
pub(crate) enum BusNews {
    /// It cannot go on.
    Error(Cause),
    /// All its sinks are at the end.
    Eos,
}

/// Watches a pipeline; `cause_of` puts an element's error into words. `on_news` runs in the thread that posted and must neither block nor change states.
///
/// The handler is kept by the bus: it must not hold the pipeline.
pub(crate) fn watch(
    pipeline: &gst::Pipeline,
    cause_of: impl Fn(&glib::Error, Option<&str>) -> Cause + Send + Sync + 'static,
    on_news: impl Fn(BusNews) + Send + Sync + 'static,
) {
    let Some(bus) = pipeline.bus() else { return };
    let weak = pipeline.downgrade();
    bus.set_sync_handler(move |_, message| {
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
    crate::fault::cause_of(e).unwrap_or_else(|| Cause::new(CauseKind::StorageError, e.to_string()))
}
