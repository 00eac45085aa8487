//! Whom a log record is about. A task or a thread that works for a camera logs within the camera's span, so that each of
//! its records has the field `camera`, however deep it comes from.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

use tracing::Span;
use tracing::span::EnteredSpan;

use crate::ids::CameraId;

/// The span of what is logged about a camera. Of the level of errors: it is there whatever level is logged.
pub(crate) fn camera(id: &CameraId) -> Span {
    tracing::error_span!("camera", camera = %id)
}

thread_local! {
    /// What the present work of a thread is about that is lent by somebody else's pool. Never dropped with its thread: the
    /// subscriber's own place in the thread may be gone by then.
    static LENT: RefCell<ManuallyDrop<Option<EnteredSpan>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Puts all that this thread logs into a span, until it is called again; `None` ends it.
pub(crate) fn lend_this_thread(span: Option<&Span>) {
    LENT.with(|place| {
        let mut place = place.borrow_mut();
        // The old one is left before the new one is entered.
        **place = None;
        **place = span.map(|span| span.clone().entered());
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_thread_is_about_one_thing_at_a_time() {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::with_default(subscriber, || {
            let spans = ["a", "b"].map(|id| camera(&CameraId::new(id).unwrap()));
            for span in &spans {
                lend_this_thread(Some(span));
                assert_eq!(Span::current().id(), span.id());
            }
            lend_this_thread(None);
            assert!(Span::current().id().is_none());
        });
    }
}
