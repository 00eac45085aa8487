//! Streaming threads that give way to everybody else.
//!
//! GStreamer's own threads come from one pool of the whole process: one that was lowered would later serve a
//! recording pipeline, and an ordinary user cannot raise it again. So a pipeline that works in the background gets
//! threads of its own, which end with it. What an encoder starts from them (x265's pool) inherits.

use gst::prelude::*;

use crate::priority::Priority;

mod imp {
    use std::sync::OnceLock;

    use gst::subclass::prelude::*;

    use super::*;

    #[derive(Default)]
    pub(crate) struct CalmPool {
        pub(super) priority: OnceLock<Priority>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for CalmPool {
        const NAME: &'static str = "NvrCalmPool";
        type Type = super::CalmPool;
        type ParentType = gst::TaskPool;
    }

    impl ObjectImpl for CalmPool {}
    impl GstObjectImpl for CalmPool {}

    impl TaskPoolImpl for CalmPool {
        type Handle = Thread;

        fn push(&self, func: gst::subclass::TaskPoolFunction) -> Result<Option<Thread>, glib::Error> {
            let priority = self.priority.get().copied().unwrap_or_default();
            let thread = std::thread::Builder::new()
                .name("nvr-background".into())
                .spawn(move || {
                    priority.lower_this_thread();
                    func.call();
                })
                .map_err(|e| glib::Error::new(gst::CoreError::Thread, &format!("no thread: {e}")))?;
            Ok(Some(Thread(thread)))
        }
    }

    #[derive(Debug)]
    pub(crate) struct Thread(std::thread::JoinHandle<()>);

    impl gst::TaskHandle for Thread {
        fn join(self) {
            // Its panic was held by the callback that had it.
            let _ = self.0.join();
        }
    }
}

glib::wrapper! {
    /// See the module.
    pub(crate) struct CalmPool(ObjectSubclass<imp::CalmPool>) @extends gst::TaskPool, gst::Object;
}

impl CalmPool {
    fn new(priority: Priority) -> Self {
        use glib::subclass::prelude::*;
        let pool: Self = glib::Object::new();
        let _ = pool.imp().priority.set(priority);
        pool
    }
}

/// What a pipeline says that matters here.
#[derive(Debug)]
pub(super) enum Said {
    Eos,
    /// Name of the element that failed, and what it said.
    Error(String, String),
}

/// Gives a pipeline threads of its own at `priority` and hands on its end and its first error. Before it is
/// started; the handler is kept by the bus and must not hold the pipeline.
pub(super) fn background(
    pipeline: &gst::Pipeline,
    priority: Option<Priority>,
    said: impl Fn(Said) + Send + Sync + 'static,
) {
    let Some(bus) = pipeline.bus() else { return };
    bus.set_sync_handler(move |_, message| {
        super::guard::guarded(
            "background bus",
            (),
            |_| {},
            || match message.view() {
                gst::MessageView::StreamStatus(status) => {
                    if let (Some(priority), gst::StreamStatusType::Create) = (priority, status.type_())
                        && let Some(task) = status
                            .stream_status_object()
                            .and_then(|v| v.get::<gst::Task>().ok())
                    {
                        task.set_pool(&CalmPool::new(priority));
                    }
                }
                gst::MessageView::Eos(_) => said(Said::Eos),
                gst::MessageView::Error(e) => {
                    let from = message.src().map(|s| s.name().to_string()).unwrap_or_default();
                    said(Said::Error(from, e.error().message().chars().take(300).collect()));
                }
                _ => {}
            },
        );
        gst::BusSyncReply::Drop
    });
}

/// Takes a pipeline down and lets go of what its bus holds.
pub(super) fn stop(pipeline: &gst::Pipeline) {
    let _ = pipeline.set_state(gst::State::Null);
    if let Some(bus) = pipeline.bus() {
        bus.unset_sync_handler();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::gst::sources::on_pad;
    use crate::priority::{IoClass, nice_of_this_thread};

    /// Nice values that the streaming thread of a pipeline has.
    fn nice_of(priority: Option<Priority>) -> Vec<i32> {
        crate::gst::init().unwrap();
        let pipeline = gst::parse::launch("fakesrc num-buffers=3 ! fakesink name=s")
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mine = Arc::clone(&seen);
        let pad = pipeline.by_name("s").unwrap().static_pad("sink").unwrap();
        on_pad(&pad, gst::PadProbeType::BUFFER, move |_, _| {
            mine.lock().unwrap().extend(nice_of_this_thread());
            gst::PadProbeReturn::Ok
        });
        let (tell, told) = std::sync::mpsc::channel();
        background(&pipeline, priority, move |said| drop(tell.send(said)));
        pipeline.set_state(gst::State::Playing).unwrap();
        assert!(matches!(
            told.recv_timeout(Duration::from_secs(20)),
            Ok(Said::Eos)
        ));
        stop(&pipeline);
        std::mem::take(&mut *seen.lock().unwrap())
    }

    #[test]
    fn background_threads_are_lowered_and_serve_nobody_else() {
        let before = nice_of_this_thread().unwrap();
        let calm = Priority {
            nice: 19,
            io: IoClass::Idle,
        };
        for _ in 0..5 {
            assert_eq!(nice_of(Some(calm)), [19; 3]);
            assert_eq!(nice_of(None), [before; 3]);
        }
    }
}
