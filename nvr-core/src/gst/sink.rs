//! The element at the end of a recording: hands what the muxer writes to a [`SegmentFile`].
//!
//! splitmuxsink restarts it for each segment. It keeps no buffer of its own: each buffer is written when it
//! arrives, so that a crash costs no more than the muxer holds. It is made by hand, not registered.

use glib::subclass::prelude::*;
use gst::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use crate::error::{Error, Result as NvrResult};
use crate::segment::{ClosedSegment, SegmentFile};

/// Makes the file of the next segment. Called when the sink starts: the caller of splitmuxsink's feed must not
/// wait for a disk, and it would where splitmuxsink asks for a name, for that is done under its lock.
pub(crate) type MakeFile = Box<dyn FnOnce() -> NvrResult<Box<dyn SegmentFile>> + Send>;

/// What the sink tells its owner; called from streaming threads.
pub(crate) type OnClosed = Box<dyn Fn(ClosedSegment) + Send + Sync>;
/// A storage fault, before the element error is posted.
pub(crate) type OnFault = Box<dyn Fn(&Error) + Send + Sync>;

mod imp {
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    use super::*;

    #[derive(Default)]
    pub(crate) struct SegmentSink {
        state: Mutex<State>,
        location: Mutex<Option<String>>,
        callbacks: Mutex<Option<(OnClosed, OnFault)>>,
    }

    #[derive(Default)]
    struct State {
        next: Option<MakeFile>,
        file: Option<Box<dyn SegmentFile>>,
        offset: u64,
        /// Where the pieces of a chunk are put together.
        scratch: Vec<u8>,
    }

    /// A larger buffer is given back.
    const SCRATCH_KEPT: usize = 512 << 10;

    fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
        m.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[glib::object_subclass]
    impl ObjectSubclass for SegmentSink {
        const NAME: &'static str = "NvrSegmentSink";
        type Type = super::SegmentSink;
        type ParentType = gst_base::BaseSink;
    }

    impl ObjectImpl for SegmentSink {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecString::builder("location")
                        .nick("Location")
                        .blurb("Name of the present segment; set by splitmuxsink, for logs only")
                        .build(),
                ]
            });
            PROPERTIES.as_ref()
        }

        fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
            *lock(&self.location) = value.get::<Option<String>>().ok().flatten();
        }

        fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
            lock(&self.location).to_value()
        }

        fn constructed(&self) {
            self.parent_constructed();
            let obj = self.obj();
            obj.set_sync(false);
            obj.set_async(false);
            obj.set_property("enable-last-sample", false);
        }
    }

    impl GstObjectImpl for SegmentSink {}

    impl ElementImpl for SegmentSink {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Segment sink",
                    "Sink",
                    "Writes one segment after the other",
                    "The nvr developers",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                gst::PadTemplate::new(
                    "sink",
                    gst::PadDirection::Sink,
                    gst::PadPresence::Always,
                    &gst::Caps::new_any(),
                )
                .into_iter()
                .collect()
            });
            TEMPLATES.as_ref()
        }
    }

    impl BaseSinkImpl for SegmentSink {
        fn start(&self) -> Result<(), gst::ErrorMessage> {
            let next = lock(&self.state).next.take();
            // Without the lock: this may take as long as the disk does.
            let file = match next.map(|make| make()) {
                Some(Ok(file)) => Some(file),
                Some(Err(e)) => {
                    self.fail("cannot create the segment", &e);
                    None
                }
                None => None,
            };
            let mut s = lock(&self.state);
            s.offset = 0;
            s.file = file;
            if s.file.is_none() {
                return Err(gst::error_msg!(
                    gst::ResourceError::OpenWrite,
                    ["no file for the next segment"]
                ));
            }
            Ok(())
        }

        fn stop(&self) -> Result<(), gst::ErrorMessage> {
            // Not finished by an EOS: the file stays as after a crash.
            lock(&self.state).file = None;
            Ok(())
        }

        fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            self.write(std::iter::once(buffer.as_ref()))
        }

        fn render_list(&self, list: &gst::BufferList) -> Result<gst::FlowSuccess, gst::FlowError> {
            self.write(list.iter())
        }

        fn event(&self, event: gst::Event) -> bool {
            match event.view() {
                gst::EventView::Segment(e) => {
                    // mp4mux and matroskamux go back to mend what they wrote before.
                    if let Some(segment) = e.segment().downcast_ref::<gst::format::Bytes>() {
                        lock(&self.state).offset = segment.start().map_or(0, |b| *b);
                    }
                }
                gst::EventView::Eos(_) => self.finish(),
                _ => {}
            }
            self.parent_event(event)
        }

        fn query(&self, query: &mut gst::QueryRef) -> bool {
            if let gst::QueryViewMut::Seeking(q) = query.view_mut() {
                let bytes = q.format() == gst::Format::Bytes;
                if bytes {
                    q.set(true, gst::format::Bytes::ZERO, gst::format::Bytes::NONE);
                } else {
                    let format = q.format();
                    q.set(
                        false,
                        gst::GenericFormattedValue::none_for_format(format),
                        gst::GenericFormattedValue::none_for_format(format),
                    );
                }
                return true;
            }
            BaseSinkImplExt::parent_query(self, query)
        }
    }

    impl SegmentSink {
        pub(super) fn set_callbacks(&self, closed: OnClosed, fault: OnFault) {
            *lock(&self.callbacks) = Some((closed, fault));
        }

        pub(super) fn set_next(&self, make: MakeFile) {
            lock(&self.state).next = Some(make);
        }

        pub(super) fn fail(&self, what: &str, e: &Error) {
            if let Some((_, fault)) = &*lock(&self.callbacks) {
                fault(e);
            }
            gst::element_imp_error!(self, gst::ResourceError::Write, ["{what}: {e}"]);
        }

        fn write<'a>(
            &self,
            buffers: impl Iterator<Item = &'a gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let mut s = lock(&self.state);
            // A chunk comes as a list of small pieces: one write, one look at the boxes and one run of the hash
            // for all of them cost less than the copy.
            let mut bytes = std::mem::take(&mut s.scratch);
            bytes.clear();
            for buffer in buffers {
                // Each memory by itself: mapping the whole buffer would first merge them into a copy.
                for memory in buffer.iter_memories() {
                    let map = memory.map_readable().map_err(|_| gst::FlowError::Error)?;
                    bytes.extend_from_slice(&map);
                }
            }
            let offset = s.offset;
            let Some(file) = s.file.as_mut() else {
                return Err(gst::FlowError::Eos);
            };
            if let Err(e) = file.write_at(offset, &bytes) {
                s.file = None;
                drop(s);
                self.fail("cannot write the segment", &e);
                return Err(gst::FlowError::Error);
            }
            s.offset = offset + bytes.len() as u64;
            if bytes.capacity() <= SCRATCH_KEPT {
                s.scratch = bytes;
            }
            Ok(gst::FlowSuccess::Ok)
        }

        fn finish(&self) {
            let Some(file) = lock(&self.state).file.take() else {
                return;
            };
            match file.finish() {
                Ok(closed) => {
                    if let Some((on_closed, _)) = &*lock(&self.callbacks) {
                        on_closed(closed);
                    }
                }
                Err(e) => self.fail("cannot complete the segment", &e),
            }
        }
    }
}

glib::wrapper! {
    /// See the module.
    pub(crate) struct SegmentSink(ObjectSubclass<imp::SegmentSink>)
        @extends gst_base::BaseSink, gst::Element, gst::Object;
}

impl SegmentSink {
    pub(crate) fn new(closed: OnClosed, fault: OnFault) -> Self {
        let sink: Self = glib::Object::new();
        sink.imp().set_callbacks(closed, fault);
        sink
    }

    /// How the next start gets its file.
    pub(crate) fn set_next(&self, make: MakeFile) {
        self.imp().set_next(make);
    }

    /// Tells a storage fault and posts the element error.
    pub(crate) fn fail(&self, what: &str, e: &Error) {
        self.imp().fail(what, e);
    }
}
