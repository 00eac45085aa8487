//! What pipelines say, without a thread: messages are handled where they are posted. What a source's error means
//! is said in `sources/cause.rs`.

use std::error::Error as StdError;

use gst::prelude::*;

use super::guard::guarded;
use crate::error::{Error, ErrorKind};
use crate::event::{Cause, CauseKind};

/// What a pipeline said that matters.
#[derive(Debug)]
pub(crate) enum BusNews {
    /// It cannot go on; with GStreamer's debug string, which is not for people.
    Error(glib::Error, Option<String>),
    /// All its sinks are at the end.
    Eos,
}

/// Watches a pipeline. `on_news` runs in the thread that posted and must neither block nor change states.
///
/// The handler is kept by the bus: it must not hold the pipeline.
pub(crate) fn watch(pipeline: &gst::Pipeline, on_news: impl Fn(BusNews) + Send + Sync + 'static) {
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
                    on_news(BusNews::Error(error, details.map(|d| d.to_string())));
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

/// What ails the disk.
pub(crate) fn storage_cause(e: &Error) -> Cause {
    use std::io::ErrorKind as Io;
    let mut source = StdError::source(e);
    let mut io = None;
    while let Some(s) = source {
        if let Some(found) = s.downcast_ref::<std::io::Error>() {
            io = Some(found.kind());
            break;
        }
        source = s.source();
    }
    let kind = match (io, e.kind()) {
        (Some(Io::StorageFull | Io::QuotaExceeded), _) => CauseKind::DiskFull,
        (Some(Io::ReadOnlyFilesystem), _) => CauseKind::ReadOnly,
        (Some(Io::NotFound | Io::NotADirectory), _) => CauseKind::StorageMissing,
        (Some(_), _) => CauseKind::StorageError,
        // No fault of the system's: the root or its marker is not there.
        (None, ErrorKind::NotFound | ErrorKind::Storage | ErrorKind::Unavailable) => {
            CauseKind::StorageMissing
        }
        (None, _) => CauseKind::StorageError,
    };
    Cause::new(kind, e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_faults_are_told_apart() {
        let io = |k: std::io::ErrorKind| storage_cause(&Error::io("a", std::io::Error::from(k))).kind;
        assert_eq!(io(std::io::ErrorKind::StorageFull), CauseKind::DiskFull);
        assert_eq!(io(std::io::ErrorKind::ReadOnlyFilesystem), CauseKind::ReadOnly);
        assert_eq!(io(std::io::ErrorKind::NotFound), CauseKind::StorageMissing);
        assert_eq!(io(std::io::ErrorKind::PermissionDenied), CauseKind::StorageError);
        let marker = Error::new(ErrorKind::Storage, "no marker");
        assert_eq!(storage_cause(&marker).kind, CauseKind::StorageMissing);
    }
}
